package dataplane_test

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A drainWorld has something of every kind under way when it is told to end.
type drainWorld struct {
	*passWorld
	roots *x509.CertPool
	// arrived is sent to by a handler that waits for finish to be closed.
	arrived, finish chan struct{}

	sinks sync.Mutex // guards what follows
	conns map[outcome.Reason]int
	cut   []outcome.Drain
}

func newDrainWorld(t *testing.T, timeout time.Duration) *drainWorld {
	t.Helper()
	w := &drainWorld{arrived: make(chan struct{}, 10), finish: make(chan struct{}), conns: make(map[outcome.Reason]int)}
	endpoint, roots, _ := database(t, nothing)
	w.roots = roots
	w.passWorld = newPassWorld(t, func(cfg *dataplane.Config) {
		cfg.DrainTimeout = timeout
		cfg.Sink.Conn = func(o *outcome.Conn) {
			w.sinks.Lock()
			defer w.sinks.Unlock()
			w.conns[o.Reason]++
		}
		cfg.Sink.Drain = func(o *outcome.Drain) { w.cut = append(w.cut, *o) }
	}, endpoint)
	wait := func(r *http.Request) {
		w.arrived <- struct{}{}
		select {
		case <-w.finish:
		case <-r.Context().Done():
		}
	}
	backend := serveBoth(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chat":
			upgradeEcho(rw, r)
		case "/wait":
			wait(r)
			fmt.Fprint(rw, "late")
		case "/half":
			rw.Header().Set("Content-Length", "9")
			fmt.Fprint(rw, "half")
			_ = http.NewResponseController(rw).Flush()
			wait(r)
			fmt.Fprint(rw, " full")
		case "/stream":
			rw.WriteHeader(200)
			_ = http.NewResponseController(rw).Flush()
			_, _ = io.Copy(flushing{rw}, r.Body)
		default:
			fmt.Fprint(rw, "at once")
		}
	})
	grpc, pool := host("grpc.example", snapshot.Policy{})
	pool.Protocol = snapshot.H2C
	spec := *w.update.Spec // what is published does not change
	spec.Hosts, spec.Pools = append(slices.Clone(spec.Hosts), grpc), append(slices.Clone(spec.Pools), pool)
	slices.SortFunc(spec.Hosts, func(a, b *snapshot.Host) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.Pools, func(a, b *snapshot.Pool) int { return cmp.Compare(a.ID, b.ID) })
	w.update.Spec = &spec
	w.update.Endpoints[pool.ID] = []snapshot.Endpoint{backend}
	w.update.Endpoints["pool-shop.example"] = []snapshot.Endpoint{backend}
	w.publish(w.update)
	return w
}

// flushing sends what is written at once.
type flushing struct{ http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	_ = http.NewResponseController(f.ResponseWriter).Flush()
	return n, err
}

// A client1 is a connection of HTTP/1.1.
type client1 struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (w *drainWorld) client1() *client1 {
	w.t.Helper()
	c, err := net.Dial("tcp", w.Addr("http").String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client1{Conn: c, t: w.t, r: bufio.NewReader(c)}
}

func (c *client1) send(path string, fields ...string) {
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: shop.example\r\n", path)
	for _, f := range fields {
		fmt.Fprint(c, f, "\r\n")
	}
	fmt.Fprint(c, "\r\n")
}

// head reads the head of an answer.
func (c *client1) head(status int) *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	if err != nil || res.StatusCode != status {
		c.t.Fatalf("answer = %v, %v, want %d", res, err, status)
	}
	return res
}

// want reads the rest of an answer.
func (c *client1) want(res *http.Response, body string) {
	c.t.Helper()
	if got, err := io.ReadAll(res.Body); err != nil || string(got) != body {
		c.t.Errorf("body = %q, %v, want %q", got, err, body)
	}
}

// wantEnd reads the end of the connection.
func (c *client1) wantEnd(of string) {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Errorf("%s: %q, %v, want the end of the connection", of, rest, err)
	}
}

// echo sends a word and reads it again.
func (c *client1) echo(word string) {
	c.t.Helper()
	got := make([]byte, len(word))
	fmt.Fprint(c, word)
	if _, err := io.ReadFull(c.r, got); err != nil || string(got) != word {
		c.t.Errorf("echo of %q = %q, %v", word, got, err)
	}
}

// underWay is one connection of every kind, in the middle of something.
type underWay struct {
	idle, waiting, half, websocket *client1
	halfAnswer                     *http.Response
	stream                         *framed
	passed                         *tls.Conn
	shaking                        net.Conn
}

func (w *drainWorld) begin() *underWay {
	w.t.Helper()
	u := &underWay{idle: w.client1(), waiting: w.client1(), half: w.client1(), websocket: w.client1()}
	u.idle.send("/")
	u.idle.want(u.idle.head(200), "at once")
	u.waiting.send("/wait")
	<-w.arrived
	u.half.send("/half")
	u.halfAnswer = u.half.head(200)
	if _, err := io.ReadFull(u.halfAnswer.Body, make([]byte, 4)); err != nil {
		w.t.Fatal(err)
	}
	<-w.arrived
	u.websocket.send("/chat", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	u.websocket.head(101)
	u.websocket.echo("hello")

	u.stream = w.frames(w.t)
	u.stream.headers(1, false, ":method", "POST", ":scheme", "http", ":authority", "grpc.example", ":path", "/stream", "content-type", "application/grpc", "te", "trailers")
	if h, ok := u.stream.next().(*http2.MetaHeadersFrame); !ok || h.PseudoValue("status") != "200" {
		w.t.Fatalf("got %v, want the head of the stream", h)
	}
	u.stream.echo(1, "ping")

	u.passed = w.dialFor("db.example", w.roots)
	if _, err := u.passed.Write([]byte("x")); err != nil {
		w.t.Fatal(err)
	}
	if _, err := u.passed.Read(make([]byte, 1)); err != nil {
		w.t.Fatal(err)
	}
	var err error
	if u.shaking, err = net.Dial("tcp", w.Addr("https").String()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { u.shaking.Close() })
	_ = u.shaking.SetDeadline(time.Now().Add(patience))
	w.until("seven connections are open", func() bool { return w.OpenConns()["http"]+w.OpenConns()["https"] == 7 })
	return u
}

// echo sends DATA and reads it again.
func (f *framed) echo(id uint32, word string) {
	f.t.Helper()
	if err := f.WriteData(id, false, []byte(word)); err != nil {
		f.t.Fatal(err)
	}
	for got := ""; got != word; {
		data, ok := f.next().(*http2.DataFrame)
		if !ok {
			f.t.Fatalf("got %v, want DATA", data)
		}
		got += string(data.Data())
	}
}

// until waits for a fact.
func (w *drainWorld) until(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// TestDrainWaits holds that whatever is under way when the drain begins may finish,
// and that nothing new begins.
func TestDrainWaits(t *testing.T) {
	w := newDrainWorld(t, patience)
	u := w.begin()
	if p := w.Phase(); p != dataplane.Serving {
		t.Errorf("Phase() = %s, want serving", p)
	}
	var ended sync.WaitGroup
	ended.Go(w.ended)
	u.idle.wantEnd("the idle connection")
	if p := w.Phase(); p != dataplane.Draining {
		t.Errorf("Phase() = %s, want draining", p)
	}
	if c, err := net.Dial("tcp", w.Addr("http").String()); err == nil {
		c.Close()
		t.Error("a connection was accepted during the drain")
	}

	var last []uint32
	for len(last) < 2 {
		g, ok := u.stream.next().(*http2.GoAwayFrame)
		if !ok || g.ErrCode != http2.ErrCodeNo {
			t.Fatalf("got %v, want GOAWAY of NO_ERROR", g)
		}
		last = append(last, g.LastStreamID)
	}
	if !slices.Equal(last, []uint32{1<<31 - 1, 1}) {
		t.Errorf("GOAWAY with %d, want the largest stream and then 1", last)
	}
	u.stream.echo(1, "pong")
	if err := u.stream.WriteData(1, true, nil); err != nil {
		t.Fatal(err)
	}
	for u.stream.next() != nil {
	}
	u.stream.nc.Close()

	close(w.finish)
	res := u.waiting.head(200)
	if !res.Close {
		t.Error("the answer to a request that was waiting lacks Connection: close")
	}
	u.waiting.want(res, "late")
	u.waiting.wantEnd("behind the answer")
	u.half.want(u.halfAnswer, " full")
	u.half.wantEnd("behind the other half")

	u.websocket.echo("again")
	if err := u.websocket.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(u.websocket.r); err != nil || string(rest) != "bye" {
		t.Errorf("the websocket: %q, %v, want its end", rest, err)
	}

	if _, err := u.passed.Write([]byte("y")); err != nil {
		t.Error(err)
	}
	if _, err := u.passed.Read(make([]byte, 1)); err != nil {
		t.Errorf("the connection that is passed through: %v", err)
	}
	u.passed.Close()

	// The handshake is done now, and the request behind it answered.
	tc := tls.Client(u.shaking, &tls.Config{ServerName: "shop.example", RootCAs: w.ca, NextProtos: []string{"http/1.1"}})
	fmt.Fprint(tc, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	shaken := &client1{Conn: tc, t: t, r: bufio.NewReader(tc)}
	if res = shaken.head(200); !res.Close {
		t.Error("the answer behind the handshake lacks Connection: close")
	}
	shaken.want(res, "at once")
	shaken.wantEnd("behind the handshake")

	ended.Wait()
	if n := w.requests[outcome.OK]; n != 6 || len(w.requests) != 1 {
		t.Errorf("requests = %v, want 6 ok", w.requests)
	}
	if n := w.conns[outcome.Shutdown]; n != 0 {
		t.Errorf("connections = %v, want none of shutdown", w.conns)
	}
	if len(w.cut) != 1 || w.cut[0].Requests+w.cut[0].Tunnels+w.cut[0].Connections != 0 || w.cut[0].Duration <= 0 {
		t.Errorf("drains = %+v, want one that has cut nothing", w.cut)
	}
	if p := w.Phase(); p != dataplane.Ended {
		t.Errorf("Phase() = %s, want ended", p)
	}
}

// TestDrainCuts holds that what has not ended in time is cut, each with an outcome
// that says so, and that the count of the drain is that of the outcomes.
func TestDrainCuts(t *testing.T) {
	w := newDrainWorld(t, 50*time.Millisecond)
	u := w.begin()
	w.ended()
	u.idle.wantEnd("the idle connection")
	for name, c := range map[string]net.Conn{
		"waiting": u.waiting, "half": u.half, "websocket": u.websocket, "stream": u.stream.nc, "passed": u.passed.NetConn(), "shaking": u.shaking,
	} {
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			t.Errorf("%s: %v, want it to be cut", name, err)
		}
	}
	if n := w.requests[outcome.Shutdown]; n != 4 || w.requests[outcome.OK] != 1 || len(w.requests) != 2 {
		t.Errorf("requests = %v, want 4 of shutdown and one ok", w.requests)
	}
	if n := w.conns[outcome.Shutdown]; n != 6 || w.conns[outcome.Draining] != 1 || len(w.conns) != 2 {
		t.Errorf("connections = %v, want 6 of shutdown and one of draining", w.conns)
	}
	for range 2 {
		h := w.handshake()
		if want := map[bool]outcome.Result{true: outcome.Passthrough, false: outcome.Failed}[h.Host != ""]; h.Result != want || h.Reason != outcome.Shutdown {
			t.Errorf("handshake of %q = %s %s, want %s shutdown", h.Host, h.Result, h.Reason, want)
		}
	}
	if len(w.cut) != 1 || w.cut[0].Requests != 3 || w.cut[0].Tunnels != 1 || w.cut[0].Connections != 6 {
		t.Errorf("drains = %+v, want one that has cut 3 requests, a tunnel and 6 connections", w.cut)
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// TestLeave holds that clients are asked to leave while connections are accepted.
func TestLeave(t *testing.T) {
	w := newDrainWorld(t, patience)
	c := w.client1()
	c.send("/")
	if res := c.head(200); res.Close {
		t.Error("Connection: close before it is to end")
	} else {
		c.want(res, "at once")
	}
	f := w.frames(t)
	get := func(id uint32) {
		f.headers(id, true, ":method", "GET", ":scheme", "http", ":authority", "grpc.example", ":path", "/")
	}
	get(1)
	for {
		if data, ok := f.next().(*http2.DataFrame); ok && data.StreamEnded() {
			break
		}
	}

	w.Leave(0)
	if p := w.Phase(); p != dataplane.Leaving {
		t.Errorf("Phase() = %s, want leaving", p)
	}
	c.send("/")
	res := c.head(200)
	if !res.Close {
		t.Error("no Connection: close while clients are asked to leave")
	}
	c.want(res, "at once")
	c.wantEnd("behind the last answer")
	get(3)
	var last []uint32
	for frame := f.next(); frame != nil; frame = f.next() {
		if g, ok := frame.(*http2.GoAwayFrame); ok {
			last = append(last, g.LastStreamID)
		}
	}
	if !slices.Equal(last, []uint32{1<<31 - 1, 3}) {
		t.Errorf("GOAWAY with %d, want the largest stream and then 3", last)
	}
	f.nc.Close()
	again := w.client1()
	again.send("/")
	again.want(again.head(200), "at once")

	w.ended()
	w.Leave(0)
	if p := w.Phase(); p != dataplane.Ended {
		t.Errorf("Phase() after the end = %s, want ended", p)
	}
}
