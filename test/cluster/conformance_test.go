//go:build cluster

package cluster

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/harness"
)

// published is the address that the Service has as if a load balancer had given
// it; the status of Ingresses must show it.
const published = "192.0.2.80"

// TestConformance holds Cardea to what Kubernetes asks of ingress controllers,
// the 30 scenarios of kubernetes-sigs/ingress-controller-conformance, in its five
// parts: default backend, hosts, paths, class, load balancing.
func TestConformance(t *testing.T) {
	r := install(t, "conformance", "--set", "controller.service.type=LoadBalancer")
	must(t, "kubectl", "-n", r.namespace, "patch", "service", serviceOf(t, r), "--subresource=status", "--type=merge",
		"-p", `{"status":{"loadBalancer":{"ingress":[{"ip":"`+published+`"}]}}}`)
	t.Run("default backend", func(t *testing.T) { conformDefault(t, r) })
	t.Run("hosts", func(t *testing.T) { conformHosts(t, r) })
	t.Run("paths", func(t *testing.T) { conformPaths(t, r) })
	t.Run("class", func(t *testing.T) { conformClass(t, r) })
	t.Run("load balancing", func(t *testing.T) { conformBalancing(t, r) })
}

// conformDefault: an Ingress without rules gives every request to its default
// backend, whatever its host, path and method, and passes both ways what it holds.
func conformDefault(t *testing.T, r *release) {
	ns := namespace(t, "conformance-default")
	deployBackend(t, ns, "pods", 1, "everything")
	ingressOf(t, r, ns, "default", "  defaultBackend: {service: {name: everything, port: {number: 8080}}}\n")
	for _, c := range []struct{ method, host, path string }{
		{"GET", "one.example.com", "/"},
		{"GET", "one.example.com", "/below"},
		{"POST", "two.example.com", "/"},
		{"PUT", world.node, "/thing"},
		{"DELETE", "two.example.com", "/thing"},
		{"PATCH", "one.example.com", "/thing"},
	} {
		t.Run(c.method+" "+c.host+c.path, func(t *testing.T) {
			a, err := r.front.do(c.method, "http://"+c.host+c.path, "")
			if err != nil {
				t.Fatal(err)
			}
			if a.status != http.StatusOK || a.proto != "HTTP/1.1" {
				t.Errorf("answer = %d %s, want 200 HTTP/1.1", a.status, a.proto)
			}
			for _, name := range []string{"Content-Length", "Content-Type", "Date", "Server"} {
				if a.header.Get(name) == "" {
					t.Errorf("the response has no %s: %v", name, a.header)
				}
			}
			if s := a.seen; s.Method != c.method || s.Path != c.path || s.Host != c.host || s.Proto != "HTTP/1.1" {
				t.Errorf("the backend saw %s %s%s %s, want %s %s%s HTTP/1.1", s.Method, s.Host, s.Path, s.Proto, c.method, c.host, c.path)
			}
			if got := a.seen.Header.Get("User-Agent"); got != "Go-http-client/1.1" {
				t.Errorf("the backend saw User-Agent %q, want the client's", got)
			}
		})
	}
	// A default backend would answer what the other parts expect to find nothing.
	must(t, "kubectl", "-n", ns, "delete", "ingress", "default")
	eventually(t, 10*time.Second, "the default backend is gone", func() error { return r.front.status("http://one.example.com/", http.StatusNotFound) })
}

// conformHosts: a host is matched whole; a wildcard is one label, not none and
// not two; a TLS host is served with its certificate.
func conformHosts(t *testing.T, r *release) {
	ns := namespace(t, "conformance-hosts")
	services := []string{"any-example-net", "www-example-org"}
	deployBackend(t, ns, "pods", 1, services...)
	authority := harness.NewAuthority(t)
	apply(t, authority.Secret(ns, "tls", harness.Leaf{Names: []string{"www.example.org"}}))
	ingressOf(t, r, ns, "hosts", `  tls: [{hosts: [www.example.org], secretName: tls}]
  rules:
`+rule("*.example.net", path{"/", "Prefix", "any-example-net", "number: 8080"})+rule("www.example.org", path{"/", "Prefix", "www-example-org", "name: http"}))
	// Redirecting to HTTPS is the annotation's default for a host with TLS, which
	// the scenarios do not want.
	must(t, "kubectl", "-n", ns, "annotate", "ingress", "hosts", "cardea.dev/ssl-redirect=false")
	f := r.front.trusting(authority.Pool())
	eventually(t, 10*time.Second, "http is not redirected", func() error { return f.status("http://www.example.org/", http.StatusOK) })
	routes(t, f, services, []route{
		{"https to an exact host", "https://www.example.org/", "www-example-org"},
		{"http to an exact host", "http://www.example.org/", "www-example-org"},
		{"another host of the domain", "http://sub.example.org/", ""},
		{"one label for a wildcard", "http://bar.example.net/", "any-example-net"},
		{"two labels for a wildcard", "http://baz.bar.example.net/", ""},
		{"no label for a wildcard", "http://example.net/", ""},
	})
}

// conformPaths: Exact is the path and nothing else, Prefix goes by elements of
// the path, the longest wins, and Exact wins over Prefix.
func conformPaths(t *testing.T, r *release) {
	ns := namespace(t, "conformance-paths")
	services := []string{"foo-exact", "foo-prefix", "ab-prefix", "a-prefix", "ab-slash-prefix", "foo-slash-exact"}
	deployBackend(t, ns, "pods", 1, services...)
	number := "number: 8080"
	ingressOf(t, r, ns, "paths", "  rules:\n"+
		rule("exact.example.com", path{"/foo", "Exact", "foo-exact", number})+
		rule("prefix.example.com", path{"/foo", "Prefix", "foo-prefix", number}, path{"/a/b", "Prefix", "ab-prefix", number}, path{"/a", "Prefix", "a-prefix", number})+
		rule("mixed.example.com", path{"/foo", "Prefix", "foo-prefix", number}, path{"/foo", "Exact", "foo-exact", number})+
		rule("slash.example.com", path{"/a/b/", "Prefix", "ab-slash-prefix", number}, path{"/foo/", "Exact", "foo-slash-exact", number}))
	routes(t, r.front, services, []route{
		{"Exact, the path", "http://exact.example.com/foo", "foo-exact"},
		{"Exact, a slash more", "http://exact.example.com/foo/", ""},
		{"Exact, other case", "http://exact.example.com/FOO", ""},
		{"Exact, another path", "http://exact.example.com/bar", ""},
		{"Prefix, the path", "http://prefix.example.com/foo", "foo-prefix"},
		{"Prefix, a slash more", "http://prefix.example.com/foo/", "foo-prefix"},
		{"Prefix, other case", "http://prefix.example.com/FOO", ""},
		{"Prefix of two elements, the path", "http://prefix.example.com/a/b", "ab-prefix"},
		{"Prefix of two elements, below", "http://prefix.example.com/a/b/c", "ab-prefix"},
		{"Prefix of one element, below", "http://prefix.example.com/a/c", "a-prefix"},
		{"Prefix, more of the same element", "http://prefix.example.com/ac", ""},
		{"Prefix, a slash and a query more", "http://prefix.example.com/foo/?x=y", "foo-prefix"},
		{"Exact wins over Prefix", "http://mixed.example.com/foo", "foo-exact"},
		{"Prefix with a slash, without", "http://slash.example.com/a/b", "ab-slash-prefix"},
		{"Prefix with a slash, the path", "http://slash.example.com/a/b/", "ab-slash-prefix"},
		{"Exact with a slash, without", "http://slash.example.com/foo", ""},
	})
}

// conformClass: an Ingress of a class that is not Cardea's is neither served nor
// given a status.
func conformClass(t *testing.T, r *release) {
	ns := namespace(t, "conformance-class")
	deployBackend(t, ns, "pods", 1, "other", "ours")
	apply(t, fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: %s, name: other}
spec:
  ingressClassName: no-such-class
  rules:
%s`, ns, rule("other.example.com", path{"/", "Prefix", "other", "number: 8080"})))
	// What is applied later and served tells that the first one was looked at.
	ingressOf(t, r, ns, "ours", "  rules:\n"+rule("ours.example.com", path{"/", "Prefix", "ours", "number: 8080"}))
	if err := r.front.status("http://other.example.com/", http.StatusNotFound); err != nil {
		t.Error(err)
	}
	if got := statusOf(t, ns, "other"); got != "" {
		t.Errorf("the Ingress of another class has the status %q, want none", got)
	}
}

// conformBalancing: every pod of a Service gets requests.
func conformBalancing(t *testing.T, r *release) {
	ns := namespace(t, "conformance-balancing")
	deployBackend(t, ns, "pods", 10, "ten")
	ingressOf(t, r, ns, "balancing", "  rules:\n"+rule("balancing.example.com", path{"/", "Prefix", "ten", "number: 8080"}))
	count := func() (map[string]int, error) {
		pods := map[string]int{}
		for range 100 {
			a, err := r.front.get("http://balancing.example.com/")
			if err != nil {
				return nil, err
			}
			if a.status != http.StatusOK {
				return nil, fmt.Errorf("status %d: %s", a.status, a.body)
			}
			pods[a.seen.Pod]++
		}
		return pods, nil
	}
	// The endpoints of all ten may reach Cardea after the first was seen ready.
	eventually(t, 10*time.Second, "100 requests reach 10 pods", func() error {
		pods, err := count()
		if err == nil && len(pods) != 10 {
			err = fmt.Errorf("100 requests reached %d pods: %v", len(pods), pods)
		}
		return err
	})
}

// path is one path of a rule: a name or number of the port as YAML.
type path struct{ path, kind, service, port string }

// rule is a rule of an Ingress as YAML.
func rule(host string, paths ...path) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - host: %q\n    http:\n      paths:\n", host)
	for _, p := range paths {
		fmt.Fprintf(&b, "      - {path: %s, pathType: %s, backend: {service: {name: %s, port: {%s}}}}\n", p.path, p.kind, p.service, p.port)
	}
	return b.String()
}

// ingressOf applies an Ingress of the release's class and waits for its status.
func ingressOf(t *testing.T, r *release, ns, name, spec string) {
	t.Helper()
	apply(t, fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {namespace: %s, name: %s}\nspec:\n  ingressClassName: %s\n%s", ns, name, r.class, spec))
	eventually(t, 30*time.Second, "the Ingress has a status", func() error {
		if got := statusOf(t, ns, name); got != published {
			return fmt.Errorf("status.loadBalancer = %q, want %q", got, published)
		}
		return nil
	})
}

func statusOf(t *testing.T, ns, name string) string {
	t.Helper()
	return must(t, "kubectl", "-n", ns, "get", "ingress", name, "-o", "jsonpath={.status.loadBalancer.ingress[*]['ip','hostname']}")
}

// serviceOf returns the name of the release's Service for traffic.
func serviceOf(t *testing.T, r *release) string {
	t.Helper()
	names := strings.Fields(must(t, "kubectl", "-n", r.namespace, "get", "services", "-l", "app.kubernetes.io/instance="+r.name,
		"-o", `jsonpath={.items[?(@.spec.type!="ClusterIP")].metadata.name}`))
	if len(names) != 1 {
		t.Fatalf("Services for traffic = %q, want one", names)
	}
	return names[0]
}

// route is a request and the Service whose pods answer it; "" means 404.
type route struct{ name, url, service string }

// routes waits until every route that has a Service is served by every replica,
// since a status may be written before the last one has published, and then
// expects all.
func routes(t *testing.T, f front, services []string, all []route) {
	t.Helper()
	try := func(c route) error {
		if c.service == "" {
			return f.status(c.url, http.StatusNotFound)
		}
		a, err := f.get(c.url)
		if err != nil {
			return err
		}
		want := fmt.Sprint(9000 + slices.Index(services, c.service))
		if a.status != http.StatusOK || a.seen.Port != want {
			return fmt.Errorf("GET %s: status %d from port %q, want 200 from %s (%s)", c.url, a.status, a.seen.Port, want, c.service)
		}
		return nil
	}
	// Several in a row, so that every replica was asked.
	eventually(t, 20*time.Second, "the Ingress is served", func() error {
		for range 5 {
			for _, c := range all {
				if c.service == "" {
					continue
				}
				if err := try(c); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			if err := try(c); err != nil {
				t.Error(err)
			}
		})
	}
}

// status is get that wants one status.
func (f front) status(url string, want int) error {
	a, err := f.get(url)
	if err == nil && a.status != want {
		err = fmt.Errorf("GET %s: status %d, want %d; body %q", url, a.status, want, a.body)
	}
	return err
}
