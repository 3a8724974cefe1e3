package features

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
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

// TestRow47CertificateOfTheClass: backends of a class are shown the certificate that
// its parameters name, and a renewed one from the next connection on.
func TestRow47CertificateOfTheClass(t *testing.T) {
	authority := harness.NewAuthority(t)
	certPEM, keyPEM := authority.Issue(harness.Leaf{Names: []string{"web.default.svc"}})
	pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(harness.Seen{Backend: r.TLS.PeerCertificates[0].DNSNames[0]})
	}))
	backend.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	backend.Config.ErrorLog = log.New(io.Discard, "", 0)
	backend.StartTLS()
	t.Cleanup(backend.Close)

	dir := t.TempDir()
	harness.Write(t, dir, "all.yaml", harness.Service("default", "web", backend.Listener.Addr().(*net.TCPAddr).Port)+fmt.Sprintf(`---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: cardea}
spec:
  controller: cardea.dev/ingress-controller
  parameters: {apiGroup: cardea.dev, kind: IngressClassParameters, name: cardea, scope: Cluster}
---
apiVersion: cardea.dev/v1alpha1
kind: IngressClassParameters
metadata: {name: cardea}
spec: {backends: {clientCertificate: {namespace: infra, name: edge}}}
---
apiVersion: v1
kind: Secret
metadata: {name: ca}
stringData: %s
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, annotations: {cardea.dev/backend-protocol: HTTPS, cardea.dev/backend-tls-ca: ca}}
spec:
  ingressClassName: cardea
  rules:
  - host: shop.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`, authority.Bundle()))
	program := harness.Serve(t, dir)
	client := program.Client(authority)
	shown := func(want string, status int) {
		t.Helper()
		program.Until(fmt.Sprintf("the backend is shown %q", want), func() error {
			answer, err := client.Do("GET", "http://shop.example.com/", nil)
			if err != nil {
				return err
			}
			if answer.Status != status || answer.Seen.Backend != want {
				return fmt.Errorf("status %d, the backend saw the certificate of %q, want %d and %q", answer.Status, answer.Seen.Backend, status, want)
			}
			return nil
		})
	}
	// Without the Secret no certificate is shown, and the backend wants one.
	shown("", 502)
	for _, name := range []string{"first.example.com", "second.example.com"} {
		program.Write("edge.yaml", authority.Secret("infra", "edge", harness.Leaf{Names: []string{name}}))
		shown(name, 200)
	}
}
