package http2

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xh2 "golang.org/x/net/http2"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func TestClientExchange(t *testing.T) {
	c, p := pipe(t, nil)
	s := open(t, c)
	req := newRequest("POST", "/a?b", 5, "X-Odd-Name: v", "Connection: TE", "TE: trailers", "Cookie: a=b; c=d",
		"Transfer-Encoding: x", "Keep-Alive: x", "Content-Length: 7")
	if err := s.Head(req); err != nil {
		t.Fatal(err)
	}
	if err := s.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := s.End(nil); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range p.request().Fields {
		got.WriteString(f.Name + ": " + f.Value + "\n")
	}
	want := strings.Join([]string{
		":method: POST", ":scheme: http", ":authority: a.example", ":path: /a?b",
		"x-odd-name: v", "te: trailers", "cookie: a=b; c=d", "content-length: 5", "",
	}, "\n")
	if got.String() != want {
		t.Errorf("request head:\n%swant:\n%s", &got, want)
	}
	if f := p.read().(*xh2.DataFrame); string(f.Data()) != "hello" || !f.StreamEnded() {
		t.Errorf("request body = %q (end %t), want hello and the end", f.Data(), f.StreamEnded())
	}

	p.headers(1, false, ":status: 103", "link: </a>")
	p.headers(1, false, ":status: 200", "content-type: text/plain", "x-two: 1", "x-two: 2")
	p.data(1, false, "wor")
	p.data(1, false, "ld")
	p.headers(1, true, "grpc-status: 0")
	if res := response(t, s); res.Status != 103 || string(res.Fields.Named("link")) != "</a>" {
		t.Errorf("first head = %d %s, want 103 with its link", res.Status, text(&res.Fields))
	}
	res := response(t, s)
	if res.Status != 200 || res.Length != -1 || res.Version != message.HTTP2 || text(&res.Fields) != "content-type: text/plain; x-two: 1; x-two: 2; " {
		t.Errorf("final head = %d, length %d, %v, %s", res.Status, res.Length, res.Version, text(&res.Fields))
	}
	wantText(t, s.Body(), "world")
	if tr := s.Body().Trailers(); tr == nil || text(tr) != "grpc-status: 0; " {
		t.Errorf("Trailers() = %v, want grpc-status", tr)
	}
	if !s.Close() {
		t.Error("Close() = false after a complete exchange")
	}
	if again := open(t, c); again != s {
		t.Error("a stream that has ended is not used again")
	} else {
		send(t, again, get())
		p.request()
		p.headers(3, true, ":status: 204")
		if res := response(t, again); res.Status != 204 || res.Fields.Len() != 0 || res.Length != 0 {
			t.Errorf("second response = %d, %d fields, length %d", res.Status, res.Fields.Len(), res.Length)
		}
		wantText(t, again.Body(), "")
		if again.Body().Trailers() != nil {
			t.Error("trailers of the exchange before")
		}
		again.Close()
	}
}

func TestClientRequestFrames(t *testing.T) {
	c, p := pipe(t, nil)
	// Without a body the head ends the stream.
	s := open(t, c)
	send(t, s, get())
	if f := p.request(); !f.StreamEnded() {
		t.Error("GET: the head does not end the stream")
	}
	s.Close()
	p.reset(1, xh2.ErrCodeCancel)
	// A body of unknown length, with trailers.
	s = open(t, c)
	if err := s.Head(newRequest("PUT", "/", -1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	var tr message.Fields
	tr.AddName("Checksum", "1")
	tr.AddName("Content-Length", "1")
	if err := s.End(&tr); err != nil {
		t.Fatal(err)
	}
	head := p.request()
	for _, f := range head.Fields {
		if f.Name == "content-length" {
			t.Errorf("body of unknown length: %v", f)
		}
	}
	if f := p.read().(*xh2.DataFrame); string(f.Data()) != "x" || f.StreamEnded() {
		t.Errorf("body: %v", f)
	}
	if f := p.request(); !f.StreamEnded() || len(f.Fields) != 1 || f.Fields[0].Name != "checksum" {
		t.Errorf("trailers: %v", f.Fields)
	}
	s.Close()
	p.reset(3, xh2.ErrCodeCancel)
}

func TestClientMisuse(t *testing.T) {
	c, _ := pipe(t, nil)
	for _, tt := range []struct {
		name string
		call func(*ClientStream) error
	}{
		{"body before head", func(s *ClientStream) error { return s.Write([]byte("x")) }},
		{"end before head", func(s *ClientStream) error { return s.End(nil) }},
		{"response before head", func(s *ClientStream) error { _, err := s.Response(nil); return err }},
		{"two heads", func(s *ClientStream) error { _ = s.Head(get()); return s.Head(get()) }},
		{"body too long", func(s *ClientStream) error {
			_ = s.Head(newRequest("PUT", "/", 1))
			return s.Write([]byte("xx"))
		}},
		{"body too short", func(s *ClientStream) error { _ = s.Head(newRequest("PUT", "/", 1)); return s.End(nil) }},
		{"body after the end", func(s *ClientStream) error { _ = s.Head(get()); _ = s.End(nil); return s.Write([]byte("x")) }},
		{"tunnel without 101", func(s *ClientStream) error { _ = s.Head(get()); _, err := s.Tunnel(); return err }},
		{"space in the target", func(s *ClientStream) error { return s.Head(newRequest("GET", "/ HTTP", 0)) }},
		{"no token as method", func(s *ClientStream) error { return s.Head(newRequest("G T", "/", 0)) }},
		{"line break in a value", func(s *ClientStream) error { return s.Head(get("A: b\r\nc: d")) }},
	} {
		s := open(t, c)
		wantError(t, tt.call(s), outcome.InternalError, outcome.RetryNo)
		if t.Failed() {
			t.Fatalf("in %q", tt.name)
		}
		s.Close()
	}
}

// What a peer must not send ends its stream, and the others go on.
func TestClientMalformedResponse(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(p *peer, id uint32)
	}{
		{"no status", func(p *peer, id uint32) { p.headers(id, true, "a: b") }},
		{"status twice", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", ":status: 200") }},
		{"status after a field", func(p *peer, id uint32) { p.headers(id, true, "a: b", ":status: 200") }},
		{"status of two digits", func(p *peer, id uint32) { p.headers(id, true, ":status: 20") }},
		{"status of four digits", func(p *peer, id uint32) { p.headers(id, true, ":status: 2000") }},
		{"status 600", func(p *peer, id uint32) { p.headers(id, true, ":status: 600") }},
		{"status with a sign", func(p *peer, id uint32) { p.headers(id, true, ":status: +20") }},
		{"status 101", func(p *peer, id uint32) { p.headers(id, true, ":status: 101") }},
		{"pseudo-header of a request", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", ":path: /") }},
		{"upper case", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "Content-Type: a") }},
		{"space in a name", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "a b: c") }},
		{"line break in a value", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "a: b\r\nc: d") }},
		{"NUL in a value", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "a: b\x00") }},
		{"space after a value", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "a: b ") }},
		{"connection", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "connection: close") }},
		{"keep-alive", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "keep-alive: timeout=5") }},
		{"transfer-encoding", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "transfer-encoding: chunked") }},
		{"upgrade", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "upgrade: h2c") }},
		{"two lengths", func(p *peer, id uint32) {
			p.headers(id, true, ":status: 200", "content-length: 0", "content-length: 0")
		}},
		{"length that is no number", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "content-length: 0x0") }},
		{"interim that ends the stream", func(p *peer, id uint32) { p.headers(id, true, ":status: 103") }},
		{"no head before the end", func(p *peer, id uint32) { p.headers(id, true, ":status: 200", "content-length: 1") }},
		{"body before the head", func(p *peer, id uint32) { p.data(id, true, "x") }},
		{"too many interim responses", func(p *peer, id uint32) {
			for range maxInterims + 1 {
				p.headers(id, false, ":status: 103")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, p := pipe(t, nil)
			other, s := open(t, c), open(t, c)
			send(t, other, get())
			send(t, s, get())
			p.request()
			p.request()
			tt.do(p, 3)
			p.reset(3, xh2.ErrCodeProtocol)
			var err error
			for err == nil {
				_, err = s.Response(nil)
			}
			wantError(t, err, outcome.UpstreamInvalid, outcome.RetryNo)
			s.Close()
			p.headers(1, true, ":status: 200")
			if res := response(t, other); res.Status != 200 {
				t.Errorf("the other stream: %d, want 200", res.Status)
			}
			if !other.Close() {
				t.Error("connection given up because of one stream")
			}
		})
	}
}

// What is wrong with a body ends it.
func TestClientMalformedBody(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		head         []string
		do           func(p *peer)
	}{
		{"longer than declared", "GET", []string{":status: 200", "content-length: 1"}, func(p *peer) { p.data(1, false, "xx") }},
		{"shorter than declared", "GET", []string{":status: 200", "content-length: 2"}, func(p *peer) { p.data(1, true, "x") }},
		{"shorter, then trailers", "GET", []string{":status: 200", "content-length: 2"}, func(p *peer) { p.headers(1, true, "a: b") }},
		{"of HEAD", "HEAD", []string{":status: 200", "content-length: 2"}, func(p *peer) { p.data(1, true, "xx") }},
		{"of 204", "GET", []string{":status: 204"}, func(p *peer) { p.data(1, true, "x") }},
		{"of 304", "GET", []string{":status: 304", "content-length: 1"}, func(p *peer) { p.data(1, true, "x") }},
		{"trailers with a status", "GET", []string{":status: 200"}, func(p *peer) { p.headers(1, true, ":status: 200") }},
		{"trailers without the end", "GET", []string{":status: 200"}, func(p *peer) { p.headers(1, false, "a: b") }},
		{"trailers of the connection", "GET", []string{":status: 200"}, func(p *peer) { p.headers(1, true, "connection: close") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, p := pipe(t, nil)
			s := open(t, c)
			send(t, s, newRequest(tt.method, "/", 0))
			p.request()
			p.headers(1, false, tt.head...)
			tt.do(p)
			p.reset(1, xh2.ErrCodeProtocol)
			response(t, s)
			_, err := readAll(s.Body())
			wantError(t, err, outcome.UpstreamInvalid, outcome.RetryNo)
			if !s.Close() {
				t.Error("connection given up because of one stream")
			}
		})
	}
}

func TestClientLength(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		end          bool
		head         []string
		want         int64
	}{
		{"declared", "GET", false, []string{":status: 200", "content-length: 3"}, 3},
		{"not declared", "GET", false, []string{":status: 200"}, -1},
		{"ended by the head", "GET", true, []string{":status: 200"}, 0},
		{"HEAD declared", "HEAD", true, []string{":status: 200", "content-length: 3"}, 3},
		{"304 declared", "GET", true, []string{":status: 304", "content-length: 3"}, 3},
		{"204", "GET", true, []string{":status: 204", "content-length: 0"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, p := pipe(t, nil)
			s := open(t, c)
			send(t, s, newRequest(tt.method, "/", 0))
			p.request()
			p.headers(1, tt.end, tt.head...)
			if res := response(t, s); res.Length != tt.want {
				t.Errorf("Length = %d, want %d", res.Length, tt.want)
			}
			s.Close()
		})
	}
}

// RST_STREAM says whether the request may have been looked at.
func TestClientReset(t *testing.T) {
	for _, tt := range []struct {
		code   xh2.ErrCode
		reason outcome.Reason
		retry  outcome.Retry
	}{
		{xh2.ErrCodeRefusedStream, outcome.UpstreamReset, outcome.RetryYes},
		{xh2.ErrCodeCancel, outcome.UpstreamReset, outcome.RetryNo},
		{xh2.ErrCodeInternal, outcome.UpstreamReset, outcome.RetryNo},
		{xh2.ErrCodeNo, outcome.UpstreamReset, outcome.RetryNo},
		{xh2.ErrCodeHTTP11Required, outcome.UpstreamInvalid, outcome.RetryNo},
	} {
		t.Run(tt.code.String(), func(t *testing.T) {
			c, p := pipe(t, nil)
			s := open(t, c)
			send(t, s, get())
			p.request()
			p.must(p.fr.WriteRSTStream(1, tt.code))
			_, err := s.Response(nil)
			wantError(t, err, tt.reason, tt.retry)
			if !s.Close() {
				t.Error("connection given up because of one stream")
			}
		})
	}
}

// A peer that has answered may give up the rest of the request; the answer counts.
func TestClientEarlyResponse(t *testing.T) {
	c, p := pipe(t, nil)
	s := open(t, c)
	if err := s.Head(newRequest("PUT", "/", -1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	p.request()
	p.headers(1, false, ":status: 413")
	p.data(1, true, "no")
	p.must(p.fr.WriteRSTStream(1, xh2.ErrCodeNo))
	if res := response(t, s); res.Status != 413 {
		t.Errorf("status = %d, want 413", res.Status)
	}
	wantText(t, s.Body(), "no")
	if err := s.Write([]byte("more")); err != nil {
		wantError(t, err, outcome.UpstreamSend, outcome.RetryNo)
	}
	if !s.Close() {
		t.Error("Close() = false after an early response")
	}
}

// GOAWAY: what it covers is served to the end, what it does not was never seen.
func TestClientGoAway(t *testing.T) {
	c, p := pipe(t, nil)
	a, b, late := open(t, c), open(t, c), open(t, c)
	send(t, a, get())
	send(t, b, get())
	p.request()
	p.request()
	p.must(p.fr.WriteGoAway(1, xh2.ErrCodeNo, nil))
	_, err := b.Response(nil)
	wantError(t, err, outcome.UpstreamReset, outcome.RetryYes)
	if !c.Closing() || c.Open() != nil {
		t.Errorf("after GOAWAY: Closing() = %t, want true and no more streams", c.Closing())
	}
	wantError(t, late.Head(get()), outcome.UpstreamReset, outcome.RetryYes)
	if late.Close() || b.Close() {
		t.Error("Close() = true after GOAWAY")
	}
	p.headers(1, false, ":status: 200")
	p.data(1, true, "served")
	response(t, a)
	wantText(t, a.Body(), "served")
	a.Close()
	eventually(t, "the connection is closed after its last stream", func() bool {
		_ = p.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err := p.fr.ReadFrame()
		return err == io.EOF
	})
}

// A connection that ends without a word: whether a stream may be tried again
// depends on what was heard of it.
func TestClientConnectionLost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cut    func(net.Conn)
		reason outcome.Reason
	}{
		{"closed", func(c net.Conn) { c.(*net.TCPConn).CloseWrite() }, outcome.UpstreamClosed},
		{"reset", func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }, outcome.UpstreamReset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, p := pipe(t, nil)
			silent, answered := open(t, c), open(t, c)
			send(t, silent, get())
			send(t, answered, get())
			p.request()
			p.request()
			p.headers(3, false, ":status: 200", "content-length: 9")
			p.data(3, false, "half")
			response(t, answered)
			if chunk, err := answered.Body().Next(); string(chunk) != "half" {
				t.Errorf("Next() = %q, %v", chunk, err)
			}
			tt.cut(p.nc)
			_, err := silent.Response(nil)
			wantError(t, err, tt.reason, outcome.RetryIfReused)
			_, err = answered.Body().Next()
			wantError(t, err, tt.reason, outcome.RetryNo)
			if silent.Close() || answered.Close() || c.Open() != nil {
				t.Error("a connection that has ended is used")
			}
		})
	}
}

func TestClientStartFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		reason outcome.Reason
	}{
		{"HTTP/1.1", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", outcome.UpstreamInvalid},
		{"closed", "", outcome.UpstreamClosed},
		{"not SETTINGS", "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678", outcome.UpstreamInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near, far := tcpPair(t)
			go func() {
				_, _ = io.ReadFull(far, make([]byte, len(preface)))
				_, _ = io.WriteString(far, tt.answer)
				_ = far.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, far)
				_ = far.Close()
			}()
			err := NewClientConn(near, nil).Start(t.Context())
			wantError(t, err, tt.reason, outcome.RetryYes)
		})
	}
	t.Run("silent", func(t *testing.T) {
		near, far := tcpPair(t)
		defer far.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		wantError(t, NewClientConn(near, nil).Start(ctx), outcome.ConnectTimeout, outcome.RetryYes)
	})
}

func TestClientMaxStreams(t *testing.T) {
	c, p := pipe(t, nil, xh2.Setting{ID: xh2.SettingMaxConcurrentStreams, Val: 2})
	a, b := open(t, c), open(t, c)
	if c.Open() != nil {
		t.Error("a stream beyond SETTINGS_MAX_CONCURRENT_STREAMS")
	}
	a.Close()
	open(t, c).Close()
	p.must(p.fr.WriteSettings(xh2.Setting{ID: xh2.SettingMaxConcurrentStreams, Val: 1}))
	send(t, b, get())
	p.request()
	p.headers(1, true, ":status: 204") // after the SETTINGS
	response(t, b)
	if c.Open() != nil {
		t.Error("a stream beyond the new SETTINGS_MAX_CONCURRENT_STREAMS")
	}
	b.Close()
	capped, _ := pipe(t, &ClientConfig{MaxStreams: 1})
	s := open(t, capped)
	if capped.Open() != nil {
		t.Error("a stream beyond MaxStreams")
	}
	s.Close()
}

func TestClientInterrupt(t *testing.T) {
	c, p := pipe(t, nil)
	for i, tt := range []struct {
		name string
		wait func(*ClientStream) error
		head bool
	}{
		{"response", func(s *ClientStream) error { _, err := s.Response(nil); return err }, false},
		{"body", func(s *ClientStream) error { _, err := readAll(s.Body()); return err }, true},
	} {
		id := uint32(2*i + 1)
		s := open(t, c)
		send(t, s, get())
		p.request()
		if tt.head {
			p.headers(id, false, ":status: 200")
			response(t, s)
		}
		ended := make(chan error, 1)
		go func() { ended <- tt.wait(s) }()
		s.Interrupt()
		wantError(t, <-ended, outcome.ClientClosed, outcome.RetryNo)
		wantError(t, s.Flush(), outcome.ClientClosed, outcome.RetryNo)
		p.reset(id, xh2.ErrCodeCancel)
		if !s.Close() {
			t.Errorf("%s: connection given up because of one stream", tt.name)
		}
		// What was under way is not held against the peer.
		p.data(id, false, "late")
		p.headers(id, true, "late: 1")
	}
	s := open(t, c)
	s.Interrupt()
	wantError(t, s.Head(get()), outcome.ClientClosed, outcome.RetryNo)
	s.Close()
	s = open(t, c)
	send(t, s, get())
	p.request()
	p.headers(5, true, ":status: 204")
	response(t, s)
	s.Close()
}

func TestClientReadTimeout(t *testing.T) {
	c, p := pipe(t, nil)
	s := open(t, c)
	s.Timeouts(300*time.Millisecond, 0)
	send(t, s, get())
	p.request()
	var waited atomic.Int32
	_, err := s.Response(func() { waited.Add(1) })
	wantError(t, err, outcome.UpstreamTimeout, outcome.RetryNo)
	if waited.Load() != 1 {
		t.Errorf("waiting called %d times, want once", waited.Load())
	}
	p.reset(1, xh2.ErrCodeCancel)
	if s.Close() || c.Open() != nil {
		t.Error("a connection that may lead nowhere is used again")
	}
}

func TestClientBodyTimeout(t *testing.T) {
	c, p := pipe(t, nil)
	s := open(t, c)
	s.Timeouts(50*time.Millisecond, 0)
	send(t, s, get())
	p.request()
	p.headers(1, false, ":status: 200")
	response(t, s)
	_, err := s.Body().Next()
	wantError(t, err, outcome.UpstreamTimeout, outcome.RetryNo)
	if s.Close() {
		t.Error("a connection that may lead nowhere is used again")
	}
	p.reset(1, xh2.ErrCodeCancel)
}

// A peer that lets nothing be sent.
func TestClientSendTimeout(t *testing.T) {
	c, p := pipe(t, nil, xh2.Setting{ID: xh2.SettingInitialWindowSize, Val: 3})
	s := open(t, c)
	s.Timeouts(0, 50*time.Millisecond)
	if err := s.Head(newRequest("PUT", "/", -1)); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Write([]byte("hello")), outcome.UpstreamSend, outcome.RetryNo)
	p.request()
	if f := p.read().(*xh2.DataFrame); string(f.Data()) != "hel" {
		t.Errorf("DATA = %q, want what the window allows", f.Data())
	}
	p.reset(1, xh2.ErrCodeCancel)
	s.Close()
}

// The end of a body takes no window: it is sent where a window is negative.
func TestClientEndBeyondWindow(t *testing.T) {
	c, p := pipe(t, nil, xh2.Setting{ID: xh2.SettingInitialWindowSize, Val: 9})
	s := open(t, c)
	if err := s.Head(newRequest("PUT", "/", -1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Write([]byte("nine more")); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	p.request()
	p.read()
	p.must(p.fr.WriteSettings(xh2.Setting{ID: xh2.SettingInitialWindowSize, Val: 0}))
	p.headers(1, false, ":status: 103") // after the SETTINGS
	response(t, s)
	var tr message.Fields
	if err := s.End(&tr); err != nil {
		t.Fatal(err)
	}
	if f := p.read().(*xh2.DataFrame); !f.StreamEnded() {
		t.Errorf("after End: %v, want the end of the stream", f)
	}
	s.Close()
}

// Both directions at once, in steps: each side waits for the other.
func TestClientDuplex(t *testing.T) {
	c, p := pipe(t, nil)
	s := open(t, c)
	if err := s.Head(newRequest("POST", "/", -1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	p.request()
	p.headers(1, false, ":status: 200")
	response(t, s)
	for _, word := range []string{"a", "bc", "def"} {
		if err := s.Write([]byte(word)); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		f := p.read().(*xh2.DataFrame)
		p.data(1, false, strings.ToUpper(string(f.Data())))
		if got, err := s.Body().Next(); string(got) != strings.ToUpper(word) || err != nil {
			t.Errorf("echo of %q = %q, %v", word, got, err)
		}
	}
	// Half-closed: the answer goes on.
	if err := s.End(nil); err != nil {
		t.Fatal(err)
	}
	p.read()
	p.data(1, true, "end")
	wantText(t, s.Body(), "end")
	if !s.Close() {
		t.Error("Close() = false after a complete exchange")
	}
}

func TestClientTunnel(t *testing.T) {
	c, p := pipe(t, nil, xh2.Setting{ID: xh2.SettingEnableConnectProtocol, Val: 1})
	s := open(t, c)
	send(t, s, get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"))
	f := p.request()
	var got []string
	for _, h := range f.Fields {
		got = append(got, h.Name+"="+h.Value)
	}
	want := []string{":method=CONNECT", ":protocol=websocket", ":scheme=http", ":authority=a.example", ":path=/", "sec-websocket-version=13"}
	if !slices.Equal(got, want) || f.StreamEnded() {
		t.Errorf("extended CONNECT = %v (end %t), want %v", got, f.StreamEnded(), want)
	}
	p.headers(1, false, ":status: 200")
	res := response(t, s)
	if res.Status != 101 || string(res.Fields.Get(message.Upgrade)) != "websocket" ||
		string(res.Fields.Named("Sec-WebSocket-Accept")) != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("answer = %d %s, want the 101 of HTTP/1.1", res.Status, text(&res.Fields))
	}
	tun, err := s.Tunnel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tun.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if f := p.read().(*xh2.DataFrame); string(f.Data()) != "ping" {
		t.Errorf("DATA = %q, want ping", f.Data())
	}
	p.data(1, false, "pong")
	b := make([]byte, 2)
	if _, err := io.ReadFull(tun, b); string(b) != "po" {
		t.Errorf("Read = %q, %v", b, err)
	}
	if err := tun.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if f := p.read().(*xh2.DataFrame); !f.StreamEnded() {
		t.Errorf("after CloseWrite: %v, want the end of the stream", f)
	}
	p.data(1, true, "!")
	if rest, err := io.ReadAll(tun); string(rest) != "ng!" || err != nil {
		t.Errorf("rest = %q, %v, want ng!", rest, err)
	}
	tun.Close()
	if !s.Close() {
		t.Error("connection given up because of a tunnel")
	}
}

// A peer without RFC 8441 gets the request as if it ignored the upgrade.
func TestClientUpgradeNotSpoken(t *testing.T) {
	c, p := pipe(t, nil)
	s := open(t, c)
	send(t, s, get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"))
	for _, h := range p.request().Fields {
		if h.Name == "upgrade" || h.Name == "connection" || h.Value == "CONNECT" {
			t.Errorf("request has %v", h)
		}
	}
	p.headers(1, true, ":status: 400")
	if res := response(t, s); res.Status != 400 {
		t.Errorf("status = %d, want the peer's", res.Status)
	}
	s.Close()
}

// What breaks the connection's rules ends it with GOAWAY, and says so to all.
func TestClientViolation(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(p *peer)
		code   xh2.ErrCode
		reason outcome.Reason
	}{
		{"push", func(p *peer) {
			p.must(p.fr.WritePushPromise(xh2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: p.block(":method: GET"), EndHeaders: true}))
		}, xh2.ErrCodeProtocol, outcome.UpstreamInvalid},
		{"stream of the server", func(p *peer) { p.headers(2, true, ":status: 200") }, xh2.ErrCodeProtocol, outcome.UpstreamInvalid},
		{"idle stream", func(p *peer) { p.headers(99, true, ":status: 200") }, xh2.ErrCodeProtocol, outcome.UpstreamInvalid},
		{"DATA on an idle stream", func(p *peer) { p.data(99, true, "x") }, xh2.ErrCodeProtocol, outcome.UpstreamInvalid},
		{"HPACK", func(p *peer) {
			p.must(p.fr.WriteHeaders(xh2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff}, EndHeaders: true}))
		}, xh2.ErrCodeCompression, outcome.UpstreamInvalid},
		{"window overflow", func(p *peer) {
			p.must(p.fr.WriteWindowUpdate(0, 1<<31-1))
		}, xh2.ErrCodeFlowControl, outcome.UpstreamInvalid},
		{"CONTINUATION flood", func(p *peer) {
			p.must(p.fr.WriteHeaders(xh2.HeadersFrameParam{StreamID: 1}))
			for range 100 {
				if p.fr.WriteContinuation(1, false, []byte{}) != nil {
					return
				}
			}
		}, xh2.ErrCodeEnhanceYourCalm, outcome.UpstreamHeadSize},
		{"PING flood", func(p *peer) {
			for range 5000 {
				if p.fr.WritePing(false, [8]byte{}) != nil {
					return
				}
			}
		}, xh2.ErrCodeEnhanceYourCalm, outcome.UpstreamInvalid},
		{"empty DATA flood", func(p *peer) {
			p.headers(1, false, ":status: 200")
			for range 5000 {
				if p.fr.WriteData(1, false, nil) != nil {
					return
				}
			}
		}, xh2.ErrCodeEnhanceYourCalm, outcome.UpstreamInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, p := pipe(t, nil)
			s := open(t, c)
			send(t, s, get())
			p.request()
			go tt.do(p)
			var err error
			for err == nil && !s.given {
				_, err = s.Response(nil)
			}
			if err == nil {
				_, err = readAll(s.Body())
			}
			wantError(t, err, tt.reason, outcome.RetryNo)
			if s.Close() || c.Open() != nil {
				t.Error("the connection is used again")
			}
			eventually(t, "GOAWAY", func() bool {
				f, ok := p.read().(*xh2.GoAwayFrame)
				if ok && f.ErrCode != tt.code {
					t.Errorf("GOAWAY with %v (%s), want %v", f.ErrCode, f.DebugData(), tt.code)
				}
				return ok || t.Failed()
			})
		})
	}
}

func TestClientHeadTooLarge(t *testing.T) {
	c, p := pipe(t, &ClientConfig{MaxHead: 1000, MaxFields: 10})
	for i, lines := range [][]string{
		{":status: 200", "a: " + strings.Repeat("x", 500), "b: " + strings.Repeat("x", 500)},
		append([]string{":status: 200"}, slices.Repeat([]string{"a: b"}, 10)...),
	} {
		id := uint32(2*i + 1)
		s := open(t, c)
		send(t, s, get())
		p.request()
		p.headers(id, true, lines...)
		_, err := s.Response(nil)
		wantError(t, err, outcome.UpstreamHeadSize, outcome.RetryNo)
		p.reset(id, xh2.ErrCodeCancel)
		if !s.Close() {
			t.Error("connection given up because of one head")
		}
	}
}

// Drain lets streams end, then closes.
func TestClientDrain(t *testing.T) {
	c, p := pipe(t, nil)
	s := open(t, c)
	send(t, s, get())
	p.request()
	c.Drain()
	if c.Open() != nil {
		t.Error("a stream after Drain")
	}
	p.headers(1, true, ":status: 200")
	response(t, s)
	if s.Close() {
		t.Error("Close() = true after Drain")
	}
	if f, ok := p.read().(*xh2.GoAwayFrame); !ok || f.ErrCode != xh2.ErrCodeNo {
		t.Errorf("at the end: %v, want GOAWAY without an error", f)
	}
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
