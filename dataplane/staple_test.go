package dataplane_test

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/test/responder"
)

func withOCSP(cfg *dataplane.Config) { cfg.OCSP = true }

// declared serves hosts with certificates of a.
func declared(t *testing.T, a *responder.Authority, hosts ...string) *snapshot.Spec {
	t.Helper()
	spec := new(snapshot.Spec)
	for _, host := range hosts {
		chain, key := a.Issue(host, true)
		c, err := snapshot.ParseCertificate(snapshot.Origin{Kind: "Secret", Namespace: "shop", Name: host}, chain, key)
		if err != nil {
			t.Fatal(err)
		}
		spec.Hosts = append(spec.Hosts, &snapshot.Host{Name: host, TLS: &snapshot.TLS{Certificates: []*snapshot.Certificate{c}}})
	}
	return spec
}

// stapled returns what a client is stapled.
func (w *world) stapled(a *responder.Authority, host string) []byte {
	w.t.Helper()
	c, err := tls.Dial("tcp", w.Addr("https").String(), &tls.Config{ServerName: host, RootCAs: a.Pool()})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().OCSPResponse
}

// figures waits until the figures of stapling are these.
func (w *world) figures(want string) {
	w.t.Helper()
	var got string
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		s := w.Staples()
		if got = fmt.Sprint(s.Certificates, s.Unstapled, s.Fetches); got == want {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("figures = %s, want %s", got, want)
		}
	}
}

// TestOCSP: what the authority answers is stapled, by TLS 1.2 and 1.3, to clients
// of Go and OpenSSL, and what it no longer vouches for is not.
func TestOCSP(t *testing.T) {
	a := responder.New(t)
	w := newWorld(t, withOCSP)
	release := a.Hold()
	spec := declared(t, a, "a.example.com", "b.example.com")
	w.publish(snapshot.Update{Spec: spec})
	// Handshakes do not wait for the authority.
	if der := w.stapled(a, "a.example.com"); der != nil {
		t.Errorf("stapled %d bytes before there is an answer", len(der))
	}
	w.figures("map[pending:2] map[true:2] map[]")
	release()
	w.figures("map[stapled:2] map[] map[good:2]")
	if der := w.stapled(a, "a.example.com"); len(der) == 0 {
		t.Error("nothing is stapled")
	}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, a.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "openssl", "s_client", "-status", version, "-CAfile", ca, "-verify_return_error",
			"-servername", "b.example.com", "-connect", w.Addr("https").String())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "OCSP Response Status: successful") || !strings.Contains(string(out), "Cert Status: good") {
			t.Errorf("openssl s_client %s: %v, want a good status in\n%s", version, err, out)
		}
	}
	// A certificate that goes takes its response along; one that comes is asked for.
	asked := a.Asked()
	w.publish(snapshot.Update{Spec: &snapshot.Spec{Hosts: append(spec.Hosts[1:2:2], declared(t, a, "c.example.com").Hosts...)}})
	w.figures("map[stapled:2] map[] map[good:3]")
	if n := a.Asked() - asked; n != 1 {
		t.Errorf("the authority was asked %d times for one new certificate", n)
	}
	// One that the authority does not know is served without.
	stranger := declared(t, a, "d.example.com")
	a.Forget()
	w.publish(snapshot.Update{Spec: stranger})
	w.figures("map[unknown:1] map[true:1] map[good:3 unknown:1]")
	if der := w.stapled(a, "d.example.com"); der != nil {
		t.Error("a response is stapled by which the authority does not know the certificate")
	}
}

// TestOCSPTrouble: without a response that verifies, nothing is stapled, the
// certificate is served all the same, and those that demand one are counted.
func TestOCSPTrouble(t *testing.T) {
	a := responder.New(t)
	for _, tt := range []struct {
		name    string
		change  func(*dataplane.Config)
		prepare func()
		figures string
	}{
		{"nonsense", nil, func() { a.Break(true) }, "map[failed:1] map[true:1] map[invalid:1]"},
		{"an address that is not allowed", func(cfg *dataplane.Config) { cfg.AllowLoopback = false }, nil, "map[failed:1] map[true:1] map[unreachable:1]"},
		{"our own address", func(cfg *dataplane.Config) {
			cfg.OwnAddrs = []netip.AddrPort{netip.MustParseAddrPort(strings.TrimPrefix(a.URL, "http://"))}
		}, nil, "map[failed:1] map[true:1] map[unreachable:1]"},
		{"off", func(cfg *dataplane.Config) { cfg.OCSP = false }, nil, "map[] map[] map[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer a.Break(false)
			w := newWorld(t, func(cfg *dataplane.Config) {
				withOCSP(cfg)
				if tt.change != nil {
					tt.change(cfg)
				}
			})
			spec := declared(t, a, "a.example.com")
			if tt.prepare != nil {
				tt.prepare()
			}
			w.publish(snapshot.Update{Spec: spec})
			w.figures(tt.figures)
			if der := w.stapled(a, "a.example.com"); der != nil {
				t.Errorf("stapled %d bytes", len(der))
			}
		})
	}
}
