package cli_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cardea-dev/cardea/cmd/cli"
	"github.com/cardea-dev/cardea/test/harness"
)

// reload asks the program to read every file again.
func reload(t *testing.T, p *harness.Program) (status int, answer string) {
	t.Helper()
	res, err := http.Post("http://"+p.Debug+"/-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(b))
}

// TestRow79Reload: POST /-/reload takes in what changed in the folder and in the
// files of flags, and says what that was and what failed.
func TestRow79Reload(t *testing.T) {
	dir, pair, ca := t.TempDir(), t.TempDir(), harness.NewAuthority(t)
	certPEM, keyPEM := ca.Issue(harness.Leaf{Names: []string{"unknown.example.com"}})
	harness.Write(t, pair, "tls.crt", certPEM)
	harness.Write(t, pair, "tls.key", keyPEM)
	// Nothing follows the pair but what is asked for.
	p := harness.Serve(t, dir, "--default-tls-cert", filepath.Join(pair, "tls.crt"), "--default-tls-key", filepath.Join(pair, "tls.key"), "--tls-reload=false")
	want := func(status int, lines ...string) {
		t.Helper()
		gotStatus, got := reload(t, p)
		if gotStatus != status {
			t.Errorf("POST /-/reload = %d, want %d", gotStatus, status)
		}
		for _, l := range lines {
			if !strings.Contains(got, l) {
				t.Errorf("POST /-/reload answers\n%s\nwithout %q", got, l)
			}
		}
	}
	want(http.StatusOK, "--default-tls-cert: unchanged", "manifests: unchanged")

	client := p.Client(ca)
	before, err := client.Do("GET", "https://unknown.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM = ca.Issue(harness.Leaf{Names: []string{"unknown.example.com"}})
	harness.Write(t, pair, "tls.crt", certPEM)
	want(http.StatusInternalServerError, "--default-tls-cert: invalid", "private key does not match")
	if a, err := client.Do("GET", "https://unknown.example.com/", nil); err != nil || a.Serial != before.Serial {
		t.Errorf("with half of a pair: %+v, %v, want the certificate %s", a, err, before.Serial)
	}
	harness.Write(t, pair, "tls.key", keyPEM)
	want(http.StatusOK, "--default-tls-cert: changed")
	if a, err := client.Do("GET", "https://unknown.example.com/", nil); err != nil || a.Serial == before.Serial {
		t.Errorf("after the reload: %+v, %v, want another certificate than %s", a, err, before.Serial)
	}
	page, err := p.Get(p.Admin, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, series := range []string{
		`cardea_file_reload_total{file="default-tls-cert",reason="changed",result="loaded"} 2`,
		`cardea_file_reload_total{file="default-tls-cert",reason="invalid",result="failed"} 1`,
		`cardea_file_reload_last_success_timestamp_seconds{file="default-tls-cert"} `,
	} {
		if !strings.Contains(page, "\n"+series) {
			t.Errorf("/metrics lacks %s", series)
		}
	}

	p.Write("bad.yaml", "kind: [")
	want(http.StatusInternalServerError, "manifests: bad.yaml")
	p.Write("bad.yaml", "")
	want(http.StatusOK)
}

// TestRow79Hangup: SIGHUP does the same, with the answer in the log.
func TestRow79Hangup(t *testing.T) {
	p := harness.Serve(t, t.TempDir())
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.Until("the log answers", func() error {
		if !strings.Contains(p.Stderr(), "read every file again") || !strings.Contains(p.Stderr(), "manifests: unchanged") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
}

// TestRow28StaticFiles: a default certificate that cannot be used ends the program
// at its start, with a text that names the flag and the file.
func TestRow28StaticFiles(t *testing.T) {
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	certPEM, keyPEM := ca.Issue(harness.Leaf{Names: []string{"unknown.example.com"}})
	_, otherKey := ca.Issue(harness.Leaf{Names: []string{"unknown.example.com"}})
	for name, content := range map[string]string{
		"tls.crt": certPEM, "tls.key": keyPEM, "other.key": otherKey, "bad.key": "garbage",
		"encrypted.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
	} {
		harness.Write(t, dir, name, content)
	}
	for _, c := range []struct{ name, cert, key, text string }{
		{"no file", "none", "tls.key", "none: no such file"},
		{"not PEM", "tls.crt", "bad.key", "failed to find any PEM data"},
		{"another certificate's key", "tls.crt", "other.key", "private key does not match public key"},
		{"an encrypted key (row 30)", "tls.crt", "encrypted.key", "is encrypted"},
	} {
		var stderr strings.Builder
		code := cli.Main(t.Context(), []string{
			"serve", "--manifests", t.TempDir(), "--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0", "--admin-addr", "", "--debug-addr", "",
			"--default-tls-cert", filepath.Join(dir, c.cert), "--default-tls-key", filepath.Join(dir, c.key),
		}, io.Discard, &stderr)
		if code != 2 || !strings.Contains(stderr.String(), c.text) || !strings.Contains(stderr.String(), "--default-tls-cert: ") {
			t.Errorf("%s: exit code %d, %q, want %d and a text with %q", c.name, code, &stderr, 2, c.text)
		}
	}
}

// TestRow30SelfSigned: with the flag, clients that ask for no declared host get a
// certificate that says what it is, another one in every process, and that is
// counted. Without it they are rejected.
func TestRow30SelfSigned(t *testing.T) {
	names := map[string]bool{}
	for range 2 {
		p := harness.Serve(t, t.TempDir(), "--default-tls-self-signed")
		c, err := tls.Dial("tcp", p.HTTPS, &tls.Config{ServerName: "unknown.example.com", InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		leaf := c.ConnectionState().PeerCertificates[0]
		c.Close()
		if leaf.Subject.CommonName != "Cardea self-signed fallback certificate" || leaf.VerifyHostname("unknown.example.com") == nil {
			t.Errorf("served %q for %q, want the fallback, which is good for no host", leaf.Subject, leaf.DNSNames)
		}
		names[leaf.SerialNumber.String()] = true
		p.Until("it is counted", func() error {
			page, err := p.Get(p.Admin, "/metrics")
			if err == nil && !strings.Contains(page, "\ncardea_tls_default_certificate_total{listener=\"https\"} 1") {
				err = fmt.Errorf("not yet")
			}
			return err
		})
		p.Stop()
	}
	if len(names) != 2 {
		t.Error("two processes made one certificate")
	}
	p := harness.Serve(t, t.TempDir())
	if c, err := tls.Dial("tcp", p.HTTPS, &tls.Config{ServerName: "unknown.example.com", InsecureSkipVerify: true}); err == nil {
		c.Close()
		t.Error("without the flag the handshake is done, want it to be rejected")
	}
	for _, args := range [][]string{
		{"serve", "--manifests", "DIR", "--default-tls-self-signed", "--default-tls-cert", "a", "--default-tls-key", "b"},
		{"controller", "--default-tls-self-signed", "--default-ssl-certificate", "a/b"},
	} {
		var stderr strings.Builder
		if code := cli.Main(t.Context(), args, io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), "exclude each other") {
			t.Errorf("%q: exit code %d, %q, want 2", args, code, &stderr)
		}
	}
}
