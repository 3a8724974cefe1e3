package listen

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A world is a listener with a table, a handler that echoes, and everything that
// its sink was told.
type world struct {
	testing.TB
	l          *Listener
	snap       atomic.Pointer[snapshot.Snapshot]
	handshakes chan outcome.Handshake
	conns      chan outcome.Conn
	served     chan error
}

// newWorld listens on a loopback port; the table has the hosts of testSpec.
func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	w := prepare(t)
	cfg := w.config(change)
	cfg.Addr = "127.0.0.1:0"
	l, err := Listen(cfg)
	if err != nil {
		t.Fatalf("Listen() = %v, want nil", err)
	}
	w.run(l)
	return w
}

// newPipeWorld is newWorld on an in-memory network, for synctest.
func newPipeWorld(t testing.TB, change func(*Config)) (*world, *pipeListener) {
	t.Helper()
	w := prepare(t)
	ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	w.run(newListener(w.config(change).withDefaults(), ln))
	return w, ln
}

func prepare(t testing.TB) *world {
	w := &world{
		TB:         t,
		handshakes: make(chan outcome.Handshake, 10_000),
		conns:      make(chan outcome.Conn, 10_000),
		served:     make(chan error, 1),
	}
	w.publish(testSpec())
	return w
}

func (w *world) config(change func(*Config)) Config {
	cfg := Config{
		Name:    "https",
		TLS:     true,
		Current: w.snap.Load,
		Sink: outcome.Sink{
			Handshake: func(h *outcome.Handshake) { w.handshakes <- *h },
			Conn:      func(c *outcome.Conn) { w.conns <- *c },
		},
		Handler: echo,
	}
	if lookingAhead {
		cfg.Passthrough = passNobody
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func (w *world) run(l *Listener) {
	w.l = l
	go func() { w.served <- l.Serve() }()
	w.Cleanup(func() {
		l.Close()
		if err := <-w.served; err != nil {
			w.Errorf("Serve() = %v, want nil", err)
		}
		if h, c := len(w.handshakes), len(w.conns); h+c > 0 {
			w.Errorf("%d handshakes and %d connections were reported that the test does not expect", h, c)
		}
	})
}

// lookingAhead makes every table have a host that is passed through, so that every
// ClientHello is looked at before crypto/tls gets it.
var lookingAhead bool

func (w *world) publish(spec *snapshot.Spec) {
	w.Helper()
	if lookingAhead && !slices.ContainsFunc(spec.Pools, func(p *snapshot.Pool) bool { return p.ID == "db" }) {
		spec = lookAhead(spec)
	}
	s, err := snapshot.Compile(nil, spec, nil)
	if err != nil {
		w.Fatalf("Compile() = %v, want nil", err)
	}
	w.snap.Store(s)
}

// handshake returns the next handshake's outcome, conn the next connection's.
func (w *world) handshake() outcome.Handshake { w.Helper(); return next(w, w.handshakes, "handshake") }
func (w *world) conn() outcome.Conn           { w.Helper(); return next(w, w.conns, "connection") }

func next[T any](w *world, ch chan T, what string) T {
	w.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(2 * time.Minute):
		w.Fatalf("no outcome of a %s within two minutes", what)
		panic("unreachable")
	}
}

// want takes the outcomes of one connection and compares their reasons.
func (w *world) want(result outcome.Result, reason outcome.Reason) outcome.Handshake {
	w.Helper()
	h, c := w.handshake(), w.conn()
	if h.Result != result || h.Reason != reason {
		w.Errorf("handshake = %s %s (%s), want %s %s", h.Result, h.Reason, h.Err, result, reason)
	}
	if c.Reason != reason {
		w.Errorf("connection = %s, want %s", c.Reason, reason)
	}
	if h.Conn.ID != c.ID {
		w.Errorf("handshake of connection %d, connection %d: want the same", h.Conn.ID, c.ID)
	}
	if !h.Reason.Known() {
		w.Errorf("reason %q is not in the list", h.Reason)
	}
	return h
}

func (w *world) dial() *net.TCPConn {
	w.Helper()
	c, err := net.Dial("tcp", w.l.Addr().String())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// client returns the configuration of a client that trusts the test CA.
func client(serverName string, change ...func(*tls.Config)) *tls.Config {
	cfg := &tls.Config{ServerName: serverName, RootCAs: testCA().pool, NextProtos: []string{"http/1.1"}}
	for _, f := range change {
		f(cfg)
	}
	return cfg
}

// visit connects, sends a line and reads the echo.
func (w *world) visit(cfg *tls.Config) (tls.ConnectionState, error) {
	w.Helper()
	c := tls.Client(w.dial(), cfg)
	defer c.Close()
	if err := ping(c); err != nil {
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), nil
}

func ping(c net.Conn) error {
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

// echo is the handler of most tests.
func echo(c net.Conn, info *outcome.Conn) {
	defer c.Close()
	buf := make([]byte, 512)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			info.Requests++
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// A pipeListener accepts the server ends of in-memory connections.
type pipeListener struct {
	conns  chan net.Conn
	errs   []error // returned by Accept first
	once   sync.Once
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// until waits for a fact that nothing signals.
func (w *world) until(fact func() bool) {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); !fact(); runtime.Gosched() {
		if time.Now().After(deadline) {
			w.Fatal("the awaited did not happen within a minute")
		}
	}
}

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool
}

// The certificates are valid at the time of day and in a synctest bubble, where
// it is the year 2000.
var (
	validFrom = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	validTo   = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
)

var testCA = sync.OnceValue(func() *authority { return newCA("test CA") })

func newCA(name string) *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             validFrom,
		NotAfter:              validTo,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))
	ca := &authority{cert: must(x509.ParseCertificate(der)), key: key, pool: x509.NewCertPool()}
	ca.pool.AddCert(ca.cert)
	return ca
}

var lastSerial atomic.Int64

// issue returns a leaf as PEM.
func (ca *authority) issue(key crypto.Signer, change func(*x509.Certificate)) (certPEM, keyPEM []byte) {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(100 + lastSerial.Add(1)),
		Subject:      pkix.Name{CommonName: "leaf"},
		NotBefore:    validFrom,
		NotAfter:     validTo,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(tmpl)
	}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
}

var (
	ecKey  = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	rsaKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

// certificate is what a Secret named name would hold.
func certificate(name string, key crypto.Signer, hosts ...string) *snapshot.Certificate {
	certPEM, keyPEM := testCA().issue(key, func(c *x509.Certificate) { c.DNSNames = hosts })
	return must(snapshot.ParseCertificate(
		snapshot.Origin{Kind: "Secret", Namespace: "shop", Name: name}, certPEM, keyPEM))
}

// testSpec declares ec, rsa and both (with one certificate of each key), twin-a
// and twin-b (with the same certificate), *.wild, other (whose certificate does
// not cover it) and bare (without a certificate).
func testSpec() *snapshot.Spec {
	twin := certificate("twin", ecKey(), "twin-a.example.com", "twin-b.example.com")
	return &snapshot.Spec{Hosts: []*snapshot.Host{
		declare("*.wild.example.com", certificate("wild", ecKey(), "*.wild.example.com")),
		declare("bare.example.com"),
		declare("both.example.com",
			certificate("both-rsa", rsaKey(), "both.example.com"), certificate("both-ec", ecKey(), "both.example.com")),
		declare("ec.example.com", certificate("ec", ecKey(), "ec.example.com")),
		declare("other.example.com",
			certificate("other-rsa", rsaKey(), "elsewhere.example.com"), certificate("other-ec", ecKey(), "elsewhere.example.com")),
		declare("rsa.example.com", certificate("rsa", rsaKey(), "rsa.example.com")),
		declare("twin-a.example.com", twin),
		declare("twin-b.example.com", twin),
	}}
}

func declare(host string, certs ...*snapshot.Certificate) *snapshot.Host {
	return &snapshot.Host{Name: host, TLS: &snapshot.TLS{Origin: ingressOf(host), Certificates: certs}}
}

func ingressOf(host string) snapshot.Origin {
	return snapshot.Origin{Kind: "Ingress", Namespace: "shop", Name: host, Field: "spec.tls[0]"}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// readAll returns what the server sends until it closes.
func readAll(c net.Conn) []byte {
	var b bytes.Buffer
	// A reset ends it as well.
	_, _ = io.Copy(&b, c)
	return b.Bytes()
}
