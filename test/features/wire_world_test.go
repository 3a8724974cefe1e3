package features

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// wirePatience bounds every wait of a wire test; only a test that fails meets it.
const wirePatience = 10 * time.Second

// A wire is a running data plane between raw clients and an origin that records
// every byte it gets.
type wire struct {
	t        *testing.T
	front    string
	origin   *origin
	outcomes chan told
}

// told is what a wire test looks at in the outcome of a request.
type told struct {
	reason   outcome.Reason
	side     outcome.Side
	status   int
	attempts int
	dropped  int
}

// wireOptions are how a wire differs from the usual one.
type wireOptions struct {
	policy  snapshot.Policy
	trusted []netip.Prefix
	// path is of the one route; "" means "/".
	path string
	// halfClose is the time given to clients that have closed their half; 0 means 50 ms.
	halfClose time.Duration
}

// newWire starts a data plane for the host a.example, and an origin that runs
// script on each connection.
func newWire(t *testing.T, o wireOptions, script func(*originConn)) *wire {
	t.Helper()
	w := &wire{t: t, origin: newOrigin(t, script), outcomes: make(chan told, 1024)}
	d, err := dataplane.New(dataplane.Config{
		HTTPAddr: "127.0.0.1:0", AllowLoopback: true,
		Logger: slog.New(slog.DiscardHandler),
		Sink: outcome.Sink{Request: func(r *outcome.Request) {
			w.outcomes <- told{r.Reason, r.Side, r.Status, r.Attempts, r.FieldsDropped}
		}},
		DrainTimeout:     time.Millisecond,
		HalfCloseTimeout: cmp.Or(o.halfClose, 50*time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	if o.path == "" {
		o.path = "/"
	}
	err = d.Publish(snapshot.Update{
		Spec: &snapshot.Spec{
			Hosts: []*snapshot.Host{{Name: "a.example", Routes: []*snapshot.Route{{
				Path: o.path, Kind: snapshot.Prefix, Pool: "origin", Policy: o.policy,
			}}}},
			Pools:        []*snapshot.Pool{{ID: "origin"}},
			TrustedCIDRs: o.trusted,
		},
		Endpoints: map[string][]snapshot.Endpoint{"origin": {{Addr: w.origin.addr}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.front = d.Addr("http").String()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
		w.origin.close()
	})
	return w
}

// outcome returns the outcome of the next request to end.
func (w *wire) outcome() told {
	w.t.Helper()
	select {
	case o := <-w.outcomes:
		return o
	case <-time.After(wirePatience):
		w.t.Fatal("no outcome of a request")
		return told{}
	}
}

// quiet checks that no outcome is there that nobody expects.
func (w *wire) quiet() {
	w.t.Helper()
	select {
	case o := <-w.outcomes:
		w.t.Errorf("one more outcome: %+v", o)
	default:
	}
}

// added are the fields that every endpoint gets besides those of the client, in
// their order, for a request that names its own ID.
func (w *wire) added(host string) string {
	_, port, _ := net.SplitHostPort(w.front)
	return strings.NewReplacer("HOST", host, "PORT", port).Replace("X-Request-ID: id\r\nX-Real-IP: 127.0.0.1\r\n" +
		"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: HOST\r\nX-Forwarded-Port: PORT\r\nX-Forwarded-Proto: http\r\n" +
		"X-Forwarded-Scheme: http\r\nX-Scheme: http\r\nX-Original-Host: HOST\r\n")
}

// An origin is a TCP server that keeps what it got, by connection.
type origin struct {
	t    *testing.T
	ln   net.Listener
	addr netip.AddrPort
	wg   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns []*originConn
}

func newOrigin(t *testing.T, script func(*originConn)) *origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{t: t, ln: ln, addr: netip.MustParseAddrPort(ln.Addr().String())}
	o.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			c := &originConn{Conn: nc, o: o, ended: make(chan struct{})}
			c.r = bufio.NewReader(io.TeeReader(nc, c))
			o.mu.Lock()
			c.n = len(o.conns)
			o.conns = append(o.conns, c)
			o.mu.Unlock()
			o.wg.Go(func() {
				defer close(c.ended)
				defer nc.Close()
				script(c)
			})
		}
	})
	return o
}

func (o *origin) close() {
	o.ln.Close()
	o.mu.Lock()
	for _, c := range o.conns {
		c.Conn.Close()
	}
	o.mu.Unlock()
	o.wg.Wait()
}

// got returns what came over each connection so far.
func (o *origin) got() (all []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.conns {
		all = append(all, string(c.bytes))
	}
	return all
}

// conn returns a connection by its number.
func (o *origin) conn(n int) *originConn {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns[n]
}

// An originConn is a connection to the origin.
type originConn struct {
	net.Conn
	o *origin
	// n counts the connections.
	n     int
	r     *bufio.Reader
	bytes []byte // guarded by o.mu
	ended chan struct{}
}

// Write of what is read, for the recording reader. What is sent goes by send.
func (c *originConn) Write(p []byte) (int, error) {
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	c.bytes = append(c.bytes, p...)
	return len(p), nil
}

func (c *originConn) send(s string) { _, _ = io.WriteString(c.Conn, s) }

// head reads a request head; "" when the connection ends before.
func (c *originConn) head() string {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return ""
		}
		if line == "\r\n" {
			return b.String()
		}
	}
}

// body reads the body of a request, as its head frames it, and returns it as it
// came.
func (c *originConn) body(head string) string {
	lower := strings.ToLower(head)
	if strings.Contains(lower, "\r\ntransfer-encoding: chunked\r\n") {
		var b strings.Builder
		for {
			line, err := c.r.ReadString('\n')
			b.WriteString(line)
			size, _ := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
			if err != nil {
				return b.String()
			}
			if size == 0 {
				b.WriteString(c.head()) // the trailer section looks like one
				return b.String()
			}
			p := make([]byte, size+2)
			_, _ = io.ReadFull(c.r, p)
			b.Write(p)
		}
	}
	_, rest, ok := strings.Cut(lower, "\r\ncontent-length: ")
	if !ok {
		return ""
	}
	digits, _, _ := strings.Cut(rest, "\r\n")
	n, _ := strconv.Atoi(digits)
	p := make([]byte, n)
	m, _ := io.ReadFull(c.r, p)
	return string(p[:m])
}

// drain reads to the end of the connection.
func (c *originConn) drain() { _, _ = io.Copy(io.Discard, c.r) }

// answering is a script that answers every request with the same bytes.
func answering(answer string) func(*originConn) {
	return func(c *originConn) {
		for {
			head := c.head()
			if head == "" {
				return
			}
			c.body(head)
			c.send(answer)
		}
	}
}

const plainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// A wireClient is one raw connection of a client.
type wireClient struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (w *wire) dial() *wireClient {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.front)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(wirePatience))
	w.t.Cleanup(func() { nc.Close() })
	return &wireClient{t: w.t, Conn: nc, r: bufio.NewReader(nc)}
}

func (c *wireClient) send(s string) { _, _ = io.WriteString(c.Conn, s) }

// An answer is a response as a strict client reads it. err says that it ended
// before it was complete.
type answer struct {
	*http.Response
	body string
	err  error
}

// answer reads the next response to a request by method.
func (c *wireClient) answer(method string) answer {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return answer{err: err}
	}
	b, err := io.ReadAll(res.Body)
	return answer{res, string(b), err}
}

// want reads the next response and checks status and completeness.
func (c *wireClient) want(method string, status int) answer {
	c.t.Helper()
	a := c.answer(method)
	if a.err != nil {
		c.t.Fatalf("answer: %v, want status %d", a.err, status)
	}
	if a.StatusCode != status {
		c.t.Fatalf("status = %d, want %d (%q)", a.StatusCode, status, a.body)
	}
	return a
}

// rest reads until the connection ends.
func (c *wireClient) rest() (string, error) {
	b, err := io.ReadAll(c.r)
	return string(b), err
}

// closed checks that the server has ended the connection with nothing more sent.
func (c *wireClient) closed() {
	c.t.Helper()
	b, err := c.rest()
	if b != "" {
		c.t.Errorf("after the answer came %q, want the end of the connection", b)
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		c.t.Error("the connection stays open")
	}
}

// get is the request of a client that names its own ID.
func get(path string, fields ...string) string { return request("GET", path, fields...) }

func request(method, path string, fields ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: a.example\r\nX-Request-ID: id\r\n%s\r\n", method, path, strings.Join(fields, ""))
}
