package proxy_test

import (
	"io"
	"net"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// rawEcho answers every request of a known length with the same response, and
// allocates nothing for it.
func rawEcho(t testing.TB, request int, response []byte) func(p *peer, _ int) {
	return func(p *peer, _ int) {
		buf := make([]byte, 4096)
		for got := 0; ; {
			n, err := p.Conn.Read(buf)
			if err != nil {
				return
			}
			if got += n; got > request {
				t.Errorf("request of %d bytes, want %d", got, request)
				return
			}
			if got == request {
				got = 0
				if _, err := p.Conn.Write(response); err != nil {
					return
				}
			}
		}
	}
}

// pingPong sends one request over c and reads its response of a known length.
func pingPong(t testing.TB, c net.Conn, request, buf []byte, response int) {
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf[:response]); err != nil {
		t.Fatal(err)
	}
}

var exchanges = []struct{ name, request, response string }{
	{
		"GET", "GET /shop/cart?id=7 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
	},
	{
		"POST", "POST /%73hop HTTP/1.1\r\nHost: Shop.Example.com\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	},
	{
		"POST chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	},
}

// steady returns a world in which one exchange after the other takes the same way,
// the client's connection, and the lengths of request and response at the ends.
func steady(t testing.TB, request, response string) (c net.Conn, length int) {
	// Learn how long the upstream's request and the client's response are.
	lengths := make(chan int, 1)
	probe := newWorld(t, settings{sink: func(*outcome.Request) {}, policy: snapshot.Policy{ReadTimeout: patience}}, backend(t, func(p *peer, _ int) {
		buf := make([]byte, 4096)
		n, _ := p.Conn.Read(buf)
		lengths <- n
		p.send(response)
		_, _ = p.Conn.Read(buf)
	}))
	pc := probe.dial()
	pc.send(request)
	buf := make([]byte, 4096)
	length, err := pc.Conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	pc.Close()

	w := newWorld(t, settings{sink: func(*outcome.Request) {}}, backend(t, rawEcho(t, <-lengths, []byte(response))))
	return w.dial().Conn, length
}

func TestAllocations(t *testing.T) {
	for _, tt := range exchanges {
		t.Run(tt.name, func(t *testing.T) {
			c, length := steady(t, tt.request, tt.response)
			request, buf := []byte(tt.request), make([]byte, 4096)
			for range 100 {
				pingPong(t, c, request, buf, length)
			}
			got := testing.AllocsPerRun(1000, func() { pingPong(t, c, request, buf, length) })
			if proxy.RaceEnabled {
				return // the detector allocates, and empties pools at random
			}
			if got != 0 {
				t.Errorf("%v allocations per exchange, want 0", got)
			}
		})
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, tt := range exchanges {
		b.Run(tt.name, func(b *testing.B) {
			c, length := steady(b, tt.request, tt.response)
			request, buf := []byte(tt.request), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				pingPong(b, c, request, buf, length)
			}
		})
	}
}
