//go:build soak && linux

package soak

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// A kind is what a client does in one exchange.
type kind struct {
	name string
	over []protocol
	// wires is how many connections each protocol has at a time, streams how many
	// exchanges run side by side on one of HTTP/2, and each how many follow each
	// other before the connection is replaced.
	wires, streams, each int
	run                  func(x *client) view
}

var kinds = []kind{
	{"small", allProtocols, 3, 4, 300, func(x *client) view { return x.fetch("1k", kilobyte) }},
	{"new connection", allProtocols, 1, 1, 1, func(x *client) view { return x.fetch("1k", kilobyte) }},
	{"1 MiB down", allProtocols, 1, 2, 50, func(x *client) view { return x.fetch("1m", megabyte) }},
	{"1 MiB up", allProtocols, 1, 2, 50, (*client).upload},
	{"slow reader", allProtocols, 2, 2, 5, (*client).readSlowly},
	{"events", allProtocols, 2, 3, 5, (*client).events},
	{"websocket", []protocol{plainH1, tlsH1, tlsH2}, 2, 3, 5, (*client).websocket},
	{"gRPC", []protocol{plainH2, tlsH2}, 2, 4, 20, (*client).call},
	{"live route", allProtocols, 1, 1, 50, (*client).live},
	{"leaver", allProtocols, 2, 2, 4, (*client).leaveEarly},
}

// A client is one exchange: its wire, and the name that ties it to its record.
type client struct {
	*wire
	number int64
	agent  string
	cancel context.CancelFunc
	ctx    context.Context // of its one exchange
}

var numbers atomic.Int64

func newClient(kind string, w *wire) *client {
	c := &client{wire: w, number: numbers.Add(1)}
	c.agent = fmt.Sprintf("%s/%d", strings.ReplaceAll(kind, " ", "-"), c.number)
	c.ctx, c.cancel = context.WithTimeout(context.Background(), w.patience)
	return c
}

// path returns that of an action, at backends of one protocol or the other.
func (c *client) path(action string) string {
	if c.number%2 == 0 {
		return "/web/" + action
	}
	return "/rpc/" + action
}

func (c *client) request(method, path string, body io.ReadCloser, length int64) *http.Request {
	req, err := http.NewRequestWithContext(c.ctx, method, "http://"+host+path, nil)
	if err != nil {
		panic(err) // what is constant
	}
	if body != nil {
		req.Body, req.ContentLength = body, length
	}
	req.Header.Set("User-Agent", c.agent)
	return req
}

// fetch reads an answer and compares it.
func (c *client) fetch(action string, want []byte) view {
	x, v := c.start(c.request(http.MethodGet, c.path(action), nil, 0))
	defer func() { x.finish(v.end == whole || v.end == answered) }()
	if v.end != "" {
		return *v
	}
	return *v.take(x.res, want)
}

// start begins an exchange and returns a view that has an end only if it ended.
func (c *client) start(req *http.Request) (*exchange, *view) {
	v := &view{begin: time.Now()}
	x, err := c.begin(req)
	if err != nil {
		v.fail(silent, err)
		return x, v
	}
	v.status = x.res.StatusCode
	if v.status >= 300 {
		v.explained(x.res)
	}
	return x, v
}

func (v *view) fail(e end, err error) {
	v.end, v.err = e, err
	if timedOut(err) {
		v.end = stuck
	}
}

// explained reads an answer of Cardea's own.
func (v *view) explained(res *http.Response) {
	body, err := io.ReadAll(res.Body)
	v.got = int64(len(body))
	if err != nil {
		v.fail(cut, err)
		return
	}
	v.end = answered
	for line := range strings.Lines(string(body)) {
		if reason, ok := strings.CutPrefix(line, "reason: "); ok {
			v.reason = strings.TrimSpace(reason)
		}
	}
}

// take reads the body and compares it.
func (v *view) take(res *http.Response, want []byte) *view {
	got, err := io.ReadAll(res.Body)
	v.got = int64(len(got))
	switch {
	case err != nil:
		v.fail(cut, err)
	case !bytes.Equal(got, want):
		v.end, v.err = wrong, fmt.Errorf("%d bytes that are not the %d expected: %.80q", len(got), len(want), got)
	default:
		v.end = whole
	}
	return v
}

// upload sends a body, of a known length or not.
func (c *client) upload() view {
	length := int64(len(megabyte))
	if c.number%4 < 2 {
		length = -1
	}
	req := c.request(http.MethodPost, c.path("upload"), io.NopCloser(bytes.NewReader(megabyte)), length)
	x, v := c.start(req)
	defer func() { x.finish(v.end == whole) }()
	if v.end != "" {
		return *v
	}
	v.sent = int64(len(megabyte))
	return *v.take(x.res, fmt.Appendf(nil, "%d %08x", len(megabyte), crc32.Checksum(megabyte, castagnoli)))
}

// readSlowly takes 16 KiB at most every 10 ms.
func (c *client) readSlowly() view {
	x, v := c.start(c.request(http.MethodGet, c.path("1m"), nil, 0))
	defer func() { x.finish(v.end == whole) }()
	if v.end != "" {
		return *v
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	x.res.Body = &slowly{x.res.Body, tick.C}
	return *v.take(x.res, megabyte)
}

type slowly struct {
	io.ReadCloser
	tick <-chan time.Time
}

func (s *slowly) Read(p []byte) (int, error) {
	<-s.tick
	return s.ReadCloser.Read(p[:min(len(p), 16<<10)])
}

// events reads a stream of server-sent events, in order.
func (c *client) events() view {
	x, v := c.start(c.request(http.MethodGet, c.path("events"), nil, 0))
	defer func() { x.finish(v.end == whole) }()
	if v.end != "" {
		return *v
	}
	var want bytes.Buffer
	for i := range eventCount {
		fmt.Fprintf(&want, "id: %d\ndata: event %d\n\n", i, i)
	}
	return *v.take(x.res, want.Bytes())
}

// tunnel opens a websocket and returns both ways of it.
func (c *client) tunnel() (x *exchange, v *view, r io.Reader, w io.Writer) {
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	if c.h2 != nil {
		// RFC 8441: extended CONNECT.
		back, out := io.Pipe()
		req := c.request(http.MethodConnect, "/web/ws", back, -1)
		req.Header.Set(":protocol", "websocket")
		req.Header.Set("Sec-WebSocket-Version", "13")
		x, v = c.start(req)
		if v.end == "" {
			r, w = x.res.Body, out
		}
		return x, v, r, w
	}
	req := c.request(http.MethodGet, "/web/ws", nil, 0)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", key)
	x, v = c.start(req)
	if v.end == "" && (v.status != http.StatusSwitchingProtocols || x.res.Header.Get("Sec-WebSocket-Accept") != accepted(key)) {
		v.end, v.err = wrong, fmt.Errorf("handshake: %s %v", x.res.Status, x.res.Header)
	}
	return x, v, c.read, c.conn
}

// websocket sends messages and reads each back before the next.
func (c *client) websocket() view {
	x, v, r, w := c.tunnel()
	defer x.finish(false)
	if v.end != "" {
		return *v
	}
	payload := bytes.Repeat([]byte("echo"), 250)
	in := bufio.NewReader(r)
	for range 10 {
		message := frame(payload, []byte{1, 2, 3, byte(c.number)})
		if _, err := w.Write(message); err != nil {
			v.fail(cut, err)
			return *v
		}
		v.sent += int64(len(message))
		got, err := readFrame(in)
		if err != nil {
			v.fail(cut, err)
			return *v
		}
		v.got += int64(len(frame(got, nil)))
		if !bytes.Equal(got, payload) {
			v.end, v.err = wrong, fmt.Errorf("echo %.40q", got)
			return *v
		}
	}
	v.end = whole
	if out, ok := w.(*io.PipeWriter); ok {
		out.Close()
		if _, err := io.Copy(io.Discard, r); err != nil {
			v.fail(cut, err)
		}
	}
	return *v
}

// call is a gRPC call with messages both ways, in turns.
func (c *client) call() view {
	body, out := io.Pipe()
	req := c.request(http.MethodPost, "/rpc/call", body, -1)
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	x, v := c.start(req)
	defer x.finish(true)
	defer out.Close()
	if v.end != "" {
		return *v
	}
	message := grpcMessage(bytes.Repeat([]byte{byte(c.number)}, 1000))
	for range 5 {
		if _, err := out.Write(message); err != nil {
			v.fail(cut, err)
			return *v
		}
		v.sent += int64(len(message))
		got, err := readMessage(x.res.Body)
		if err != nil {
			v.fail(cut, err)
			return *v
		}
		v.got += int64(len(got))
		if !bytes.Equal(got, message) {
			v.end, v.err = wrong, errors.New("another message came back")
			return *v
		}
	}
	out.Close()
	v.take(x.res, []byte{})
	v.got += int64(5 * len(message))
	if status := x.res.Trailer.Get("Grpc-Status"); v.end == whole && status != "0" {
		v.end, v.err = wrong, fmt.Errorf("grpc-status %q", status)
	}
	return *v
}

// live asks for a route that comes and goes.
func (c *client) live() view {
	x, v := c.start(c.request(http.MethodGet, livePath, nil, 0))
	defer func() { x.finish(v.end == whole || v.end == answered) }()
	if v.end != "" {
		return *v
	}
	return *v.take(x.res, kilobyte)
}

// abandon breaks the exchange off: by a reset of the stream, or of the connection.
func (c *client) abandon() {
	if c.h2 != nil {
		c.cancel()
		return
	}
	c.dead.Store(true)
	raw := c.conn
	if secured, ok := raw.(*tls.Conn); ok {
		raw = secured.NetConn()
	}
	_ = raw.(*net.TCPConn).SetLinger(0)
	raw.Close()
}

// leaveEarly breaks an exchange off: in the middle of a download, an upload or a
// tunnel, or before there is an answer.
func (c *client) leaveEarly() view {
	var x *exchange
	v := new(view)
	switch c.number / 2 % 4 {
	case 0:
		x, v = c.start(c.request(http.MethodGet, c.path("1m"), nil, 0))
		if v.end == "" {
			n, err := io.CopyN(io.Discard, x.res.Body, 100_000)
			if v.got = n; err != nil {
				v.fail(cut, err)
			}
		}
	case 1:
		body, out := io.Pipe()
		go func() {
			_, err := out.Write(megabyte[:100_000])
			if err == nil {
				err = errors.New("enough")
			}
			c.abandon()
			out.CloseWithError(err)
		}()
		x, v = c.start(c.request(http.MethodPost, c.path("upload"), body, int64(len(megabyte))))
		if v.end == silent {
			v.end = left
		}
	case 2:
		// Patience begins when the request is written: one that never was has no
		// record.
		c.ctx = httptrace.WithClientTrace(c.ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
			time.AfterFunc(300*time.Millisecond, c.abandon)
		}})
		x, v = c.start(c.request(http.MethodGet, c.path("wait"), nil, 0))
		if v.end == silent {
			v.end = left
		}
	case 3:
		x, v = c.start(c.request(http.MethodGet, c.path("events"), nil, 0))
		if v.end == "" {
			if _, err := io.CopyN(io.Discard, x.res.Body, 40); err != nil {
				v.fail(cut, err)
			}
		}
	}
	c.abandon()
	x.finish(false)
	if v.end == "" {
		v.end = left
	}
	return *v
}
