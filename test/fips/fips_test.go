//go:build fips

package fips

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/harness"
)

// binary is what make build-fips builds.
func binary(t *testing.T) string {
	t.Helper()
	// What is tested is what the target builds, but for the version.
	build := exec.CommandContext(t.Context(), "make", "-s", "build-fips", "LDFLAGS=")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build-fips: %v\n%s", err, out)
	}
	path, err := filepath.Abs("../../bin/cardea-fips")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRow18FIPS runs the FIPS build: it says what it is in version and metrics,
// tells of a policy that names what it does not have, and negotiates what is
// approved alone. It also holds the mode of an ordinary build by GODEBUG, and that
// one without it refuses to start where FIPS is required.
func TestRow18FIPS(t *testing.T) {
	cardea := binary(t)
	out, err := exec.CommandContext(t.Context(), cardea, "version").Output()
	if err != nil || !strings.Contains(string(out), "fips140=v1.0.0") {
		t.Fatalf("cardea version = %q, %v, want fips140=v1.0.0", out, err)
	}

	authority := harness.NewAuthority(t)
	dir := t.TempDir()
	harness.Write(t, dir, "all.yaml", harness.Service("default", "web", harness.Backend(t, "web"))+`
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: cardea}
spec:
  controller: cardea.dev/ingress-controller
  parameters: {apiGroup: cardea.dev, kind: IngressClassParameters, name: cardea, scope: Cluster}
---
apiVersion: cardea.dev/v1alpha1
kind: IngressClassParameters
metadata: {name: cardea}
spec:
  tls: {policies: [{name: chacha, curves: [X25519, P-256]}]}
---
apiVersion: v1
kind: Secret
metadata: {name: tls}
type: kubernetes.io/tls
stringData: `+authority.Data(harness.Leaf{Names: []string{"shop.example.com"}})+`
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  ingressClassName: cardea
  tls: [{hosts: [shop.example.com], secretName: tls}]
  rules: [{host: shop.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`)
	p := start(t, cardea, "serve", "--manifests", dir, "--require-fips")
	p.until(t, "the verdict about the policy", func() bool { return strings.Contains(p.stderr(), "TLSPolicyNotFIPS") })

	body := p.get(t, "http://"+p.addr(t, "admin")+"/metrics")
	if !regexp.MustCompile(`cardea_build_info\{[^}]*fips="true"`).MatchString(body) {
		t.Errorf("cardea_build_info does not say that FIPS 140-3 mode is on")
	}
	dial := func(change func(*tls.Config)) (tls.ConnectionState, error) {
		cfg := &tls.Config{ServerName: "shop.example.com", RootCAs: authority.Pool()}
		change(cfg)
		c, err := tls.Dial("tcp", p.addr(t, "https"), cfg)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer c.Close()
		return c.ConnectionState(), nil
	}
	for name, tt := range map[string]struct {
		change func(*tls.Config)
		ok     bool
	}{
		"anything":         {func(*tls.Config) {}, true},
		"P-256":            {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} }, true},
		"post-quantum":     {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768} }, true},
		"X25519 alone":     {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }, false},
		"ChaCha20 alone":   {chacha, false},
		"AES with TLS 1.2": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
	} {
		state, err := dial(tt.change)
		if (err == nil) != tt.ok {
			t.Errorf("handshake with %s = %v, want success %v", name, err, tt.ok)
		}
		if err == nil && slices.Contains([]uint16{tls.TLS_CHACHA20_POLY1305_SHA256}, state.CipherSuite) {
			t.Errorf("handshake with %s negotiated %s", name, tls.CipherSuiteName(state.CipherSuite))
		}
	}
}

func chacha(c *tls.Config) {
	c.MaxVersion = tls.VersionTLS12
	c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
}

// TestRow16RequireFIPS: an ordinary build starts with --require-fips only in the mode.
func TestRow16RequireFIPS(t *testing.T) {
	cardea := filepath.Join(t.TempDir(), "cardea")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", cardea, "../../cmd/cardea")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), cardea, "serve", "--manifests", dir, "--require-fips")
	cmd.Env = append(os.Environ(), "GODEBUG=")
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 2 || !strings.Contains(string(out), "--require-fips: FIPS 140-3 mode is off") {
		t.Errorf("cardea serve --require-fips = %v, %s, want exit code 2 and why", err, out)
	}
	t.Setenv("GODEBUG", "fips140=on")
	p := start(t, cardea, "serve", "--manifests", dir, "--require-fips")
	if p.addr(t, "https") == "" {
		t.Error("an ordinary build with GODEBUG=fips140=on does not listen")
	}
}

// A process is a running cardea.
type process struct {
	err    *buffer
	exited chan struct{}
}

type buffer struct {
	ch   chan struct{} // holds one token: a lock
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	<-b.ch
	defer func() { b.ch <- struct{}{} }()
	return b.text.Write(p)
}

func (p *process) stderr() string {
	<-p.err.ch
	defer func() { p.err.ch <- struct{}{} }()
	return p.err.text.String()
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{err: &buffer{ch: make(chan struct{}, 1)}, exited: make(chan struct{})}
	p.err.ch <- struct{}{}
	for _, flag := range []string{"--http-addr", "--https-addr", "--admin-addr", "--debug-addr"} {
		args = append(args, flag, "127.0.0.1:0")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = harness.Patience
	cmd.Stdout, cmd.Stderr = io.Discard, p.err
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-p.exited
		if t.Failed() {
			t.Logf("%s", p.stderr())
		}
	})
	return p
}

// addr waits for the log to tell the address of a listener.
func (p *process) addr(t *testing.T, listener string) (addr string) {
	t.Helper()
	p.until(t, "the address of "+listener, func() bool {
		for line := range strings.Lines(p.stderr()) {
			var rec struct{ Msg, Listener, Addr string }
			if json.Unmarshal([]byte(line), &rec) == nil && rec.Msg == "listening" && rec.Listener == listener {
				addr = rec.Addr
				return true
			}
		}
		return false
	})
	return addr
}

func (p *process) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(harness.Patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-p.exited:
			t.Fatalf("cardea ended while waiting for %s", what)
		case <-patience:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (p *process) get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
