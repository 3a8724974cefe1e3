package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// newIdleSet returns a Set and a pool whose connections are real and carry nothing.
func newIdleSet(t testing.TB, endpoints int) (*Set, *Pool) {
	t.Helper()
	s := newSet(t, func(c *Config) { c.Stream = func(net.Conn) Stream { return new(idleStream) } })
	var l []netip.AddrPort
	for range endpoints {
		l = append(l, newServer(t, nil).addr)
	}
	return s, newPoolOf(t, s, l...)
}

func TestReuseAllocatesNothing(t *testing.T) {
	_, p := newIdleSet(t, 2)
	tried := []netip.AddrPort{p.Endpoints()[0].Addr}
	ctx := t.Context()
	once := func() {
		e, err := p.Pick(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.Get(ctx, e, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Pick(ctx, tried); err != nil {
			t.Fatal(err)
		}
		c.Done()
	}
	once()
	once()
	if got := testing.AllocsPerRun(200, once); got != 0 {
		t.Errorf("Pick, Get, Done of a kept connection: %v allocations, want 0", got)
	}
}

func BenchmarkPick(b *testing.B) {
	p := newPoolOf(b, newSet(b, nil), addrs(10)...)
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.Pick(ctx, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReuse is what a request costs here: pick, check out, probe, put back.
func BenchmarkReuse(b *testing.B) {
	bench := func(b *testing.B, p *Pool) {
		ctx := context.Background()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				e, _ := p.Pick(ctx, nil)
				c, err := p.Get(ctx, e, time.Minute)
				if err != nil {
					b.Fatal(err)
				}
				c.Done()
			}
		})
	}
	b.Run("endpoints=1", func(b *testing.B) {
		_, p := newIdleSet(b, 1)
		bench(b, p)
	})
	b.Run("endpoints=10", func(b *testing.B) {
		_, p := newIdleSet(b, 10)
		bench(b, p)
	})
	// Without the probe's system call: the pool alone.
	b.Run("unprobed", func(b *testing.B) {
		s := newSet(b, func(c *Config) {
			c.Stream = func(net.Conn) Stream { return new(idleStream) }
			c.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
				openConns.Add(1)
				ours, _ := net.Pipe()
				return &pipeConn{countedConn{Conn: ours}}, nil
			}
		})
		bench(b, newPoolOf(b, s, addrs(1)...))
	})
}

// BenchmarkExchange compares whole exchanges over kept connections with those of
// net/http, whose pool cannot be called by itself. The server's share is the same.
func BenchmarkExchange(b *testing.B) {
	srv := newServer(b, helloHTTP)
	b.Run("upstream", func(b *testing.B) {
		p := newPoolOf(b, newSet(b, func(c *Config) { c.Stream = nil }), srv.addr)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			req := newRequest("a.example")
			for pb.Next() {
				if err := fetch(b.Context(), p, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("net/http", func(b *testing.B) {
		tr := &http.Transport{MaxIdleConnsPerHost: 256}
		b.Cleanup(tr.CloseIdleConnections)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			req, err := http.NewRequestWithContext(b.Context(), "GET", "http://"+srv.addr.String(), nil)
			if err != nil {
				b.Fatal(err)
			}
			for pb.Next() {
				res, err := tr.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					b.Fatal(err)
				}
				res.Body.Close()
			}
		})
	})
}

// helloHTTP answers the empty line at the end of a request head.
func helloHTTP(line []byte) string {
	if len(line) > 2 {
		return ""
	}
	return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
}

// BenchmarkPublish is what a publish costs here that changes one pool of 10,000.
func BenchmarkPublish(b *testing.B) {
	specs := make([]*snapshot.Pool, 10_000)
	endpoints := make(map[string][]snapshot.Endpoint, len(specs))
	for i := range specs {
		specs[i] = &snapshot.Pool{ID: "shop/web-" + strconv.Itoa(i) + ":80"}
		endpoints[specs[i].ID] = list(addrs(3)...)
	}
	s := newSet(b, nil)
	s.Prepare(specs, endpoints)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id := specs[i%len(specs)].ID
		s.Prepare(specs, map[string][]snapshot.Endpoint{id: list(addrs(2 + i%2)...)})
		s.Retain(specs)
	}
}
