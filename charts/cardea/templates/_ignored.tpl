{{/*
What a values file of ingress-nginx may say and has no effect here, one per line:
the path, and why. A path counts if its value is there and not empty.
*/}}
{{- define "cardea.ignoredValues" -}}
controller.addHeaders|response headers for all Ingresses are not supported
controller.admissionWebhooks.certManager.enabled|the certificate is made and rotated by Cardea itself
controller.admissionWebhooks.patch.enabled|no job makes or patches certificates
controller.allowSnippetAnnotations|snippets are never run
controller.configMapNamespace|the ConfigMap is in the namespace of the release; controller.extraArgs.configmap names another
controller.customTemplate.configMapName|there is no template
controller.disableLeaderElection|the leader writes status and keys only; traffic does not depend on it
controller.enableMimalloc|Go has its own allocator
controller.enableTopologyAwareRouting|all ready endpoints are used in turn
controller.existingPsp|Kubernetes has no PodSecurityPolicy since 1.25
controller.extraModules|nginx modules cannot be loaded
controller.healthCheckPath|the paths are /livez and /readyz
controller.image.chroot|the image holds one program and no shell
controller.ingressClassByName|classes are found by their controller
controller.keda.enabled|write a ScaledObject for the Deployment, or use controller.autoscaling
controller.lifecycle|no preStop hook is needed: a pod drains by itself
controller.maxmindLicenseKey|GeoIP is not supported
controller.opentelemetry.enabled|traces are not supported
controller.podSecurityPolicy|Kubernetes has no PodSecurityPolicy since 1.25
controller.proxySetHeaders|request headers for all Ingresses are not supported
controller.scope.namespaceSelector|one namespace or all are served; set controller.scope.namespace
controller.service.nodePorts.tcp|only HTTP and TLS are served
controller.service.nodePorts.udp|only HTTP and TLS are served
controller.tcp|only HTTP and TLS are served
controller.udp|only HTTP and TLS are served
defaultBackend.enabled|make an Ingress with spec.defaultBackend instead
dhParam|Go has no key exchange with DH parameters
podSecurityPolicy.enabled|Kubernetes has no PodSecurityPolicy since 1.25
portNamePrefix|only HTTP and TLS are served
tcp|only HTTP and TLS are served
udp|only HTTP and TLS are served
{{- end }}

{{/*
Flags of ingress-nginx that cardea does not have.
*/}}
{{- define "cardea.foreignFlags" -}}
add_dir_header alsologtostderr annotations-prefix apiserver-host bucket-factor certificate-authority deep-inspect default-backend-service default-server-port disable-catch-all disable-full-test disable-leader-election disable-svc-external-name disable-sync-events dynamic-configuration-retries election-ttl enable-annotation-validation enable-dynamic-configuration enable-metrics enable-ssl-chain-completion enable-topology-aware-routing exclude-socket-metrics force-namespace-isolation health-check-path health-check-timeout healthz-host healthz-port http-port https-port ingress-class-by-name internal-logger-address length-buckets log_backtrace_at log_dir log_file log_file_max_size logtostderr maxmind-edition-ids maxmind-license-key maxmind-mirror maxmind-retries-count maxmind-retries-timeout metrics-per-host metrics-per-undefined-host monitor-max-batch-size one_output post-shutdown-grace-period profiler-address profiler-port profiling report-status-classes size-buckets skip_headers skip_log_headers sort-backends ssl-passthrough-proxy-port status-port status-update-interval stderrthreshold stream-port sync-period sync-rate-limit tcp-services-configmap time-buckets udp-services-configmap update-status-on-shutdown v validating-webhook-certificate validating-webhook-key vmodule watch-namespace-selector
{{- end }}

{{/*
One line for each thing that was set and has no effect.
*/}}
{{- define "cardea.ignored" -}}
{{- $root := . }}
{{- range splitList "\n" (include "cardea.ignoredValues" .) }}
{{- $entry := splitList "|" . }}
{{- $path := first $entry }}
{{- $at := dict "v" $root.Values }}
{{- range splitList "." $path }}
{{- if kindIs "map" $at.v }}
{{- $_ := set $at "v" (index $at.v .) }}
{{- else }}
{{- $_ := set $at "v" nil }}
{{- end }}
{{- end }}
{{- if $at.v }}
{{ $path }}: {{ last $entry }}
{{- end }}
{{- end }}
{{- $foreign := splitList " " (include "cardea.foreignFlags" .) }}
{{- range $flag, $value := .Values.controller.extraArgs }}
{{- if has $flag $foreign }}
controller.extraArgs.{{ $flag }}: Cardea has no such flag
{{- end }}
{{- end }}
{{- range list "affinity" "topologySpreadConstraints" }}
{{- if contains "app.kubernetes.io/name: ingress-nginx" (toYaml (index $root.Values.controller .)) }}
controller.{{ . }}: it selects the pods of ingress-nginx; those of Cardea have app.kubernetes.io/name: {{ include "cardea.name" $root }}
{{- end }}
{{- end }}
{{- if contains "nginx_ingress_controller_" (toYaml .Values.controller.metrics.prometheusRule.rules) }}
controller.metrics.prometheusRule.rules: they name metrics of ingress-nginx (nginx_ingress_controller_…), which Cardea does not have
{{- end }}
{{- if include "cardea.imageIsForeign" . }}
controller.image: it names ingress-nginx; {{ include "cardea.image" . }} runs
{{- end }}
{{- end }}

{{/*
The keys of controller.config that close all paths, because Cardea does not have what
they restrict access by; a test holds the list equal to the program's.
*/}}
{{- define "cardea.closingKeys" -}}
{{- $root := . }}
{{- range list "block-referers" "block-user-agents" "enable-modsecurity" "enable-owasp-modsecurity-crs" "global-auth-snippet" "global-auth-url" "http-snippet" "location-snippet" "modsecurity-snippet" "server-snippet" }}
{{- $value := index ($root.Values.controller.config | default dict) . | toString }}
{{- if not (has $value (list "" "<nil>" "false")) }}
{{ . }}
{{- end }}
{{- end }}
{{- end }}
