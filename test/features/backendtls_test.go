package features

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
)

// TestRow50: the Host that the backend sees is the client's, whatever name TLS to the
// backend has.
func TestRow50HostAndServerNameAreApart(t *testing.T) {
	authority := harness.NewAuthority(t)
	certPEM, keyPEM := authority.Issue(harness.Leaf{Names: []string{"web.internal"}})
	pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	manifests := harness.Service("default", "web", harness.TLSBackend(t, "web", pair)) + fmt.Sprintf(`---
apiVersion: v1
kind: Secret
metadata: {name: ca}
stringData: %s
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations: {cardea.dev/backend-protocol: HTTPS, cardea.dev/backend-tls-ca: ca, cardea.dev/backend-tls-server-name: web.internal}
spec:
  ingressClassName: cardea
  rules:
  - host: shop.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`, authority.Bundle())
	if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	program := harness.Serve(t, dir)
	client := program.Client(authority)
	answer, err := client.Do("GET", "http://shop.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	sni := field(program.Log(answer), "upstream_tls_sni")
	if answer.Status != 200 || answer.Seen.Host != "shop.example.com" || sni != "web.internal" {
		t.Errorf("status %d, the backend saw Host %q under the server name %q, want 200, shop.example.com and web.internal", answer.Status, answer.Seen.Host, sni)
	}
}
