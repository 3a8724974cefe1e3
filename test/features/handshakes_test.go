package features

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
)

// failing is the table that failing clients meet; the Secret of bare is not there.
const failing = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  ingressClassName: cardea
  tls:
  - {hosts: ["*.shop.example.com"], secretName: tls}
  - {hosts: [bare.example.com], secretName: none}
  rules:
  - host: "*.shop.example.com"
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]
  - host: bare.example.com
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]
`

// TestHandshakeFailures: every way in which a client can fail has its own reason,
// the same in the handshake log and in the metric.
func TestHandshakeFailures(t *testing.T) {
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	harness.Write(t, dir, "ingress.yaml", failing)
	harness.Write(t, dir, "service.yaml", harness.Service("shop", "web", harness.Backend(t, "web")))
	harness.Write(t, dir, "secret.yaml", ca.Secret("shop", "tls", harness.Leaf{Names: []string{"*.shop.example.com"}}))
	// Every other client has to be done within the time of the handshake.
	p := harness.Serve(t, dir, "--handshake-first-byte-timeout", "2s", "--handshake-timeout", "15s", "--handshake-log", "failures")
	front := harness.Front{Addr: p.HTTPS, Wildcard: "*.shop.example.com", Bare: "bare.example.com"}
	for _, c := range harness.FailingClients() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			record := p.Record("handshake", c.Fail(t, front))
			if err := c.Check(record); err != nil {
				t.Error(err)
			}
			// Label values are in the order of their names.
			want := fmt.Sprintf(`listener="https",reason=%q,result=%q}`, c.Reason, record["result"])
			p.Until("the metric names the reason", func() error {
				page, err := p.Get(p.Admin, "/metrics")
				for line := range strings.Lines(page) {
					if strings.HasPrefix(line, "cardea_tls_handshakes_total{") && strings.Contains(line, want) && !strings.HasSuffix(line, " 0\n") {
						return nil
					}
				}
				return fmt.Errorf("no handshake with %s (%v)", want, err)
			})
		})
	}
}
