package http2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	xh2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A peer is the other end of a connection under test, frame by frame.
type peer struct {
	t   testing.TB
	nc  net.Conn
	fr  *xh2.Framer
	enc *hpack.Encoder
	buf bytes.Buffer
}

func newPeer(t testing.TB, nc net.Conn) *peer {
	p := &peer{t: t, nc: nc, fr: xh2.NewFramer(nc, nc)}
	p.fr.AllowIllegalWrites = true
	p.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.enc = hpack.NewEncoder(&p.buf)
	return p
}

// pipe returns a ClientConn that has started, and its peer, with settings.
func pipe(t testing.TB, cfg *ClientConfig, settings ...xh2.Setting) (*ClientConn, *peer) {
	t.Helper()
	near, far := tcpPair(t)
	c := NewClientConn(near, cfg)
	p := newPeer(t, far)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.greet(settings...)
	}()
	if err := c.Start(t.Context()); err != nil {
		t.Fatalf("Start() = %v", err)
	}
	<-done
	t.Cleanup(func() {
		far.Close()
		near.Close()
	})
	return c, p
}

// tcpPair returns the two ends of a connection over loopback.
func tcpPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	near, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far = <-accepted; far == nil {
		t.Fatal("not accepted")
	}
	return near, far
}

// greet reads the client's preface and sends the server's.
func (p *peer) greet(settings ...xh2.Setting) {
	b := make([]byte, len(preface))
	if _, err := io.ReadFull(p.nc, b); err != nil || string(b) != preface {
		p.t.Errorf("preface = %q, %v", b, err)
		return
	}
	p.must(p.fr.WriteSettings(settings...))
}

func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Errorf("peer: %v", err)
	}
}

// read returns the next frame that is not of flow control or settings.
func (p *peer) read() xh2.Frame {
	p.t.Helper()
	_ = p.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		f, err := p.fr.ReadFrame()
		if err != nil {
			p.t.Errorf("peer reads: %v", err)
			return nil
		}
		switch f := f.(type) {
		case *xh2.SettingsFrame:
			if !f.IsAck() {
				p.must(p.fr.WriteSettingsAck())
			}
		case *xh2.WindowUpdateFrame:
		case *xh2.PingFrame:
		default:
			return f
		}
	}
}

// request reads a request head.
func (p *peer) request() *xh2.MetaHeadersFrame {
	p.t.Helper()
	f, ok := p.read().(*xh2.MetaHeadersFrame)
	if !ok {
		p.t.Fatalf("peer: frame %v, want HEADERS", f)
	}
	return f
}

// reset reads RST_STREAM and checks it.
func (p *peer) reset(id uint32, want xh2.ErrCode) {
	p.t.Helper()
	for {
		switch f := p.read().(type) {
		case nil:
			return
		case *xh2.DataFrame:
		case *xh2.RSTStreamFrame:
			if f.StreamID != id || f.ErrCode != want {
				p.t.Errorf("peer got RST_STREAM of %d with %v, want %d with %v", f.StreamID, f.ErrCode, id, want)
			}
			return
		default:
			p.t.Errorf("peer got %v, want RST_STREAM", f)
			return
		}
	}
}

// headers sends a header block: "name: value" a line.
func (p *peer) headers(id uint32, end bool, lines ...string) {
	p.t.Helper()
	p.must(p.fr.WriteHeaders(xh2.HeadersFrameParam{StreamID: id, BlockFragment: p.block(lines...), EndStream: end, EndHeaders: true}))
}

func (p *peer) block(lines ...string) []byte {
	p.buf.Reset()
	for _, l := range lines {
		name, value, _ := strings.Cut(strings.TrimPrefix(l, ":"), ": ")
		if l[0] == ':' {
			name = ":" + name
		}
		p.must(p.enc.WriteField(hpack.HeaderField{Name: name, Value: value}))
	}
	return bytes.Clone(p.buf.Bytes())
}

func (p *peer) data(id uint32, end bool, text string) {
	p.t.Helper()
	p.must(p.fr.WriteData(id, end, []byte(text)))
}

// get is a request without a body.
func get(lines ...string) *message.Request { return newRequest("GET", "/", 0, lines...) }

func newRequest(method, target string, length int64, lines ...string) *message.Request {
	r := &message.Request{Version: message.HTTP11, Method: method, Target: []byte(target), Authority: []byte("a.example"), Length: length}
	r.Fields.AddName("Host", "a.example")
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Fields.AddName(name, value)
	}
	return r
}

// open opens a stream.
func open(t testing.TB, c *ClientConn) *ClientStream {
	t.Helper()
	s := c.Open()
	if s == nil {
		t.Fatal("Open() = nil")
	}
	return s
}

// send sends a request that has no body.
func send(t testing.TB, s *ClientStream, req *message.Request) {
	t.Helper()
	if err := s.Head(req); err != nil {
		t.Fatalf("Head() = %v", err)
	}
	if err := s.End(nil); err != nil {
		t.Fatalf("End() = %v", err)
	}
}

// response waits for the next head and returns it.
func response(t testing.TB, s *ClientStream) *message.Response {
	t.Helper()
	res, err := s.Response(nil)
	if err != nil {
		t.Fatalf("Response() = %v", err)
	}
	return res
}

// readAll reads a body.
func readAll(b message.Body) (string, error) {
	var all strings.Builder
	for {
		p, err := b.Next()
		if err == io.EOF {
			return all.String(), nil
		}
		if err != nil {
			return all.String(), err
		}
		all.Write(p)
	}
}

func wantText(t testing.TB, b message.Body, want string) {
	t.Helper()
	if got, err := readAll(b); got != want || err != nil {
		t.Errorf("body = %q, %v, want %q", got, err, want)
	}
}

func wantError(t testing.TB, err error, reason outcome.Reason, retry outcome.Retry) {
	t.Helper()
	e, ok := errors.AsType[*outcome.Error](err)
	if !ok || e.Reason != reason || e.Retry != retry {
		t.Errorf("error = %v (%T), want reason %s, retry %d", err, err, reason, retry)
	}
}

// text writes fields in one line for comparison.
func text(f *message.Fields) string {
	var b strings.Builder
	for l := range f.All() {
		b.WriteString(string(l.Name) + ": " + string(l.Value) + "; ")
	}
	return b.String()
}

// eventually waits for a fact that another goroutine or the kernel brings about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
