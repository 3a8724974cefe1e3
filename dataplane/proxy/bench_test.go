package proxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// BenchmarkServe measures what the phases cost without the network: the engines on
// both sides answer at once.
func BenchmarkServe(b *testing.B) {
	p := memoryProxy(b)
	d := memoryRequest()
	b.ReportAllocs()
	for b.Loop() {
		p.Serve(d)
	}
}

// TestServeAllocates holds the ceiling for the phases alone.
func TestServeAllocates(t *testing.T) {
	p := memoryProxy(t)
	d := memoryRequest()
	p.Serve(d)
	if got := testing.AllocsPerRun(1000, func() { p.Serve(d) }); got >= 1 && !RaceEnabled {
		t.Errorf("%v allocations per exchange, want 0", got)
	}
}

func memoryProxy(tb testing.TB) *Proxy {
	return streamProxy(tb, func() upstream.Stream { return new(memoryStream) }, Config{})
}

// streamProxy returns a proxy whose endpoint is made of the streams given.
func streamProxy(tb testing.TB, stream func() upstream.Stream, cfg Config) *Proxy {
	set := upstream.New(upstream.Config{
		Stream: func(net.Conn) upstream.Stream { return stream() },
		Dial: func(context.Context, netip.AddrPort) (net.Conn, error) {
			c, other := net.Pipe()
			tb.Cleanup(func() { other.Close() })
			return c, nil
		},
	})
	tb.Cleanup(set.Close)
	var snap *snapshot.Snapshot
	cfg.Current, cfg.Upstreams = func() *snapshot.Snapshot { return snap }, set
	p := New(cfg)
	pool := &snapshot.Pool{ID: "pool"}
	set.Prepare([]*snapshot.Pool{pool}, map[string][]snapshot.Endpoint{
		"pool": {{Addr: netip.MustParseAddrPort("192.0.2.1:80")}},
	})
	var err error
	snap, err = snapshot.Compile(nil, &snapshot.Spec{
		Pools: []*snapshot.Pool{pool},
		Hosts: []*snapshot.Host{{
			Name:   "shop.example.com",
			Routes: []*snapshot.Route{{Path: "/shop", Kind: snapshot.Prefix, Pool: "pool"}},
		}},
	}, p.Bind)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func memoryRequest() *fakeDownstream {
	d := &fakeDownstream{
		quiet: true,
		conn:  &outcome.Conn{Remote: netip.MustParseAddrPort("192.0.2.7:1234"), Local: netip.MustParseAddrPort("192.0.2.1:8080")},
		req: &message.Request{
			Version: message.HTTP11, Method: "GET", Target: []byte("/shop/cart?id=7"),
			Path: []byte("/shop/cart"), Query: []byte("id=7"), HasQuery: true, Authority: []byte("shop.example.com"),
		},
	}
	for _, f := range [][2]string{
		{"Host", "shop.example.com"},
		{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"},
		{"Accept", "text/html,application/xhtml+xml"},
		{"Accept-Language", "en"},
		{"Accept-Encoding", "gzip, br"},
		{"Cookie", "session=0123456789abcdef"},
		{"Connection", "keep-alive"},
		{"X-Forwarded-For", "203.0.113.9"},
	} {
		d.req.Fields.AddName(f[0], f[1])
	}
	return d
}

// memoryStream is an endpoint that answers every request with 200 and no body.
type memoryStream struct{ res message.Response }

func (s *memoryStream) Response(func()) (*message.Response, error) {
	s.res.Reset()
	s.res.Status = 200
	s.res.Fields.Add(message.ContentType, "text/plain")
	s.res.Fields.Add(message.Server, "backend")
	s.res.Fields.Add(message.ContentLength, "0")
	return &s.res, nil
}

func (s *memoryStream) Head(*message.Request) error         { return nil }
func (s *memoryStream) Write([]byte) error                  { return nil }
func (s *memoryStream) Flush() error                        { return nil }
func (s *memoryStream) End(*message.Fields) error           { return nil }
func (s *memoryStream) Timeouts(_, _ time.Duration)         {}
func (s *memoryStream) Body() message.Body                  { return message.NoBody }
func (s *memoryStream) Tunnel() (io.ReadWriteCloser, error) { return nil, io.ErrUnexpectedEOF }
func (s *memoryStream) Interrupt()                          {}
func (s *memoryStream) Close() (reusable bool)              { return true }

// addEndpoint gives the pool of a streamProxy another endpoint.
func addEndpoint(p *Proxy, addr string) {
	p.upstreams.Prepare(nil, map[string][]snapshot.Endpoint{"pool": {
		{Addr: netip.MustParseAddrPort("192.0.2.1:80")}, {Addr: netip.MustParseAddrPort(addr)},
	}})
}
