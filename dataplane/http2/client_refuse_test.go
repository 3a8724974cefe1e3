package http2

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	xh2 "golang.org/x/net/http2"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

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
