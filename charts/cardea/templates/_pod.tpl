{{/*
A probe. ingress-nginx answers at /healthz, Cardea does not.
*/}}
{{- define "cardea.probe" -}}
{{- $probe := deepCopy .probe }}
{{- with $probe.httpGet }}
{{- if eq (toString .path) "/healthz" }}
{{- $_ := set . "path" $.path }}
{{- end }}
{{- $_ := set . "port" $.root.Values.controller.metrics.portName }}
{{- with $.root.Values.controller.healthCheckHost }}
{{- $_ := set $probe.httpGet "host" . }}
{{- end }}
{{- end }}
{{- toYaml $probe }}
{{- end }}

{{/*
Sysctls; ports below 1024 need one, since the process has no capability.
*/}}
{{- define "cardea.sysctls" -}}
{{- $c := .Values.controller }}
{{- $sysctls := deepCopy ($c.sysctls | default dict) }}
{{- if and (not $c.hostNetwork) (include "cardea.lowPorts" .) }}
{{- $key := "net.ipv4.ip_unprivileged_port_start" }}
{{- if not (hasKey $sysctls $key) }}
{{- $_ := set $sysctls $key (toString (min (int $c.containerPort.http) (int $c.containerPort.https))) }}
{{- end }}
{{- end }}
{{- range $name, $value := $sysctls }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/*
Where the pods go, if nothing else is said.
*/}}
{{- define "cardea.topologySpread" -}}
{{- $c := .Values.controller }}
{{- if $c.topologySpreadConstraints }}
{{- tpl (toYaml $c.topologySpreadConstraints) . }}
{{- else if eq $c.kind "Deployment" }}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "cardea.selectorLabels" . | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/*
The pod template of Deployment and DaemonSet.
*/}}
{{- define "cardea.podTemplate" -}}
{{- $c := .Values.controller -}}
{{- $ports := include "cardea.ports" . | fromYaml -}}
metadata:
  labels:
    {{- include "cardea.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
    app.kubernetes.io/part-of: {{ include "cardea.name" . }}
    {{- with .Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $c.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $c.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "cardea.serviceAccountName" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $c.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $c.terminationGracePeriodSeconds }}
  dnsPolicy: {{ $c.dnsPolicy }}
  {{- with $c.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.hostname }}
  hostname: {{ . | quote }}
  {{- end }}
  {{- with $c.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $c.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- if $c.shareProcessNamespace }}
  shareProcessNamespace: true
  {{- end }}
  securityContext:
    {{- $security := dict "runAsNonRoot" $c.image.runAsNonRoot "seccompProfile" $c.image.seccompProfile }}
    {{- with include "cardea.sysctls" . }}
    {{- $_ := set $security "sysctls" (fromYamlArray .) }}
    {{- end }}
    {{- toYaml (mustMergeOverwrite $security (deepCopy ($c.podSecurityContext | default dict))) | nindent 4 }}
  {{- with $c.extraInitContainers }}
  initContainers:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ $c.containerName }}
      image: {{ include "cardea.image" . }}
      imagePullPolicy: {{ $c.image.pullPolicy }}
      args:
        - controller
        {{- include "cardea.args" . | trim | nindent 8 }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: POD_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        {{- if ($c.resources.limits).memory }}
        - name: GOMEMLIMIT
          value: {{ div (mul (include "cardea.bytes" $c.resources.limits.memory) $c.goMemLimitPercent) 100 | quote }}
        {{- end }}
        {{- with $c.extraEnvs }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
      ports:
        - name: http
          containerPort: {{ $ports.http }}
          protocol: TCP
          {{- if $c.hostPort.enabled }}
          hostPort: {{ $c.hostPort.ports.http }}
          {{- end }}
        - name: https
          containerPort: {{ $ports.https }}
          protocol: TCP
          {{- if $c.hostPort.enabled }}
          hostPort: {{ $c.hostPort.ports.https }}
          {{- end }}
        - name: {{ $c.metrics.portName }}
          containerPort: {{ $c.metrics.port }}
          protocol: TCP
        {{- if include "cardea.webhook" . }}
        - name: webhook
          containerPort: {{ $c.admissionWebhooks.port }}
          protocol: TCP
        {{- end }}
      livenessProbe:
        {{- include "cardea.probe" (dict "root" . "probe" $c.livenessProbe "path" "/livez") | nindent 8 }}
      readinessProbe:
        {{- include "cardea.probe" (dict "root" . "probe" $c.readinessProbe "path" "/readyz") | nindent 8 }}
      {{- with $c.startupProbe }}
      startupProbe:
        {{- include "cardea.probe" (dict "root" $ "probe" . "path" "/livez") | nindent 8 }}
      {{- end }}
      {{- with $c.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- if $c.containerSecurityContext }}
        {{- toYaml $c.containerSecurityContext | nindent 8 }}
        {{- else }}
        runAsNonRoot: {{ $c.image.runAsNonRoot }}
        runAsUser: {{ $c.image.runAsUser }}
        runAsGroup: {{ $c.image.runAsGroup }}
        allowPrivilegeEscalation: {{ $c.image.allowPrivilegeEscalation }}
        readOnlyRootFilesystem: {{ $c.image.readOnlyRootFilesystem }}
        capabilities:
          drop: [ALL]
        seccompProfile:
          {{- toYaml $c.image.seccompProfile | nindent 10 }}
        {{- end }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- with $c.extraVolumeMounts }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
    {{- with $c.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: {{ $c.tmpSizeLimit }}
    {{- with $c.extraVolumes }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  {{- with $c.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.tolerations }}
  tolerations:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- with $c.affinity }}
  affinity:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- with include "cardea.topologySpread" . }}
  topologySpreadConstraints:
    {{- trim . | nindent 4 }}
  {{- end }}
{{- end }}
