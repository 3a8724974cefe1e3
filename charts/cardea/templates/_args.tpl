{{/*
The time that requests in flight have when a pod ends.
*/}}
{{- define "cardea.shutdownTimeout" -}}
{{- $c := .Values.controller }}
{{- $left := sub (sub $c.terminationGracePeriodSeconds $c.shutdownDelaySeconds) 10 }}
{{- if lt (int $left) 1 }}
{{- fail (printf "controller.terminationGracePeriodSeconds %v: want at least controller.shutdownDelaySeconds (%v) and 11 more, else pods are killed while requests are in flight" $c.terminationGracePeriodSeconds $c.shutdownDelaySeconds) }}
{{- end }}
{{- $left }}
{{- end }}

{{/*
Flags. What values say comes first; controller.extraArgs may say otherwise.
*/}}
{{- define "cardea.args" -}}
{{- $c := .Values.controller }}
{{- $config := $c.config | default dict }}
{{- $args := dict }}
{{- $ports := include "cardea.ports" . | fromYaml }}
{{- $_ := set $args "http-addr" (printf ":%v" (int $ports.http)) }}
{{- $_ := set $args "https-addr" (printf ":%v" (int $ports.https)) }}
{{- $_ := set $args "admin-addr" (printf "%s:%v" $c.healthCheckHost $c.metrics.port) }}
{{- if ne (int $c.service.ports.https) 443 }}
{{- $_ := set $args "external-https-port" $c.service.ports.https }}
{{- end }}
{{- $_ := set $args "class" (include "cardea.className" .) }}
{{- $_ := set $args "controller-name" $c.ingressClassResource.controllerValue }}
{{- if $c.watchIngressWithoutClass }}
{{- $_ := set $args "watch-ingress-without-class" "true" }}
{{- end }}
{{- with include "cardea.scopeNamespace" . }}
{{- $_ := set $args "watch-namespace" . }}
{{- end }}
{{- if and (eq .Values.rbac.secrets "namespaces") (not $c.scope.enabled) }}
{{- $_ := set $args "secret-namespaces" (join "," (uniq .Values.rbac.secretNamespaces)) }}
{{- end }}
{{- with include "cardea.publishService" . }}
{{- $_ := set $args "publish-service" . }}
{{- end }}
{{- with include "cardea.publishNodes" . }}
{{- $_ := set $args "publish-node-addresses" . }}
{{- end }}
{{- if include "cardea.webhook" . }}
{{- $_ := set $args "webhook-addr" (printf ":%v" $c.admissionWebhooks.port) }}
{{- $_ := set $args "webhook-service" (include "cardea.webhookName" .) }}
{{- $_ := set $args "webhook-configuration" (include "cardea.webhookName" .) }}
{{- $_ := set $args "webhook-secret" (include "cardea.webhookName" .) }}
{{- end }}
{{- $_ := set $args "election-id" (include "cardea.electionID" .) }}
{{- $_ := set $args "session-ticket-secret" (include "cardea.ticketSecret" .) }}
{{- $_ := set $args "shutdown-delay" (printf "%vs" $c.shutdownDelaySeconds) }}
{{- $_ := set $args "shutdown-timeout" (printf "%vs" (include "cardea.shutdownTimeout" .)) }}
{{- with include "cardea.configMap" . }}
{{- $_ := set $args "configmap" . }}
{{- end }}
{{- if eq (toString (index $config "enable-ocsp")) "true" }}
{{- $_ := set $args "enable-ocsp" "true" }}
{{- end }}
{{- if eq (toString (index $config "disable-access-log")) "true" }}
{{- $_ := set $args "access-log" "false" }}
{{- end }}
{{- $foreign := splitList " " (include "cardea.foreignFlags" .) }}
{{- $synonyms := dict "ingress-class" "class" "controller-class" "controller-name" "shutdown-grace-period" "shutdown-delay" "validating-webhook" "webhook-addr" }}
{{- range $flag, $value := $c.extraArgs }}
{{- if not (has $flag $foreign) }}
{{- with get $synonyms $flag }}
{{- $_ := unset $args . }}
{{- end }}
{{- $_ := set $args $flag $value }}
{{- end }}
{{- end }}
{{- range $flag, $value := $args }}
{{- $text := toString $value }}
{{- if or (eq $text "") (eq $text "<nil>") }}
- --{{ $flag }}
{{- else }}
- {{ printf "--%s=%s" $flag $text | quote }}
{{- end }}
{{- end }}
{{- end }}
