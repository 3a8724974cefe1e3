package http2

import (
	"io"
	"slices"
	"strings"
	"testing"

	xh2 "golang.org/x/net/http2"

	"github.com/cardea-dev/cardea/dataplane/message"
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
