package proxy_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/http1"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// patience bounds every wait of a test; it is met only by a test that fails.
const patience = 20 * time.Second

// A world is a proxy with a real engine on both sides, between real sockets.
type world struct {
	t         testing.TB
	addr      string
	proxy     *proxy.Proxy
	set       *upstream.Set
	server    *http1.Server
	outcomes  chan outcome.Request
	snap      atomic.Pointer[snapshot.Snapshot]
	dials     atomic.Int64
	endpoints []snapshot.Endpoint
}

// settings are what a test may want otherwise. The only route is "/".
type settings struct {
	policy   snapshot.Policy
	protocol snapshot.Protocol
	filters  []proxy.Filter
	// bodyTimeout and sendTimeout are the server's.
	bodyTimeout, sendTimeout time.Duration
	sink                     func(*outcome.Request)
	dial                     func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

func newWorld(t testing.TB, s settings, backends ...netip.AddrPort) *world {
	t.Helper()
	w := &world{t: t, outcomes: make(chan outcome.Request, 1000)}
	if s.dial == nil {
		s.dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
		}
	}
	w.set = upstream.New(upstream.Config{
		AllowLoopback: true,
		Dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			w.dials.Add(1)
			return s.dial(ctx, addr)
		},
	})
	sink := outcome.Sink{Request: w.record}
	if s.sink != nil {
		sink.Request = s.sink
	}
	w.proxy = proxy.New(proxy.Config{
		Current: w.snap.Load, Upstreams: w.set, Filters: s.filters, Sink: sink,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})

	pool := &snapshot.Pool{ID: "pool", Protocol: s.protocol}
	for _, b := range backends {
		w.endpoints = append(w.endpoints, snapshot.Endpoint{Addr: b})
	}
	w.set.Prepare([]*snapshot.Pool{pool}, map[string][]snapshot.Endpoint{"pool": w.endpoints})
	snap, err := snapshot.Compile(nil, &snapshot.Spec{
		Pools: []*snapshot.Pool{pool},
		Hosts: []*snapshot.Host{{Routes: []*snapshot.Route{{Path: "/", Kind: snapshot.Prefix, Pool: "pool", Policy: s.policy}}}},
	}, w.proxy.Bind)
	if err != nil {
		t.Fatal(err)
	}
	w.snap.Store(snap)

	ln := listen(t)
	w.addr = ln.Addr().String()
	w.server = &http1.Server{
		Handler:     func(x *http1.Exchange) { w.proxy.Serve(x) },
		BodyTimeout: s.bodyTimeout, SendTimeout: s.sendTimeout,
		HalfCloseTimeout: 100 * time.Millisecond,
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			info := &outcome.Conn{Listener: "http", Accepted: time.Now()}
			info.Remote = c.RemoteAddr().(*net.TCPAddr).AddrPort()
			info.Local = c.LocalAddr().(*net.TCPAddr).AddrPort()
			serving.Go(func() { w.server.Serve(c, info) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		w.proxy.Close()
		w.server.Close()
		serving.Wait()
		w.set.Close()
		if n := len(w.outcomes); n > 0 {
			o := <-w.outcomes
			t.Errorf("%d outcomes that the test did not expect, the first: %s %s %d %s", n, o.Method, o.Reason, o.Status, o.Err)
		}
	})
	return w
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// record keeps a copy that outlives the call.
func (w *world) record(o *outcome.Request) {
	c := *o
	c.ID, c.Host, c.Path, c.Target = clone(o.ID), clone(o.Host), clone(o.Path), clone(o.Target)
	w.outcomes <- c
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// outcome waits for the next outcome and checks its reason and status.
func (w *world) outcome(reason outcome.Reason, status int) outcome.Request {
	w.t.Helper()
	select {
	case o := <-w.outcomes:
		if o.Reason != reason || o.Status != status {
			w.t.Errorf("outcome = %s %d (%s: %s), want %s %d", o.Reason, o.Status, o.Side, o.Err, reason, status)
		}
		return o
	case <-time.After(patience):
		w.t.Fatalf("no outcome, want %s %d", reason, status)
	}
	return outcome.Request{}
}

// A peer is one end of a connection in the hands of a test.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func newPeer(t testing.TB, c net.Conn) *peer {
	_ = c.SetDeadline(time.Now().Add(patience))
	return &peer{t, c, bufio.NewReader(c)}
}

func (w *world) dial() *peer {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return newPeer(w.t, c)
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Errorf("send: %v", err)
	}
}

// until reads up to and with the text given.
func (p *peer) until(text string) string {
	p.t.Helper()
	var got strings.Builder
	for !strings.HasSuffix(got.String(), text) {
		b, err := p.r.ReadByte()
		if err != nil {
			p.t.Errorf("read %q, then %v; want %q", got.String(), err, text)
			break
		}
		got.WriteByte(b)
	}
	return got.String()
}

// request reads a request with its body; nil when the connection has ended.
func (p *peer) request() (*http.Request, string) {
	req, err := http.ReadRequest(p.r)
	if err != nil {
		return nil, ""
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		p.t.Errorf("backend: body: %v", err)
	}
	return req, string(body)
}

// response reads a response to a request of that method, with its body.
func (p *peer) response(method string) (*http.Response, string) {
	p.t.Helper()
	res, err := http.ReadResponse(p.r, &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("response: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatalf("response body: %v after %q", err, body)
	}
	return res, string(body)
}

// want reads a response and checks its status and body.
func (p *peer) want(method string, status int, body string) *http.Response {
	p.t.Helper()
	res, got := p.response(method)
	if res.StatusCode != status || got != body {
		p.t.Errorf("response %d %q, want %d %q", res.StatusCode, got, status, body)
	}
	return res
}

// wantEnd checks that the other side has closed.
func (p *peer) wantEnd() {
	p.t.Helper()
	if b, err := p.r.ReadByte(); err == nil {
		p.t.Errorf("got byte %q, want the end of the connection", b)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		p.t.Errorf("the connection is still open")
	}
}

// backend is a server whose every connection is served by script, with the
// number of the connection from 0.
func backend(t testing.TB, script func(p *peer, n int)) netip.AddrPort {
	t.Helper()
	ln := listen(t)
	var conns sync.WaitGroup
	conns.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				script(newPeer(t, c), n)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		conns.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// echo answers every request with its method, target and body.
func echo(p *peer, _ int) {
	for {
		req, body := p.request()
		if req == nil {
			return
		}
		answer := req.Method + " " + req.RequestURI + " " + body
		p.send("HTTP/1.1 200 OK\r\nContent-Length: " + itoa(len(answer)) + "\r\n\r\n" + answer)
	}
}

// nobody returns an address where nothing listens.
func nobody(t testing.TB) netip.AddrPort {
	t.Helper()
	ln := listen(t)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}
