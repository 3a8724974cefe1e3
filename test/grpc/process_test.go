package grpc_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cardea-dev/cardea/test/process"
)

// TestProgram runs every case through the built program as a process, fed from a
// folder as `serve --manifests` is, and holds its access log against them: what a
// client of gRPC sees as a failure of the transport would be there.
func TestProgram(t *testing.T) {
	var mu sync.Mutex
	reasons := make(map[string]int)
	dir := t.TempDir()
	ca := writeManifests(t, dir, newBackend(t, "127.0.0.1:0"))
	p := process.Serve(t, dir, func(line []byte) {
		var rec struct{ Log, Reason, Proto string }
		if json.Unmarshal(line, &rec) == nil && rec.Log == "access" {
			mu.Lock()
			defer mu.Unlock()
			reasons[rec.Proto+" "+rec.Reason]++
		}
	})
	runCases(t, "tls", p.HTTPS, ca)
	runCases(t, "plain", p.HTTP, nil)
	if err := p.Stop(); err != nil { // the log is complete
		t.Errorf("the program ended with %v, want nil", err)
	}
	mu.Lock()
	defer mu.Unlock()
	// Three cases break their calls off, one of them at a deadline at which the
	// server may be first.
	for reason, n := range reasons {
		if reason == "HTTP/2.0 upstream_reset" && n <= 4 {
			continue
		}
		if reason != "HTTP/2.0 ok" && reason != "HTTP/2.0 client_closed" {
			t.Errorf("%d requests ended as %q, want ok or client_closed", n, reason)
		}
	}
	if reasons["HTTP/2.0 ok"] < 2*(len(cases)-3) {
		t.Errorf("requests by their ends: %v, want most of them ok", reasons)
	}
}

// writeManifests writes what serves b on the host under test, and returns the
// certificate.
func writeManifests(t *testing.T, dir string, b *backend) (ca []byte) {
	t.Helper()
	ca, key := certificate(t)
	data, err := json.Marshal(map[string]string{"tls.crt": string(ca), "tls.key": string(key)})
	if err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: cardea}
spec: {controller: cardea.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: interop
  namespace: shop
  annotations: {cardea.dev/ssl-redirect: "false", cardea.dev/proxy-body-size: "0"}
spec:
  ingressClassName: cardea
  tls: [{hosts: [%[1]s], secretName: interop}]
  rules:
  - host: %[1]s
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: interop, port: {number: 80}}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: interop, namespace: shop}
spec: {ports: [{name: grpc, port: 80, appProtocol: kubernetes.io/h2c}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: interop-1, namespace: shop, labels: {kubernetes.io/service-name: interop}}
addressType: IPv4
ports: [{name: grpc, port: %[2]d}]
endpoints: [{addresses: [%[3]s]}]
---
apiVersion: v1
kind: Secret
metadata: {name: interop, namespace: shop}
type: kubernetes.io/tls
stringData: %[4]s
`, hostName, b.addr.Port(), b.addr.Addr(), data)
	if err := os.WriteFile(filepath.Join(dir, "interop.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return ca
}
