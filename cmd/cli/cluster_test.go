package cli_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
)

// An apiServer answers as much of the Kubernetes API as reading it once needs: it
// lists in pages of one object, whatever limit is asked for.
type apiServer struct {
	lists   map[string][]string // path to objects in JSON
	secrets map[string]string

	mu   sync.Mutex
	read []string // Secrets
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if items, ok := s.lists[r.URL.Path]; ok {
		i := 0
		fmt.Sscan(r.FormValue("continue"), &i)
		meta, page := "{}", ""
		if i < len(items) {
			page = items[i]
		}
		if i+1 < len(items) {
			meta = fmt.Sprintf(`{"continue":"%d"}`, i+1)
		}
		version := strings.TrimPrefix(strings.TrimPrefix(path.Dir(r.URL.Path), "/apis/"), "/api/")
		fmt.Fprintf(w, `{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[%s]}`, listKinds[path.Base(r.URL.Path)], version, meta, page)
		return
	}
	s.mu.Lock()
	s.read = append(s.read, r.URL.Path)
	s.mu.Unlock()
	if secret, ok := s.secrets[r.URL.Path]; ok {
		fmt.Fprint(w, secret)
		return
	}
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
}

var listKinds = map[string]string{
	"ingressclasses": "IngressClassList", "ingresses": "IngressList", "services": "ServiceList", "endpointslices": "EndpointSliceList",
}

// kubeconfig writes one for the server at url.
func kubeconfig(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	harness.Write(t, dir, "config", fmt.Sprintf(`
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
current-context: c
`, url))
	return filepath.Join(dir, "config")
}

func TestCheckCluster(t *testing.T) {
	certPEM, keyPEM := harness.NewAuthority(t).Issue(harness.Leaf{Names: []string{"a.example.com"}})
	data, _ := json.Marshal(map[string][]byte{"tls.crt": []byte(certPEM), "tls.key": []byte(keyPEM)})
	ingress := func(name, host, secret string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"shop"},"spec":{"ingressClassName":"cardea","tls":[{"hosts":[%q],"secretName":%q}],
			"rules":[{"host":%[2]q,"http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]}}`, name, host, secret)
	}
	api := &apiServer{
		lists: map[string][]string{
			"/apis/networking.k8s.io/v1/ingressclasses": {`{"metadata":{"name":"cardea"},"spec":{"controller":"cardea.dev/ingress-controller"}}`},
			"/apis/networking.k8s.io/v1/ingresses":      {ingress("a", "a.example.com", "a"), ingress("b", "b.example.com", "b")},
			"/api/v1/services":                          {`{"metadata":{"name":"web","namespace":"shop"},"spec":{"ports":[{"port":80,"targetPort":8080}]}}`},
			"/apis/discovery.k8s.io/v1/endpointslices": {
				`{"metadata":{"name":"web-1","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4",
				"ports":[{"name":"","port":8080}],"endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true}}]}`,
			},
		},
		secrets: map[string]string{
			"/api/v1/namespaces/shop/secrets/a": fmt.Sprintf(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a","namespace":"shop"},"type":"kubernetes.io/tls","data":%s}`, data),
		},
	}
	server := httptest.NewServer(api)
	defer server.Close()
	code, out, errs := call(t, "check", "--kubeconfig", kubeconfig(t, server.URL), "--fail-on", "warning")
	if code != 1 || errs != "" {
		t.Errorf("cardea check = %d, %q, want 1: a Secret is missing\n%s", code, errs, out)
	}
	for _, want := range []string{"a.example.com", "b.example.com", "10.0.0.1:8080", "shop/a ECDSA", "SecretNotFound"} {
		if !strings.Contains(out, want) {
			t.Errorf("cardea check: want %q in\n%s", want, out)
		}
	}
	slices.Sort(api.read)
	// The server has neither IngressClassParameters nor ReferenceGrants, as a cluster
	// without their definitions.
	want := []string{
		"/api/v1/namespaces/shop/secrets/a", "/api/v1/namespaces/shop/secrets/b", "/apis/cardea.dev/v1alpha1/ingressclassparameters",
		"/apis/gateway.networking.k8s.io/v1beta1/referencegrants",
	}
	if got := api.read; !slices.Equal(got, want) {
		t.Errorf("read %v, want the parameters of classes, grants and only the Secrets that are named: %v", got, want)
	}
}

// Without an API server the controller runs, says why it is not ready, accepts no
// handshake with a wrong certificate, and ends as asked.
func TestControllerWithoutAPIServer(t *testing.T) {
	p := harness.Start(t, "controller", "--kubeconfig", kubeconfig(t, "http://127.0.0.1:1"), "--shutdown-delay", "0s", "--publish-address", "192.0.2.1")
	p.Until("readiness says why not", func() error {
		_, err := p.Get(p.Admin, "/readyz")
		if err == nil || !strings.Contains(err.Error(), "not ready: ") {
			return fmt.Errorf("readyz: %v", err)
		}
		return nil
	})
	if _, err := p.Get(p.Admin, "/livez"); err != nil {
		t.Error(err)
	}
	if c, err := tls.Dial("tcp", p.HTTPS, &tls.Config{ServerName: "a.example.com", InsecureSkipVerify: true}); err == nil {
		c.Close()
		t.Error("a handshake succeeded before the first table")
	}
	p.Record("handshake", harness.Record{"reason": "not_ready"})
	if code := p.Stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// The webhook listens where it is told, under ingress-nginx's name for the flag as
// well, and has no certificate before there is a leader to make one.
func TestControllerWithWebhook(t *testing.T) {
	p := harness.Start(t, "controller", "--kubeconfig", kubeconfig(t, "http://127.0.0.1:1"), "--shutdown-delay", "0s",
		"--validating-webhook", "127.0.0.1:0", "--validating-webhook-certificate", "/none", "--validating-webhook-key", "/none")
	const before = `"msg":"listening","listener":"webhook","addr":"`
	p.Until("the log tells the address", func() error {
		if !strings.Contains(p.Stderr(), before) {
			return fmt.Errorf("not yet in the log")
		}
		return nil
	})
	_, rest, _ := strings.Cut(p.Stderr(), before)
	addr, _, _ := strings.Cut(rest, `"`)
	if c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}); err == nil {
		c.Close()
		t.Error("a handshake succeeded without a certificate")
	}
	metrics, err := p.Get(p.Admin, "/metrics")
	for _, want := range []string{`cardea_admission_decisions_total{decision="denied"} 0`, "cardea_webhook_certificate_expiry_timestamp_seconds 0"} {
		if err != nil || !strings.Contains(metrics, "\n"+want+"\n") {
			t.Errorf("/metrics: %v, want %s", err, want)
		}
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}); err == nil {
		c.Close()
		t.Error("the webhook listens after the end")
	}
}
