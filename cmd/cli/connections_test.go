package cli_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/harness"
)

// shopFolder returns a folder that serves shop.example.com.
func shopFolder(t *testing.T, ca *harness.Authority) string {
	dir := t.TempDir()
	harness.Write(t, dir, "shop.yaml", shop)
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", harness.Backend(t, "web")))
	harness.Write(t, dir, "tls.yaml", ca.Secret("shop", "shop-tls", harness.Leaf{Names: []string{"shop.example.com"}}))
	return dir
}

// TestRow60Flags: what the flags say about connections holds, is counted and
// logged.
func TestRow60Flags(t *testing.T) {
	ca := harness.NewAuthority(t)
	p := harness.Serve(t, shopFolder(t, ca),
		"--proxy-protocol-trusted", "127.0.0.0/8", "--connections-deny", "192.0.2.66,2001:db8::/32", "--connections-rate-per-address", "0.001",
		"--connections-burst-per-address", "1")
	visit := func(header string) (int, error) {
		c, err := net.Dial("tcp", p.HTTPS)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(harness.Patience))
		if _, err := fmt.Fprint(c, header); err != nil {
			return 0, err
		}
		tc := tls.Client(c, &tls.Config{ServerName: "shop.example.com", RootCAs: ca.Pool()})
		if _, err := fmt.Fprint(tc, "GET / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n"); err != nil {
			return 0, err
		}
		res, err := http.ReadResponse(bufio.NewReader(tc), nil)
		if err != nil {
			return 0, err
		}
		res.Body.Close()
		return res.StatusCode, nil
	}
	if status, err := visit("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"); status != 200 || err != nil {
		t.Fatalf("through a load balancer: %d, %v, want 200", status, err)
	}
	p.Record("access", harness.Record{"remote": "192.0.2.1:56324", "status": 200.0})
	for header, reason := range map[string]string{
		"": "filtered_proxy_header",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56325 443\r\n":  "filtered_rate",
		"PROXY TCP4 192.0.2.66 198.51.100.1 56326 443\r\n": "filtered_denied",
		"PROXY TCP6 2001:db8::1 2001:db8::2 56327 443\r\n": "filtered_denied",
	} {
		if status, err := visit(header); err == nil {
			t.Errorf("after %q: %d, want no answer", header, status)
		}
		p.Record("handshake", harness.Record{"result": "filtered", "reason": reason})
	}
	if got := p.Record("handshake", harness.Record{"remote": "192.0.2.66:56326"}); !strings.HasPrefix(fmt.Sprint(got["proxy"]), "127.0.0.1:") {
		t.Errorf("record = %v, want the load balancer's address in proxy", got)
	}
	p.Until("the connections are counted", func() error {
		metrics, err := p.Get(p.Admin, "/metrics")
		if err == nil && !strings.Contains(metrics, `cardea_connections_total{listener="https",reason="filtered_denied"} 2`) {
			err = fmt.Errorf("not in the metrics:\n%s", metrics)
		}
		return err
	})
	spec, err := p.Get(p.Debug, "/debug/spec")
	if want := "connections  deny=[192.0.2.66/32 2001:db8::/32] new-per-second-per-address=0.001 burst=1 proxy-protocol=[127.0.0.0/8]"; err != nil || !strings.Contains(spec, want) {
		t.Errorf("/debug/spec = %s, %v, want %q in it", spec, err, want)
	}
}

func TestRow60FlagsThatMakeNoSense(t *testing.T) {
	for _, flags := range [][]string{
		{"--connections-allow", "example.com"},
		{"--connections-deny", "192.0.2.0/33"},
		{"--proxy-protocol-trusted", "fe80::1%eth0"},
		{"--connections-max", "-1"},
		{"--connections-max-per-address", "-1"},
		{"--connections-rate-per-address", "NaN"},
		{"--connections-burst-per-address", "5"},
		{"--proxy-protocol-timeout", "0s"},
		{"--tls-keylog", "yes"},
		{"--tls-keylog", "both"}, // without the environment variable
	} {
		t.Setenv("SSLKEYLOGFILE", "")
		code, _, stderr := call(t, append([]string{"serve", "--manifests", t.TempDir()}, flags...)...)
		if code != 2 || !strings.Contains(stderr, flags[0]) {
			t.Errorf("%q: exit code %d, %q, want 2 and the name of the flag", flags, code, stderr)
		}
	}
}

// TestRow59KeyLog: with flag and variable the file holds the client's own secrets,
// whole line by line, for its owner alone; and it is told loudly.
func TestRow59KeyLog(t *testing.T) {
	ca := harness.NewAuthority(t)
	dir, file := shopFolder(t, ca), filepath.Join(t.TempDir(), "keys.log")
	if err := os.WriteFile(file, []byte("# kept\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSLKEYLOGFILE", file)
	p := harness.Serve(t, dir, "--tls-keylog", "downstream")
	var secrets bytes.Buffer
	if _, err := p.Client(ca).Handshake("shop.example.com", func(c *tls.Config) { c.KeyLogWriter = &secrets }); err != nil {
		t.Fatal(err)
	}
	logged, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sorted := func(s string) []string { return slices.Sorted(strings.Lines(s)) }
	if want := sorted("# kept\n" + secrets.String()); secrets.Len() == 0 || !slices.Equal(sorted(string(logged)), want) {
		t.Errorf("the file holds %q, want what was there and the client's %q", logged, secrets.String())
	}
	metrics, err := p.Get(p.Admin, "/metrics")
	if err != nil || !strings.Contains(metrics, "cardea_tls_keylog_enabled 1\n") {
		t.Errorf("metrics: %v, want cardea_tls_keylog_enabled 1", err)
	}
	if !strings.Contains(p.Stderr(), `"level":"WARN"`) || !strings.Contains(p.Stderr(), file) {
		t.Errorf("the log does not warn:\n%s", p.Stderr())
	}
	for _, line := range sorted(secrets.String()) {
		if secret := strings.Fields(line)[2]; strings.Contains(p.Stdout()+p.Stderr()+metrics, secret) {
			t.Errorf("a secret is in a log or metric")
		}
	}
}

func TestRow59KeyLogIsOffWithoutTheFlag(t *testing.T) {
	ca := harness.NewAuthority(t)
	file := filepath.Join(t.TempDir(), "keys.log")
	t.Setenv("SSLKEYLOGFILE", file)
	p := harness.Serve(t, shopFolder(t, ca))
	if _, err := p.Client(ca).Handshake("shop.example.com", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("Stat(%s) = %v, want no file", file, err)
	}
	if metrics, err := p.Get(p.Admin, "/metrics"); err != nil || !strings.Contains(metrics, "cardea_tls_keylog_enabled 0\n") {
		t.Errorf("metrics: %v, want cardea_tls_keylog_enabled 0", err)
	}
}

func TestRow59KeyLogIsItsOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open.log")
	if err := os.WriteFile(open, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{open: "0600", filepath.Join(dir, "none", "keys.log"): "no such file", dir: "directory"} {
		t.Setenv("SSLKEYLOGFILE", name)
		code, _, stderr := call(t, "serve", "--manifests", dir, "--tls-keylog", "both", "--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0")
		if code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("a key log in %s: exit code %d, %q, want 2 and %q", name, code, stderr, want)
		}
	}
	fresh := filepath.Join(dir, "fresh.log")
	t.Setenv("SSLKEYLOGFILE", fresh)
	harness.Serve(t, t.TempDir(), "--tls-keylog", "both")
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Stat(%s) = %v, %v, want the mode 0600", fresh, info, err)
	}
}

// TestRow59KeyLogIsRefusedWhereFIPSIsEnforced runs itself again in that mode,
// which is decided when a process starts.
func TestRow59KeyLogIsRefusedWhereFIPSIsEnforced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.log")
	if os.Getenv("CARDEA_TEST_FIPS") == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", "CARDEA_TEST_FIPS=1", "SSLKEYLOGFILE="+file)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("with GODEBUG=fips140=only: %v\n%s", err, out)
		}
		return
	}
	code, _, stderr := call(t, "serve", "--manifests", t.TempDir(), "--tls-keylog", "downstream")
	if code != 2 || !strings.Contains(stderr, "fips140=only") {
		t.Errorf("exit code %d, %q, want 2 and why", code, stderr)
	}
	if _, err := os.Stat(os.Getenv("SSLKEYLOGFILE")); !os.IsNotExist(err) {
		t.Errorf("Stat = %v, want no file", err)
	}
}
