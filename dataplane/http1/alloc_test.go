package http1

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// browser is the head of a usual request.
const browser = "GET /some/path/to/a/page?with=query HTTP/1.1\r\n" +
	"Host: www.example.com\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Connection: keep-alive\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef\r\n" +
	"Upgrade-Insecure-Requests: 1\r\n" +
	"Cache-Control: max-age=0\r\n\r\n"

// serveOn runs a server on conn until the test ends.
func serveOn(t testing.TB, conn net.Conn, srv *Server) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(conn, new(outcome.Conn))
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
}

// steady answers every request with 1 KiB and allocates nothing.
func steady() func(*Exchange) {
	page := make([]byte, 1<<10)
	res := &message.Response{Status: 200}
	return func(x *Exchange) {
		res.Fields.Reset()
		res.Fields.Add(message.ContentType, "text/html")
		res.Length = int64(len(page))
		for {
			if _, err := x.Body().Next(); err != nil {
				break
			}
		}
		_ = x.Head(res)
		_ = x.Write(page)
		_ = x.End(nil)
	}
}

// relay forwards every exchange to up, as a proxy does.
func relay(up *ClientConn) func(*Exchange) {
	return func(x *Exchange) {
		req := x.Request()
		req.Fields.StripHopByHop()
		req.Fields.Add(message.XForwardedProto, "http")
		if err := up.Head(req); err != nil {
			return
		}
		for {
			p, err := x.Body().Next()
			if err != nil {
				break
			}
			_ = up.Write(p)
		}
		_ = up.End(nil)
		res, err := up.Response(func() {})
		if err != nil {
			return
		}
		res.Fields.StripHopByHop()
		_ = x.Head(res)
		for {
			p, err := up.Body().Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
			_ = x.Write(p)
		}
		_ = x.End(up.Body().Trailers())
		up.Close()
	}
}

// exchanger returns a function that makes one raw exchange over conn.
func exchanger(t testing.TB, conn net.Conn, raw string) func() {
	request := []byte(raw)
	in := make([]byte, 64<<10)
	size := 0
	return func() {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		// The length of the first answer is that of all.
		if size == 0 {
			r := bufio.NewReaderSize(conn, len(in))
			for line, n := "", 0; line != "\r\n"; size += n {
				s, err := r.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				line, n = s, len(s)
			}
			size += 1 << 10
			if _, err := io.ReadFull(r, in[:1<<10]); err != nil {
				t.Fatal(err)
			}
			return
		}
		if _, err := io.ReadFull(conn, in[:size]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoAllocation holds a kept connection to 0 allocations per request.
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: the figures mean nothing")
		return
	}
	upload := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n" + string(make([]byte, 1024))
	chunks := chunked + "400\r\n" + string(make([]byte, 1024)) + "\r\n0\r\n\r\n"
	for name, raw := range map[string]string{"GET": browser, "upload": upload, "chunks": chunks} {
		t.Run("server "+name, func(t *testing.T) {
			client, server := tcpPair(t)
			defer client.Close()
			serveOn(t, server, &Server{Handler: steady()})
			atMost(t, 0, exchanger(t, client, raw))
		})
		t.Run("proxy "+name, func(t *testing.T) {
			client, server := tcpPair(t)
			near, far := tcpPair(t)
			defer client.Close()
			defer near.Close()
			serveOn(t, far, &Server{Handler: steady()})
			up := NewClientConn(near, nil)
			serveOn(t, server, &Server{Handler: relay(up)})
			atMost(t, 0, exchanger(t, client, raw))
		})
	}
	t.Run("TLS", func(t *testing.T) {
		client, server := tlsPair(t)
		defer client.Close()
		serveOn(t, server, &Server{Handler: steady()})
		// Both ends are crypto/tls here: one allocation per record read each.
		atMost(t, 2, exchanger(t, client, browser))
	})
}

func atMost(t *testing.T, max float64, f func()) {
	t.Helper()
	for range 100 {
		f()
	}
	if got := testing.AllocsPerRun(2000, f); got > max {
		t.Errorf("%v allocations per request, want at most %v", got, max)
	}
}

func BenchmarkParseRequest(b *testing.B) {
	var h requestHead
	var req message.Request
	buf := []byte(browser)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		h.reset(&req, DefaultMaxFields)
		if done, err := h.parse(buf); !done || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseResponse(b *testing.B) {
	var h responseHead
	var res message.Response
	buf := []byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 01 Mar 2026 03:05:06 GMT\r\n" +
		"Content-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n" +
		"Cache-Control: no-store\r\nETag: \"0123456789abcdef\"\r\nX-Frame-Options: DENY\r\n\r\n")
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		h.reset(&res, DefaultMaxFields)
		if done, err := h.parse(buf); !done || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkServer(b *testing.B) {
	client, server := tcpPair(b)
	defer client.Close()
	serveOn(b, server, &Server{Handler: steady()})
	f := exchanger(b, client, browser)
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

func BenchmarkProxy(b *testing.B) {
	client, server := tcpPair(b)
	near, far := tcpPair(b)
	defer client.Close()
	defer near.Close()
	serveOn(b, far, &Server{Handler: steady()})
	serveOn(b, server, &Server{Handler: relay(NewClientConn(near, nil))})
	f := exchanger(b, client, browser)
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}
