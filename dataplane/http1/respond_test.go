package http1

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// answering returns a server that answers with status and length given and body
// in two pieces.
func answering(status int, length int64, body string) *Server {
	return &Server{Handler: func(x *Exchange) {
		_ = x.Head(&message.Response{Status: status, Length: length})
		_ = x.Write([]byte(body[:len(body)/2]))
		_ = x.Write([]byte(body[len(body)/2:]))
		var trailers message.Fields
		trailers.AddName("A", "b")
		trailers.Add(message.ContentLength, "7")
		_ = x.End(&trailers)
	}}
}

func TestResponseFraming(t *testing.T) {
	const (
		http10    = "GET / HTTP/1.0\r\nHost: a\r\n\r\n"
		keepAlive = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
		head      = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
	)
	for _, test := range []struct {
		rule    string
		request string
		srv     *Server
		want    string
		end     bool
	}{
		{"length", hello, answering(200, 4, "abcd"), ok200 + "Content-Length: 4\r\n\r\nabcd", false},
		{"chunks and trailers", hello, answering(200, -1, "abcd"), ok200 + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\nA: b\r\n\r\n", false},
		{"until close to HTTP/1.0", http10, answering(200, -1, "abcd"), ok200 + "Connection: close\r\n\r\nabcd", true},
		{"until close in spite of keep-alive", keepAlive, answering(200, -1, "abcd"), ok200 + "Connection: close\r\n\r\nabcd", true},
		{"length to HTTP/1.0 with keep-alive", keepAlive, answering(200, 4, "abcd"), ok200 + "Content-Length: 4\r\nConnection: keep-alive\r\n\r\nabcd", false},
		{"HEAD with a length", head, answering(200, 4, "abcd"), ok200 + "Content-Length: 4\r\n\r\n", false},
		{"HEAD without a length", head, answering(200, -1, "abcd"), ok200 + "\r\n", false},
		{"204 has no body", hello, answering(204, 4, "abcd"), "HTTP/1.1 204 No Content\r\n\r\n", false},
		{"304 with a length", hello, answering(304, 4, "abcd"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", false},
		{"304 without one", hello, answering(304, -1, ""), "HTTP/1.1 304 Not Modified\r\n\r\n", false},
		{"unknown status", hello, answering(299, 0, ""), "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", false},
	} {
		t.Run(test.rule, func(t *testing.T) {
			c := talk(t, test.srv)
			c.send(test.request)
			if test.end {
				c.wantEnd("the answer", test.want)
				return
			}
			c.want("the answer", test.want)
			c.send(test.request)
			c.want("the answer on the same connection", test.want)
		})
	}
}

// TestResponseFields says which fields are ours alone.
func TestResponseFields(t *testing.T) {
	c := talk(t, &Server{Handler: func(x *Exchange) {
		res := &message.Response{Status: 200, Reason: []byte("Fine"), Length: 2}
		for _, f := range []string{"Connection: x", "Content-Length: 9", "Transfer-Encoding: chunked", "Keep-Alive: 5", "X-a: b", "Date: then"} {
			name, value, _ := strings.Cut(f, ": ")
			res.Fields.AddName(name, value)
		}
		_ = x.Head(res)
		_ = x.Write([]byte("ok"))
		_ = x.End(nil)
	}})
	c.send(hello)
	c.want("given fields, but for framing", "HTTP/1.1 200 Fine\r\nX-a: b\r\nContent-Length: 2\r\n\r\nok")
}

// TestMisuse calls in the wrong order, or with what would split a message. The
// connection is cut where the client could believe in a whole answer.
func TestMisuse(t *testing.T) {
	field := func(name, value string) *message.Response {
		res := &message.Response{Status: 200}
		res.Fields.AddName(name, value)
		return res
	}
	for _, test := range []struct {
		rule string
		call func(x *Exchange) error
	}{
		{"body before the head", func(x *Exchange) error { return x.Write([]byte("a")) }},
		{"end before the head", func(x *Exchange) error { return x.End(nil) }},
		{"two heads", func(x *Exchange) error {
			_ = x.Head(&message.Response{Status: 200, Length: 1})
			return x.Head(&message.Response{Status: 200})
		}},
		{"interim response as the final one", func(x *Exchange) error { return x.Head(&message.Response{Status: 103}) }},
		{"final response as an interim one", func(x *Exchange) error { return x.Inform(&message.Response{Status: 200}) }},
		{"101 unasked", func(x *Exchange) error { return x.Head(&message.Response{Status: 101}) }},
		{"value with CR LF", func(x *Exchange) error { return x.Head(field("X", "a\r\nSet-Cookie: b")) }},
		{"name with a colon", func(x *Exchange) error { return x.Head(field("X: y\r\nZ", "a")) }},
		{"reason phrase with LF", func(x *Exchange) error { return x.Head(&message.Response{Status: 200, Reason: []byte("a\nb")}) }},
		{"body longer than its length", func(x *Exchange) error {
			_ = x.Head(&message.Response{Status: 200, Length: 1})
			return x.Write([]byte("ab"))
		}},
		{"body shorter than its length", func(x *Exchange) error {
			_ = x.Head(&message.Response{Status: 200, Length: 2})
			_ = x.Write([]byte("a"))
			return x.End(nil)
		}},
		{"tunnel without 101", func(x *Exchange) error {
			_, err := x.Tunnel()
			return err
		}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			c := talk(t, &Server{Handler: func(x *Exchange) {
				err := test.call(x)
				if e, ok := errors.AsType[*outcome.Error](err); !ok || e.Side != outcome.Internal {
					t.Errorf("got %v, want an internal error", err)
				}
			}})
			c.send(hello)
			if got, err := c.read(1 << 10); err == nil || strings.Contains(got, "\r\n\r\n") {
				t.Errorf("client got %q, %v, want a cut", got, err)
			}
		})
	}
}

// TestAbort cuts each kind of framing.
func TestAbort(t *testing.T) {
	for _, test := range []struct {
		rule    string
		request string
		length  int64
	}{
		{"length", hello, 10},
		{"chunks", hello, -1},
		{"until close", "GET / HTTP/1.0\r\n\r\n", -1},
	} {
		t.Run(test.rule, func(t *testing.T) {
			c := talk(t, &Server{Handler: func(x *Exchange) {
				_ = x.Head(&message.Response{Status: 200, Length: test.length})
				_ = x.Write([]byte("abc"))
				_ = x.Flush()
				x.Abort()
				if x.Write([]byte("d")) == nil || x.End(nil) == nil {
					t.Error("Write or End after Abort = nil")
				}
			}})
			c.send(test.request)
			got, err := c.read(1 << 10)
			if err == nil || !strings.Contains(got, "abc") || strings.HasSuffix(got, "0\r\n\r\n") {
				t.Errorf("client got %q, %v, want a part of the body", got, err)
			}
		})
	}
}

// TestAbortOverTLS cuts a body that only the end of the connection ends: the
// client must not take it for whole.
func TestAbortOverTLS(t *testing.T) {
	for name, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){"TCP": tcpPair, "TLS": tlsPair} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			defer client.Close()
			got := make(chan struct{})
			serveOn(t, server, &Server{Handler: func(x *Exchange) {
				_ = x.Head(&message.Response{Status: 200, Length: -1})
				_ = x.Write([]byte("abc"))
				_ = x.Flush()
				<-got
				x.Abort()
			}})
			if _, err := io.WriteString(client, "GET / HTTP/1.0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			close(got)
			if rest, err := io.ReadAll(client); err == nil {
				t.Errorf("read %q to a clean end", rest)
			}
		})
	}
}
