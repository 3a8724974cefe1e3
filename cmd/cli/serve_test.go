package cli_test

import (
	"bufio"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
)

const shop = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec:
  ingressClassName: cardea
  tls: [{hosts: [shop.example.com], secretName: shop-tls}]
  rules:
  - host: shop.example.com
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]
  - host: plain.example.com
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]
`

// Nothing that the program prints or serves beside the data plane holds a byte of
// a private key.
func TestRow66NoKeyIsEverShown(t *testing.T) {
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	certPEM, keyPEM := ca.Issue(harness.Leaf{Names: []string{"shop.example.com"}})
	defaultCert, defaultKey := ca.Issue(harness.Leaf{Names: []string{"default.example.com"}})
	files := t.TempDir()
	harness.Write(t, files, "tls.crt", defaultCert)
	harness.Write(t, files, "tls.key", defaultKey)
	secret := func(cert, key string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: shop}\ntype: kubernetes.io/tls\ndata:\n  tls.crt: %s\n  tls.key: %s\n", cert, key)
	}
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	harness.Write(t, dir, "shop.yaml", shop)
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", harness.Backend(t, "web")))
	harness.Write(t, dir, "tls.yaml", secret(encode(certPEM), encode(keyPEM)))
	p := harness.Serve(t, dir, "--log-level", "debug", "--default-tls-cert", filepath.Join(files, "tls.crt"), "--default-tls-key", filepath.Join(files, "tls.key"))
	client := p.Client(ca)
	for _, url := range []string{"https://shop.example.com/", "https://default.example.com/", "http://plain.example.com/"} {
		a, err := client.Do("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.Log(a)
	}
	// Damaged in ways that a parser might quote.
	for i, bad := range []string{
		secret(encode(certPEM), "!"+encode(keyPEM)),
		secret(encode(certPEM), encode(keyPEM[:len(keyPEM)/2])),
		secret(encode(keyPEM), encode(keyPEM)),
		secret(encode(certPEM), encode(keyPEM)+"\n  tls.key: "+encode(keyPEM)),
		"apiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: shop}\nstringData: {tls.key: \"" + strings.ReplaceAll(keyPEM, "\n", " ") + "}\n",
	} {
		before := strings.Count(p.Stderr(), "shop-tls") + strings.Count(p.Stderr(), "tls.yaml")
		p.Write("tls.yaml", bad)
		p.Until(fmt.Sprintf("damage %d is told", i), func() error {
			if strings.Count(p.Stderr(), "shop-tls")+strings.Count(p.Stderr(), "tls.yaml") == before {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	}
	shown := map[string]string{"standard output": p.Stdout(), "standard error": p.Stderr()}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		shown[path] = get(t, p, p.Admin, path)
	}
	for _, path := range []string{
		"/", "/debug/", "/debug/spec", "/debug/endpoints", "/debug/verdicts", "/debug/health",
		"/debug/explain?url=https://shop.example.com/", "/debug/explain?format=json&url=https://shop.example.com/",
		"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1",
	} {
		page, err := p.Get(p.Debug, path)
		if err != nil && !strings.Contains(path, "cmdline") {
			t.Fatal(err)
		}
		shown[path] = page
	}
	if !strings.Contains(shown["/debug/spec"], "shop/shop-tls#") {
		t.Errorf("/debug/spec does not name the certificate:\n%s", shown["/debug/spec"])
	}
	for where, text := range shown {
		for _, key := range []string{keyPEM, defaultKey} {
			for _, piece := range pieces(t, key) {
				if strings.Contains(text, piece) {
					t.Errorf("%s holds a piece of a private key", where)
				}
			}
		}
	}
}

// pieces are parts of a key in every form in which it may leak.
func pieces(t *testing.T, keyPEM string) (list []string) {
	block, _ := pem.Decode([]byte(keyPEM))
	if block == nil {
		t.Fatal("not PEM")
	}
	const n = 12
	secret := block.Bytes[36:68] // the scalar of a P-256 key in PKCS #8
	encoded := base64.StdEncoding.EncodeToString([]byte(keyPEM))
	for i := 0; i+n <= len(secret); i += n {
		list = append(list, string(secret[i:i+n]), fmt.Sprintf("%x", secret[i:i+n]))
	}
	for _, line := range strings.Split(keyPEM, "\n")[1:] {
		if len(line) > 2*n && !strings.HasPrefix(line, "---") {
			list = append(list, line[n:2*n])
		}
	}
	for i := 60; i+16 <= len(encoded); i += 16 {
		list = append(list, encoded[i:i+16])
	}
	return list
}

func get(t *testing.T, p *harness.Program, addr, path string) string {
	t.Helper()
	page, err := p.Get(addr, path)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// /metrics and health alone are on the admin address; the debug pages are not.
func TestAdminServesNothingElse(t *testing.T) {
	p := harness.Serve(t, t.TempDir())
	for _, path := range []string{"/", "/debug/spec", "/debug/pprof/", "/-/reload", "/debug/explain"} {
		if page, err := p.Get(p.Admin, path); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("GET %s on the admin address = %q, %v, want 404", path, page, err)
		}
	}
	if page, err := p.Get(p.Debug, "/metrics"); err == nil {
		t.Errorf("GET /metrics on the debug address = %q, want none", page)
	}
	// A page in a browser must not trigger anything.
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.Debug+"/-/reload", nil)
	req.Header.Set("Origin", "https://evil.example.com")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("POST /-/reload of another origin = %d, want 403", res.StatusCode)
	}
}

// The default certificate is served to unknown names, follows its files, and
// survives a bad pair in them.
func TestDefaultCertificateFollowsItsFiles(t *testing.T) {
	ca, files := harness.NewAuthority(t), t.TempDir()
	put := func() {
		t.Helper()
		certPEM, keyPEM := ca.Issue(harness.Leaf{Names: []string{"unknown.example.com"}})
		harness.Write(t, files, "tls.crt", certPEM)
		harness.Write(t, files, "tls.key", keyPEM)
	}
	put()
	p := harness.Serve(t, t.TempDir(), "--default-tls-cert", filepath.Join(files, "tls.crt"), "--default-tls-key", filepath.Join(files, "tls.key"))
	client := p.Client(ca)
	first, err := client.Do("GET", "https://unknown.example.com/", nil)
	if err != nil || first.Status != 404 {
		t.Fatalf("GET = %+v, %v, want 404 over TLS", first, err)
	}
	harness.Write(t, files, "tls.key", "garbage")
	p.Until("the bad pair is told", func() error {
		if !strings.Contains(p.Stderr(), "the last one stays in service") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	if a, err := client.Do("GET", "https://unknown.example.com/", nil); err != nil || a.Serial != first.Serial {
		t.Errorf("with a bad pair: %+v, %v, want the certificate %s", a, err, first.Serial)
	}
	put()
	p.Until("the new pair is served", func() error {
		a, err := client.Do("GET", "https://unknown.example.com/", nil)
		if err == nil && a.Serial == first.Serial {
			err = fmt.Errorf("still the old one")
		}
		return err
	})
}

// A request in flight ends as if nothing had happened; readiness goes first.
func TestRow68Shutdown(t *testing.T) {
	dir := t.TempDir()
	arrived, goOn := make(chan struct{}), make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-goOn
		fmt.Fprint(w, "late")
	})}
	go backend.Serve(l)
	t.Cleanup(func() { backend.Close() })
	harness.Write(t, dir, "shop.yaml", shop)
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", l.Addr().(*net.TCPAddr).Port))
	p := harness.Serve(t, dir, "--shutdown-delay", "200ms")

	type result struct {
		a   *harness.Answer
		err error
	}
	answered := make(chan result, 1)
	go func() {
		a, err := p.Client(harness.NewAuthority(t)).Do("GET", "http://plain.example.com/", nil)
		answered <- result{a, err}
	}()
	<-arrived
	p.Interrupt()
	p.Until("readiness is off", func() error {
		_, err := p.Get(p.Admin, "/readyz")
		if err == nil || !strings.Contains(err.Error(), "shutting down") {
			return fmt.Errorf("readyz: %v", err)
		}
		return nil
	})
	if _, err := p.Get(p.Admin, "/livez"); err != nil {
		t.Errorf("/livez while shutting down: %v", err)
	}
	p.Until("no connection is accepted", func() error {
		c, err := net.Dial("tcp", p.HTTP)
		if err == nil {
			c.Close()
			return fmt.Errorf("it was accepted")
		}
		return nil
	})
	if m, err := p.Get(p.Admin, "/metrics"); err != nil || !strings.Contains(m, "\ncardea_shutdown_phase{phase=\"draining\"} 1\n") {
		t.Errorf("/metrics does not say that it drains, %v", err)
	}
	close(goOn)
	if r := <-answered; r.err != nil || r.a.Status != 200 || r.a.Body != "late" {
		t.Errorf("the request in flight: %+v, %v, want 200", r.a, r.err)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// A client that holds on does not keep the process; what is cut is told.
func TestShutdownTimeout(t *testing.T) {
	dir := t.TempDir()
	harness.Write(t, dir, "shop.yaml", shop)
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", harness.Backend(t, "web")))
	p := harness.Serve(t, dir, "--shutdown-timeout", "50ms")
	c, err := net.Dial("tcp", p.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: plain.example.com\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Fatal(err) // 100 (Continue): the exchange is under way
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if !strings.Contains(p.Stdout(), `"reason":"shutdown"`) {
		t.Errorf("no record of the access log has the reason shutdown:\n%s", p.Stdout())
	}
	for _, want := range []string{
		`"msg":"shutting down: not ready any more"`, `"msg":"draining: no connection is accepted any more","connections":1,"requests":1,"tunnels":0`,
		`"msg":"the drain is over: what has not ended is cut","connections":1,"requests":1`, `"cut_requests":1,"cut_tunnels":0,"cut_connections":1`, `"msg":"ended"`,
	} {
		if !strings.Contains(p.Stderr(), want) {
			t.Errorf("the log lacks %s:\n%s", want, p.Stderr())
		}
	}
}

func TestExplain(t *testing.T) {
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	harness.Write(t, dir, "shop.yaml", shop)
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", 8081)+harness.Service("shop", "empty"))
	harness.Write(t, dir, "more.yaml", strings.NewReplacer("shop, ", "more, ", "name: web", "name: empty", "path: /", "path: /empty", "tls:", "# tls:").Replace(shop))
	harness.Write(t, dir, "tls.yaml", ca.Secret("shop", "shop-tls", harness.Leaf{Names: []string{"shop.example.com"}}))
	harness.Write(t, dir, "strict.yaml", `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: strict, namespace: shop, annotations: {cardea.dev/tls-policy: modern, cardea.dev/http2: "false"}}
spec:
  ingressClassName: cardea
  tls: [{hosts: [strict.example.com], secretName: shop-tls}]
  rules:
  - host: strict.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
`)
	p := harness.Serve(t, dir)
	for _, tc := range []struct {
		url  string
		code int
		want []string
	}{
		{"https://strict.example.com/", 0, []string{"tls settings policy=modern no-http2"}},
		{"https://shop.example.com/cart", 0, []string{
			"answer       Service shop/web, one of 1 endpoint", "endpoint     127.0.0.1:8081", "certificate  shop/shop-tls#",
			"Ingress shop/shop spec.rules[0].http.paths[0]", "not          Prefix /empty", "not a prefix of the path",
		}},
		{"http://shop.example.com/cart?a=b", 0, []string{"answer       redirect to https://shop.example.com", "/cart?a=b"}},
		{"http://plain.example.com/empty", 1, []string{"503 no_endpoints", "Service shop/empty", "the longer prefix goes first"}},
		{"https://plain.example.com/", 1, []string{"the TLS handshake is rejected", "no Ingress declares"}},
		{"http://other.example.com/", 1, []string{"404 no_route", `no Ingress names the host "other.example.com"`, "shop.example.com"}},
		{"http://plain.example.com/../x", 1, []string{"400 bad_request"}},
	} {
		for _, source := range [][]string{{"--manifests", dir}, {"--admin", p.Debug}} {
			code, out, errs := call(t, append([]string{"explain", tc.url}, source...)...)
			if code != tc.code {
				t.Errorf("cardea explain %s %v = %d, want %d\n%s%s", tc.url, source, code, tc.code, out, errs)
			}
			for _, w := range tc.want {
				if !strings.Contains(out, w) {
					t.Errorf("cardea explain %s %v: want %q in\n%s%s", tc.url, source, w, out, errs)
				}
			}
		}
	}
	if code, out, _ := call(t, "explain", "https://shop.example.com/", "--manifests", dir, "-o", "json"); code != 0 || !strings.Contains(out, `"pool": "shop/web:80"`) {
		t.Errorf("cardea explain -o json = %d\n%s", code, out)
	}
}

func TestCheck(t *testing.T) {
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	harness.Write(t, dir, "shop.yaml", shop)
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", 8081))
	harness.Write(t, dir, "tls.yaml", ca.Secret("shop", "shop-tls", harness.Leaf{Names: []string{"shop.example.com"}}))
	expect := func(code int, args []string, want ...string) {
		t.Helper()
		got, out, errs := call(t, append([]string{"check", "--manifests", dir}, args...)...)
		if got != code {
			t.Errorf("cardea check %v = %d, want %d\n%s%s", args, got, code, out, errs)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("cardea check %v: want %q in\n%s", args, w, out)
			}
		}
	}
	expect(0, nil, "HOST", "shop.example.com", "127.0.0.1:8081", "shop/shop-tls ECDSA until")
	expect(0, []string{"--fail-on", "info"})

	harness.Write(t, dir, "foreign.yaml", strings.NewReplacer("shop, ", "foreign, ", "cardea", "nginx").Replace(shop))
	expect(0, nil, "INFO  Ingress shop/foreign", `its class is "nginx"`)
	expect(1, []string{"--fail-on", "info"})

	harness.Write(t, dir, "warn.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 80}], typo: 1}\n")
	expect(0, nil, "WARNING  warn.yaml:4 Service default/x spec.typo")
	expect(1, []string{"--fail-on", "warning"})

	harness.Write(t, dir, "refused.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: {ports: [{port: 0}]}\n")
	expect(1, nil, "REFUSED  refused.yaml:4 Service default/other spec.ports[0].port")
	expect(1, []string{"-o", "json"}, `"level": "refused"`, `"file": "refused.yaml:4"`)

	harness.Write(t, dir, "broken.yaml", "kind: [\n")
	expect(2, nil, "UNREADABLE  broken.yaml:")

	for _, f := range []string{"refused.yaml", "broken.yaml"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	harness.Write(t, dir, "tls.yaml", "")
	expect(1, []string{"--fail-on", "warning"}, "no usable certificate", "SecretNotFound")
}
