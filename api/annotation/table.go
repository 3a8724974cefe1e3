package annotation

import (
	"fmt"
	"strings"
	"time"
)

// Settings are the values of an object's annotations, one field a row of the
// table that Cardea does something about.
type Settings struct {
	// SSLRedirect redirects plain HTTP where the host has TLS.
	SSLRedirect bool
	// Canary says that the Ingress is not to be served alone: it would get some of
	// the requests of another one, which Cardea does not do.
	Canary bool
	// ForceSSLRedirect redirects plain HTTP always.
	ForceSSLRedirect bool
	ConnectTimeout   time.Duration
	ReadTimeout      time.Duration
	SendTimeout      time.Duration
	// MaxBody is in bytes; 0 means no limit.
	MaxBody int64
	Tries   int
	Backend Protocol
	// SSLPassthrough carries the connections of the hosts to the backend as they
	// are, PassthroughProxyHeader with a PROXY protocol header before them.
	SSLPassthrough         bool
	PassthroughProxyHeader bool
	// TLSPolicy is the name of a TLS policy; "" is that of the class.
	TLSPolicy string
	// HTTP2 offers HTTP/2 over TLS.
	HTTP2 bool
	// HSTS is the value of Strict-Transport-Security, "off" for none; "" is that of
	// the class.
	HSTS string
	// SSLCiphers is a list of cipher suites as OpenSSL writes it; "" is that of
	// the policy.
	SSLCiphers string
	// SSLPreferServerCiphers is whether the server decides the order of suites.
	SSLPreferServerCiphers bool
	// BackendTLS counts where the backend speaks TLS.
	BackendTLS BackendTLS
	// ClientAuth is what is asked of clients.
	ClientAuth ClientAuth
}

// Protocol is what the backend speaks.
type Protocol uint8

const (
	// ProtocolAuto leaves it to the appProtocol of the Service's port.
	ProtocolAuto Protocol = iota
	// ProtocolHTTP is HTTP/1.1 in plain text.
	ProtocolHTTP
	// ProtocolGRPC is HTTP/2 in plain text.
	ProtocolGRPC
	// ProtocolHTTPS is HTTP/1.1 over TLS.
	ProtocolHTTPS
	// ProtocolGRPCS is HTTP/2 over TLS.
	ProtocolGRPCS
)

// Defaults returns the settings of an object without annotations.
func Defaults() Settings { return defaults }

var defaults = func() (s Settings) {
	for _, a := range table {
		if a.Default == "" {
			continue
		}
		if err := a.set(&s, a.Default); err != nil {
			panic("annotation: default of " + a.Name + ": " + err.Error())
		}
	}
	return s
}()

// rows are the annotations that Cardea has, and those of ingress-nginx that it does
// not have and that protect, sorted by name. Those that shape are ignoredRows.
var rows = []Annotation{
	unsupported("allowlist-source-range", Text, "Client addresses that may send requests."),
	unsupported("auth-secret", SecretRef, "Credentials for HTTP authentication."),
	unsupported("auth-snippet", Text, "Raw nginx configuration. It is never executed."),
	{
		Name: "auth-tls-error-page", Kind: Text, Effect: Protects,
		Text: "Absolute URL to which a client without a good certificate is redirected (302), instead of having its handshake refused.",
		set:  parseErrorPage,
	},
	{
		Name: "auth-tls-failure", Kind: Word, Effect: Protects,
		Text: "What a client without a good certificate gets: `handshake` (its handshake is refused), or `page` (400, or 403 if the certificate is good and not one that is let in). Without it `handshake`, except under `k8s.io/ingress-nginx`, where it is `page`, as there.",
		set:  parseClientAuthFailure,
	},
	{
		Name: "auth-tls-match-cn", Kind: Text, Effect: Protects,
		Text: "`CN=` and a regular expression (RE2) that the whole common name of the client's certificate must match. ingress-nginx looks for it anywhere in the subject; here a part is not enough.",
		set:  parseMatchCN,
	},
	{
		Name: "auth-tls-match-san", Kind: Text, Effect: Protects,
		Text: "Names with commas between them, of which the client's certificate must have one as subject alternative name: DNS names (`*.` stands for one label), IP or e-mail addresses, URIs such as SPIFFE IDs.",
		set:  parseNames(func(s *Settings) *NameList { return &s.ClientAuth.MatchSANs }, "DNS names (with *. for one label), IP or e-mail addresses or URIs", func(name string) (string, bool) { return name, isSAN(name) }),
	},
	{
		Name: "auth-tls-pass-certificate-to-upstream", Kind: Bool, Effect: Shapes, Default: "false",
		Text: "Sends the backend the client's certificate as URL-encoded PEM in `ssl-client-cert`. `ssl-client-verify`, `ssl-client-subject-dn`, `ssl-client-issuer-dn` and `X-Forwarded-Client-Cert` are sent always.",
		set:  parseBool(func(s *Settings) *bool { return &s.ClientAuth.PassCertificate }),
	},
	{
		Name: "auth-tls-secret", Kind: SecretRef, Effect: Protects,
		Text: "Secret of the same namespace whose `ca.crt` holds the authorities that must have signed the client's certificate; its `ca.crl` holds their revocation lists, if any. It holds for the whole host.",
		set:  parseSecret(func(s *Settings) *string { return &s.ClientAuth.Secret }),
	},
	{
		Name: "auth-tls-verify-client", Kind: Word, Effect: Protects,
		Text: "`on`: a good certificate is required; it is the default with `auth-tls-secret`. `optional`: none is accepted as well. `optional_no_ca`: every client is served, and the backend told what its certificate is worth. `off`: none is asked for.",
		set:  parseVerifyClient,
	},
	{
		Name: "auth-tls-verify-depth", Kind: Count, Effect: Protects,
		Text: "The most intermediate certificates between the client's and its authority; from 0. Without it 1, as in ingress-nginx.",
		set:  parseDepth(func(s *Settings) *int { return &s.ClientAuth.Depth }),
	},
	unsupported("auth-type", Text, "HTTP authentication."),
	unsupported("auth-url", Text, "Service that is asked whether a request may pass."),
	{
		Name: "backend-protocol", Kind: Word, Effect: Protects, Default: "AUTO",
		Text: "What the backend speaks: `HTTP` (HTTP/1.1), `HTTPS` (HTTP/1.1 over TLS), `GRPC` (HTTP/2 without TLS), `GRPCS` (HTTP/2 over TLS), or `AUTO`: what the `appProtocol` of the Service's port says (`https`, `wss`, `grpcs`, `grpc`, `kubernetes.io/h2c`), else HTTP/1.1.",
		set:  parseProtocol,
	},
	{
		Name: "backend-tls-alt-names", Kind: Text, Effect: Protects,
		Text: "Names with commas between them: the backend's certificate is also accepted if it has one of these.",
		set:  parseNames(func(s *Settings) *NameList { return &s.BackendTLS.AltNames }, "DNS names or IP addresses", serverName),
	},
	{
		Name: "backend-tls-ca", Kind: SecretRef, Effect: Protects,
		Text: "Secret whose `ca.crt` holds the authorities that the backend's certificate must come from, instead of those of the system; its `ca.crl` holds their revocation lists, if any.",
		set:  parseSecret(func(s *Settings) *string { return &s.BackendTLS.CA }),
	},
	{
		Name: "backend-tls-ca-configmap", Kind: ConfigMapRef, Effect: Protects,
		Text: "As `backend-tls-ca`, with a ConfigMap in place of the Secret, as trust-manager and OpenShift publish them. With both annotations the paths are closed.",
		set:  parseConfigMap(func(s *Settings) *string { return &s.BackendTLS.CAConfigMap }),
	},
	{
		Name: "backend-tls-client-cert", Kind: SecretRef, Effect: Protects,
		Text: "Secret with the certificate and key (`tls.crt`, `tls.key`) that a backend is shown which asks for one.",
		set:  parseSecret(func(s *Settings) *string { return &s.BackendTLS.ClientCert }),
	},
	{
		Name: "backend-tls-server-name", Kind: Text, Effect: Protects,
		Text: "The name that is sent to the backend (SNI) and that its certificate must have. Without it that is the name of the Service, `NAME.NAMESPACE.svc`, or its `externalName`.",
		set:  parseServerName(func(s *Settings) *string { return &s.BackendTLS.ServerName }),
	},
	{
		Name: "backend-tls-verify", Kind: Word, Effect: Protects,
		Text: "`off` accepts any certificate of the backend, and with it whoever is in between. Without it the certificate is verified (`on`), except under `k8s.io/ingress-nginx`, where it is not, as there.",
		set:  parseSwitch(func(s *Settings) *Switch { return &s.BackendTLS.Verify }),
	},
	{
		Name: "backend-tls-verify-hostname", Kind: Word, Effect: Protects,
		Text: "`off` accepts a certificate for any name, if it comes from a trusted authority.",
		set:  parseSwitch(func(s *Settings) *Switch { return &s.BackendTLS.VerifyHostname }),
	},
	{
		Name: "canary", Kind: Bool, Effect: Protects, unsupported: true,
		Text: "The Ingress gets a share of the requests of another one. Cardea does not split traffic: an Ingress with `true` is not served at all, and the other one gets all requests.",
		set:  parseBool(func(s *Settings) *bool { return &s.Canary }),
	},
	unsupported("configuration-snippet", Text, "Raw nginx configuration, which may hold access rules. It is never executed."),
	unsupported("denylist-source-range", Text, "Client addresses that may not send requests."),
	unsupported("enable-modsecurity", Bool, "Web application firewall.", "false"),
	unsupported("enable-owasp-core-rules", Bool, "Rules of the web application firewall.", "false"),
	{
		Name: "force-ssl-redirect", Kind: Bool, Effect: Protects, Default: "false",
		Text: "Redirects plain HTTP to HTTPS (308) even when the host has no `tls` entry, as when TLS ends in front of Cardea.",
		set:  parseBool(func(s *Settings) *bool { return &s.ForceSSLRedirect }),
	},
	unsupported("global-rate-limit", Count, "Requests of a window of time, counted over all replicas.", "0"),
	{
		Name: "hsts", Kind: Text,
		Text: "`Strict-Transport-Security` of answers over TLS on the hosts that the Ingress declares in `tls`, such as `max-age=31536000; includeSubDomains` (further `; preload`), or `off`. Without it that of the class. It takes the place of what the backend sends. Clients keep to it for as long as it says: begin with a small `max-age`.",
		set:  parseHSTS,
	},
	{
		Name: "http2", Kind: Bool, Default: "true",
		Text: "Offers HTTP/2 on the hosts that the Ingress declares in `tls`; `false` offers HTTP/1.1 alone.",
		set:  parseBool(func(s *Settings) *bool { return &s.HTTP2 }),
	},
	unsupported("limit-connections", Count, "Connections at a time from one client address.", "0"),
	unsupported("limit-rpm", Count, "Requests a minute from one client address.", "0"),
	unsupported("limit-rps", Count, "Requests a second from one client address.", "0"),
	unsupported("modsecurity-snippet", Text, "Rules of the web application firewall."),
	{
		Name: "proxy-body-size", Kind: Size, Effect: Protects, Default: "1m",
		Text: "The largest request body; a larger one is answered with 413. `0` means no limit.",
		set:  parseSize(func(s *Settings) *int64 { return &s.MaxBody }),
	},
	{
		Name: "proxy-connect-timeout", Kind: Seconds, Default: "5",
		Text: "How long one connect to an endpoint may take.",
		set:  parseSeconds(func(s *Settings) *time.Duration { return &s.ConnectTimeout }),
	},
	{
		Name: "proxy-next-upstream-tries", Kind: Count, Default: "3",
		Text: "The most attempts at endpoints for one request, the first included.",
		set:  parseCount(func(s *Settings) *int { return &s.Tries }),
	},
	{
		Name: "proxy-read-timeout", Kind: Seconds, Default: "60",
		Text: "How long the backend may take for the next bytes of its response.",
		set:  parseSeconds(func(s *Settings) *time.Duration { return &s.ReadTimeout }),
	},
	{
		Name: "proxy-send-timeout", Kind: Seconds, Default: "60",
		Text: "How long the backend may take to accept the next bytes of the request.",
		set:  parseSeconds(func(s *Settings) *time.Duration { return &s.SendTimeout }),
	},
	{
		Name: "proxy-ssl-ciphers", Kind: Text, Effect: Protects,
		Text: "The cipher suites of TLS 1.2 and older towards the backend, by OpenSSL's names with colons between them, of those that Go has; `DEFAULT` means Go's own. Those of TLS 1.3 cannot be chosen.",
		set:  parseCiphers,
	},
	{
		Name: "proxy-ssl-name", Kind: Text, Effect: Protects,
		Text: "As `backend-tls-server-name`, which counts before it.",
		set:  parseServerName(func(s *Settings) *string { return &s.BackendTLS.ProxyName }),
	},
	{
		Name: "proxy-ssl-protocols", Kind: Text, Effect: Protects,
		Text: "The versions of TLS towards the backend, of `TLSv1`, `TLSv1.1`, `TLSv1.2` and `TLSv1.3`, without a gap. Without it TLS 1.2 and 1.3.",
		set:  parseProtocols,
	},
	{
		Name: "proxy-ssl-secret", Kind: SecretRef, Effect: Protects,
		Text: "Secret that is `backend-tls-ca` (its `ca.crt`, which it must have unless verification is off) and, if it has `tls.crt` and `tls.key`, `backend-tls-client-cert` in one; those count before it.",
		set:  parseSecret(func(s *Settings) *string { return &s.BackendTLS.ProxyPair }),
	},
	{
		Name: "proxy-ssl-server-name", Kind: Word, Effect: Protects,
		Text: "`off` sends the backend no name (SNI). Without it the name is sent, except under `k8s.io/ingress-nginx`, where it is not, as there.",
		set:  parseSwitch(func(s *Settings) *Switch { return &s.BackendTLS.ProxyServerName }),
	},
	{
		Name: "proxy-ssl-verify", Kind: Word, Effect: Protects,
		Text: "As `backend-tls-verify`, which counts before it.",
		set:  parseSwitch(func(s *Settings) *Switch { return &s.BackendTLS.ProxyVerify }),
	},
	{
		Name: "proxy-ssl-verify-depth", Kind: Count, Effect: Protects,
		Text: "The most intermediate certificates between the backend's and its authority; from 0. Without it there is no limit, except under `k8s.io/ingress-nginx`, where it is 1, as there.",
		set:  parseDepth(func(s *Settings) *int { return &s.BackendTLS.Depth }),
	},
	unsupported("satisfy", Text, "Whether all access rules must pass or one.", "all"),
	unsupported("server-snippet", Text, "Raw nginx configuration, which may hold access rules. It is never executed."),
	{
		Name: "ssl-ciphers", Kind: Text,
		Text: "Cipher suites of TLS 1.2 and older that are accepted on the hosts that the Ingress declares in `tls`, in OpenSSL's notation. Of them count those that the host's policy accepts and Go has; keywords such as `HIGH` do not. Go decides the order.",
		set: func(s *Settings, value string) error {
			s.SSLCiphers = value
			return nil
		},
	},
	{
		Name: "ssl-passthrough", Kind: Bool, Effect: Protects, Default: "false",
		Text: "Carries the TLS connections of the hosts of this Ingress to the Service of their path `/`, by the server name in the ClientHello and without decrypting them. All other paths and annotations have no effect on these hosts, and plain HTTP is redirected. It needs the flag `--enable-ssl-passthrough`.",
		set:  parseBool(func(s *Settings) *bool { return &s.SSLPassthrough }),
	},
	{
		Name: "ssl-passthrough-proxy-protocol", Kind: Word, Effect: Protects, Default: "off",
		Text: "Whether a connection that is passed through begins with a PROXY protocol header, which names the client: `v2` or `off`.",
		set: func(s *Settings, value string) error {
			switch strings.ToLower(value) {
			case "v2":
				s.PassthroughProxyHeader = true
			case "off":
				s.PassthroughProxyHeader = false
			default:
				return fmt.Errorf("want v2 or off, found %s", Quote(value))
			}
			return nil
		},
	},
	{
		Name: "ssl-prefer-server-ciphers", Kind: Bool, Default: "true",
		Text: "Whether the server decides the order of cipher suites. It always does: `false` has no effect.",
		set:  parseBool(func(s *Settings) *bool { return &s.SSLPreferServerCiphers }),
	},
	{
		Name: "ssl-redirect", Kind: Bool, Default: "true",
		Text: "Redirects plain HTTP to HTTPS (308) when the host is declared in `tls`. The challenge paths of ACME HTTP-01 are exempt.",
		set:  parseBool(func(s *Settings) *bool { return &s.SSLRedirect }),
	},
	{
		Name: "tls-policy", Kind: Text,
		Text: "TLS policy of the hosts that the Ingress declares in `tls`: `intermediate`, `modern`, or the name of one in the `IngressClassParameters` of its class. Without it, that of the class. A name that is not known leaves the host with the policy of the class.",
		set: func(s *Settings, value string) error {
			s.TLSPolicy = value
			return nil
		},
	},
	unsupported("whitelist-source-range", Text, "Old name of `allowlist-source-range`."),
}
