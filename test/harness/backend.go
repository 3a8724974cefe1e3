package harness

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A Seen is what a backend saw of a request; it is the body of its answer.
type Seen struct {
	Backend, Method, Host, Target string
	Header                        http.Header
	Body                          string
}

// Backend starts a backend on a loopback port and returns that port. It answers
// with what it saw, in JSON, but for the paths /hang-up (it closes the connection
// instead), /ws (it takes any upgrade and sends back what it gets) and /hsts (it
// sends a Strict-Transport-Security of its own).
func Backend(t testing.TB, name string) int {
	t.Helper()
	s := httptest.NewServer(handler(name))
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

// TLSBackend is Backend over TLS, with a certificate.
func TLSBackend(t testing.TB, name string, c tls.Certificate) int {
	t.Helper()
	s := httptest.NewUnstartedServer(handler(name))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

func handler(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang-up":
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_ = c.Close()
			}
			return
		case "/hsts":
			w.Header().Set("Strict-Transport-Security", "max-age=7")
		case "/ws":
			upgrade(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(Seen{name, r.Method, r.Host, r.RequestURI, r.Header, string(body)})
	}
}

func upgrade(w http.ResponseWriter, r *http.Request) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
	_ = rw.Flush()
	_, _ = io.Copy(c, rw)
}

// Service returns a Service with port 80, named http, and its EndpointSlice with
// endpoints on loopback ports, as YAML. Without ports there is no slice.
func Service(namespace, name string, ports ...int) string {
	s := fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {name: %[1]s, namespace: %[2]s}\nspec: {ports: [{name: http, port: 80}]}\n", name, namespace)
	for i, port := range ports {
		s += fmt.Sprintf(`---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-%[4]d, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[3]d}]
endpoints: [{addresses: [127.0.0.1]}]
`, name, namespace, port, i)
	}
	return s
}
