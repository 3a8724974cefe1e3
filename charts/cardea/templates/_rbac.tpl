{{/*
What is to be served: in the cluster, or in the namespace of controller.scope.
*/}}
{{- define "cardea.rulesWatched" -}}
# What is to be served.
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [referencegrants]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# ConfigMaps that Ingresses name for the authority of their backends. list, watch: the
# metadata of all, to see that one changed. get: the content of one that is named.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
# status.loadBalancer of our Ingresses, by the leader.
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
# Events on objects of users: get and update so that the replicas share one.
{{ include "cardea.rulesEvents" . }}
{{- end }}

{{- define "cardea.rulesEvents" -}}
- apiGroups: [""]
  resources: [events]
  verbs: [get, create, update]
{{- end }}

{{/*
Secrets. list, watch: metadata of all of them, to see that one changed, and the
first fill if many are named. get: the content of one that an Ingress names.
*/}}
{{- define "cardea.rulesSecrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- end }}

{{- define "cardea.subjects" -}}
- kind: ServiceAccount
  namespace: {{ include "cardea.namespace" . }}
  name: {{ include "cardea.serviceAccountName" . }}
{{- end }}

{{/*
A Role and its binding: .namespace, .name, .rules, .root.
*/}}
{{- define "cardea.role" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  namespace: {{ .namespace }}
  name: {{ .name }}
  labels:
    {{- include "cardea.labels" .root | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  namespace: {{ .namespace }}
  name: {{ .name }}
  labels:
    {{- include "cardea.labels" .root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }}}
subjects:
  {{- include "cardea.subjects" .root | nindent 2 }}
{{ end }}
