package listen

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// BenchmarkHandshake is a full handshake and four bytes each way, by a bare
// crypto/tls server and by a Listener. The client's share is in both.
func BenchmarkHandshake(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		benchVisits(b, bareServer(b, func(c net.Conn) {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}))
	})
	b.Run("listen", func(b *testing.B) {
		w := newWorld(b, func(cfg *Config) { cfg.Sink = outcome.Sink{Handshake: func(*outcome.Handshake) {}} })
		benchVisits(b, w.l.Addr().String())
	})
}

// bareServer is the least that serves TLS: handler gets the connection before its
// handshake.
func bareServer(b *testing.B, handler func(net.Conn)) (addr string) {
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	cfg := &tls.Config{
		Certificates: []tls.Certificate{*certificate("ec", ecKey(), "ec.example.com").TLS},
		NextProtos:   defaultNextProtos,
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { handler(tls.Server(c, cfg)) })
		}
	})
	b.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

func benchVisits(b *testing.B, addr string) {
	cfg := client("ec.example.com")
	b.ReportAllocs()
	for b.Loop() {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		tc := tls.Client(c, cfg)
		if err := ping(tc); err != nil {
			b.Fatal(err)
		}
		tc.Close()
	}
}

// BenchmarkIdle is what an idle TLS connection holds on the heap and in stacks,
// both ends of it: subtract what the bare server shows.
func BenchmarkIdle(b *testing.B) {
	idle := func(b *testing.B, addr string) {
		cfg := client("ec.example.com")
		before := collected()
		var open []net.Conn
		for b.Loop() {
			c := tls.Client(must(net.Dial("tcp", addr)), cfg)
			if err := ping(c); err != nil {
				b.Fatal(err)
			}
			open = append(open, c)
		}
		reportGrowth(b, before, len(open))
		for _, c := range open {
			c.Close()
		}
	}
	hold := func(c net.Conn) {
		defer c.Close()
		p := make([]byte, 4)
		for {
			n, err := c.Read(p)
			if err != nil {
				return
			}
			_, _ = c.Write(p[:n])
		}
	}
	b.Run("bare", func(b *testing.B) { idle(b, bareServer(b, hold)) })
	b.Run("listen", func(b *testing.B) {
		w := newWorld(b, func(cfg *Config) {
			cfg.Sink = outcome.Sink{}
			cfg.Handler = func(c net.Conn, _ *outcome.Conn) { hold(c) }
		})
		idle(b, w.l.Addr().String())
	})
}

// collected returns what memory is in use once the garbage is gone.
func collected() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// reportGrowth reports what each of conns connections has added since before.
func reportGrowth(b *testing.B, before runtime.MemStats, conns int) {
	after := collected()
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(conns), "heap-B/conn")
	b.ReportMetric(float64(after.StackInuse-before.StackInuse)/float64(conns), "stack-B/conn")
}

// BenchmarkSilent is what a TLS connection holds on which the client has sent
// nothing, the client's end included.
func BenchmarkSilent(b *testing.B) {
	w := newWorld(b, func(cfg *Config) { cfg.Sink = outcome.Sink{} })
	before, open := collected(), 0
	for b.Loop() {
		w.dial()
		open++
	}
	w.until(func() bool { return w.l.handshakes.Load() == int64(open) })
	reportGrowth(b, before, open)
}

// BenchmarkRead is what the connection adds to a read of a plain one.
func BenchmarkRead(b *testing.B) {
	client, server := net.Pipe()
	go func() {
		p := make([]byte, 1024)
		for {
			if _, err := client.Write(p); err != nil {
				return
			}
		}
	}()
	defer client.Close()
	l := newListener(Config{}.withDefaults(), &pipeListener{closed: make(chan struct{})})
	c := l.newConn(server)
	p := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Read(p); err != nil {
			b.Fatal(err)
		}
	}
}
