package features

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// once is a script whose first connection gets one request, is sent answer and
// then, when more was closed, what it returns; later connections are ordinary.
// closes says that the first connection is closed after the answer.
func once(answer string, closes bool) func(*originConn) {
	return func(c *originConn) {
		if c.n > 0 {
			answering(plainAnswer)(c)
			return
		}
		c.body(c.head())
		c.send(answer)
		if !closes {
			c.drain()
		}
	}
}

// healthy checks that a new client is answered, over a new connection to the
// origin, with nothing left over from the first.
func (w *wire) healthy() {
	w.t.Helper()
	c := w.dial()
	c.send(get("/healthy", "Connection: close\r\n"))
	if a := c.want("GET", 200); a.body != "ok" {
		w.t.Errorf("the next client gets %q, want ok", a.body)
	}
	c.closed()
	got := w.origin.got()
	if len(got) != 2 || strings.Contains(got[0], "/healthy") {
		w.t.Errorf("the origin got %q, want the second request on a connection of its own", got)
	}
}

// What an origin sends that is no valid answer is a 502 of our own, and its
// connection is not used again.
func TestWireInvalidAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct{ name, answer string }{
		{"CL and TE", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"TE and CL", ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
		{"CL twice", ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"},
		{"CL list", ok + "Content-Length: 2, 2\r\n\r\nok"},
		{"CL negative", ok + "Content-Length: -2\r\n\r\nok"},
		{"CL too large", ok + "Content-Length: 99999999999999999999\r\n\r\nok"},
		{"CL and TE in 204", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"TE xchunked", ok + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
		{"TE gzip, chunked", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
		{"TE twice", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"TE in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"status 099", "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n"},
		{"status 1000", "HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n"},
		{"status 20", "HTTP/1.1 20 X\r\nContent-Length: 0\r\n\r\n"},
		{"status -20", "HTTP/1.1 -20 X\r\nContent-Length: 0\r\n\r\n"},
		{"status 999", "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"},
		{"status 2 0", "HTTP/1.1 2 0 X\r\nContent-Length: 0\r\n\r\n"},
		{"two spaces before the status", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"no status", "HTTP/1.1\r\nContent-Length: 0\r\n\r\n"},
		{"HTTP/0.9", "<html>hello</html>\r\n"},
		{"HTTP/2", "HTTP/2 200 OK\r\n\r\n"},
		{"another protocol", "220 mail.example ESMTP\r\n"},
		{"an empty line first", "\r\n" + plainAnswer},
		{"NUL in a value", ok + "X: \x00\r\nContent-Length: 0\r\n\r\n"},
		{"NUL in the reason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n"},
		{"bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
		{"response splitting by a bare LF", ok + "X: a\nSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n"},
		{"response splitting by a bare CR", ok + "X: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n"},
		{"obs-fold", ok + "X: a\r\n b\r\nContent-Length: 0\r\n\r\n"},
		{"space before the colon", ok + "Content-Length : 0\r\n\r\n"},
		{"field without a colon", ok + "X\r\nContent-Length: 0\r\n\r\n"},
		{"101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"},
		{"interim response in HTTP/1.0", "HTTP/1.0 100 Continue\r\n\r\n" + plainAnswer},
		{"Connection that names Set-Cookie", ok + "Connection: Set-Cookie\r\nSet-Cookie: a\r\nContent-Length: 0\r\n\r\n"},
		{"interim responses without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, once(tt.answer, false))
			c := w.dial()
			c.send(get("/"))
			a := c.answer("GET")
			for a.err == nil && a.StatusCode == 103 {
				a = c.answer("GET")
			}
			if a.err != nil || a.StatusCode != 502 || a.Header.Get("Set-Cookie") != "" {
				t.Errorf("answer = %+v, want 502", a)
			}
			if o := w.outcome(); o != (told{outcome.UpstreamInvalid, outcome.Upstream, 502, 1, 0}) {
				t.Errorf("outcome = %+v, want upstream_invalid", o)
			}
			w.healthy()
		})
	}
}

// A head without bounds ends at the limit.
func TestWireHugeHeads(t *testing.T) {
	for _, tt := range []struct{ name, answer string }{
		{"one value", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 70000) + "\r\n\r\n"},
		{"the reason", "HTTP/1.1 200 " + strings.Repeat("a", 70000) + "\r\n\r\n"},
		{"many fields", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: a\r\n", 300) + "\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, once(tt.answer, false))
			c := w.dial()
			c.send(get("/"))
			c.want("GET", 502)
			if o := w.outcome(); o != (told{outcome.UpstreamHeadSize, outcome.Upstream, 502, 1, 0}) {
				t.Errorf("outcome = %+v, want upstream_head_too_large", o)
			}
			w.healthy()
		})
	}
}

// A head that does not come to its end is a 504, and the origin's connection ends.
func TestWireSlowHeads(t *testing.T) {
	for _, start := range []string{"", "H", "HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 103 Early Hints\r\n\r\n"} {
		t.Run(fmt.Sprintf("%.12q", start), func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{policy: snapshot.Policy{ReadTimeout: 300 * time.Millisecond}}, once(start, false))
			c := w.dial()
			c.send(get("/"))
			a := c.answer("GET")
			for a.err == nil && a.StatusCode == 103 {
				a = c.answer("GET")
			}
			if a.err != nil || a.StatusCode != 504 {
				t.Errorf("answer = %+v, want 504", a)
			}
			if o := w.outcome(); o != (told{outcome.UpstreamTimeout, outcome.Upstream, 504, 1, 0}) {
				t.Errorf("outcome = %+v, want upstream_timeout", o)
			}
			w.healthy()
		})
	}
}

// Bytes behind an answer reach nobody, and a connection that has them is not used
// again; nor is one that the origin wants to end.
func TestWireLeftovers(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	tests := []struct {
		name, method, answer string
		closes               bool
		status               int
		body                 string
	}{
		{"behind Content-Length", "GET", plainAnswer + evil, false, 200, "ok"},
		{"one byte behind Content-Length", "GET", plainAnswer + "x", false, 200, "ok"},
		{"behind chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + evil, false, 200, "ok"},
		{"behind an empty body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + evil, false, 200, ""},
		{"behind HEAD", "HEAD", plainAnswer, false, 200, ""},
		{"behind HEAD, chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, 200, ""},
		{"behind 204", "GET", "HTTP/1.1 204 No Content\r\n\r\n" + evil, false, 204, ""},
		{"behind 204 with Content-Length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", false, 204, ""},
		{"behind 304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", false, 304, ""},
		{"behind 304, chunked", "GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, 304, ""},
		{"Connection: close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false, 200, "ok"},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 200, "ok"},
		{"until the end of the connection", "GET", "HTTP/1.1 200 OK\r\n\r\nok" + evil, true, 200, "ok" + evil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, once(tt.answer, tt.closes))
			c := w.dial()
			c.send(request(tt.method, "/", "Connection: close\r\n"))
			if a := c.want(tt.method, tt.status); a.body != tt.body {
				t.Errorf("body = %q, want %q", a.body, tt.body)
			}
			c.closed()
			if o := w.outcome(); o != (told{outcome.OK, outcome.Internal, tt.status, 1, 0}) {
				t.Errorf("outcome = %+v, want ok", o)
			}
			w.healthy()
		})
	}
}

// The same for bytes that come while the connection is idle.
func TestWireLateLeftovers(t *testing.T) {
	for _, answer := range []string{
		plainAnswer,
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	} {
		t.Run(fmt.Sprintf("%.12q", answer[9:]), func(t *testing.T) {
			t.Parallel()
			late, sent := make(chan struct{}), make(chan struct{})
			w := newWire(t, wireOptions{}, func(c *originConn) {
				if c.n > 0 {
					answering(plainAnswer)(c)
					return
				}
				c.head()
				c.send(answer)
				<-late
				c.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
				close(sent)
				c.drain()
			})
			c := w.dial()
			c.send(get("/"))
			if a := c.answer("GET"); a.err != nil {
				t.Fatal(a.err)
			}
			w.outcome() // after which the connection is idle
			close(late)
			<-sent
			w.healthy()
		})
	}
}

// An answer that ends too early does not look complete to the client.
func TestWireCutAnswers(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := []struct {
		name, answer string
		reason       outcome.Reason
	}{
		{"in Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", outcome.UpstreamCut},
		{"before the first byte of Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", outcome.UpstreamCut},
		{"before the first chunk", chunked, outcome.UpstreamCut},
		{"in a size", chunked + "5\r\nhello\r\n1", outcome.UpstreamCut},
		{"in a chunk", chunked + "a\r\nhello", outcome.UpstreamCut},
		{"behind a chunk", chunked + "5\r\nhello\r\n", outcome.UpstreamCut},
		{"in the last chunk", chunked + "5\r\nhello\r\n0\r\n", outcome.UpstreamCut},
		{"in the trailers", chunked + "5\r\nhello\r\n0\r\nX: 1\r\n", outcome.UpstreamCut},
		{"malformed size", chunked + "5\r\nhello\r\nzz\r\n", outcome.UpstreamInvalid},
		{"chunk that goes on", chunked + "5\r\nhello!\r\n0\r\n\r\n", outcome.UpstreamInvalid},
		{"malformed trailer", chunked + "5\r\nhello\r\n0\r\nX : 1\r\n\r\n", outcome.UpstreamInvalid},
	}
	for _, tt := range tests {
		for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
			t.Run(tt.name+" "+version, func(t *testing.T) {
				t.Parallel()
				w := newWire(t, wireOptions{}, once(tt.answer, true))
				c := w.dial()
				c.send(strings.Replace(get("/"), "HTTP/1.1", version, 1))
				if a := c.answer("GET"); a.err == nil {
					t.Errorf("answer = %d %q, complete", a.StatusCode, a.body)
				}
				if o := w.outcome(); o != (told{tt.reason, outcome.Upstream, 200, 1, 0}) {
					t.Errorf("outcome = %+v, want %s", o, tt.reason)
				}
				w.healthy()
			})
		}
	}
}

// An answer goes to the client as it is: fields in their order and case, less
// those of the hop, with the framing that the client's version needs.
func TestWireAnswers(t *testing.T) {
	const date = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
	const v10, keep10 = "HTTP/1.0", "Connection: keep-alive\r\n"
	tests := []struct{ name, version, fields, answer, want string }{{
		name:   "fields as they are",
		answer: "HTTP/1.1 200 Fine, thanks\r\nb: 2\r\n" + date + "Set-Cookie: a\r\nSet-Cookie: b\r\nX-Empty:\r\nContent-length: 2\r\nKeep-Alive: timeout=5\r\nX_Y: 1\r\n\r\nok",
		want:   "HTTP/1.1 200 Fine, thanks\r\nb: 2\r\n" + date + "Set-Cookie: a\r\nSet-Cookie: b\r\nX-Empty: \r\nX_Y: 1\r\nContent-Length: 2\r\n\r\nok",
	}, {
		name:   "fields that Connection names end here",
		answer: "HTTP/1.1 200 OK\r\n" + date + "Connection: x-hop, close\r\nX-Hop: 1\r\nUpgrade: h2\r\nContent-Length: 2\r\n\r\nok",
		want:   "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\n\r\nok",
	}, {
		name:   "no reason phrase becomes the standard one",
		answer: "HTTP/1.1 404\r\n" + date + "Content-Length: 0\r\n\r\n",
		want:   "HTTP/1.1 404 Not Found\r\n" + date + "Content-Length: 0\r\n\r\n",
	}, {
		name:   "chunks and trailers",
		answer: "HTTP/1.1 200 OK\r\n" + date + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n02;x=y\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: evil\r\n\r\n",
		want:   "HTTP/1.1 200 OK\r\n" + date + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
	}, {
		name: "chunks to HTTP/1.0 end with the connection", version: v10, fields: keep10,
		answer: "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
		want:   "HTTP/1.1 200 OK\r\n" + date + "Connection: close\r\n\r\nok",
	}, {
		name: "Content-Length to HTTP/1.0", version: v10,
		answer: "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\n\r\nok",
		want:   "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\nConnection: close\r\n\r\nok",
	}, {
		name: "no interim response to HTTP/1.0", version: v10, fields: "Expect: 100-continue\r\n",
		answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\n\r\nok",
		want:   "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\nConnection: close\r\n\r\nok",
	}, {
		name:   "interim responses, but 100 for those who asked only",
		answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nContent-Length: 5\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\n\r\nok",
		want:   "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\n\r\nok",
	}, {
		name:   "204 is not framed",
		answer: "HTTP/1.1 204 No Content\r\n" + date + "Content-Length: 0\r\n\r\n",
		want:   "HTTP/1.1 204 No Content\r\n" + date + "\r\n",
	}, {
		name:   "426 keeps its Upgrade",
		answer: "HTTP/1.1 426 Upgrade Required\r\n" + date + "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\nContent-Length: 0\r\n\r\n",
		want:   "HTTP/1.1 426 Upgrade Required\r\n" + date + "Upgrade: TLS/1.2\r\nContent-Length: 0\r\nConnection: Upgrade\r\n\r\n",
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, answering(tt.answer))
			c := w.dial()
			in := get("/", tt.fields)
			if tt.version != "" {
				in = strings.Replace(in, "HTTP/1.1", tt.version, 1)
			}
			c.send(in)
			// The answer to a request that cannot be served marks the end of the
			// one that is looked at.
			if tt.version == "" {
				c.send("\x00\r\n\r\n")
			}
			got, err := c.rest()
			if err != nil {
				t.Errorf("the connection ends with %v", err)
			}
			got, _, _ = strings.Cut(got, "HTTP/1.1 400")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the client got (-want +got):\n%s", diff)
			}
		})
	}
}
