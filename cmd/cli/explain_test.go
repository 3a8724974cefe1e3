package cli_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
)

const passed = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: vault
  namespace: vault
  annotations: {cardea.dev/ssl-passthrough: "true", cardea.dev/ssl-passthrough-proxy-protocol: v2}
spec:
  ingressClassName: cardea
  rules:
  - host: vault.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: vault, port: {number: 80}}}}
      - {path: /ui, pathType: Prefix, backend: {service: {name: ui, port: {number: 80}}}}
  - host: empty.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: empty, port: {number: 80}}}}
  - host: missing.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: missing, port: {number: 80}}}}
`

// TestRow64ExplainPassthrough: of a host that is passed through explain says where
// its connections go, and nothing of routes, which they never see.
func TestRow64ExplainPassthrough(t *testing.T) {
	dir := t.TempDir()
	harness.Write(t, dir, "vault.yaml", passed)
	harness.Write(t, dir, "services.yaml", harness.Service("vault", "vault", 8081)+harness.Service("vault", "empty"))
	p := harness.Serve(t, dir, "--enable-ssl-passthrough")
	for _, tc := range []struct {
		url        string
		code       int
		want, miss []string
	}{
		{
			"https://vault.example.com/v1/secret?x=y", 0,
			[]string{
				"answer       passed through by server name, undecrypted, to Service vault/vault, one of 1 endpoint",
				"tls          vault.example.com declared by Ingress vault/vault metadata.annotations[cardea.dev/ssl-passthrough]",
				"PROXY protocol header", "endpoint     127.0.0.1:8081", "PassthroughPathIgnored",
			},
			[]string{"route ", "policy ", "not  ", "path ", "certificate ", "421"},
		},
		{
			"https://empty.example.com/", 1,
			[]string{"the TLS connection is closed: no_endpoints", "Service vault/empty"},
			[]string{"route ", "503"},
		},
		{
			"https://missing.example.com/", 1,
			[]string{"the TLS handshake is rejected", "ServiceNotFound"},
			[]string{"route ", "421"},
		},
		{
			"http://vault.example.com/v1", 0,
			[]string{"answer       redirect to https://vault.example.com", "route        Prefix / of Ingress vault/vault"},
			nil,
		},
	} {
		for _, source := range [][]string{{"--manifests", dir, "--enable-ssl-passthrough"}, {"--admin", p.Debug}} {
			code, out, errs := call(t, append([]string{"explain", tc.url}, source...)...)
			if code != tc.code {
				t.Errorf("cardea explain %s %v = %d, want %d\n%s%s", tc.url, source, code, tc.code, out, errs)
			}
			for _, w := range tc.want {
				if !strings.Contains(out, w) {
					t.Errorf("cardea explain %s %v: want %q in\n%s%s", tc.url, source, w, out, errs)
				}
			}
			for _, m := range tc.miss {
				if strings.Contains(out, "\n"+m) {
					t.Errorf("cardea explain %s %v: want no line that begins with %q in\n%s%s", tc.url, source, m, out, errs)
				}
			}
		}
	}
	if code, out, _ := call(t, "explain", "https://vault.example.com/", "--manifests", dir, "--enable-ssl-passthrough", "-o", "json"); code != 0 || !strings.Contains(out, `"passthrough": "vault/vault:80"`) {
		t.Errorf("cardea explain -o json = %d\n%s\nwant the pool", code, out)
	}
	// What check prints of it is no host whose handshakes are rejected either.
	_, out, _ := call(t, "check", "--manifests", dir, "--enable-ssl-passthrough")
	if !regexp.MustCompile(`vault\.example\.com +/ +Prefix +plain HTTP is redirected to HTTPS +vault/vault\n +TLS +passed through to vault/vault:80 +127\.0\.0\.1:8081 +vault/vault\n`).MatchString(out) {
		t.Errorf("cardea check: want where vault.example.com is passed to in\n%s", out)
	}
}
