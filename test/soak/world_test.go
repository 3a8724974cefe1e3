//go:build soak && linux

package soak

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
	"github.com/cardea-dev/cardea/test/process"
)

const (
	namespace = "soak"
	host      = "soak.example.com"
	// mainIngress stays as it is; liveIngress is edited.
	mainIngress, liveIngress = "main", "live"
	// livePath is a path whose route comes and goes.
	livePath = "/live/1k"
)

// A world is the running program, its folder, its backends and its ledger.
type world struct {
	*process.Process
	t         *testing.T
	dir       string
	authority *harness.Authority
	ledger    *ledger
	// web speak HTTP/1.1, rpc speak h2c.
	web, rpc []*backendProcess
	tls      *tls.Config

	mu      sync.Mutex
	serials map[string]bool // of the certificates that clients were served; guarded by mu
}

// newWorld starts backends and the program; the folder has everything but the
// Ingresses.
func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), authority: harness.NewAuthority(t), serials: map[string]bool{}}
	for range 2 {
		w.web = append(w.web, newBackend(t))
		w.rpc = append(w.rpc, newBackend(t))
	}
	w.ledger = newLedger(w.excused)
	w.tls = &tls.Config{
		ServerName: host, RootCAs: w.authority.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(16),
		VerifyConnection: func(s tls.ConnectionState) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.serials[s.PeerCertificates[0].SerialNumber.String()] = true
			return nil
		},
	}
	w.write("services.yaml", `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: cardea}
spec: {controller: cardea.dev/ingress-controller}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: soak}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: rpc, namespace: soak}
spec: {ports: [{name: http, port: 80, appProtocol: kubernetes.io/h2c}]}
`)
	w.endpoints("web", w.web...)
	w.endpoints("rpc", w.rpc...)
	w.certificate()
	w.Process = process.Serve(t, w.dir, w.ledger.line, flags...)
	return w
}

func (w *world) write(name, content string) { harness.Write(w.t, w.dir, name, content) }

// certificate gives the host a new certificate and key.
func (w *world) certificate() {
	w.write("secret.yaml", w.authority.Secret(namespace, "soak-tls", harness.Leaf{Names: []string{host}}))
}

// endpoints makes backends those of a Service.
func (w *world) endpoints(service string, backends ...*backendProcess) {
	var b strings.Builder
	for i, backend := range backends {
		fmt.Fprintf(&b, `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-%[2]d, namespace: soak, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[3]d}]
endpoints: [{addresses: [%[4]s]}]
`, service, i, backend.addr.Port(), backend.addr.Addr())
	}
	w.write(service+".yaml", b.String())
}

// ingress routes paths to Services.
func (w *world) ingress(name string, paths ...[2]string) {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: %[1]s
  namespace: soak
  annotations: {cardea.dev/ssl-redirect: "false", cardea.dev/proxy-body-size: "0"}
spec:
  ingressClassName: cardea
  tls: [{hosts: [%[2]s], secretName: soak-tls}]
  rules:
  - host: %[2]s
    http:
      paths:
`, name, host)
	for _, p := range paths {
		fmt.Fprintf(&b, "      - {path: %s, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}\n", p[0], p[1])
	}
	w.write(name+".yaml", b.String())
}

// ingresses brings every route into service, and waits for it.
func (w *world) ingresses() {
	w.t.Helper()
	w.ingress(mainIngress, [2]string{"/web", "web"}, [2]string{"/rpc", "rpc"})
	w.ingress(liveIngress, [2]string{"/live", "web"})
	w.served("the routes are served", "routes", 3)
}

func (w *world) served(what, gauge string, want int) {
	w.t.Helper()
	w.Until(what, process.Patience, func() error {
		page, err := w.Get(w.Admin, "/metrics")
		if err != nil {
			return err
		}
		if n := int(metric(page, "cardea_"+gauge)); n != want {
			return fmt.Errorf("cardea_%s is %d, want %d", gauge, n, want)
		}
		return nil
	})
}

func (w *world) dial(p protocol) (*wire, error) { return p.dial(w.HTTP, w.HTTPS, w.tls) }

func (w *world) fleet() []*backendProcess { return append(w.web[:2:2], w.rpc...) }

// excused reports whether the backend of a failed exchange was down while it went
// on. An exchange that failed at more than one may be any's.
func (w *world) excused(rec record) bool {
	s := span{rec.Time.Add(-seconds(rec.Duration)), rec.Time}
	for _, b := range w.fleet() {
		if (b.addr.String() == rec.Endpoint || rec.Attempts > 1) && b.wasDown(s) {
			return true
		}
	}
	return false
}
