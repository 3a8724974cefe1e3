package cli_test

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/cmd/cli"
	"github.com/cardea-dev/cardea/test/harness"
)

// A volume is a directory whose files are replaced as Kubernetes replaces those of
// a projected volume: all at once, by renaming a link above them.
type volume struct {
	t       *testing.T
	dir     string
	version int
	files   map[string]string
}

func newVolume(t *testing.T, files map[string]string) *volume {
	v := &volume{t: t, dir: t.TempDir(), files: map[string]string{}}
	v.set(files)
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func (v *volume) path(name string) string { return filepath.Join(v.dir, name) }

// set replaces some of the files.
func (v *volume) set(files map[string]string) {
	v.t.Helper()
	v.version++
	name := fmt.Sprintf("..%d", v.version)
	if err := os.Mkdir(v.path(name), 0o700); err != nil {
		v.t.Fatal(err)
	}
	for file, content := range files {
		v.files[file] = content
	}
	for file, content := range v.files {
		harness.Write(v.t, v.path(name), file, content)
	}
	if err := os.Symlink(name, v.path("..data_tmp")); err != nil {
		v.t.Fatal(err)
	}
	if err := os.Rename(v.path("..data_tmp"), v.path("..data")); err != nil {
		v.t.Fatal(err)
	}
}

// metric waits for a line of /metrics.
func wantMetric(t *testing.T, p *harness.Program, line string) {
	t.Helper()
	p.Until(line, func() error {
		page, err := p.Get(p.Admin, "/metrics")
		if err == nil && !strings.Contains(page, "\n"+line) {
			err = fmt.Errorf("not in /metrics")
		}
		return err
	})
}

const secured = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop, annotations: {cardea.dev/backend-protocol: HTTPS, cardea.dev/backend-tls-server-name: web.internal}}
spec:
  ingressClassName: cardea
  rules:
  - host: shop.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`

// TestRow71UpstreamFiles: the authorities of backends and the certificate to show
// them, from files that a volume of Kubernetes replaces. New content counts for the
// next request, also where a connection made under the old one is kept; what cannot
// be used is told once and changes nothing.
func TestRow71UpstreamFiles(t *testing.T) {
	ca, other, clients := harness.NewAuthority(t), harness.NewAuthority(t), harness.NewAuthority(t)
	certPEM, keyPEM := ca.Issue(harness.Leaf{Names: []string{"web.internal"}})
	pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	// It answers with who asked, and from where.
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.TLS.PeerCertificates[0].Subject.CommonName, r.RemoteAddr)
	}))
	backend.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool()}
	backend.Config.ErrorLog = log.New(io.Discard, "", 0)
	backend.StartTLS()
	t.Cleanup(backend.Close)

	one, oneKey := clients.ClientFiles("one")
	two, twoKey := clients.ClientFiles("two")
	v := newVolume(t, map[string]string{"ca.pem": ca.PEM(), "client.pem": one, "client.key": oneKey})
	dir := t.TempDir()
	harness.Write(t, dir, "web.yaml", secured)
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", backend.Listener.Addr().(*net.TCPAddr).Port))
	p := harness.Serve(t, dir, "--upstream-ca-file", v.path("ca.pem"), "--upstream-client-cert", v.path("client.pem"), "--upstream-client-key", v.path("client.key"), "--tls-reload-interval", "1s")
	client := p.Client(ca)
	ask := func() (status int, name, from string) {
		t.Helper()
		a, err := client.Do("GET", "http://shop.example.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		name, from, _ = strings.Cut(a.Body, " ")
		return a.Status, name, from
	}
	status, name, from := ask()
	if status != 200 || name != "one" {
		t.Fatalf("GET = %d as %q, want 200 as one", status, name)
	}
	// The client may have its answer before the connection is given back.
	p.Until("a connection to the backend is kept", func() error {
		before := from
		if _, _, from = ask(); from != before {
			return fmt.Errorf("one request came from %s, the next from %s", before, from)
		}
		return nil
	})
	wantMetric(t, p, `cardea_file_expiry_timestamp_seconds{file="upstream-client-cert"} `)

	// Bad content, one file after the other.
	for _, bad := range []struct{ flag, file, content, text string }{
		{"upstream-ca-file", "ca.pem", ca.PEM()[:200], "ca.pem holds 1 PEM blocks of which 0 can be read"},
		{"upstream-client-cert", "client.key", twoKey, "private key does not match"},
	} {
		good := v.files[bad.file]
		v.set(map[string]string{bad.file: bad.content})
		wantMetric(t, p, fmt.Sprintf(`cardea_file_reload_total{file=%q,reason="invalid",result="failed"} 1`, bad.flag))
		if status, name, _ := ask(); status != 200 || name != "one" {
			t.Errorf("with a bad %s: %d as %q, want what was there before: 200 as one", bad.file, status, name)
		}
		if status, answer := reload(t, p); status != 500 || !strings.Contains(answer, "--"+bad.flag+": invalid") || !strings.Contains(answer, bad.text) {
			t.Errorf("POST /-/reload = %d, %s, want 500 with %q", status, answer, bad.text)
		}
		v.set(map[string]string{bad.file: good})
		if status, answer := reload(t, p); status != 200 || !strings.Contains(answer, "--"+bad.flag+": unchanged") {
			t.Errorf("POST /-/reload = %d, %s, want 200, %s unchanged", status, answer, bad.flag)
		}
	}
	if n := strings.Count(p.Stderr(), "the new content of files cannot be used"); n != 2 {
		t.Errorf("bad content was told %d times, want twice: once each", n)
	}

	// A new certificate, found by notification.
	v.set(map[string]string{"client.pem": two, "client.key": twoKey})
	p.Until("the new certificate is shown", func() error {
		if status, name, _ := ask(); status != 200 || name != "two" {
			return fmt.Errorf("%d as %q", status, name)
		}
		return nil
	})
	_, _, kept := ask()
	// Other authorities, found by SIGHUP at the latest: the connection that is kept
	// was made under the old ones.
	v.set(map[string]string{"ca.pem": other.PEM()})
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.Until("the new authorities count", func() error {
		if status, _, _ := ask(); status != 502 {
			return fmt.Errorf("%d", status)
		}
		return nil
	})
	p.Record("access", harness.Record{"reason": "upstream_tls_verify"})
	v.set(map[string]string{"ca.pem": other.PEM() + ca.PEM()})
	if status, answer := reload(t, p); status != 200 {
		t.Errorf("POST /-/reload = %d, %s, want 200", status, answer)
	}
	if status, name, again := ask(); status != 200 || name != "two" || again == kept {
		t.Errorf("right after the answer: %d as %q from %s, want 200 as two, not from %s, which was trusted otherwise", status, name, again, kept)
	}
}

// TestRow54RevocationFiles: revocation lists in files count beside those of
// Secrets: for new handshakes, and for connections that were made before.
func TestRow54RevocationFiles(t *testing.T) {
	ca, clients := harness.NewAuthority(t), harness.NewAuthority(t)
	dir := t.TempDir()
	harness.Write(t, dir, "shop.yaml", strings.Replace(shop, "namespace: shop}", "namespace: shop, annotations: {cardea.dev/auth-tls-secret: clients}}", 1))
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", harness.Backend(t, "web")))
	harness.Write(t, dir, "secrets.yaml", ca.Secret("shop", "shop-tls", harness.Leaf{Names: []string{"shop.example.com"}})+
		"---\napiVersion: v1\nkind: Secret\nmetadata: {name: clients, namespace: shop}\nstringData: "+clients.Bundle()+"\n")
	alice, bob := clients.Client("alice"), clients.Client("bob")
	v := newVolume(t, map[string]string{"clients.crl": clients.RevocationList(), "others.crl": ca.RevocationList()})
	p := harness.Serve(t, dir, "--crl-file", v.path("clients.crl"), "--crl-file", v.path("others.crl"))
	dial := func(cert tls.Certificate) *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", p.HTTPS, &tls.Config{ServerName: "shop.example.com", RootCAs: ca.Pool(), Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(harness.Patience))
		return c
	}
	ask := func(c *tls.Conn) (int, error) {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n"); err != nil {
			return 0, err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	}
	kept := dial(alice)
	if status, err := ask(kept); status != 200 || err != nil {
		t.Fatalf("alice, who is on no list: %d, %v, want 200", status, err)
	}
	wantMetric(t, p, `cardea_file_expiry_timestamp_seconds{file="crl-file"} `)

	v.set(map[string]string{"clients.crl": clients.RevocationList(alice)})
	if status, answer := reload(t, p); status != 200 {
		t.Fatalf("POST /-/reload = %d, %s, want 200", status, answer)
	}
	if status, err := ask(kept); status != http.StatusMisdirectedRequest || err != nil {
		t.Errorf("on the connection that alice had: %d, %v, want 421", status, err)
	}
	revoked := func() {
		t.Helper()
		rec, err := p.Client(ca).As(alice).Handshake("shop.example.com", nil)
		if rec["reason"] != "client_cert_revoked" || err == nil {
			t.Errorf("alice, who is on the list: reason %v, error %v, want client_cert_revoked", rec["reason"], err)
		}
	}
	revoked()
	if status, err := ask(dial(bob)); status != 200 || err != nil {
		t.Errorf("bob, who is not: %d, %v, want 200", status, err)
	}

	// A list that cannot be used, or a file that goes away, revokes what it revoked.
	v.set(map[string]string{"clients.crl": "garbage"})
	wantMetric(t, p, `cardea_file_reload_total{file="crl-file",reason="invalid",result="failed"} 1`)
	revoked()
	if err := os.Remove(v.path("clients.crl")); err != nil {
		t.Fatal(err)
	}
	wantMetric(t, p, `cardea_file_reload_total{file="crl-file",reason="unreadable",result="failed"} 1`)
	revoked()
	// Authorities publish lists in DER.
	block, _ := pem.Decode([]byte(clients.RevocationList()))
	harness.Write(t, v.dir, "clients.crl", string(block.Bytes))
	p.Until("the list in DER is taken in", func() error {
		c := dial(alice)
		defer c.Close()
		if status, err := ask(c); status != 200 || err != nil {
			return fmt.Errorf("%d, %v", status, err)
		}
		return nil
	})
}

// TestRow28OperatorFiles: files that cannot be used end the program at its start,
// with a text that names the flag and the file.
func TestRow28OperatorFiles(t *testing.T) {
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	certPEM, keyPEM := ca.ClientFiles("cardea")
	_, otherKey := ca.ClientFiles("cardea")
	for name, content := range map[string]string{"ca.pem": ca.PEM(), "tls.crt": certPEM, "tls.key": keyPEM, "other.key": otherKey, "empty": ""} {
		harness.Write(t, dir, name, content)
	}
	for _, c := range []struct {
		args []string
		text string
	}{
		{[]string{"--upstream-ca-file", "none"}, "--upstream-ca-file: open DIR/none: no such file"},
		{[]string{"--upstream-ca-file", "empty"}, "--upstream-ca-file: DIR/empty is empty"},
		{[]string{"--upstream-client-cert", "tls.crt"}, "--upstream-client-cert and --upstream-client-key go together"},
		{[]string{"--upstream-client-cert", "tls.crt", "--upstream-client-key", "other.key"}, "--upstream-client-cert: --upstream-client-cert and --upstream-client-key: private key does not match"},
		{[]string{"--crl-file", "ca.pem"}, `--crl-file: DIR/ca.pem holds a PEM block of type "CERTIFICATE"`},
	} {
		args := []string{"serve", "--manifests", t.TempDir(), "--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0", "--admin-addr", "", "--debug-addr", ""}
		for i, a := range c.args {
			if i%2 == 1 {
				a = filepath.Join(dir, a)
			}
			args = append(args, a)
		}
		var stderr strings.Builder
		code := cli.Main(t.Context(), args, io.Discard, &stderr)
		if want := strings.ReplaceAll(c.text, "DIR", dir); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%q: exit code %d, %q, want 2 and %q", c.args, code, &stderr, want)
		}
	}
}

// TestRow37TrustFile: the file takes the place of the system's authorities, for
// those backends alone whose Ingress names none.
func TestRow37TrustFile(t *testing.T) {
	ca, own := harness.NewAuthority(t), harness.NewAuthority(t)
	dir, files := t.TempDir(), t.TempDir()
	harness.Write(t, files, "ca.pem", "# internal\n"+ca.PEM())
	harness.Write(t, dir, "web.yaml", secured)
	harness.Write(t, dir, "own.yaml", strings.NewReplacer("{name: web, namespace", "{name: own, namespace", "shop.example.com", "own.example.com",
		"cardea.dev/backend-protocol: HTTPS", "cardea.dev/backend-protocol: HTTPS, cardea.dev/backend-tls-ca: own").Replace(secured))
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", 8081)+
		"---\napiVersion: v1\nkind: Secret\nmetadata: {name: own, namespace: shop}\nstringData: "+own.Bundle()+"\n")
	for _, tc := range []struct {
		flags []string
		want  []string
	}{
		{nil, []string{"tls verified name=web.internal\n", "authorities=shop/own#"}},
		{[]string{"--upstream-ca-file", filepath.Join(files, "ca.pem")}, []string{"authorities=/" + filepath.Join(files, "ca.pem") + "#", "authorities=shop/own#"}},
	} {
		p := harness.Serve(t, dir, tc.flags...)
		spec := get(t, p, p.Debug, "/debug/spec") + "\n"
		for _, want := range tc.want {
			if !strings.Contains(spec, want) {
				t.Errorf("with %q the table lacks %q:\n%s", tc.flags, want, spec)
			}
		}
		p.Stop()
	}
}
