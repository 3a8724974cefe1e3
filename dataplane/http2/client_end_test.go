package http2

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	xh2 "golang.org/x/net/http2"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// RST_STREAM says whether the request may have been looked at.
func TestClientReset(t *testing.T) {
	for _, tt := range []struct {
		code   xh2.ErrCode
		reason outcome.Reason
		retry  outcome.Retry
	}{
		{xh2.ErrCodeRefusedStream, outcome.UpstreamReset, outcome.RetryYes},
		{xh2.ErrCodeCancel, outcome.UpstreamCanceled, outcome.RetryNo},
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
	if !s.Close() || c.Open() != nil {
		t.Error("a connection in doubt was closed, or is used before it is known to be alive")
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
	if !s.Close() || c.Open() != nil {
		t.Error("a connection in doubt was closed, or is used before it is known to be alive")
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
