package listen

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// BenchmarkHandshake is a full handshake and four bytes each way, by a bare
// crypto/tls server and by a Listener. The client's share is in both.
func BenchmarkHandshake(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		ln := must(net.Listen("tcp", "127.0.0.1:0"))
		defer ln.Close()
		cfg := &tls.Config{
			Certificates: []tls.Certificate{*certificate("ec", ecKey(), "ec.example.com").TLS},
			NextProtos:   defaultNextProtos,
		}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					tc := tls.Server(c, cfg)
					defer tc.Close()
					_, _ = io.Copy(tc, tc)
				}()
			}
		}()
		benchVisits(b, ln.Addr().String())
	})
	b.Run("listen", func(b *testing.B) {
		w := newWorld(b, func(cfg *Config) { cfg.Sink = outcome.Sink{Handshake: func(*outcome.Handshake) {}} })
		benchVisits(b, w.l.Addr().String())
	})
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
