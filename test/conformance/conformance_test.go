// Package conformance runs outside suites against the data plane.
package conformance

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestH2spec runs every case of h2spec, strict ones included, over TLS and over
// plain TCP by prior knowledge. skips.txt lists the cases that need not pass, each
// with its reason; a failure that it does not list, and a listed case that passes,
// both fail the test.
func TestH2spec(t *testing.T) {
	d := serve(t)
	for _, mode := range []struct {
		name, listener string
		tls            bool
	}{{"h2", "https", true}, {"h2c", "http", false}} {
		t.Run(mode.name, func(t *testing.T) {
			skips := readSkips(t, mode.name)
			cfg := &config.Config{
				Host: "localhost", Port: d.Addr(mode.listener).(*net.TCPAddr).Port, Path: "/",
				Timeout: 2 * time.Second, MaxHeaderLen: 4000, Strict: true, TLS: mode.tls, Insecure: true,
			}
			passed, total := 0, 0
			for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
				group.Test(cfg)
				each(group, func(name string, c *spec.TestCase) {
					total++
					reason, listed := skips[name]
					delete(skips, name)
					failed := c.Result == nil || c.Result.Failed || c.Result.Skipped
					switch {
					case failed && !listed:
						t.Errorf("%s %s:\n%s", name, c.Desc, describe(c))
					case !failed && listed:
						t.Errorf("%s passes, but skips.txt lists it: %s", name, reason)
					case !failed:
						passed++
					}
				})
			}
			for name := range skips {
				t.Errorf("skips.txt lists %s, which does not exist", name)
			}
			t.Logf("%d of %d cases passed", passed, total)
			if total != 146 {
				t.Errorf("h2spec has %d cases, want 146", total)
			}
		})
	}
}

// each calls f for every case of a group, with a name such as http2/6.9.1/2.
func each(g *spec.TestGroup, f func(name string, c *spec.TestCase)) {
	for i, c := range append(g.Tests, g.StrictTests...) {
		f(fmt.Sprintf("%s/%d", g.ID(), i+1), c)
	}
	for _, g := range g.Groups {
		each(g, f)
	}
}

func describe(c *spec.TestCase) string {
	if c.Result == nil || c.Result.Error == nil {
		return "not run"
	}
	s := c.Requirement + "\n" + c.Result.Error.Error()
	if e, ok := c.Result.Error.(*spec.TestError); ok {
		s += fmt.Sprintf("\nexpected %q\nactual %q", e.Expected, e.Actual)
	}
	return s
}

// readSkips reads skips.txt: lines of mode:name, white space and a reason.
func readSkips(t *testing.T, mode string) map[string]string {
	t.Helper()
	f, err := os.Open("skips.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	skips := make(map[string]string)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, ok := strings.Cut(line, " ")
		if !ok {
			t.Fatalf("skips.txt: %q has no reason", line)
		}
		if m, name, ok := strings.Cut(name, ":"); ok && m == mode {
			skips[name] = strings.TrimSpace(reason)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return skips
}

// serve runs a data plane in front of a backend that speaks HTTP/1.1.
func serve(t *testing.T) *dataplane.DataPlane {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "Hello from the other side.\n")
	}))
	t.Cleanup(backend.Close)
	d, err := dataplane.New(dataplane.Config{
		HTTPAddr: "127.0.0.1:0", HTTPSAddr: "127.0.0.1:0", AllowLoopback: true,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	const pool = "pool"
	err = d.Publish(snapshot.Update{
		Spec: &snapshot.Spec{
			Hosts: []*snapshot.Host{{
				Name:   "localhost",
				TLS:    &snapshot.TLS{Certificates: []*snapshot.Certificate{certificate(t, "localhost")}},
				Routes: []*snapshot.Route{{Path: "/", Kind: snapshot.Prefix, Pool: pool}},
			}},
			Pools: []*snapshot.Pool{{ID: pool}},
		},
		Endpoints: map[string][]snapshot.Endpoint{
			pool: {{Addr: netip.MustParseAddrPort(backend.Listener.Addr().String())}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return d
}

// certificate makes a certificate for name.
func certificate(t *testing.T, name string) *snapshot.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := snapshot.ParseCertificate(snapshot.Origin{},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
