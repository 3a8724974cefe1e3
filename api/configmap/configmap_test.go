package configmap_test

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/api/configmap"
	"github.com/cardea-dev/cardea/test/page"
)

var update = flag.Bool("update", false, "write docs/configmap.md")

func TestTableIsSortedAndDocumented(t *testing.T) {
	last := ""
	for _, k := range configmap.All() {
		if k.Name <= last {
			t.Errorf("row %q follows %q, want rows sorted and unique", k.Name, last)
		}
		last = k.Name
		if k.Kind == "" || k.Text == "" || !strings.HasSuffix(k.Text, ".") {
			t.Errorf("row %q: Kind %q, Text %q, want both, and sentences", k.Name, k.Kind, k.Text)
		}
	}
}

// TestDefaultsAreNothing: who writes a default into the ConfigMap is told nothing,
// and gets what he would get without.
func TestDefaultsAreNothing(t *testing.T) {
	bare, _ := configmap.Parse(nil)
	for _, k := range configmap.All() {
		s, problems := configmap.Parse(map[string]string{k.Name: k.Default})
		if len(problems) > 0 {
			t.Errorf("%s: %q: problems %+v, want none", k.Name, k.Default, problems)
		}
		if s.Annotations != bare.Annotations || s.ForwardedHeaders || s.ProxyProtocol || s.RejectUnknown {
			t.Errorf("%s: %q = %+v, want what counts without", k.Name, k.Default, s)
		}
	}
}

func TestParse(t *testing.T) {
	net := netip.MustParsePrefix
	for _, tt := range []struct {
		name     string
		in       map[string]string
		change   func(*configmap.Settings)
		problems []string
	}{
		{name: "nothing", change: func(*configmap.Settings) {}},
		{
			name: "defaults of annotations",
			in:   map[string]string{"ssl-redirect": "false", "force-ssl-redirect": "true", "use-http2": "false", "proxy-body-size": "8m", "proxy-read-timeout": "3600"},
			change: func(s *configmap.Settings) {
				s.Annotations.SSLRedirect, s.Annotations.ForceSSLRedirect, s.Annotations.HTTP2 = false, true, false
				s.Annotations.MaxBody, s.Annotations.ReadTimeout = 8<<20, time.Hour
			},
		},
		{
			name: "a policy", in: map[string]string{"ssl-protocols": "TLSv1.3", "ssl-ciphers": "ECDHE-RSA-AES128-GCM-SHA256", "ssl-ecdh-curve": "X25519:prime256v1:X25519", "ssl-session-tickets": "true"},
			change: func(s *configmap.Settings) {
				s.MinVersion, s.MaxVersion, s.Ciphers = tls.VersionTLS13, tls.VersionTLS13, "ECDHE-RSA-AES128-GCM-SHA256"
				s.Curves, s.SessionTickets = []tls.CurveID{tls.X25519, tls.CurveP256}, annotation.On
			},
		},
		{
			name: "versions with a gap, and SSL", in: map[string]string{"ssl-protocols": "SSLv3 TLSv1 TLSv1.2 TLSv1.3"},
			change:   func(s *configmap.Settings) { s.MinVersion, s.MaxVersion = tls.VersionTLS12, tls.VersionTLS13 },
			problems: []string{"ssl-protocols loss: Go has no SSLv3. Remove it.", "ssl-protocols loss: the versions have a gap, which Go cannot leave out: only those from TLSv1.2 on are accepted. Remove the older ones, or fill the gap."},
		},
		{
			name: "SSL alone", in: map[string]string{"ssl-protocols": "SSLv3"}, change: func(*configmap.Settings) {},
			problems: []string{`ssl-protocols shapes: want some of TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3, found "SSLv3"`},
		},
		{
			name: "groups that Go does not have", in: map[string]string{"ssl-ecdh-curve": "X448:P-384:ffdhe2048"},
			change:   func(s *configmap.Settings) { s.Curves = []tls.CurveID{tls.CurveP384} },
			problems: []string{`ssl-ecdh-curve loss: Go has no group "X448:ffdhe2048". Clients that have nothing else cannot connect.`},
		},
		{
			name: "what Go does not have", in: map[string]string{"ssl-dh-param": "ns/dh", "ssl-session-cache": "true", "ssl-session-cache-size": "10m", "ssl-early-data": "true", "ssl-buffer-size": "4k"},
			change: func(*configmap.Settings) {},
			problems: []string{
				"ssl-buffer-size: Go decides the size of TLS records: small at the begin of a response, large in a long one. Remove it.",
				"ssl-dh-param loss: Go has no finite-field Diffie-Hellman (DHE), so there is nothing to set. Clients that have nothing else cannot connect; ECDHE takes its place. Remove it.",
				"ssl-early-data: Cardea accepts no early data: an attacker could replay it. Clients send the data after the handshake instead. Remove it.",
				"ssl-session-cache: Go keeps no sessions at the server. Clients resume by tickets instead, at every replica. Remove it.",
				"ssl-session-cache-size: Go keeps no sessions at the server. Clients resume by tickets instead, at every replica. Remove it.",
			},
		},
		{
			name: "load balancers", in: map[string]string{"use-proxy-protocol": "true", "proxy-real-ip-cidr": "10.1.2.3/8, 192.0.2.7,2001:db8::/32", "proxy-protocol-header-timeout": "2s"},
			change: func(s *configmap.Settings) {
				s.ProxyProtocol, s.ProxyTimeout = true, 2*time.Second
				s.Proxies = []netip.Prefix{net("10.0.0.0/8"), net("192.0.2.7/32"), net("2001:db8::/32")}
			},
		},
		{
			name: "load balancers without networks", in: map[string]string{"use-forwarded-headers": "true"},
			change: func(s *configmap.Settings) {
				s.ForwardedHeaders, s.Proxies = true, configmap.PrivateNetworks()
			},
			problems: []string{"proxy-real-ip-cidr loss: it is not set, and ingress-nginx then believes whoever connects what address he says he has. Cardea believes private networks alone. Name those of your load balancers."},
		},
		{
			name: "networks that nobody can read believe nobody", in: map[string]string{"use-proxy-protocol": "true", "proxy-real-ip-cidr": "10.0.0.0/8,lan"},
			change:   func(s *configmap.Settings) { s.ProxyProtocol = true },
			problems: []string{`proxy-real-ip-cidr shapes: want networks such as 10.0.0.0/8 with commas between them, found "lan"`},
		},
		{
			name: "networks of nobody's", in: map[string]string{"proxy-real-ip-cidr": "10.0.0.0/8"}, change: func(*configmap.Settings) {},
		},
		{
			name: "everybody", in: map[string]string{"enable-real-ip": "true", "proxy-real-ip-cidr": "0.0.0.0/0"},
			change:   func(s *configmap.Settings) { s.ForwardedHeaders, s.Proxies = true, []netip.Prefix{net("0.0.0.0/0")} },
			problems: []string{"proxy-real-ip-cidr loss: whoever connects can say what address he has. Name the networks of your load balancers."},
		},
		{
			name: "who may connect", in: map[string]string{"whitelist-source-range": "10.0.0.0/8", "block-cidrs": "10.1.0.0/16", "denylist-source-range": "10.2.0.0/16"},
			change: func(s *configmap.Settings) {
				s.Allow, s.Deny = []netip.Prefix{net("10.0.0.0/8")}, []netip.Prefix{net("10.1.0.0/16"), net("10.2.0.0/16")}
			},
		},
		{
			name: "what protects and is not there", in: map[string]string{"global-auth-url": "https://auth.example.com", "enable-modsecurity": "false", "server-snippet": "deny all;"},
			change:   func(*configmap.Settings) {},
			problems: []string{"global-auth-url protects: not supported by Cardea", "server-snippet protects: not supported by Cardea"},
		},
		{
			name: "what is not in the table", in: map[string]string{"use-gzip": "true", "ssl-protocol": "TLSv1.3"}, change: func(*configmap.Settings) {},
			problems: []string{"ssl-protocol unknown", "use-gzip unknown"},
		},
		{
			name: "values that cannot be read", in: map[string]string{"ssl-redirect": "yes", "hsts-max-age": "1y", "ssl-reject-handshake": "on", "proxy-protocol-header-timeout": "-1"},
			change: func(*configmap.Settings) {},
			problems: []string{
				`hsts-max-age shapes: want whole seconds, found "1y"`,
				`proxy-protocol-header-timeout shapes: want a time such as "5s", found "-1"`,
				`ssl-redirect shapes: want "true" or "false", found "yes"`,
				`ssl-reject-handshake shapes: want "true" or "false", found "on"`,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, _ := configmap.Parse(nil)
			tt.change(&want)
			got, problems := configmap.Parse(tt.in)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(configmap.Settings{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("Parse(%v) (-want +got):\n%s", tt.in, diff)
			}
			var texts []string
			for _, p := range problems {
				switch {
				case p.Key == nil:
					texts = append(texts, p.Name+" unknown")
				case p.Err != nil:
					texts = append(texts, fmt.Sprintf("%s %s: %v", p.Name, p.Key.Effect, p.Err))
				case p.Loss:
					texts = append(texts, p.Name+" loss: "+p.Note)
				default:
					texts = append(texts, p.Name+": "+p.Note)
				}
			}
			if diff := cmp.Diff(tt.problems, texts); diff != "" {
				t.Errorf("Parse(%v): problems (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestStrictTransportSecurity(t *testing.T) {
	for _, tt := range []struct {
		in   map[string]string
		want string
		said bool
	}{
		{nil, "", false},
		{map[string]string{"ssl-redirect": "true"}, "", false},
		{map[string]string{"hsts": "true"}, "max-age=31536000; includeSubDomains", true},
		{map[string]string{"hsts": "false"}, "", true},
		{map[string]string{"hsts-max-age": "300"}, "max-age=300; includeSubDomains", true},
		{map[string]string{"hsts-max-age": "0", "hsts-include-subdomains": "false"}, "max-age=0", true},
		{map[string]string{"hsts-preload": "true"}, "max-age=31536000; includeSubDomains; preload", true},
		{map[string]string{"hsts": "false", "hsts-preload": "true"}, "", true},
	} {
		s, problems := configmap.Parse(tt.in)
		if got, said := s.StrictTransportSecurity(); got != tt.want || said != tt.said || len(problems) > 0 {
			t.Errorf("%v: %q, %v, problems %v, want %q, %v", tt.in, got, said, problems, tt.want, tt.said)
		}
	}
}

// FuzzParse holds that no value makes the parser fail, or a network that is trusted
// where none is written.
func FuzzParse(f *testing.F) {
	for _, k := range configmap.All() {
		for _, value := range []string{k.Default, "true", "0", "TLSv1.3", "10.0.0.0/8,::/0", ":", " "} {
			f.Add(k.Name, value)
		}
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		s, problems := configmap.Parse(map[string]string{name: value})
		if len(s.Proxies) > 0 && !s.ProxyProtocol && !s.ForwardedHeaders {
			t.Errorf("Parse(%q: %q) trusts %v", name, value, s.Proxies)
		}
		if configmap.Lookup(name) == nil && len(problems) != 1 {
			t.Errorf("Parse(%q: %q): %d problems, want one: it is not in the table", name, value, len(problems))
		}
		if v, _ := s.StrictTransportSecurity(); strings.ContainsAny(v, "\r\n") {
			t.Errorf("Parse(%q: %q): Strict-Transport-Security %q", name, value, v)
		}
	})
}

// TestDocumentation holds docs/configmap.md equal to the table; -update writes it.
func TestDocumentation(t *testing.T) { page.Hold(t, "configmap.md", markdown(), *update) }

func markdown() string {
	var b strings.Builder
	b.WriteString(`# The ConfigMap of ingress-nginx

<!-- Generated from the table in api/configmap by "go test ./api/configmap -update". -->

Cardea reads the ConfigMap of ingress-nginx, so that settings for all Ingresses need not be written anew. With the chart, put its keys into ` + "`controller.config`" + `; without it, name the ConfigMap
with ` + "`--configmap NAMESPACE/NAME`" + ` (` + "`cardea serve`, `check` and `explain`" + ` read it from the folder). See first what would become of each key:

` + "```sh" + `
cardea check --kubeconfig ~/.kube/config --configmap ingress-nginx/ingress-nginx-controller --class nginx --controller-name k8s.io/ingress-nginx
` + "```" + `

- A setting counts in this order: annotation of the Ingress, [parameters](parameters.md) of its class, ConfigMap, flags and defaults. One exception: the TLS policy of a class that has parameters is theirs, even if they do not set it.
- A value that cannot be used is replaced by the default, unless the key *protects*. Then the paths of **all** Ingresses answer 503 (` + "`config_rejected`" + `) until it is corrected or removed: anything else could let in what it kept out.
  The same holds for a key that protects and that Cardea does not support.
- A key that is not in the table below has no effect.
- Whatever differs from ingress-nginx has a [verdict](verdicts.md) that names the key, also as an Event on the ConfigMap.
- A change is in force within a fraction of a second.

Cardea lists and watches that one object by its name, and is not ready before it has read it. The chart makes the Role for it; without the chart, bind one in the ConfigMap's namespace:

` + "```yaml" + `
rules:
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [ingress-nginx-controller]
  verbs: [list, watch]
` + "```" + `

| key | kind | default | meaning |
| --- | --- | --- | --- |
`)
	for _, k := range configmap.All() {
		dflt := ""
		if k.Default != "" {
			dflt = "`" + k.Default + "`"
		}
		kind := k.Kind
		if k.Effect == annotation.Protects {
			kind += ", protects"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, kind, dflt, k.Text)
	}
	return b.String()
}
