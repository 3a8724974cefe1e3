package features

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
)

// TestRow64ExamplePassthrough serves examples/passthrough with a backend that has
// a certificate which Cardea has not: the client sees that one, the backend the
// request, and log and metric the connection.
func TestRow64ExamplePassthrough(t *testing.T) {
	ca := harness.NewAuthority(t)
	certPEM, keyPEM := ca.Issue(harness.Leaf{Names: []string{"vault.example.com"}})
	cert, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s at %s for %q", r.TLS.ServerName, r.URL.Path, r.Header.Get("X-Forwarded-For"))
	}))
	backend.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	backend.StartTLS()
	t.Cleanup(backend.Close)
	_, port, _ := net.SplitHostPort(backend.Listener.Addr().String())

	dir := t.TempDir()
	manifests, err := filepath.Glob("../../examples/passthrough/*.yaml")
	if err != nil || len(manifests) == 0 {
		t.Fatalf("%d manifests, %v", len(manifests), err)
	}
	for _, m := range manifests {
		harness.Write(t, dir, filepath.Base(m), strings.ReplaceAll(string(readFile(t, m)), "8083", port))
	}
	p := harness.Serve(t, dir, "--enable-ssl-passthrough")
	client := p.Client(ca)
	a, err := client.Do("GET", "https://vault.example.com/v1/secret", nil)
	if err != nil || a.Status != 200 || a.Body != `vault.example.com at /v1/secret for ""` {
		t.Fatalf("GET = %+v, %v, want the backend's answer to an untouched request", a, err)
	}
	if a, err := client.Do("GET", "http://vault.example.com/v1/secret", nil); err != nil || a.Status != 308 {
		t.Errorf("GET over plain HTTP = %+v, %v, want 308", a, err)
	}
	rec := p.Record("handshake", harness.Record{"result": "passthrough", "sni": "vault.example.com"})
	for field, want := range map[string]any{
		"reason": "ok", "ingress": "vault/vault", "pool": "vault/vault:443", "endpoint": "127.0.0.1:" + port, "attempts": 1.0,
	} {
		if rec[field] != want {
			t.Errorf("the record has %s=%v, want %v: %v", field, rec[field], want, rec)
		}
	}
	if n, ok := rec["bytes_out"].(float64); !ok || n < 500 {
		t.Errorf("bytes_out = %v, want those of a handshake and an answer", rec["bytes_out"])
	}
	p.Until("it is counted", func() error {
		metrics, err := p.Get(p.Admin, "/metrics")
		if err == nil && !strings.Contains(metrics, `cardea_tls_handshakes_total{host="vault.example.com",listener="https",reason="ok",result="passthrough"} 1`) {
			err = fmt.Errorf("not in the metrics")
		}
		return err
	})
}
