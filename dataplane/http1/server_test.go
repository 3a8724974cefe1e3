package http1

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

const (
	hello  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nGET / a "
)

func TestKeepAlive(t *testing.T) {
	c := talk(t, &Server{})
	for range 3 {
		c.send(hello)
		c.want("an answer", answer)
	}
	c.hangUp()
	if c.info.Requests != 3 || c.info.Reason != outcome.OK {
		t.Errorf("Requests, Reason = %d, %q, want 3, ok", c.info.Requests, c.info.Reason)
	}
}

func TestPipelining(t *testing.T) {
	c := talk(t, &Server{})
	c.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=\"y\"\r\nde\r\n0\r\nA: b\r\n\r\n" +
		"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + hello)
	c.want("the first", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nPOST /1 a abc")
	c.want("the second, with its trailer", "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nPOST /2 a abcde A=b")
	c.wantEnd("the last", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nGET /3 a ")
}

// TestPipelineOfMany sends more than any buffer holds before it reads an answer.
func TestPipelineOfMany(t *testing.T) {
	c := talk(t, &Server{})
	const n = 3000
	go io.WriteString(c.conn, strings.Repeat("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"+strings.Repeat("x", 100), n))
	for i := range n {
		c.want(fmt.Sprint("answer ", i), "HTTP/1.1 200 OK\r\nContent-Length: 109\r\n\r\nPOST / a "+strings.Repeat("x", 100))
	}
}

// TestHalfClosed sends all requests, then closes the client's half.
func TestHalfClosed(t *testing.T) {
	for name, handler := range map[string]func(*Exchange){
		"at once": echo,
		"after the server saw it": func(x *Exchange) {
			gone := make(chan struct{})
			stop := x.Watch(func() { close(gone) })
			<-gone
			stop()
			echo(x)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := talk(t, &Server{Handler: handler, HalfCloseTimeout: time.Millisecond})
			c.send(hello + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
			_ = c.conn.(*memoryConn).CloseWrite()
			c.want("the first", answer)
			c.wantEnd("the second", ok200+"Content-Length: 12\r\n\r\nPOST / a abc")
		})
	}
}

func TestPersistence(t *testing.T) {
	for _, test := range []struct{ rule, fields, connection string }{
		{"HTTP/1.1 persists", "HTTP/1.1\r\nHost: a\r\n", ""},
		{"HTTP/1.1 with close ends", "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", "close"},
		{"close in a list ends", "HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n", "close"},
		{"close wins over keep-alive", "HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n", "close"},
		{"HTTP/1.0 ends", "HTTP/1.0\r\nHost: a\r\n", "close"},
		{"HTTP/1.0 with keep-alive persists", "HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n", "keep-alive"},
		{"Proxy-Connection means nothing", "HTTP/1.0\r\nHost: a\r\nProxy-Connection: keep-alive\r\n", "close"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			c := talk(t, &Server{})
			c.send("GET / " + test.fields + "\r\n")
			want := "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n"
			if test.connection != "" {
				want += "Connection: " + test.connection + "\r\n"
			}
			want += "\r\nGET / a "
			if test.connection == "close" {
				c.wantEnd("the only answer", want)
				return
			}
			c.want("the first answer", want)
			c.send(hello)
			c.want("the second answer", answer)
		})
	}
}

func TestMaxRequests(t *testing.T) {
	c := talk(t, &Server{MaxRequests: 2})
	c.send(hello + hello + hello)
	c.want("the first", answer)
	c.wantEnd("the last", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGET / a ")
}

// TestIdleHoldsNoBuffer counts the pooled buffers of a silent connection.
func TestIdleHoldsNoBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := leased.Load()
		c := talk(t, &Server{})
		c.send(hello)
		c.want("the answer", answer)
		time.Sleep(grace + time.Millisecond)
		synctest.Wait()
		if n := leased.Load() - before; n != 0 {
			t.Errorf("an idle connection holds %d buffers", n)
		}
		c.send(hello)
		c.want("an answer after that", answer)
	})
}

func TestShutdown(t *testing.T) {
	t.Run("an idle connection ends at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			c.send(hello)
			c.want("the answer", answer)
			synctest.Wait()
			start := time.Now()
			c.srv.Shutdown()
			c.wantEnd("then", "")
			<-c.done
			if time.Since(start) != 0 || c.info.Reason != outcome.Draining {
				t.Errorf("took %v, reason %q, want 0, draining", time.Since(start), c.info.Reason)
			}
		})
	})
	t.Run("one without a buffer too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			time.Sleep(10 * time.Second)
			c.srv.Shutdown()
			c.wantEnd("at once", "")
		})
	})
	t.Run("a new connection may send what is on its way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			synctest.Wait()
			c.srv.Shutdown()
			synctest.Wait()
			c.send(hello)
			c.wantEnd("the only answer", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGET / a ")
		})
	})
	t.Run("a request in flight is answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
			synctest.Wait()
			c.srv.Shutdown()
			c.send("abc")
			c.wantEnd("the last answer", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nPOST / a abc")
		})
	})
	t.Run("Close cuts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
			synctest.Wait()
			c.srv.Close()
			<-c.done
		})
	})
}

// TestClientLeaves ends the connection at every point of a request.
func TestClientLeaves(t *testing.T) {
	for _, test := range []struct {
		name, raw string
		exchanges int
		refusal   outcome.Reason
	}{
		{"before a request", "", 0, ""},
		{"between two", hello, 1, ""},
		{"within the request line", "GE", 1, outcome.ClientClosed},
		{"within the head", "GET / HTTP/1.1\r\nHost: a\r\n", 1, outcome.ClientClosed},
		{"within the body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", 1, ""},
		{"within a chunk", chunked + "3\r\nab", 1, ""},
		{"before the last chunk", chunked + "3\r\nabc\r\n", 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			var refusal outcome.Reason
			c := talk(t, &Server{Handler: func(x *Exchange) {
				n++
				if r := x.Refusal(); r != nil {
					refusal = r.Reason
					return
				}
				if strings.HasPrefix(test.name, "within the body") || strings.HasPrefix(test.raw, chunked) {
					if _, err := readAll(x.Body()); err.(*outcome.Error).Reason != outcome.ClientClosed {
						t.Errorf("Next = %v, want client_closed", err)
					}
				}
				echo(x)
			}})
			c.send(test.raw)
			_ = c.conn.(*memoryConn).CloseWrite()
			<-c.done
			if n != test.exchanges || refusal != test.refusal {
				t.Errorf("exchanges, refusal = %d, %q, want %d, %q", n, refusal, test.exchanges, test.refusal)
			}
		})
	}
}

// TestPanic lets the Handler panic: the panic is the caller's, the connection is
// closed.
func TestPanic(t *testing.T) {
	before := leased.Load()
	client, server := memoryPipe()
	recovered := make(chan any)
	go func() {
		defer func() { recovered <- recover() }()
		(&Server{Handler: func(*Exchange) { panic("oops") }}).Serve(server, new(outcome.Conn))
	}()
	_, _ = io.WriteString(client, hello)
	if got := <-recovered; got != "oops" {
		t.Errorf("recovered %v, want oops", got)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read = %v, want EOF", err)
	}
	// The buffers are left to the garbage collector on purpose.
	leased.Store(before)
}
