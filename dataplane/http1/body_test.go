package http1

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func TestLimit(t *testing.T) {
	limited := func() *Server {
		return &Server{Handler: func(x *Exchange) {
			x.Limit(10, 0, 0)
			echo(x)
		}}
	}
	const tooLarge = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 14\r\nConnection: close\r\n\r\nbody_too_large"
	for _, test := range []struct{ rule, raw, want string }{
		{"length at the limit", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", ok200 + "Content-Length: 19\r\n\r\nPOST / a 0123456789"},
		{"length above it, before a byte of it", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", tooLarge},
		{"chunks at the limit", chunked + "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", ok200 + "Content-Length: 19\r\n\r\nPOST / a 0123456789"},
		{"chunks above it", chunked + "5\r\n01234\r\n6\r\n", tooLarge},
		{"one chunk above it", chunked + "7fffffffffffffff\r\n", tooLarge},
	} {
		t.Run(test.rule, func(t *testing.T) {
			c := talk(t, limited())
			c.send(test.raw)
			if test.want == tooLarge {
				c.wantEnd("refused", tooLarge)
				return
			}
			c.want("served", test.want)
		})
	}
}

// stream echoes the body as it comes, chunk by chunk.
func stream(x *Exchange) {
	_ = x.Head(&message.Response{Status: 200, Length: x.Request().Length})
	for {
		if !x.Body().Ready() {
			if x.Flush() != nil {
				return
			}
		}
		p, err := x.Body().Next()
		if err == io.EOF {
			_ = x.End(x.Body().Trailers())
			return
		}
		if err != nil || x.Write(p) != nil {
			return
		}
	}
}

// TestLargeBodies sends large bodies through both sides, over TCP (where writes
// are gathered) and over TLS, in pieces of every size.
func TestLargeBodies(t *testing.T) {
	sent := make([]byte, 3<<20+17)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(sent)
	for name, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){"TCP": tcpPair, "TLS": tlsPair} {
		for framing, length := range map[string]int64{"length": int64(len(sent)), "chunks": -1} {
			t.Run(name+" "+framing, func(t *testing.T) {
				client, server := pair(t)
				serveOn(t, server, &Server{Handler: stream})
				c := NewClientConn(client, nil)
				for range 2 {
					if got := roundTrip(t, c, length, sent); !bytes.Equal(got, sent) {
						t.Fatalf("got %d bytes, want the %d sent", len(got), len(sent))
					}
					if !c.Close() {
						t.Fatal("Close() = false")
					}
				}
				_ = client.Close()
			})
		}
	}
}

// roundTrip sends a body and reads the answer at the same time.
func roundTrip(t *testing.T, c *ClientConn, length int64, sent []byte) []byte {
	t.Helper()
	req := newRequest("POST")
	req.Length = length
	if err := c.Head(req); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		for i := 0; len(sent) > 0; i++ {
			n := min(len(sent), 1+i*i*37%100000)
			if err := c.Write(sent[:n]); err != nil {
				done <- err
				return
			}
			sent = sent[n:]
		}
		done <- c.End(nil)
	}()
	res, err := c.Response(nil)
	if err != nil || res.Status != 200 {
		t.Fatalf("Response = %+v, %v", res, err)
	}
	got, err := readAll(c.Body())
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	return []byte(got)
}

// TestHeadStaysValid reads a large body and looks at the head again: its views
// point to a buffer that nobody may use meanwhile.
func TestHeadStaysValid(t *testing.T) {
	c := talk(t, &Server{Handler: func(x *Exchange) {
		n := 0
		for {
			p, err := x.Body().Next()
			if err != nil {
				break
			}
			n += len(p)
		}
		r := x.Request()
		if string(r.Target) != "/target?q" || string(r.Authority) != "host" || string(r.Fields.Named("x-field")) != "value" || n != 1<<20 {
			t.Errorf("after %d bytes of body: %q %q %q", n, r.Target, r.Authority, r.Fields.Named("x-field"))
		}
		reply(x, &message.Response{Status: 200}, "ok")
	}})
	for range 2 {
		c.send("PUT /target?q HTTP/1.1\r\nHost: host\r\nX-Field: value\r\nContent-Length: 1048576\r\n\r\n")
		go func() { _, _ = io.WriteString(c.conn, strings.Repeat("x", 1<<20)) }()
		c.want("the answer", ok200+"Content-Length: 2\r\n\r\nok")
	}
}

// TestReady says when Next would not wait.
func TestReady(t *testing.T) {
	for _, test := range []struct {
		framing framing
		have    string
		want    bool
	}{
		{framedNone, "", true},
		{framedLength, "", false},
		{framedLength, "a", true},
		{framedClose, "", false},
		{framedClose, "a", true},
		{framedChunked, "", false},
		{framedChunked, "3", false},
		{framedChunked, "3\r\n", false},
		{framedChunked, "3\r\na", true},
		{framedChunked, "0\r\n", false},
		{framedChunked, "0\r\n\r\n", true},
		{framedChunked, "0\r\nA: b\r\n", false},
		{framedChunked, "0\r\nA: b\r\n\r\n", true},
		{framedChunked, "x\r\n", true},
	} {
		rd := &reader{buf: takeBuffer(smallSize)}
		rd.w = copy(rd.buf.b, test.have)
		var b body
		b.reset(rd, outcome.Downstream, 10)
		b.start(test.framing, 5)
		if got := b.Ready(); got != test.want {
			t.Errorf("framing %d with %q: Ready() = %v, want %v", test.framing, test.have, got, test.want)
		}
		rd.release()
	}
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var soon []bool
		asked := make(chan struct{})
		c := talk(t, &Server{Handler: func(x *Exchange) {
			b := x.Body().(interface{ Await(d time.Duration) bool })
			start := time.Now()
			soon = append(soon, b.Await(2*time.Millisecond))
			if took := time.Since(start); took != 2*time.Millisecond {
				t.Errorf("Await(2ms) took %v", took)
			}
			close(asked)
			soon = append(soon, b.Await(time.Hour))
			echo(x)
		}})
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
		<-asked
		c.send("hello")
		c.want("the body that came late", ok200+"Content-Length: 14\r\n\r\nPOST / a hello")
		if want := []bool{false, true}; !slices.Equal(soon, want) {
			t.Errorf("Await before and after the body came = %v, want %v", soon, want)
		}
	})
}
