{{/*
The spec of a Service for traffic: .s are its values.
*/}}
{{- define "cardea.serviceSpec" -}}
{{- $c := .root.Values.controller -}}
{{- $s := .s -}}
type: {{ $s.type | default $c.service.type }}
{{- with $s.clusterIP }}
clusterIP: {{ . }}
{{- end }}
{{- with $s.clusterIPs }}
clusterIPs:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $s.externalIPs }}
externalIPs:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $s.loadBalancerIP }}
loadBalancerIP: {{ . }}
{{- end }}
{{- with $s.loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $s.loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- if kindIs "bool" $s.allocateLoadBalancerNodePorts }}
allocateLoadBalancerNodePorts: {{ $s.allocateLoadBalancerNodePorts }}
{{- end }}
{{- with $s.externalTrafficPolicy }}
externalTrafficPolicy: {{ . }}
{{- end }}
{{- with $s.internalTrafficPolicy }}
internalTrafficPolicy: {{ . }}
{{- end }}
{{- with $s.trafficDistribution }}
trafficDistribution: {{ . }}
{{- end }}
{{- with $s.sessionAffinity }}
sessionAffinity: {{ . }}
{{- end }}
{{- with $s.healthCheckNodePort }}
healthCheckNodePort: {{ . }}
{{- end }}
{{- with $s.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with $s.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- range $name := list "http" "https" }}
  {{- if get $c.service (printf "enable%s" (title $name)) }}
  - name: {{ $name }}
    port: {{ get ($s.ports | default $c.service.ports) $name }}
    protocol: TCP
    targetPort: {{ get ($s.targetPorts | default $c.service.targetPorts) $name }}
    {{- if kindIs "bool" $s.appProtocol | ternary $s.appProtocol $c.service.appProtocol }}
    appProtocol: {{ $name }}
    {{- end }}
    {{- with get ($s.nodePorts | default dict) $name }}
    nodePort: {{ . }}
    {{- end }}
  {{- end }}
  {{- end }}
selector:
  {{- include "cardea.selectorLabels" .root | nindent 2 }}
{{- end }}
