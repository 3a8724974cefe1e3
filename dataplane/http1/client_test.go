package http1

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// newRequest returns a request for http://a/.
func newRequest(method string) *message.Request {
	r := &message.Request{Version: message.HTTP11, Method: method, Target: []byte("/"), Authority: []byte("a")}
	r.Fields.Add(message.Host, "a")
	return r
}

// TestClientAgainstServer lets both sides of this package speak to each other, on
// one connection.
func TestClientAgainstServer(t *testing.T) {
	d := talk(t, &Server{})
	c := NewClientConn(d.conn, nil)
	for range 3 {
		r := newRequest("POST")
		r.Length = -1
		if err := c.Head(r); err != nil {
			t.Fatal(err)
		}
		if err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		var trailers message.Fields
		trailers.AddName("A", "b")
		if err := c.End(&trailers); err != nil {
			t.Fatal(err)
		}
		res, err := c.Response(nil)
		if err != nil || res.Status != 200 || res.Length != 18 {
			t.Fatalf("Response() = %+v, %v, want 200 of 18 bytes", res, err)
		}
		if got, err := readAll(c.Body()); err != nil || got != "POST / a hello A=b" {
			t.Fatalf("body = %q, %v", got, err)
		}
		if !c.Close() {
			t.Fatal("Close() = false after a complete exchange")
		}
	}
}

// TestRequestOnTheWire says what an endpoint gets.
func TestRequestOnTheWire(t *testing.T) {
	for _, test := range []struct {
		rule string
		req  func(*message.Request)
		body string
		want string
	}{
		{"no body", func(r *message.Request) {}, "", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"fields in order and as they are", func(r *message.Request) { r.Fields.AddName("x-B", "1"); r.Fields.AddName("X-a", "\xff") }, "", "GET / HTTP/1.1\r\nHost: a\r\nx-B: 1\r\nX-a: \xff\r\n\r\n"},
		{"Host is added", func(r *message.Request) { r.Fields.Reset() }, "", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"length", func(r *message.Request) { r.Length = 3 }, "abc", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"},
		{"given framing does not count", func(r *message.Request) {
			r.Length = 3
			r.Fields.Add(message.ContentLength, "5")
			r.Fields.Add(message.TransferEncoding, "chunked")
		}, "abc", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"},
		{"chunks", func(r *message.Request) { r.Length = -1 }, "abc", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
		{"POST without a body", func(r *message.Request) { r.Method = "POST" }, "", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
		{"declared length of 0 is kept", func(r *message.Request) { r.Method = "DELETE"; r.Fields.Add(message.ContentLength, "0") }, "", "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
		{"large body", func(r *message.Request) { r.Length = 100000 }, strings.Repeat("x", 100000), "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000)},
		{"large chunk", func(r *message.Request) { r.Length = -1 }, strings.Repeat("x", 0x1234), "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1234\r\n" + strings.Repeat("x", 0x1234) + "\r\n0\r\n\r\n"},
		{"large head", func(r *message.Request) { r.Fields.AddName("X", strings.Repeat("y", 20000)) }, "", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 20000) + "\r\n\r\n"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			near, far := memoryPipe()
			c := NewClientConn(near, nil)
			req := newRequest("GET")
			test.req(req)
			if err := errors.Join(c.Head(req), c.Write([]byte(test.body)), c.End(nil)); err != nil {
				t.Fatal(err)
			}
			_ = near.CloseWrite()
			if got, err := io.ReadAll(far); err != nil || string(got) != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			c.Close()
		})
	}
}

// TestRequestNotSent lists what would split a message.
func TestRequestNotSent(t *testing.T) {
	for rule, spoil := range map[string]func(*message.Request){
		"target with a space":  func(r *message.Request) { r.Target = []byte("/ HTTP/1.1\r\nX: y") },
		"target empty":         func(r *message.Request) { r.Target = nil },
		"method with a space":  func(r *message.Request) { r.Method = "GET /x" },
		"value with CR LF":     func(r *message.Request) { r.Fields.AddName("X", "a\r\nY: b") },
		"value with NUL":       func(r *message.Request) { r.Fields.AddName("X", "a\x00") },
		"name with a space":    func(r *message.Request) { r.Fields.AddName("X Y", "a") },
		"name that is empty":   func(r *message.Request) { r.Fields.AddName("", "a") },
		"authority with CR LF": func(r *message.Request) { r.Fields.Reset(); r.Authority = []byte("a\r\nX: y") },
	} {
		t.Run(rule, func(t *testing.T) {
			c := NewClientConn(&scriptConn{step: 1}, nil)
			defer c.Close()
			req := newRequest("GET")
			spoil(req)
			e, ok := errors.AsType[*outcome.Error](c.Head(req))
			if !ok || e.Reason != outcome.InternalError {
				t.Errorf("Head = %v, want internal", e)
			}
		})
	}
}

// TestReuse says after what an attempt leaves the connection fit for another.
func TestReuse(t *testing.T) {
	answered := ok200 + "Content-Length: 3\r\n\r\nabc"
	for _, test := range []struct {
		rule string
		play func(c *ClientConn)
		want bool
	}{
		{"all done", func(c *ClientConn) {
			_ = c.End(nil)
			_, _ = c.Response(nil)
			_, _ = readAll(c.Body())
		}, true},
		{"last byte taken, end not seen", func(c *ClientConn) {
			_ = c.End(nil)
			_, _ = c.Response(nil)
			_, _ = c.Body().Next()
		}, true},
		{"nothing sent", func(c *ClientConn) {}, false},
		{"request not ended", func(c *ClientConn) {
			_ = c.Flush()
			_, _ = c.Response(nil)
			_, _ = readAll(c.Body())
		}, false},
		{"body not read", func(c *ClientConn) {
			_ = c.End(nil)
			_, _ = c.Response(nil)
		}, false},
		{"response not read", func(c *ClientConn) { _ = c.End(nil) }, false},
		{"interrupted", func(c *ClientConn) {
			_ = c.End(nil)
			_, _ = c.Response(nil)
			_, _ = readAll(c.Body())
			c.Interrupt()
		}, false},
		{"body interrupted", func(c *ClientConn) {
			_ = c.End(nil)
			_, _ = c.Response(nil)
			c.Body().Interrupt()
			if _, err := c.Body().Next(); err == nil {
				t.Error("Next after Interrupt = nil error")
			}
		}, false},
	} {
		t.Run(test.rule, func(t *testing.T) {
			near, far := memoryPipe()
			_, _ = io.WriteString(far, answered)
			c := NewClientConn(near, nil)
			if err := c.Head(newRequest("GET")); err != nil {
				t.Fatal(err)
			}
			test.play(c)
			if got := c.Close(); got != test.want {
				t.Errorf("Close() = %v, want %v", got, test.want)
			}
			if test.want {
				_ = near.Close()
				return
			}
			if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read after Close = %v, want a closed connection", err)
			}
		})
	}
}

func TestClientTimeouts(t *testing.T) {
	begin := func(t *testing.T) (*ClientConn, *memoryConn) {
		near, far := memoryPipe()
		c := NewClientConn(near, nil)
		c.Timeouts(5*time.Second, 8*time.Second)
		if err := c.Head(newRequest("GET")); err != nil {
			t.Fatal(err)
		}
		return c, far
	}
	check := func(t *testing.T, err error, reason outcome.Reason, start time.Time, after time.Duration) {
		t.Helper()
		e, ok := errors.AsType[*outcome.Error](err)
		if !ok || e.Reason != reason || e.Retry != outcome.RetryNo || time.Since(start) != after {
			t.Errorf("got %v after %v, want %s after %v", err, time.Since(start), reason, after)
		}
	}
	t.Run("head", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := begin(t)
			defer c.Close()
			_ = c.End(nil)
			start, waited := time.Now(), time.Duration(0)
			_, err := c.Response(func() { waited = time.Since(start) })
			check(t, err, outcome.UpstreamTimeout, start, 5*time.Second)
			if waited != 200*time.Millisecond {
				t.Errorf("waiting was called after %v, want 200ms", waited)
			}
		})
	})
	t.Run("head that stops", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, far := begin(t)
			defer c.Close()
			_ = c.End(nil)
			start := time.Now()
			go func() {
				time.Sleep(4 * time.Second)
				_, _ = io.WriteString(far, "HTTP/1.1 2")
			}()
			_, err := c.Response(nil)
			check(t, err, outcome.UpstreamTimeout, start, 9*time.Second)
		})
	})
	t.Run("head that drips", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, far := begin(t)
			defer c.Close()
			_ = c.End(nil)
			start, waited := time.Now(), time.Duration(0)
			go func() {
				for _, b := range ok200 + "Content-Length: 0\r\n\r\n" {
					time.Sleep(150 * time.Millisecond)
					_, _ = io.WriteString(far, string(b))
				}
			}()
			if _, err := c.Response(func() { waited = time.Since(start) }); err != nil {
				t.Fatal(err)
			}
			if waited != 200*time.Millisecond {
				t.Errorf("waiting was called after %v, want 200ms", waited)
			}
		})
	})
	t.Run("body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, far := begin(t)
			defer c.Close()
			_ = c.End(nil)
			_, _ = io.WriteString(far, ok200+"Content-Length: 3\r\n\r\nab")
			calls, waited := 0, time.Time{}
			if _, err := c.Response(func() { calls, waited = calls+1, time.Now() }); err != nil || calls != 0 {
				t.Fatalf("Response = %v, waiting called %d times", err, calls)
			}
			start := time.Now()
			_, err := readAll(c.Body())
			check(t, err, outcome.UpstreamTimeout, start, 5*time.Second)
			if calls != 1 || waited.Sub(start) != 200*time.Millisecond {
				t.Errorf("waiting was called %d times, last after %v; want once, after 200ms", calls, waited.Sub(start))
			}
		})
	})
	t.Run("send", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, _ := memoryPipe()
			c := NewClientConn(near, nil)
			defer c.Close()
			c.Timeouts(0, 8*time.Second)
			req := newRequest("PUT")
			req.Length = 1 << 30
			err := c.Head(req)
			for err == nil {
				err = c.Write(make([]byte, 64<<10))
			}
			if e := err.(*outcome.Error); e.Reason != outcome.UpstreamSend || e.Retry != outcome.RetryNo {
				t.Errorf("Write = %v, want upstream_send", err)
			}
		})
	})
	t.Run("interrupt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := begin(t)
			defer c.Close()
			_ = c.End(nil)
			start := time.Now()
			time.AfterFunc(time.Second, c.Interrupt)
			_, err := c.Response(nil)
			check(t, err, outcome.ClientClosed, start, time.Second)
			_, err = c.Response(nil)
			check(t, err, outcome.ClientClosed, start, time.Second)
		})
	})
}

// TestRetryVerdicts says what is known when a kept connection turns out closed.
func TestRetryVerdicts(t *testing.T) {
	t.Run("nothing could be sent", func(t *testing.T) {
		near, far := memoryPipe()
		_ = far.Close()
		c := NewClientConn(near, nil)
		defer c.Close()
		_ = c.Head(newRequest("GET"))
		if e := c.End(nil).(*outcome.Error); e.Reason != outcome.UpstreamSend || e.Retry != outcome.RetryYes {
			t.Errorf("End = %v (retry %v), want upstream_send, retry yes", e, e.Retry)
		}
	})
	t.Run("reset before an answer", func(t *testing.T) {
		near, far := tcpPair(t)
		c := NewClientConn(near, nil)
		defer c.Close()
		_ = c.Head(newRequest("GET"))
		_ = c.End(nil)
		if _, err := io.ReadFull(far, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		cut(far, true)
		_, err := c.Response(nil)
		if e := err.(*outcome.Error); e.Reason != outcome.UpstreamReset || e.Retry != outcome.RetryIfReused {
			t.Errorf("Response = %v (retry %v), want upstream_reset, if reused", e, e.Retry)
		}
	})
}

func TestClientTunnel(t *testing.T) {
	near, far := memoryPipe()
	c := NewClientConn(near, nil)
	req := newRequest("GET")
	req.Fields.Add(message.Connection, "Upgrade")
	req.Fields.Add(message.Upgrade, "websocket")
	_ = c.Head(req)
	_ = c.End(nil)
	_, _ = io.WriteString(far, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nahead")
	if res, err := c.Response(nil); err != nil || res.Status != 101 {
		t.Fatalf("Response = %v, %v", res, err)
	}
	tunnel, err := c.Tunnel()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(tunnel, buf); err != nil || string(buf) != "ahead" {
		t.Errorf("Read = %q, %v, want what came with the head", buf, err)
	}
	if c.Close() {
		t.Error("Close() = true after a tunnel")
	}
	if _, err := tunnel.Read(buf); err == nil {
		t.Error("Close left the tunnel open")
	}
}
