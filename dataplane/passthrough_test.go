package dataplane_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// passWorld serves shop.example itself and passes db.example and *.db.example
// through to raw endpoints.
type passWorld struct {
	*world
	update snapshot.Update
	shakes chan outcome.Handshake
}

func newPassWorld(t *testing.T, change func(*dataplane.Config), endpoints ...snapshot.Endpoint) *passWorld {
	t.Helper()
	w := &passWorld{shakes: make(chan outcome.Handshake, 100)}
	w.world = newWorld(t, func(cfg *dataplane.Config) {
		cfg.Sink.Handshake = func(h *outcome.Handshake) { w.shakes <- *h }
		if change != nil {
			change(cfg)
		}
	})
	w.update = single("shop.example", snapshot.Policy{}, backend(t, "shop"))
	w.secure(w.update.Spec.Hosts[0])
	passed := func(name, pool string) *snapshot.Host {
		return &snapshot.Host{
			Name:   name,
			TLS:    &snapshot.TLS{Origin: snapshot.Origin{Kind: "Ingress", Namespace: "shop", Name: name}, Passthrough: pool},
			Routes: []*snapshot.Route{{Path: "/", Kind: snapshot.Prefix, Policy: snapshot.Policy{RedirectHTTPS: true}, Answer: &snapshot.Answer{Status: 421, Reason: "misdirected"}}},
		}
	}
	w.update.Spec.Hosts = []*snapshot.Host{passed("*.db.example", "wild"), passed("db.example", "exact"), w.update.Spec.Hosts[0]}
	w.update.Spec.Pools = append([]*snapshot.Pool{{ID: "exact"}}, w.update.Spec.Pools...)
	w.update.Spec.Pools = append(w.update.Spec.Pools, &snapshot.Pool{ID: "wild"})
	w.update.Endpoints["exact"], w.update.Endpoints["wild"] = endpoints, endpoints
	w.publish(w.update)
	return w
}

// handshake returns the next outcome.
func (w *passWorld) handshake() outcome.Handshake {
	w.t.Helper()
	select {
	case h := <-w.shakes:
		return h
	case <-time.After(patience):
		w.t.Fatal("no handshake was told")
		panic("unreachable")
	}
}

// dialFor connects to the HTTPS listener as a client of name.
func (w *passWorld) dialFor(name string, roots *x509.CertPool) *tls.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.Addr("https").String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return tls.Client(c, &tls.Config{ServerName: name, RootCAs: roots, NextProtos: []string{"x-db"}})
}

// database is a TLS server of its own certificate that echoes, and tells what each
// of its connections was.
func database(t *testing.T, read func(net.Conn) (string, error)) (snapshot.Endpoint, *x509.CertPool, chan string) {
	t.Helper()
	var own world
	own.t = t
	h := &snapshot.Host{Name: "db.example"}
	own.secure(h)
	cert := *h.TLS.Certificates[0].TLS
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 100)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				what, err := read(c)
				if err != nil {
					t.Error(err)
					return
				}
				tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"x-db"}})
				defer tc.Close()
				if err := tc.Handshake(); err != nil {
					return
				}
				state := tc.ConnectionState()
				told <- what + state.ServerName + " " + state.NegotiatedProtocol
				_, _ = io.Copy(tc, tc)
				_ = tc.CloseWrite()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return snapshot.Endpoint{Addr: netip.MustParseAddrPort(ln.Addr().String())}, own.ca, told
}

func nothing(net.Conn) (string, error) { return "", nil }

// TestRow64PassthroughBySNI: the endpoint does the handshake, its own certificate
// reaches the client, a megabyte comes back whole, and the outcome says it all.
// What is terminated is terminated as before.
func TestRow64PassthroughBySNI(t *testing.T) {
	endpoint, roots, told := database(t, nothing)
	w := newPassWorld(t, nil, endpoint)
	c := w.dialFor("db.example", roots)
	message := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var sending sync.WaitGroup
	sending.Go(func() {
		_, _ = c.Write(message)
		_ = c.CloseWrite()
	})
	got, err := io.ReadAll(c)
	sending.Wait()
	if err != nil || !bytes.Equal(got, message) {
		t.Fatalf("%d bytes came back, %v, want all %d and an orderly end", len(got), err, len(message))
	}
	c.Close()
	if what := <-told; what != "db.example x-db" {
		t.Errorf("the endpoint saw %q, want server name and protocol of the client", what)
	}
	h := w.handshake()
	if h.Result != outcome.Passthrough || h.Reason != outcome.OK || h.SNI != "db.example" || h.Host != "db.example" || h.Ingress.Name != "db.example" ||
		h.Pool != "exact" || h.Endpoint != endpoint.Addr || h.Attempts != 1 || !slices.Equal(h.OfferedALPN, []string{"x-db"}) || h.Certificate != nil {
		t.Errorf("handshake = %+v, want a passthrough to %v", h, endpoint.Addr)
	}
	if n := int64(len(message)); h.BytesIn < n || h.BytesOut < n || h.Duration <= 0 {
		t.Errorf("handshake = %d bytes in, %d out, %v, want more than %d each and a time", h.BytesIn, h.BytesOut, h.Duration, n)
	}
	// The exact host before the wildcard, the wildcard for one label.
	c = w.dialFor("a.db.example", roots)
	_ = c.Handshake() // the database has no certificate for it
	c.Close()
	if h := w.handshake(); h.Result != outcome.Passthrough || h.Host != "*.db.example" || h.Pool != "wild" {
		t.Errorf("handshake = %+v, want a passthrough to the wildcard's pool", h)
	}
	client := w.client()
	if status, body := get(t, client, "https://shop.example/a"); status != 200 || body != "shop shop.example /a" {
		t.Errorf("GET of a terminated host = %d %q, want 200", status, body)
	}
	if h := w.handshake(); h.Result != outcome.Done || h.Host != "shop.example" {
		t.Errorf("handshake = %+v, want done for shop.example", h)
	}
	// Over plain HTTP there is the redirect alone, and a connection for another host
	// does not get to it.
	if status, _ := get(t, client, "http://db.example/a"); status != 308 {
		t.Errorf("GET over plain HTTP = %d, want 308", status)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://shop.example/", nil)
	req.Host = "db.example"
	if res, err := client.Do(req); err != nil || res.StatusCode != 421 {
		t.Errorf("a request for db.example on a connection for shop.example: %v, %v, want 421", res, err)
	}
}

// TestRow64PassthroughWithPROXY: the endpoint learns who the client is, also when
// Cardea learnt it from a load balancer.
func TestRow64PassthroughWithPROXY(t *testing.T) {
	header := func(c net.Conn) (string, error) {
		b := make([]byte, 28)
		if _, err := io.ReadFull(c, b); err != nil {
			return "", err
		}
		if !bytes.HasPrefix(b, []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")) {
			return "", fmt.Errorf("header = %q, want PROXY of version 2 over TCP4", b)
		}
		return netip.AddrFrom4([4]byte(b[16:20])).String() + " ", nil
	}
	endpoint, roots, told := database(t, header)
	w := newPassWorld(t, nil, endpoint)
	host := *w.update.Spec.Hosts[1]
	host.TLS = &snapshot.TLS{Passthrough: "exact", PassthroughProxyHeader: true}
	spec := *w.update.Spec
	spec.Hosts = []*snapshot.Host{spec.Hosts[0], &host, spec.Hosts[2]}
	w.publish(snapshot.Update{Spec: &spec})
	visit := func(before string, want string) {
		t.Helper()
		c := w.dialFor("db.example", roots)
		fmt.Fprint(c.NetConn(), before)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got := <-told; got != want {
			t.Errorf("the endpoint saw %q, want %q", got, want)
		}
		w.handshake()
	}
	visit("", "127.0.0.1 db.example x-db")
	proxied := spec
	proxied.Connections = &snapshot.ConnectionPolicy{ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	w.publish(snapshot.Update{Spec: &proxied})
	visit("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1 db.example x-db")
}

// TestRow64PassthroughTriesOtherEndpoints: nothing was sent to one that refuses.
func TestRow64PassthroughTriesOtherEndpoints(t *testing.T) {
	endpoint, roots, _ := database(t, nothing)
	dead := snapshot.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:1")}
	w := newPassWorld(t, nil, dead, endpoint)
	attempts := 0
	for range 4 {
		c := w.dialFor("db.example", roots)
		if err := c.Handshake(); err != nil {
			t.Fatalf("Handshake() = %v, want nil", err)
		}
		c.Close()
		h := w.handshake()
		if h.Result != outcome.Passthrough || h.Endpoint != endpoint.Addr {
			t.Errorf("handshake = %+v, want a passthrough to %v", h, endpoint.Addr)
		}
		attempts += h.Attempts
	}
	if attempts < 5 || attempts > 8 {
		t.Errorf("%d attempts for 4 connections, want some that began at the dead endpoint", attempts)
	}
	for _, test := range []struct {
		endpoints []snapshot.Endpoint
		want      outcome.Reason
	}{
		{nil, outcome.NoEndpoints},
		{[]snapshot.Endpoint{dead}, outcome.ConnectRefused},
		{[]snapshot.Endpoint{{Addr: netip.MustParseAddrPort("169.254.169.254:443")}}, outcome.AddressRefused},
	} {
		w.publish(snapshot.Update{Endpoints: map[string][]snapshot.Endpoint{"exact": test.endpoints}})
		c := w.dialFor("db.example", roots)
		if err := c.Handshake(); err == nil {
			t.Errorf("%s: the handshake succeeded", test.want)
		}
		c.Close()
		if h := w.handshake(); h.Result != outcome.Failed || h.Reason != test.want || h.Err == "" {
			t.Errorf("handshake = %+v, want failed, %s", h, test.want)
		}
	}
}

// TestRow64PassthroughIsNeverTerminated: a host that leaves, or a hello that the
// look ahead does not read, gets no certificate, not even the default one.
func TestRow64PassthroughIsNeverTerminated(t *testing.T) {
	endpoint, _, _ := database(t, nothing)
	w := newPassWorld(t, nil, endpoint)
	spec := *w.update.Spec
	spec.UnknownSNI, spec.DefaultCertificate = snapshot.UnknownSNIDefaultCert, spec.Hosts[2].TLS.Certificates[0]
	w.publish(snapshot.Update{Spec: &spec})
	c := w.dialFor("db.example", w.ca)
	// A warning before the hello: crypto/tls passes over it.
	fmt.Fprint(c.NetConn(), "\x15\x03\x01\x00\x02\x01\x5a")
	if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("Handshake() = %v, want unrecognized_name", err)
	}
	if h := w.handshake(); h.Result != outcome.Failed || h.Certificate != nil || h.Host != "db.example" {
		t.Errorf("handshake = %+v, want failed without a certificate", h)
	}
}

// TestRow64PassthroughEnds: after the idle time, and at the end of the drain, but
// not before.
func TestRow64PassthroughEnds(t *testing.T) {
	endpoint, roots, told := database(t, nothing)
	w := newPassWorld(t, func(cfg *dataplane.Config) { cfg.PassthroughIdleTimeout = 300 * time.Millisecond }, endpoint)
	c := w.dialFor("db.example", roots)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	<-told
	// A byte now and then keeps it: this direction alone is in use.
	r := bufio.NewReader(c)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 12 {
		<-tick.C
		fmt.Fprint(c, "x")
		if _, err := r.ReadByte(); err != nil {
			t.Fatalf("a connection in use ended: %v", err)
		}
	}
	idle := time.Now()
	if _, err := r.ReadByte(); err == nil {
		t.Error("an idle connection goes on")
	}
	if took := time.Since(idle); took < 290*time.Millisecond {
		t.Errorf("an idle connection ended after %v, want 300 ms", took)
	}
	w.handshake()

	w = newPassWorld(t, func(cfg *dataplane.Config) { cfg.DrainTimeout = 200 * time.Millisecond }, endpoint)
	c = w.dialFor("db.example", roots)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	<-told
	w.ended()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Read() after the drain = %v, want an error", err)
	}
	if h := w.handshake(); h.Result != outcome.Passthrough || h.Reason != outcome.Shutdown {
		t.Errorf("handshake = %s %s, want passthrough shutdown", h.Result, h.Reason)
	}
}
