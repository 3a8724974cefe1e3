package dataplane_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
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
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// patience bounds every wait of a test; it is met only by a test that fails.
const patience = 20 * time.Second

// A world is a running DataPlane on loopback and everything that it told.
type world struct {
	t *testing.T
	*dataplane.DataPlane
	stop func() error // ends Run and returns its error
	ca   *x509.CertPool

	mu        sync.Mutex // guards what follows
	requests  map[outcome.Reason]int
	statuses  map[int]int
	publishes []outcome.Publish
}

func newWorld(t *testing.T, change func(*dataplane.Config)) *world {
	t.Helper()
	w := &world{t: t, requests: make(map[outcome.Reason]int), statuses: make(map[int]int)}
	cfg := dataplane.Config{
		HTTPAddr: "127.0.0.1:0", HTTPSAddr: "127.0.0.1:0", AllowLoopback: true,
		HalfCloseTimeout: 100 * time.Millisecond,
		Logger:           slog.New(slog.NewTextHandler(t.Output(), nil)),
		Sink: outcome.Sink{
			Request: func(o *outcome.Request) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.requests[o.Reason]++
				w.statuses[o.Status]++
			},
			Publish: func(o *outcome.Publish) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.publishes = append(w.publishes, *o)
			},
		},
	}
	if change != nil {
		change(&cfg)
	}
	d, err := dataplane.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.DataPlane = d
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	w.stop = sync.OnceValue(func() error {
		cancel()
		return <-ran
	})
	t.Cleanup(w.ended)
	return w
}

// publish publishes and fails the test if that is refused.
func (w *world) publish(u snapshot.Update) {
	w.t.Helper()
	if err := w.Publish(u); err != nil {
		w.t.Fatalf("Publish() = %v, want nil", err)
	}
}

// lastPublish returns the outcome of the last publish and how many there were.
func (w *world) lastPublish() (outcome.Publish, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.publishes[len(w.publishes)-1], len(w.publishes)
}

// ended ends Run, after which every outcome was told: a client has its answer a
// moment before.
func (w *world) ended() {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Errorf("Run() = %v, want nil", err)
	}
}

// client returns a client of its own connections, which knows every name.
func (w *world) client() *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			to := w.Addr("http")
			if port == "443" {
				to = w.Addr("https")
			}
			return new(net.Dialer).DialContext(ctx, network, to.String())
		},
		TLSClientConfig: &tls.Config{RootCAs: w.ca},
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get returns status and body.
func get(t testing.TB, c *http.Client, url string) (int, string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Errorf("GET %s: %v", url, err)
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("GET %s: body: %v", url, err)
	}
	return res.StatusCode, string(body)
}

// backend starts a server that answers with its name.
func backend(t *testing.T, name string) snapshot.Endpoint {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", name, r.Host, r.URL.Path)
	}))
}

func serve(t *testing.T, h http.Handler) snapshot.Endpoint {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return snapshot.Endpoint{Addr: netip.MustParseAddrPort(s.Listener.Addr().String())}
}

// host is one that sends everything to a pool of its own name.
func host(name string, policy snapshot.Policy) (*snapshot.Host, *snapshot.Pool) {
	pool := &snapshot.Pool{ID: "pool-" + name}
	return &snapshot.Host{
		Name:   name,
		Routes: []*snapshot.Route{{Path: "/", Kind: snapshot.Prefix, Pool: pool.ID, Policy: policy}},
	}, pool
}

// single is an update with one host.
func single(name string, policy snapshot.Policy, endpoints ...snapshot.Endpoint) snapshot.Update {
	h, pool := host(name, policy)
	return snapshot.Update{
		Spec:      &snapshot.Spec{Hosts: []*snapshot.Host{h}, Pools: []*snapshot.Pool{pool}},
		Endpoints: map[string][]snapshot.Endpoint{pool.ID: endpoints},
	}
}

// secure declares h for TLS with a certificate that w's clients trust.
func (w *world) secure(h *snapshot.Host) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{h.Name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := snapshot.ParseCertificate(snapshot.Origin{},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if err != nil {
		w.t.Fatal(err)
	}
	h.TLS = &snapshot.TLS{Certificates: []*snapshot.Certificate{cert}}
	if w.ca == nil {
		w.ca = x509.NewCertPool()
	}
	w.ca.AddCert(cert.Leaf())
}
