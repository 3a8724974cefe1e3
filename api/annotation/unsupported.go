package annotation

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// errUnsupported is what is wrong with an annotation of ingress-nginx whose feature
// Cardea does not have.
var errUnsupported = errors.New("not supported by Cardea")

// unsupported is the row of a protecting annotation whose feature Cardea does not
// have. The values in off switch the feature off and are accepted.
func unsupported(name string, kind Kind, text string, off ...string) Annotation {
	return Annotation{
		Name: name, Kind: kind, Effect: Protects, Text: text, unsupported: true,
		set: func(_ *Settings, value string) error {
			if slices.Contains(off, strings.ToLower(value)) {
				return nil
			}
			return errUnsupported
		},
	}
}

// ignored is the row of an annotation that shapes and whose feature Cardea does not
// have: it is known so that its owner is told just that, and not that he mistyped.
// The values in off ask for what Cardea does anyway and are accepted.
func ignored(name, text string, off ...string) Annotation {
	a := unsupported(name, Text, text, off...)
	a.Effect = Shapes
	return a
}

// table is every row, sorted by name.
var table = slices.SortedFunc(slices.Values(slices.Concat(rows, ignoredRows)), func(a, b Annotation) int {
	return cmp.Compare(a.Name, b.Name)
})

// ignoredRows are the annotations of ingress-nginx that shape and that Cardea does
// not have, with those of its earlier releases that Ingresses may still have.
var ignoredRows = []Annotation{
	ignored("affinity", "Sticky sessions by cookie."),
	ignored("affinity-canary-behavior", "Whether a client stays with the canary."),
	ignored("affinity-mode", "Whether sticky sessions stay when endpoints are added."),
	ignored("app-root", "Path to which requests for `/` are redirected."),
	ignored("auth-always-set-cookie", "Whether cookies of the service of `auth-url` reach the client with every status.", "false"),
	ignored("auth-cache-duration", "How long answers of the service of `auth-url` are kept."),
	ignored("auth-cache-key", "Key under which answers of the service of `auth-url` are kept."),
	ignored("auth-keepalive", "Connections to the service of `auth-url` that are kept.", "0"),
	ignored("auth-keepalive-requests", "Requests on one such connection."),
	ignored("auth-keepalive-share-vars", "Variables shared with the request to the service of `auth-url`.", "false"),
	ignored("auth-keepalive-timeout", "How long such a connection may be idle."),
	ignored("auth-method", "Method of the request to the service of `auth-url`."),
	ignored("auth-proxy-set-headers", "Headers of the request to the service of `auth-url`."),
	ignored("auth-realm", "Realm of HTTP authentication."),
	ignored("auth-request-redirect", "`X-Auth-Request-Redirect` of the request to the service of `auth-url`."),
	ignored("auth-response-headers", "Headers that the backend gets from the service of `auth-url`."),
	ignored("auth-secret-type", "Form of the Secret of `auth-secret`."),
	ignored("auth-signin", "URL to which clients are redirected whom the service of `auth-url` refuses."),
	ignored("auth-signin-redirect-param", "Parameter of that URL with the one that was asked for."),
	ignored("canary-by-cookie", "Cookie that sends a request to the canary."),
	ignored("canary-by-header", "Header that sends a request to the canary."),
	ignored("canary-by-header-pattern", "Regular expression for the value of that header."),
	ignored("canary-by-header-value", "Value of that header."),
	ignored("canary-weight", "Share of the requests that the canary gets."),
	ignored("canary-weight-total", "What `canary-weight` is a share of."),
	ignored("client-body-buffer-size", "Memory for a request body before it goes to a file; Cardea streams bodies."),
	ignored("connection-proxy-header", "The header `Connection` of requests to backends."),
	ignored("cors-allow-credentials", "CORS: whether credentials may be sent."),
	ignored("cors-allow-headers", "CORS: headers that may be sent."),
	ignored("cors-allow-methods", "CORS: methods that may be used."),
	ignored("cors-allow-origin", "CORS: origins that may read the answers."),
	ignored("cors-expose-headers", "CORS: headers that may be read."),
	ignored("cors-max-age", "CORS: how long a browser keeps the answer to a preflight."),
	ignored("custom-headers", "ConfigMap with headers of the answers."),
	ignored("custom-http-errors", "Statuses whose answers come from the default backend."),
	ignored("default-backend", "Service that answers when no endpoint is ready."),
	ignored("disable-proxy-intercept-errors", "Switches `custom-http-errors` off.", "true", "false"),
	ignored("enable-access-log", "Access log by Ingress; the flag `--access-log` is for all.", "true"),
	ignored("enable-cors", "CORS: answers preflights and adds headers to answers.", "false"),
	ignored("enable-global-auth", "Exempts from `global-auth-url` of the ConfigMap, which is not supported either.", "true", "false"),
	ignored("enable-opentelemetry", "Traces.", "false"),
	ignored("enable-opentracing", "Traces, in earlier releases.", "false"),
	ignored("enable-rewrite-log", "Log of rewrites.", "false"),
	ignored("fastcgi-index", "Index file of a FastCGI backend."),
	ignored("fastcgi-params-configmap", "Parameters of a FastCGI backend."),
	ignored("from-to-www-redirect", "Redirects from the host with `www.` to the one without, or the other way.", "false"),
	ignored("global-rate-limit-header-name", "Part of `global-rate-limit`."),
	ignored("global-rate-limit-ignored-cidrs", "Client addresses that `global-rate-limit` exempts."),
	ignored("global-rate-limit-key", "What `global-rate-limit` counts by."),
	ignored("global-rate-limit-window", "Time for which `global-rate-limit` counts."),
	ignored("http2-push-preload", "HTTP/2 push, which browsers no longer have.", "false"),
	ignored("limit-allowlist", "Client addresses that the limits exempt."),
	ignored("limit-burst-multiplier", "How far requests at once may exceed `limit-rps` and `limit-rpm`."),
	ignored("limit-rate", "Bandwidth of an answer.", "0"),
	ignored("limit-rate-after", "Bytes of an answer before `limit-rate` counts.", "0"),
	ignored("limit-whitelist", "Old name of `limit-allowlist`."),
	ignored("load-balance", "How the endpoint is chosen. Cardea uses them in turn.", "round_robin"),
	ignored("mirror-host", "Host of the copies for `mirror-target`."),
	ignored("mirror-request-body", "Whether the copies for `mirror-target` have the body."),
	ignored("mirror-target", "URL to which a copy of each request is sent."),
	ignored("opentelemetry-operation-name", "Name of the span."),
	ignored("opentelemetry-trust-incoming-span", "Whether the trace of the client goes on."),
	ignored("opentracing-operation-name", "Name of the span, in earlier releases."),
	ignored("opentracing-trust-incoming-span", "Whether the trace of the client goes on, in earlier releases."),
	ignored("permanent-redirect", "URL to which every request is redirected (301)."),
	ignored("permanent-redirect-code", "Status of `permanent-redirect`."),
	ignored("preserve-trailing-slash", "Whether a redirect to HTTPS keeps a slash at the end. Cardea keeps it.", "true"),
	ignored("proxy-buffer-size", "Memory for the head of an answer."),
	ignored("proxy-buffering", "Whether answers are read as a whole first. Cardea streams them.", "off"),
	ignored("proxy-buffers-number", "Memory for answers."),
	ignored("proxy-busy-buffers-size", "Memory for answers on the way to the client."),
	ignored("proxy-cookie-domain", "Changes the domain of cookies of the backend.", "off"),
	ignored("proxy-cookie-path", "Changes the path of cookies of the backend.", "off"),
	ignored("proxy-http-version", "Version of HTTP towards the backend. `backend-protocol` chooses between HTTP/1.1 and HTTP/2.", "1.1"),
	ignored("proxy-max-temp-file-size", "Size of files for answers. Cardea writes none.", "0"),
	ignored("proxy-next-upstream", "Failures after which another endpoint is tried."),
	ignored("proxy-next-upstream-timeout", "Time in which other endpoints are tried.", "0"),
	ignored("proxy-redirect-from", "Part of the backend's `Location` that is replaced.", "off"),
	ignored("proxy-redirect-to", "What replaces it.", "off"),
	ignored("proxy-request-buffering", "Whether requests are read as a whole first. Cardea streams them.", "off"),
	ignored("relative-redirects", "Redirects without scheme and host.", "false"),
	ignored("rewrite-target", "Path that the backend gets instead of the one asked for; makes paths regular expressions."),
	ignored("server-alias", "Further names of the host."),
	ignored("service-upstream", "Sends requests to the address of the Service instead of the endpoints.", "false"),
	ignored("session-cookie-change-on-failure", "Sticky sessions: a new cookie when the endpoint failed."),
	ignored("session-cookie-conditional-samesite-none", "Sticky sessions: no `SameSite=None` for old clients."),
	ignored("session-cookie-domain", "Sticky sessions: domain of the cookie."),
	ignored("session-cookie-expires", "Sticky sessions: end of the cookie."),
	ignored("session-cookie-hash", "Sticky sessions: form of the cookie, in earlier releases."),
	ignored("session-cookie-max-age", "Sticky sessions: lifetime of the cookie."),
	ignored("session-cookie-name", "Sticky sessions: name of the cookie."),
	ignored("session-cookie-path", "Sticky sessions: path of the cookie."),
	ignored("session-cookie-samesite", "Sticky sessions: `SameSite` of the cookie."),
	ignored("session-cookie-secure", "Sticky sessions: `Secure` of the cookie."),
	ignored("stream-snippet", "Raw nginx configuration. It is never executed."),
	ignored("temporal-redirect", "URL to which every request is redirected (302)."),
	ignored("temporal-redirect-code", "Status of `temporal-redirect`."),
	ignored("upstream-hash-by", "Chooses the endpoint by a hash of the request."),
	ignored("upstream-hash-by-subset", "Chooses several endpoints by that hash.", "false"),
	ignored("upstream-hash-by-subset-size", "How many of them."),
	ignored("upstream-vhost", "Host that the backend is asked for."),
	ignored("use-port-in-redirects", "Whether redirects name the port.", "false"),
	ignored("use-regex", "Makes paths regular expressions.", "false"),
	ignored("x-forwarded-prefix", "`X-Forwarded-Prefix` of requests that `rewrite-target` changes."),
}
