package features

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

const upgradeFields = "Connection: Upgrade\r\nUpgrade: websocket\r\n"

// silent checks that nothing more comes from c for a moment.
func (c *originConn) silent() {
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if b, err := c.r.Peek(1); err == nil {
		c.o.t.Errorf("the origin got %q before it had answered", b)
	}
	_ = c.SetReadDeadline(time.Time{})
}

// A tunnel begins with a real 101: what the client sends before goes through only
// then, and what the origin sends with it is the tunnel's.
func TestWireUpgrade(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%t", late), func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, func(c *originConn) {
				c.head()
				c.silent()
				if late { // when the client is being watched already
					c.silent()
					c.silent()
					c.silent()
					c.silent()
					c.silent()
				}
				c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nX: 1\r\n\r\nfirst")
				b, _ := io.ReadAll(c.r)
				c.send(string(b))
			})
			c := w.dial()
			c.send(get("/", upgradeFields) + "GET /smuggled HTTP/1.1\r\n\r\n")
			head, _ := c.r.ReadString('X')
			if want := "HTTP/1.1 101 Switching Protocols\r\nX"; head != want {
				t.Errorf("head = %q, want %q", head, want)
			}
			c.send("more")
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			got, err := c.rest()
			want := ": 1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\nfirstGET /smuggled HTTP/1.1\r\n\r\nmore"
			if got != want || err != nil {
				t.Errorf("tunnel = %q, %v, want %q", got, err, want)
			}
			if o := w.outcome(); o != (told{outcome.OK, outcome.Internal, 101, 1, 0}) {
				t.Errorf("outcome = %+v, want 101", o)
			}
			w.quiet()
			wantHead := "GET / HTTP/1.1\r\nHost: a.example\r\n" + upgradeFields + w.added("a.example") + "\r\n"
			if got := w.origin.got(); !strings.HasPrefix(got[0], wantHead) {
				t.Errorf("the origin got %q, want %q first", got[0], wantHead)
			}
		})
	}
}

// An upgrade that the origin does not follow is an ordinary exchange: what the
// client sent behind it is its next request, on the same connections.
func TestWireUpgradeRefused(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
	} {
		t.Run(answer[9:12], func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, answering(answer))
			c := w.dial()
			c.send(get("/", upgradeFields) + get("/next"))
			for range 2 {
				if a := c.answer("GET"); a.err != nil || a.body != "no" || fmt.Sprint(a.StatusCode) != answer[9:12] {
					t.Errorf("answer = %+v, want %.3s", a, answer[9:])
				}
			}
			want := []string{"GET / HTTP/1.1\r\nHost: a.example\r\n" + upgradeFields + w.added("a.example") + "\r\n" +
				"GET /next HTTP/1.1\r\nHost: a.example\r\n" + w.added("a.example") + "\r\n"}
			if diff := cmp.Diff(want, w.origin.got()); diff != "" {
				t.Errorf("the origin got (-want +got):\n%s", diff)
			}
		})
	}
}

// A 101 that is not the one asked for is no tunnel.
func TestWireUpgradeInvalid(t *testing.T) {
	for _, tt := range []struct{ name, request, answer string }{
		{"another protocol", get("/", upgradeFields), "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"},
		{"no protocol", get("/", upgradeFields), "HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n"},
		{"two protocols", get("/", upgradeFields), "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: other\r\nUpgrade: websocket\r\n\r\n"},
		{"Upgrade that is no option of Connection", get("/", "Upgrade: websocket\r\n"), "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n"},
		{"HTTP/1.0 client", strings.Replace(get("/", upgradeFields), "1.1", "1.0", 1), "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"request with a body", request("POST", "/", upgradeFields, "Content-Length: 1\r\n") + "a", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"h2c", get("/", "Connection: Upgrade\r\nUpgrade: h2c\r\n"), "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, once(tt.answer, false))
			c := w.dial()
			c.send(tt.request)
			c.want("GET", 502)
			if o := w.outcome(); o != (told{outcome.UpstreamInvalid, outcome.Upstream, 502, 1, 0}) {
				t.Errorf("outcome = %+v, want upstream_invalid", o)
			}
			w.healthy()
		})
	}
}

// The dialogue of a client that waits for 100 with an origin that may or may not
// send it.
func TestWireContinue(t *testing.T) {
	const fields = "Expect: 100-continue\r\nContent-Length: 5\r\n"
	head := func(w *wire) string {
		return "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n" + w.added("a.example") + "Content-Length: 5\r\n\r\n"
	}
	t.Run("the origin says 100", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, wireOptions{}, func(c *originConn) {
			for h := c.head(); h != ""; h = c.head() {
				c.silent()
				c.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
				c.body(h)
				c.send(plainAnswer)
			}
		})
		c := w.dial()
		for range 2 {
			c.send(request("POST", "/", fields))
			c.want("POST", 100)
			c.send("hello")
			c.want("POST", 200)
			w.outcome()
		}
		if diff := cmp.Diff([]string{strings.Repeat(head(w)+"hello", 2)}, w.origin.got()); diff != "" {
			t.Errorf("the origin got (-want +got):\n%s", diff)
		}
	})
	t.Run("the origin answers at once", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, wireOptions{}, func(c *originConn) {
			if c.n > 0 {
				answering(plainAnswer)(c)
				return
			}
			c.head()
			c.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
			c.drain()
		})
		c := w.dial()
		c.send(request("POST", "/", fields))
		if a := c.want("POST", 401); !a.Close || a.body != "no" {
			t.Errorf("answer = %+v, want one that ends the connection", a)
		}
		// A body that comes all the same is no request.
		c.send("GET /smuggled HTTP/1.1\r\n\r\n")
		c.closed()
		if o := w.outcome(); o != (told{outcome.OK, outcome.Internal, 401, 1, 0}) {
			t.Errorf("outcome = %+v, want 401", o)
		}
		w.healthy()
		if got := w.origin.got()[0]; got != head(w) {
			t.Errorf("the origin got %q, want %q", got, head(w))
		}
	})
	t.Run("the origin says nothing and the client goes on", func(t *testing.T) {
		t.Parallel()
		got := make(chan bool)
		w := newWire(t, wireOptions{}, func(c *originConn) {
			for h := c.head(); h != ""; h = c.head() {
				got <- true
				c.body(h)
				c.send(plainAnswer)
			}
		})
		c := w.dial()
		for range 2 {
			c.send(request("POST", "/", fields))
			<-got
			c.send("hello")
			if a := c.want("POST", 200); a.Close {
				t.Error("the connection ends without need")
			}
		}
		if diff := cmp.Diff([]string{strings.Repeat(head(w)+"hello", 2)}, w.origin.got()); diff != "" {
			t.Errorf("the origin got (-want +got):\n%s", diff)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, wireOptions{}, answering(plainAnswer))
		c := w.dial()
		c.send(strings.Replace(request("POST", "/", fields), "a.example", "b.example", 1))
		if a := c.want("POST", 404); !a.Close {
			t.Error("the answer does not say that the connection ends")
		}
		c.send("hello")
		c.closed()
	})
}

// A connection that ends although its client would have kept it ends in order: the
// request that is on its way meanwhile must not make the kernel reset it, or an
// answer that ends with the connection would look cut.
func TestWireOrderlyEnd(t *testing.T) {
	got, more := make(chan struct{}), make(chan struct{})
	w := newWire(t, wireOptions{}, func(c *originConn) {
		c.head()
		close(got)
		<-more
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
		c.drain()
	})
	c := w.dial()
	in := strings.Replace(get("/", "Connection: keep-alive\r\n"), "HTTP/1.1", "HTTP/1.0", 1)
	c.send(in)
	<-got
	c.send(in)
	close(more)
	if a := c.want("GET", 200); a.body != "ok" {
		t.Errorf("body = %q, want ok", a.body)
	}
	w.outcome()
	w.quiet()
}

// An origin that answers and takes no more of the request is heard to the end of its
// answer.
func TestWireAnswerWithoutReading(t *testing.T) {
	const send = 200 * time.Millisecond
	w := newWire(t, wireOptions{policy: snapshot.Policy{SendTimeout: send}}, func(c *originConn) {
		if c.n > 0 {
			answering(plainAnswer)(c)
			return
		}
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		c.head()
		c.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nno, ")
		<-time.After(6 * send)
		c.send("none")
		c.drain()
	})
	c := w.dial()
	c.send(request("POST", "/", "Content-Length: 100000000\r\n"))
	uploaded := make(chan struct{})
	go func() {
		defer close(uploaded)
		c.send(strings.Repeat("x", 100000000))
	}()
	if a := c.want("POST", 403); a.body != "no, none" || !a.Close {
		t.Errorf("answer = %+v, want all of one that ends the connection", a)
	}
	if o := w.outcome(); o != (told{outcome.OK, outcome.Internal, 403, 1, 0}) {
		t.Errorf("outcome = %+v, want ok", o)
	}
	c.Close()
	<-uploaded
	w.healthy()
}

// A body that is too large is refused; when it is more than anybody will read, the
// answer says that the connection ends.
func TestWireBodyLimit(t *testing.T) {
	for _, tt := range []struct {
		name, fields, body string
		status             int
		closes             bool
	}{
		{"as large as allowed", "Content-Length: 5\r\n", "hello", 200, false},
		{"a little too large", "Content-Length: 6\r\n", "hello!", 413, false},
		{"far too large", "Content-Length: 1000000\r\n", "", 413, true},
		{"chunks as large as allowed", "Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 200, false},
		{"chunks too large", "Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n3\r\nlo!\r\n0\r\n\r\n", 413, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{policy: snapshot.Policy{MaxBody: 5}}, answering(plainAnswer))
			c := w.dial()
			c.send(request("POST", "/", tt.fields) + tt.body)
			if a := c.want("POST", tt.status); a.Close != tt.closes {
				t.Errorf("the answer ends the connection: %t, want %t", a.Close, tt.closes)
			}
			if o := w.outcome(); o.status != tt.status {
				t.Errorf("outcome = %+v, want %d", o, tt.status)
			}
			if tt.closes {
				c.closed()
			} else {
				c.send(get("/"))
				c.want("GET", 200)
			}
			for _, got := range w.origin.got() {
				if tt.status == 413 && strings.Contains(got, "lo!") {
					t.Errorf("the origin got %q", got)
				}
			}
		})
	}
}

// A pipeline is answered in order, request by request, over one connection to the
// origin.
func TestWirePipeline(t *testing.T) {
	w := newWire(t, wireOptions{}, func(c *originConn) {
		for n := 0; ; n++ {
			head := c.head()
			if head == "" {
				return
			}
			line, _, _ := strings.Cut(head, "\r\n")
			text := line + " " + c.body(head)
			switch method, _, _ := strings.Cut(line, " "); {
			case method == "HEAD":
				c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(text)))
			case n%3 == 0:
				c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Sum: %d\r\n\r\n", len(text), text, n))
			default:
				c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
			}
		}
	})
	const requests = 50
	body := strings.Repeat("0123456789abcdef", 1500)
	var all strings.Builder
	var methods, want []string
	for i := range requests {
		path := fmt.Sprintf("/%d", i)
		line := path + " HTTP/1.1 "
		b := body[:i*i*9]
		switch i % 5 {
		case 0:
			methods, want = append(methods, "GET"), append(want, "GET "+line)
			all.WriteString(get(path))
		case 1:
			methods, want = append(methods, "POST"), append(want, "POST "+line+b)
			all.WriteString(request("POST", path, fmt.Sprintf("Content-Length: %d\r\n", len(b))) + b)
		case 2:
			methods = append(methods, "PUT")
			chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n", len(b), b)
			want = append(want, "PUT "+line+chunked)
			all.WriteString(request("PUT", path, "Transfer-Encoding: chunked\r\n") + chunked)
		case 3:
			methods, want = append(methods, "HEAD"), append(want, "")
			all.WriteString(request("HEAD", path))
		case 4:
			methods, want = append(methods, "POST"), append(want, "POST "+line+"0\r\n\r\n")
			all.WriteString(request("POST", path, "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n")
		}
	}
	c := w.dial()
	go c.send(all.String())
	for i, method := range methods {
		a := c.answer(method)
		if a.err != nil || a.StatusCode != 200 {
			t.Fatalf("answer %d = %+v, want 200", i, a)
		}
		got := a.body
		if i%5 == 2 { // whose chunks may be cut anew
			got, want[i] = unchunked(got), unchunked(want[i])
		}
		if got != want[i] {
			t.Fatalf("answer %d = %.100q, want %.100q", i, got, want[i])
		}
		if o := w.outcome(); o.reason != outcome.OK {
			t.Errorf("outcome %d = %+v, want ok", i, o)
		}
	}
	w.quiet()
	if got := len(w.origin.got()); got != 1 {
		t.Errorf("connections to the origin = %d, want 1", got)
	}
}

// unchunked returns a line, and the chunked body behind it as one chunk.
func unchunked(s string) string {
	line, chunks, _ := strings.Cut(s, " HTTP/1.1 ")
	var body strings.Builder
	for {
		size, rest, ok := strings.Cut(chunks, "\r\n")
		n := 0
		_, _ = fmt.Sscanf(size, "%x", &n)
		if n == 0 || !ok || len(rest) < n+2 {
			return line + " " + body.String() + " " + chunks
		}
		body.WriteString(rest[:n])
		chunks = rest[n+2:]
	}
}

// A client that leaves, wherever it is, ends in one outcome that says so; the
// connection to the origin ends with it.
func TestWireClientLeaves(t *testing.T) {
	const partial = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
	tests := []struct {
		name, in string
		// answer is what the origin sends at once; await what the client reads
		// before it leaves.
		answer, await string
		// reached says that the origin gets a connection, status what the outcome
		// has.
		reached bool
		status  int
	}{
		{"in the request line", "GE", "", "", false, 499},
		{"in the head", "GET / HTTP/1.1\r\nHost: a.example\r\nX", "", "", false, 499},
		{"while the origin thinks", get("/"), "", "", true, 499},
		{"while the origin thinks, with more in the pipeline", get("/") + get("/2"), "", "", true, 499},
		{"before the body", request("POST", "/", "Content-Length: 10\r\n"), "", "", true, 499},
		{"in the body", request("POST", "/", "Content-Length: 10\r\n") + "hello", "", "", true, 499},
		{"behind the body", request("POST", "/", "Content-Length: 5\r\n") + "hello", "", "", true, 499},
		{"in a chunk", request("POST", "/", "Transfer-Encoding: chunked\r\n") + "a\r\nhello", "", "", true, 499},
		{"between chunks", request("POST", "/", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n", "", "", true, 499},
		{"in the trailers", request("POST", "/", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\nX: 1\r\n", "", "", true, 499},
		{"while it waits for 100", request("POST", "/", "Expect: 100-continue\r\nContent-Length: 10\r\n"), "", "", true, 499},
		{"after 100", request("POST", "/", "Expect: 100-continue\r\nContent-Length: 10\r\n"), "HTTP/1.1 100 Continue\r\n\r\n", "\r\n\r\n", true, 499},
		{"after 103", get("/"), "HTTP/1.1 103 Early Hints\r\n\r\n", "\r\n\r\n", true, 499},
		{"in the answer", get("/"), partial, "hello", true, 200},
		{"in an answer in chunks", get("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello", true, 200},
		{"in the answer and its body", request("POST", "/", "Content-Length: 10\r\n") + "hel", partial, "hello", true, 200},
		{"while it waits for a tunnel", get("/", upgradeFields), "", "", true, 499},
	}
	for _, tt := range tests {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s reset=%t", tt.name, reset), func(t *testing.T) {
				t.Parallel()
				reached := make(chan bool, 1)
				w := newWire(t, wireOptions{}, func(c *originConn) {
					if c.n > 0 || !tt.reached {
						answering(plainAnswer)(c)
						return
					}
					c.head()
					reached <- true
					c.send(tt.answer)
					c.drain()
				})
				c := w.dial()
				c.send(tt.in)
				if tt.reached {
					<-reached
				}
				for got := ""; !strings.HasSuffix(got, tt.await); {
					b, err := c.r.ReadByte()
					if err != nil {
						t.Fatalf("read %q, then %v", got, err)
					}
					got += string(b)
				}
				if reset {
					_ = c.Conn.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
				if o := w.outcome(); o.reason != outcome.ClientClosed || o.side != outcome.Downstream || o.status != tt.status {
					t.Errorf("outcome = %+v, want client_closed, %d", o, tt.status)
				}
				if tt.reached {
					<-w.origin.conn(0).ended
					w.healthy()
					w.outcome()
				}
				w.quiet()
				for _, got := range w.origin.got() {
					if strings.Contains(got, "/2") {
						t.Errorf("the origin got %q of a client that was gone", got)
					}
				}
			})
		}
	}
}

// A client that closes its half behind its request, or behind all of its pipeline, and
// reads on gets its answers, however long the origin thinks.
func TestWireHalfClose(t *testing.T) {
	for _, tt := range []struct{ name, in string }{
		{"behind a head", get("/")},
		{"behind a body", request("POST", "/", "Content-Length: 5\r\n") + "hello"},
		{"behind chunks", request("POST", "/", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n"},
		{"behind a pipeline", get("/") + get("/2")},
		{"behind HTTP/1.0", strings.Replace(get("/"), "HTTP/1.1", "HTTP/1.0", 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{halfClose: time.Hour}, func(c *originConn) {
				for head := c.head(); head != ""; head = c.head() {
					c.body(head)
					<-time.After(400 * time.Millisecond) // until after the client is watched
					c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n")
					<-time.After(400 * time.Millisecond)
					c.send("1\r\nk\r\n0\r\n\r\n")
				}
			})
			c := w.dial()
			c.send(tt.in)
			if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			for range strings.Count(tt.in, "HTTP/1.") {
				if a := c.want("GET", 200); a.body != "ok" {
					t.Errorf("body = %q, want ok", a.body)
				}
				if o := w.outcome(); o != (told{outcome.OK, outcome.Internal, 200, 1, 0}) {
					t.Errorf("outcome = %+v, want ok", o)
				}
			}
			c.closed()
			w.quiet()
		})
	}
}

// A response that waits for a slow client is not a silent origin, also when the
// request's body was still under way as it began.
func TestWireSlowClientIsNotSilentOrigin(t *testing.T) {
	const size = 32 << 20
	body := strings.Repeat("x", size) // now: later it would be the silence of the origin
	w := newWire(t, wireOptions{policy: snapshot.Policy{ReadTimeout: 400 * time.Millisecond}}, func(c *originConn) {
		head := c.head()
		c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		c.body(head)
		c.send(body)
		c.drain()
	})
	c := w.dial()
	c.send(request("POST", "/", "Content-Length: 10\r\n") + "hello")
	if _, err := c.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	c.send("hello")
	// Long enough for the origin to be taken for silent several times over.
	pause := time.NewTimer(2 * time.Second)
	defer pause.Stop()
	select {
	case o := <-w.outcomes:
		t.Fatalf("outcome = %+v before the client had read anything", o)
	case <-pause.C:
	}
	if a := c.want("POST", 200); len(a.body) != size {
		t.Errorf("body = %d bytes, want %d", len(a.body), size)
	}
	if o := w.outcome(); o.reason != outcome.OK {
		t.Errorf("outcome = %+v, want ok", o)
	}
}
