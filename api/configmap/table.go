package configmap

import (
	"net/netip"

	"github.com/cardea-dev/cardea/api/annotation"
)

const (
	noDH      = "Go has no finite-field Diffie-Hellman (DHE), so there is nothing to set. Clients that have nothing else cannot connect; ECDHE takes its place. Remove it."
	noCache   = "Go keeps no sessions at the server. Clients resume by tickets instead, at every replica. Remove it."
	noSnippet = "Raw nginx configuration, which may hold access rules. It is never executed."
)

// table is sorted by name.
var table = []Key{
	{
		Name: "block-cidrs", Kind: "list", Effect: annotation.Protects,
		Text: "Networks whose connections are reset before a byte is read; ingress-nginx answers their requests with 403. With `use-forwarded-headers` the client is not the one that connects, and the paths are closed.",
		set:  setNetworks(func(s *Settings) *[]netip.Prefix { return &s.Deny }),
	},
	{Name: "block-referers", Kind: "list", Effect: annotation.Protects, Text: "Referers whose requests are refused. Not supported.", set: closes()},
	{Name: "block-user-agents", Kind: "list", Effect: annotation.Protects, Text: "User agents whose requests are refused. Not supported.", set: closes()},
	{
		Name: "denylist-source-range", Kind: "list", Effect: annotation.Protects,
		Text: "As `block-cidrs`.",
		set:  setNetworks(func(s *Settings) *[]netip.Prefix { return &s.Deny }),
	},
	{Name: "enable-modsecurity", Kind: "bool", Effect: annotation.Protects, Text: "Web application firewall. Not supported.", set: closes("false")},
	{
		Name: "enable-ocsp", Kind: "bool", Default: "false",
		Text: "OCSP stapling. It is decided when the process starts, by the flag `--enable-ocsp`; a value that differs from it is told.",
		set:  setSwitch(func(s *Settings) *annotation.Switch { return &s.OCSP }),
	},
	{Name: "enable-owasp-modsecurity-crs", Kind: "bool", Effect: annotation.Protects, Text: "Rules of the web application firewall. Not supported.", set: closes("false")},
	{
		Name: "enable-real-ip", Kind: "bool", Default: "false",
		Text: "As `use-forwarded-headers`.",
		set:  setBool(func(s *Settings) *bool { return &s.ForwardedHeaders }),
	},
	{
		Name: "force-ssl-redirect", Kind: "bool", Default: "false",
		Text: "The annotation of that name where an Ingress has none.",
		set:  asAnnotation("force-ssl-redirect"),
	},
	{
		Name: "forwarded-for-header", Kind: "text", Default: "X-Forwarded-For",
		Text: "The header in which load balancers name the client. It is always `X-Forwarded-For`.",
		set:  only("X-Forwarded-For", true, "the client's address is read from X-Forwarded-For alone, so that clients behind a proxy that names them in another header have the address of the proxy. Have the proxy send X-Forwarded-For."),
	},
	{Name: "global-auth-snippet", Kind: "text", Effect: annotation.Protects, Text: noSnippet, set: closes()},
	{Name: "global-auth-url", Kind: "text", Effect: annotation.Protects, Text: "Service that is asked whether a request may pass. Not supported.", set: closes()},
	{
		Name: "hsts", Kind: "bool", Default: "true",
		Text: "`Strict-Transport-Security` over TLS on hosts with TLS, where neither the annotation `hsts` nor the parameters of the class say otherwise. It is on by default under `k8s.io/ingress-nginx`, else if one of the keys that begin with `hsts` is set.",
		set:  setSwitch(func(s *Settings) *annotation.Switch { return &s.HSTS }),
	},
	{
		Name: "hsts-include-subdomains", Kind: "bool", Default: "true",
		Text: "Whether it holds for the hosts below as well.",
		set:  setSwitch(func(s *Settings) *annotation.Switch { return &s.HSTSSubdomains }),
	},
	{
		Name: "hsts-max-age", Kind: "seconds", Default: "31536000",
		Text: "How long clients keep to it.",
		set:  setHSTSAge,
	},
	{
		Name: "hsts-preload", Kind: "bool", Default: "false",
		Text: "Whether browsers may build it in.",
		set:  setSwitch(func(s *Settings) *annotation.Switch { return &s.HSTSPreload }),
	},
	{
		Name: "http-redirect-code", Kind: "count", Default: "308",
		Text: "Status of the redirect to HTTPS. It is always 308.",
		set:  only("308", false, "the redirect to HTTPS is always 308, which keeps the method and may be remembered. Remove it."),
	},
	{Name: "http-snippet", Kind: "text", Effect: annotation.Protects, Text: noSnippet, set: closes()},
	{Name: "location-snippet", Kind: "text", Effect: annotation.Protects, Text: noSnippet, set: closes()},
	{Name: "modsecurity-snippet", Kind: "text", Effect: annotation.Protects, Text: "Rules of the web application firewall. Not supported.", set: closes()},
	{
		Name: "no-tls-redirect-locations", Kind: "list", Default: "/.well-known/acme-challenge",
		Text: "Paths that are not redirected to HTTPS. They are always those of ACME HTTP-01 challenges that have a route of their own.",
		set:  only("/.well-known/acme-challenge", true, "the paths of ACME challenges alone are exempt from the redirect to HTTPS. Put other paths into an Ingress of their own, with the annotation ssl-redirect: \"false\"."),
	},
	{
		Name: "proxy-body-size", Kind: "size", Default: "1m",
		Text: "The annotation of that name where an Ingress has none.",
		set:  asAnnotation("proxy-body-size"),
	},
	{
		Name: "proxy-connect-timeout", Kind: "seconds", Default: "5",
		Text: "The annotation of that name where an Ingress has none.",
		set:  asAnnotation("proxy-connect-timeout"),
	},
	{
		Name: "proxy-next-upstream-tries", Kind: "count", Default: "3",
		Text: "The annotation of that name where an Ingress has none.",
		set:  asAnnotation("proxy-next-upstream-tries"),
	},
	{
		Name: "proxy-protocol-header-timeout", Kind: "time", Default: "5s",
		Text: "Time in which the PROXY protocol header arrives.",
		set:  setProxyTimeout,
	},
	{
		Name: "proxy-read-timeout", Kind: "seconds", Default: "60",
		Text: "The annotation of that name where an Ingress has none.",
		set:  asAnnotation("proxy-read-timeout"),
	},
	{
		Name: "proxy-real-ip-cidr", Kind: "list",
		Text: "The networks of load balancers that `use-proxy-protocol` and `use-forwarded-headers` are about. Without it they are the private networks (RFC 1918, 6598 and 4193); ingress-nginx believes everybody. A value that cannot be used has nobody believed.",
		set:  setNetworks(func(s *Settings) *[]netip.Prefix { return &s.Proxies }),
	},
	{
		Name: "proxy-send-timeout", Kind: "seconds", Default: "60",
		Text: "The annotation of that name where an Ingress has none.",
		set:  asAnnotation("proxy-send-timeout"),
	},
	{
		Name: "proxy-ssl-location-only", Kind: "bool", Default: "false",
		Text: "Whether the annotations `proxy-ssl-…` hold for the paths of their Ingress or for the whole host. They always hold for the paths of their Ingress.",
		set: func(_ *reading, value string) error {
			_, err := parseBool(value)
			return err
		},
	},
	{Name: "server-snippet", Kind: "text", Effect: annotation.Protects, Text: noSnippet, set: closes()},
	{
		Name: "ssl-buffer-size", Kind: "size",
		Text: "Size of TLS records. Go begins small and grows with the connection.",
		set:  never(false, "Go decides the size of TLS records: small at the begin of a response, large in a long one. Remove it."),
	},
	{
		Name: "ssl-ciphers", Kind: "text",
		Text: "Cipher suites of TLS 1.2 and older, in OpenSSL's notation. Those count that Go has; keywords such as `HIGH` do not, and Go decides the order. Without any, those of the policy `intermediate`.",
		set: func(r *reading, value string) error {
			r.Ciphers = value
			return nil
		},
	},
	{Name: "ssl-dh-param", Kind: "text", Text: "Parameters of finite-field Diffie-Hellman, which Go does not have.", set: never(true, noDH)},
	{
		Name: "ssl-early-data", Kind: "bool", Default: "false",
		Text: "Data before the end of the handshake, which an attacker can replay. Cardea accepts none.",
		set:  only("false", false, "Cardea accepts no early data: an attacker could replay it. Clients send the data after the handshake instead. Remove it."),
	},
	{
		Name: "ssl-ecdh-curve", Kind: "text", Default: "auto",
		Text: "Groups of the key exchange, with colons between them. Those count that Go has; `auto` means all, the post-quantum ones first.",
		set:  setCurves,
	},
	{
		Name: "ssl-prefer-server-ciphers", Kind: "bool", Default: "true",
		Text: "Whether the server decides the order of cipher suites. It always does.",
		set:  only("true", false, "Go decides the order of cipher suites by what is fast and safe for both sides; it cannot be left to the client. Remove it."),
	},
	{
		Name: "ssl-protocols", Kind: "list", Default: "TLSv1.2 TLSv1.3",
		Text: "Versions of TLS. Of a list with a gap, those above the gap count.",
		set:  setProtocols,
	},
	{
		Name: "ssl-redirect", Kind: "bool", Default: "true",
		Text: "The annotation of that name where an Ingress has none.",
		set:  asAnnotation("ssl-redirect"),
	},
	{
		Name: "ssl-reject-handshake", Kind: "bool", Default: "false",
		Text: "Rejects the handshakes of clients that ask for no declared host, even if there is a default certificate.",
		set:  setBool(func(s *Settings) *bool { return &s.RejectUnknown }),
	},
	{Name: "ssl-session-cache", Kind: "bool", Default: "false", Text: "Sessions that the server keeps. Go keeps none.", set: only("false", false, noCache)},
	{Name: "ssl-session-cache-size", Kind: "size", Text: "Their memory.", set: never(false, noCache)},
	{
		Name: "ssl-session-ticket-key", Kind: "text",
		Text: "Key of session tickets. Cardea makes and rotates its own, in a Secret that all replicas share.",
		set:  never(false, "Cardea makes the keys of session tickets itself, rotates them and shares them between its replicas (--session-ticket-secret). One that never changes would open what was recorded to whoever gets hold of it. Remove it."),
	},
	{
		Name: "ssl-session-tickets", Kind: "bool", Default: "true",
		Text: "Whether clients resume sessions by tickets. ingress-nginx has them off by default and sessions at the server instead.",
		set:  setSwitch(func(s *Settings) *annotation.Switch { return &s.SessionTickets }),
	},
	{
		Name: "ssl-session-timeout", Kind: "time",
		Text: "How long a session can be resumed. That is for as long as the key of its ticket is known, at least one `--session-ticket-rotation`.",
		set:  never(false, "a session resumes for as long as the key of its ticket is known, at least one --session-ticket-rotation. Remove it."),
	},
	{
		Name: "use-forwarded-headers", Kind: "bool", Default: "false",
		Text: "Believes the `X-Forwarded-*`, `Forwarded` and `X-Real-IP` of the networks of `proxy-real-ip-cidr`.",
		set:  setBool(func(s *Settings) *bool { return &s.ForwardedHeaders }),
	},
	{
		Name: "use-http2", Kind: "bool", Default: "true",
		Text: "The annotation `http2` where an Ingress has none.",
		set:  asAnnotation("http2"),
	},
	{
		Name: "use-proxy-protocol", Kind: "bool", Default: "false",
		Text: "Connections from the networks of `proxy-real-ip-cidr` begin with a PROXY protocol header; nobody else's is read. ingress-nginx wants one of everybody.",
		set:  setBool(func(s *Settings) *bool { return &s.ProxyProtocol }),
	},
	{
		Name: "whitelist-source-range", Kind: "list", Effect: annotation.Protects,
		Text: "The networks of the clients that may connect; connections of others are reset, ingress-nginx answers 403. With `use-forwarded-headers` the client is not the one that connects, and the paths are closed.",
		set:  setNetworks(func(s *Settings) *[]netip.Prefix { return &s.Allow }),
	},
}
