{{/*
Names and labels. The defaults are those that config/ has.
*/}}
{{- define "cardea.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "cardea.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "cardea.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "cardea.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "cardea.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "cardea.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cardea.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .Values.controller.name }}
{{- end }}

{{- define "cardea.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "cardea.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "cardea.name" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The image. A values file of ingress-nginx names ingress-nginx's: that is not
started with Cardea's flags, the chart's own is (a note says so).
*/}}
{{- define "cardea.imageIsForeign" -}}
{{- $i := .Values.controller.image }}
{{- if or (contains "ingress-nginx" (toString $i.image)) (contains "ingress-nginx" (toString $i.repository)) }}yes{{ end }}
{{- end }}

{{- define "cardea.image" -}}
{{- $i := .Values.controller.image }}
{{- if include "cardea.imageIsForeign" . }}
{{- $registry := .Values.global.image.registry | default "ghcr.io" }}
{{- printf "%s/cardea-dev/cardea:%s" $registry .Chart.AppVersion }}
{{- else }}
{{- $registry := .Values.global.image.registry | default $i.registry }}
{{- $name := $i.repository | default (printf "%s/%s" $registry $i.image) }}
{{- if $i.digest }}
{{- printf "%s@%s" $name $i.digest }}
{{- else }}
{{- printf "%s:%s" $name (toString ($i.tag | default .Chart.AppVersion)) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The ports that the process listens on. In the network of the node a port of the
container is that of the node: Kubernetes demands that hostPort and containerPort are
the same there.
*/}}
{{- define "cardea.ports" -}}
{{- $c := .Values.controller }}
{{- if and $c.hostNetwork $c.hostPort.enabled }}
{{- toYaml $c.hostPort.ports }}
{{- else }}
{{- toYaml $c.containerPort }}
{{- end }}
{{- end }}

{{/*
"yes" if one of them needs a right: below 1024.
*/}}
{{- define "cardea.lowPorts" -}}
{{- $ports := include "cardea.ports" . | fromYaml }}
{{- if or (lt (int $ports.http) 1024) (lt (int $ports.https) 1024) }}yes{{ end }}
{{- end }}

{{/*
Where things are.
*/}}
{{- define "cardea.scopeNamespace" -}}
{{- if .Values.controller.scope.enabled }}
{{- .Values.controller.scope.namespace | default (include "cardea.namespace" .) }}
{{- end }}
{{- end }}

{{- define "cardea.electionID" -}}
{{- .Values.controller.electionID | default (printf "%s-leader" (include "cardea.fullname" .)) }}
{{- end }}

{{- define "cardea.ticketSecret" -}}
{{- index .Values.controller.extraArgs "session-ticket-secret" | default (printf "%s-session-tickets" (include "cardea.fullname" .)) }}
{{- end }}

{{- define "cardea.publishService" -}}
{{- $c := .Values.controller }}
{{- $x := $c.extraArgs }}
{{- if or (hasKey $x "publish-service") (hasKey $x "publish-address") (hasKey $x "publish-status-address") }}
{{- index $x "publish-service" | default "" }}
{{- else if and $c.publishService.enabled $c.publishService.pathOverride }}
{{- tpl $c.publishService.pathOverride . }}
{{- else if and $c.publishService.enabled $c.service.enabled $c.service.external.enabled }}
{{- printf "%s/%s" (include "cardea.namespace" .) (include "cardea.fullname" .) }}
{{- else if and $c.publishService.enabled $c.service.enabled $c.service.internal.enabled }}
{{- printf "%s/%s-internal" (include "cardea.namespace" .) (include "cardea.fullname" .) }}
{{- end }}
{{- end }}

{{/*
Which addresses of the nodes go into the status, if no Service's do.
*/}}
{{- define "cardea.publishNodes" -}}
{{- $x := .Values.controller.extraArgs }}
{{- if hasKey $x "publish-node-addresses" }}
{{- index $x "publish-node-addresses" | default "" }}
{{- else if and (not (include "cardea.publishService" .)) (not (or (hasKey $x "publish-address") (hasKey $x "publish-status-address"))) (ne (toString (index $x "update-status")) "false") }}
{{- or .Values.controller.reportNodeInternalIp (eq (toString (index $x "report-node-internal-ip-address")) "true") | ternary "internal" "external" }}
{{- end }}
{{- end }}

{{/*
What goes into the ConfigMap, as YAML; "" for nothing. Keys that are flags of Cardea
are none of it.
*/}}
{{- define "cardea.config" -}}
{{- $data := dict }}
{{- range $key, $value := .Values.controller.config }}
{{- if and (not (has $key (list "disable-access-log" "enable-ocsp"))) (not (kindIs "invalid" $value)) }}
{{- $_ := set $data $key (toString $value) }}
{{- end }}
{{- end }}
{{- with $data }}{{ toYaml . }}{{ end }}
{{- end }}

{{/*
NAMESPACE/NAME of the ConfigMap with settings for all Ingresses, if there is one.
*/}}
{{- define "cardea.configMap" -}}
{{- with index .Values.controller.extraArgs "configmap" }}
{{- . }}
{{- else }}
{{- if include "cardea.config" . }}
{{- printf "%s/%s" (include "cardea.namespace" .) (include "cardea.fullname" .) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The webhook: "yes" if it is on, and the name of its Service, its Secret and its
ValidatingWebhookConfiguration.
*/}}
{{- define "cardea.webhook" -}}
{{- $c := .Values.controller }}
{{- $w := $c.admissionWebhooks | default dict }}
{{- if $w.enabled }}
{{- $ports := include "cardea.ports" . | fromYaml }}
{{- range list $ports.http $ports.https $c.metrics.port }}
{{- if eq (int .) (int $w.port) }}
{{- fail (printf "controller.admissionWebhooks.port %v: want a port of its own; controller.containerPort, controller.hostPort or controller.metrics has this one" $w.port) }}
{{- end }}
{{- end }}
{{- print "yes" }}
{{- end }}
{{- end }}

{{- define "cardea.webhookName" -}}
{{- printf "%s-webhook" (include "cardea.fullname" .) }}
{{- end }}

{{- define "cardea.className" -}}
{{- .Values.controller.ingressClass | default .Values.controller.ingressClassResource.name }}
{{- end }}

{{/*
An amount of memory such as 512Mi in bytes.
*/}}
{{- define "cardea.bytes" -}}
{{- $q := toString . }}
{{- $number := regexFind "^[0-9.]+" $q | float64 }}
{{- $unit := regexReplaceAll "^[0-9.]+" $q "" }}
{{- $factor := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- if not (hasKey $factor $unit) }}
{{- fail (printf "controller.resources.limits.memory %q: want an amount such as 512Mi" $q) }}
{{- end }}
{{- mulf $number (get $factor $unit) | int64 }}
{{- end }}
