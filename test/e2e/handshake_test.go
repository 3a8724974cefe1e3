//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHandshakeFailures provokes five failures as real clients do. Each has a
// reason of its own in metric and log; those that named the host are told, with
// what to do, on the Ingress.
func TestHandshakeFailures(t *testing.T) {
	p := start(t, "--handshake-first-byte-timeout", "2s")
	ca := newAuthority(t)
	ns := namespace(t, "handshake")
	host := "handshake.example.com"
	certPEM, keyPEM, _ := ca.issue(t, host)
	apply(t, service(ns, backend(t, "handshake"))+secret(ns, "tls", certPEM, keyPEM)+ingress(ns, host))
	eventually(t, 5*time.Second, "the host is served", func() error {
		_, _, err := newClient(p.https, host, ca.pool).once("/")
		return err
	})

	openssl := func(args ...string) func(t *testing.T) {
		return func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "openssl", append([]string{"s_client", "-connect", p.https, "-servername", host}, args...)...)
			cmd.Stdin = strings.NewReader("")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Errorf("openssl s_client %q succeeded:\n%s", args, out)
			}
		}
	}
	conf := filepath.Join(cluster.dir, "openssl.cnf")
	if err := os.WriteFile(conf, []byte("openssl_conf = d\n[d]\nssl_conf = s\n[s]\nsystem_default = x\n[x]\nMinProtocol = TLSv1\nCipherString = DEFAULT:@SECLEVEL=0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENSSL_CONF", conf)

	cases := []struct {
		name, reason string
		inEvents     string // in `kubectl describe ingress`; "" if the host is not known
		client       func(t *testing.T)
	}{
		{"TLS 1.1", "version", "TLS 1.2", openssl("-tls1_1")},
		{"no common cipher", "cipher", "cipher suite", openssl("-tls1_2", "-cipher", "AES128-SHA")},
		{"client rejects the certificate", "client_alert_unknown_ca", "unknown authority", openssl("-verify_return_error")},
		{"plain HTTP", "not_tls_http", "", func(t *testing.T) {
			c, err := net.Dial("tcp", p.https)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			answer, _ := io.ReadAll(c)
			if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
				t.Errorf("answer to plain HTTP on the TLS port: %q, want a 400", answer)
			}
		}},
		{"silent client", "timeout_silent", "", func(t *testing.T) {
			c, err := net.Dial("tcp", p.https)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.ReadAll(c); err != nil {
				t.Errorf("silent client: %v, want the connection closed", err)
			}
		}},
	}
	var reasons []string
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.client(t)
			eventually(t, 5*time.Second, "the metric names the reason", func() error {
				if got := p.metric(t, "cardea_tls_handshakes_total", `reason="`+c.reason+`"`); got < 1 {
					return fmt.Errorf("cardea_tls_handshakes_total{reason=%q} = %v", c.reason, got)
				}
				return nil
			})
			eventually(t, 5*time.Second, "the log names the reason", func() error {
				if n := len(p.handshakes(func(r map[string]any) bool { return r["reason"] == c.reason })); n == 0 {
					return fmt.Errorf("no handshake record with reason %q", c.reason)
				}
				return nil
			})
			reasons = append(reasons, c.reason)
		})
	}
	slices.Sort(reasons)
	if n := len(slices.Compact(reasons)); n != len(cases) {
		t.Errorf("%d different reasons for %d failures", n, len(cases))
	}

	var out string
	eventually(t, 10*time.Second, "kubectl describe ingress tells the failures of the host", func() error {
		var err error
		if out, err = kubectl(t.Context(), nil, "-n", ns, "describe", "ingress", "web"); err != nil {
			return err
		}
		for _, c := range cases {
			if !strings.Contains(out, c.inEvents) {
				return fmt.Errorf("%s: no %q in:\n%s", c.name, c.inEvents, out)
			}
		}
		return nil
	})
	t.Logf("kubectl describe ingress:\n%s", out)
}

// TestSNIFlood: server names that nobody declares make no new series and no
// Events, however many there are.
func TestSNIFlood(t *testing.T) {
	const names = 100_000
	p := start(t)
	ca := newAuthority(t)
	ns := namespace(t, "flood")
	host := "flood.example.com"
	certPEM, keyPEM, _ := ca.issue(t, host)
	apply(t, service(ns, backend(t, "flood"))+secret(ns, "tls", certPEM, keyPEM)+ingress(ns, host))
	eventually(t, 5*time.Second, "the host is served", func() error {
		_, _, err := newClient(p.https, host, ca.pool).once("/")
		return err
	})
	events := func() int {
		out, err := kubectl(t.Context(), nil, "get", "events", "-A", "-o", "name")
		if err != nil {
			t.Fatalf("kubectl get events: %v\n%s", err, out)
		}
		return strings.Count(out, "\n")
	}
	if _, _, err := newClient(p.https, "first.flood.invalid", ca.pool).once("/"); err == nil {
		t.Fatal("an undeclared host was served")
	}
	series, before := p.series(t), events()
	hello := clientHello(t, "XXXXXXXX.flood.invalid")
	var wg errgroup
	const workers = 8
	for w := range workers {
		wg.Go(func() error {
			for i := w; i < names; i += workers {
				if err := sendHello(p.https, hello, fmt.Sprintf("%08d", i)); err != nil {
					return fmt.Errorf("name %d: %w", i, err)
				}
			}
			return nil
		})
	}
	if err := wg.Wait(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "every handshake was counted", func() error {
		if got := p.metric(t, "cardea_tls_handshakes_total", `reason="unknown_sni"`); got < names {
			return fmt.Errorf("cardea_tls_handshakes_total{reason=unknown_sni} = %v, want at least %d", got, names)
		}
		return nil
	})
	if got := p.series(t); got != series {
		t.Errorf("%d series after %d server names, %d before", got, names, series)
	}
	if got := events(); got != before {
		t.Errorf("%d Events after %d server names, %d before", got, names, before)
	}
	if _, _, err := newClient(p.https, host, ca.pool).once("/"); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}
