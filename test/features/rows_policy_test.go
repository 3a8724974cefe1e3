package features

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/cardea-dev/cardea/test/harness"
)

// policyScenario serves hosts, each with the annotations given for it, under a class
// with parameters, and runs a script; see script_test.go for its language.
func policyScenario(t *testing.T, parameters string, hosts map[string]string, script string) {
	t.Helper()
	run(t, policyArchive(parameters, hosts, script))
}

func policyArchive(parameters string, hosts map[string]string, script string) *txtar.Archive {
	var ingresses strings.Builder
	for host, annotations := range hosts {
		fmt.Fprintf(&ingresses, `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, annotations: {%s}}
spec:
  ingressClassName: cardea
  tls: [{hosts: [%s.example.com], secretName: tls}]
  rules: [{host: %[1]s.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
`, host, annotations, host)
	}
	return &txtar.Archive{Files: []txtar.File{
		{Name: "services.yaml", Data: []byte("${service:web}\n")},
		{Name: "class.yaml", Data: []byte(`apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: cardea}
spec:
  controller: cardea.dev/ingress-controller
  parameters: {apiGroup: cardea.dev, kind: IngressClassParameters, name: cardea, scope: Cluster}
`)},
		{Name: "parameters.yaml", Data: []byte("apiVersion: cardea.dev/v1alpha1\nkind: IngressClassParameters\nmetadata: {name: cardea}\nspec: " + parameters + "\n")},
		{Name: "tls.yaml", Data: []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\ntype: kubernetes.io/tls\nstringData: ${tls:*.example.com}\n")},
		{Name: "ingress.yaml", Data: []byte(ingresses.String())},
		{Name: "script", Data: []byte(script)},
	}}
}

const oldPolicy = `{tls: {policies: [{name: old, minVersion: "1.0", cipherSuites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA]}]}}`

// Row 17: TLS 1.0 and 1.1 only by a policy that names them, which is told aloud.
func TestRow17OldVersionsByPolicyOnly(t *testing.T) {
	policyScenario(t, oldPolicy, map[string]string{"shop": "", "old": "cardea.dev/tls-policy: old"}, `
log TLSPolicyWeak
handshake shop.example.com 1.0
	fails
	reason=version
handshake shop.example.com 1.1
	fails
	reason=version
handshake old.example.com 1.0
	ok
	version=TLS 1.0
handshake old.example.com 1.1
	ok
	version=TLS 1.1
`)
}

// Row 19: policies have names, and an Ingress chooses one by its name.
func TestRow19NamedPolicies(t *testing.T) {
	policyScenario(t, `{tls: {policies: [{name: only-12, maxVersion: "1.2"}, {name: only-13, minVersion: "1.3"}]}}`,
		map[string]string{"a": "cardea.dev/tls-policy: only-12", "b": "cardea.dev/tls-policy: only-13", "c": "cardea.dev/tls-policy: nowhere"}, `
handshake a.example.com
	ok
	version=TLS 1.2
handshake b.example.com 1.2
	fails
	reason=version
handshake b.example.com
	ok
	version=TLS 1.3
# A name that is not known is told and leaves the policy of the class.
log TLSPolicyUnknown
handshake c.example.com 1.2
	ok
`)
}

// Row 21: intermediate is the default: six suites with TLS 1.2, none older, and
// hybrid post-quantum key exchange with a client that has it.
func TestRow21Intermediate(t *testing.T) {
	policyScenario(t, `{}`, map[string]string{"shop": ""}, `
handshake shop.example.com 1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	ok
	cipher=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
handshake shop.example.com 1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	ok
handshake shop.example.com 1.2 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
	ok
handshake shop.example.com 1.2 TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
	fails
	reason=cipher
handshake shop.example.com 1.2 TLS_RSA_WITH_AES_128_GCM_SHA256
	fails
	reason=cipher
handshake shop.example.com 1.3
	ok
	curve=X25519MLKEM768
`)
}

// Row 22: modern accepts TLS 1.3 alone.
func TestRow22Modern(t *testing.T) {
	policyScenario(t, `{tls: {policy: modern}}`, map[string]string{"shop": ""}, `
handshake shop.example.com 1.2
	fails
	reason=version
handshake shop.example.com 1.3
	ok
	version=TLS 1.3
`)
}

// Row 24: a custom policy has typed fields; a combination that contradicts itself
// is refused as a whole, and the one before stays.
func TestRow24CustomIsTyped(t *testing.T) {
	a := policyArchive(`{tls: {policy: custom, custom: {minVersion: "1.3", curves: [P-384]}}}`, map[string]string{"shop": ""}, `
handshake shop.example.com
	ok
	curve=CurveP384
write parameters.yaml from parameters.yaml#bad
log minVersion is above maxVersion
handshake shop.example.com
	ok
	curve=CurveP384
handshake shop.example.com 1.2
	fails
	reason=version
`)
	bad := strings.Replace(string(a.Files[2].Data), `curves: [P-384]`, `maxVersion: "1.2"`, 1)
	a.Files = append(a.Files, txtar.File{Name: "parameters.yaml#bad", Data: []byte(bad)})
	run(t, a)
}

// Rows 23 and 25: the policy is that of the host which SNI names, on one listener.
func TestRow23PolicyBySNI(t *testing.T) { policiesOnOneListener(t) }

func TestRow25PolicyByHost(t *testing.T) { policiesOnOneListener(t) }

func policiesOnOneListener(t *testing.T) {
	policyScenario(t, oldPolicy, map[string]string{"a": "cardea.dev/tls-policy: modern", "b": "", "c": "cardea.dev/tls-policy: old"}, `
handshake a.example.com 1.2
	fails
	reason=version
	host=a.example.com
handshake b.example.com 1.2
	ok
	host=b.example.com
handshake b.example.com 1.0
	fails
handshake c.example.com 1.0
	ok
	host=c.example.com
`)
}

// Row 29: what an unknown name gets is for the parameters to say.
func TestRow29UnknownSNI(t *testing.T) {
	policyScenario(t, `{tls: {unknownSNI: reject}}`, map[string]string{"shop": ""}, `
handshake stranger.example.com
	fails
	reason=unknown_sni
handshake shop.example.com
	ok
`)
}

// Row 34: TLS 1.2 and 1.3 are accepted without a word.
func TestRow34VersionsByDefault(t *testing.T) {
	policyScenario(t, `{}`, map[string]string{"shop": ""}, `
handshake shop.example.com 1.2
	ok
	version=TLS 1.2
handshake shop.example.com 1.3
	ok
	version=TLS 1.3
`)
}

// alpn does a handshake with each host and returns what was agreed on.
func alpn(t *testing.T, parameters string, hosts map[string]string, offer ...string) map[string]string {
	t.Helper()
	a := policyArchive(parameters, hosts, "")
	s := &scenario{t: t, authority: harness.NewAuthority(t), files: map[string]string{}, backends: map[string]int{}, serials: map[string]string{}}
	dir := t.TempDir()
	for _, f := range a.Files[:len(a.Files)-1] {
		harness.Write(t, dir, f.Name, s.expand(string(f.Data)))
	}
	p := harness.Serve(t, dir)
	got := map[string]string{}
	for host := range hosts {
		c, err := tls.Dial("tcp", p.HTTPS, &tls.Config{ServerName: host + ".example.com", RootCAs: s.authority.Pool(), NextProtos: slices.Clone(offer)})
		if err != nil {
			got[host] = "failed"
			continue
		}
		got[host] = c.ConnectionState().NegotiatedProtocol
		c.Close()
	}
	return got
}

// Row 35: h2 before http/1.1, and off by host.
func TestRow35ALPN(t *testing.T) {
	hosts := map[string]string{"shop": "", "plain": `cardea.dev/http2: "false"`}
	for _, tt := range []struct {
		offer       []string
		shop, plain string
	}{
		{[]string{"http/1.1", "h2"}, "h2", "http/1.1"},
		{[]string{"http/1.1"}, "http/1.1", "http/1.1"},
		{nil, "", ""},
	} {
		got := alpn(t, `{}`, hosts, tt.offer...)
		if got["shop"] != tt.shop || got["plain"] != tt.plain {
			t.Errorf("ALPN of %q = %q, want %q, %q", tt.offer, got, tt.shop, tt.plain)
		}
	}
}

// Row 36: protocols other than those of HTTP are not served; who offers nothing else
// is served without, or refused where the policy says so.
func TestRow36ForeignALPN(t *testing.T) {
	got := alpn(t, `{tls: {policies: [{name: exact, alpnMismatch: reject}]}}`,
		map[string]string{"shop": "", "exact": "cardea.dev/tls-policy: exact"}, "acme-tls/1")
	if got["shop"] != "" || got["exact"] != "failed" {
		t.Errorf("ALPN of acme-tls/1 = %q, want none for the one and a failure for the other", got)
	}
}

// runFile runs one of the scenarios of this folder.
func runFile(t *testing.T, name string) {
	t.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
}

// Row 27: chains with intermediates, and several key types for a host.
func TestRow27KeyTypes(t *testing.T) { runFile(t, "keytypes.txtar") }

// Row 28: a Secret that is bad harms its own hosts alone, and the last good stays.
func TestRow28BadSecret(t *testing.T) { runFile(t, "secret.txtar") }

// Row 31: the solver of an ACME client works beside redirects.
func TestRow31ACME(t *testing.T) { runFile(t, "acme.txtar") }

// Rows 26, 32 and 33: plain HTTP and HTTPS are two listeners with one logic.
func TestRow26TwoListeners(t *testing.T) { sideBySide(t) }

func TestRow32SideBySide(t *testing.T) { sideBySide(t) }

func TestRow33OneLogic(t *testing.T) { sideBySide(t) }

func sideBySide(t *testing.T) {
	policyScenario(t, `{}`, map[string]string{"both": `cardea.dev/ssl-redirect: "false"`, "secure": ""}, `
GET http://both.example.com/a
	status 200
	from web
	target /a
	listener=http
	ingress=default/both
GET https://both.example.com/a
	status 200
	from web
	target /a
	listener=https
	ingress=default/both
GET http://secure.example.com/
	status 308
`)
}
