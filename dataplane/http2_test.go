package dataplane_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/http1"
	engine "github.com/cardea-dev/cardea/dataplane/http2"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Both engines carry exchanges for the proxy.
var (
	_ proxy.Downstream = (*http1.Exchange)(nil)
	_ proxy.Downstream = (*engine.Exchange)(nil)
)

// TestALPN holds which protocol a client gets for what it offers.
func TestALPN(t *testing.T) {
	w := newWorld(t, nil)
	h, pool := host("alpn.example", snapshot.Policy{})
	w.secure(h)
	w.publish(snapshot.Update{
		Spec:      &snapshot.Spec{Hosts: []*snapshot.Host{h}, Pools: []*snapshot.Pool{pool}},
		Endpoints: map[string][]snapshot.Endpoint{pool.ID: {backend(t, "b")}},
	})
	for _, test := range []struct {
		offer []string
		want  string
	}{
		{[]string{"h2", "http/1.1"}, "h2"},
		{[]string{"http/1.1", "h2"}, "h2"},
		{[]string{"http/1.1"}, "http/1.1"},
		{[]string{"spdy/3"}, ""},
		{nil, ""},
	} {
		c, err := tls.Dial("tcp", w.Addr("https").String(), &tls.Config{RootCAs: w.ca, ServerName: "alpn.example", NextProtos: test.offer})
		if err != nil {
			t.Fatalf("offer %q: %v", test.offer, err)
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != test.want {
			t.Errorf("offer %q: negotiated %q, want %q", test.offer, got, test.want)
		}
		c.Close()
	}
}

// A framed is a client connection frame by frame.
type framed struct {
	t  *testing.T
	nc net.Conn
	*http2.Framer
	head bytes.Buffer
	enc  *hpack.Encoder
}

// frames opens a connection of HTTP/2 by prior knowledge.
func (w *world) frames(t *testing.T) *framed {
	t.Helper()
	nc, err := net.Dial("tcp", w.Addr("http").String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	f := &framed{t: t, nc: nc, Framer: http2.NewFramer(nc, nc)}
	f.enc = hpack.NewEncoder(&f.head)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, _ = io.WriteString(nc, http2.ClientPreface[:5])
	_, _ = io.WriteString(nc, http2.ClientPreface[5:])
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *framed) headers(id uint32, end bool, pairs ...string) {
	f.head.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.head.Bytes(), EndStream: end, EndHeaders: true}); err != nil {
		f.t.Fatal(err)
	}
}

// next returns the next frame that is about a stream, or GOAWAY; nil at the end.
func (f *framed) next() http2.Frame {
	f.t.Helper()
	for {
		frame, err := f.ReadFrame()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			f.t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame, *http2.WindowUpdateFrame:
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = f.WritePing(true, frame.Data)
			}
		default:
			return frame
		}
	}
}

// TestWebsocketOverHTTP2 takes extended CONNECT to a backend that speaks HTTP/1.1.
func TestWebsocketOverHTTP2(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(single("ws.example", snapshot.Policy{}, serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Method != "GET" || r.Header.Get("Sec-Websocket-Version") != "13" {
			http.Error(rw, "not an upgrade", 400)
			return
		}
		c, buf, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(buf, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\nhello", base64.StdEncoding.EncodeToString(sum[:]))
		_ = buf.Flush()
		_, _ = io.Copy(c, buf)
	}))))
	f := w.frames(t)
	f.headers(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "ws.example", ":path", "/chat",
		"sec-websocket-version", "13")
	head, ok := f.next().(*http2.MetaHeadersFrame)
	if !ok || head.PseudoValue("status") != "200" {
		t.Fatalf("answer %v, want 200", head)
	}
	if err := f.WriteData(1, false, []byte(", world")); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for got.Len() < len("hello, world") {
		data, ok := f.next().(*http2.DataFrame)
		if !ok {
			t.Fatalf("the tunnel ended after %q", &got)
		}
		got.Write(data.Data())
	}
	if got.String() != "hello, world" {
		t.Errorf("got %q through the tunnel", &got)
	}
	if err := f.WriteData(1, true, nil); err != nil {
		t.Fatal(err)
	}
	switch frame := f.next().(type) {
	case *http2.DataFrame:
		if !frame.StreamEnded() || len(frame.Data()) > 0 {
			t.Errorf("got %v, want the end", frame)
		}
	default:
		t.Errorf("got %v, want the end", frame)
	}
}

// TestDrainOfHTTP2 holds that streams finish while the data plane drains, and that
// the client is told which ones.
func TestDrainOfHTTP2(t *testing.T) {
	w := newWorld(t, nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.publish(single("drain.example", snapshot.Policy{}, serve(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(rw, "late")
	}))))
	f := w.frames(t)
	f.headers(1, true, ":method", "GET", ":scheme", "http", ":authority", "drain.example", ":path", "/")
	<-arrived
	stopped := make(chan error)
	go func() { stopped <- w.stop() }()
	var last []uint32
	for len(last) < 2 {
		g, ok := f.next().(*http2.GoAwayFrame)
		if !ok || g.ErrCode != http2.ErrCodeNo {
			t.Fatalf("got %v, want GOAWAY of NO_ERROR", g)
		}
		last = append(last, g.LastStreamID)
	}
	if !slices.Equal(last, []uint32{1<<31 - 1, 1}) {
		t.Errorf("GOAWAY with %d, want the largest stream and 1", last)
	}
	close(release)
	var body strings.Builder
	for {
		frame := f.next()
		if frame == nil {
			break
		}
		if data, ok := frame.(*http2.DataFrame); ok {
			body.Write(data.Data())
		}
	}
	if body.String() != "late" {
		t.Errorf("body %q, want late", &body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestPriorKnowledge holds what becomes of what looks like the preface at first.
func TestPriorKnowledge(t *testing.T) {
	w := newWorld(t, func(c *dataplane.Config) { c.HeadTimeout = 200 * time.Millisecond })
	w.publish(single("pri.example", snapshot.Policy{}, backend(t, "b")))
	for _, test := range []struct{ name, send, want string }{
		{"a method that starts as the preface", "PRIVATE / HTTP/1.1\r\nHost: pri.example\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK"},
		{"a preface with another end", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported"},
		{"half of a preface", "PRI * HTT", "HTTP/1.1 408 Request Timeout"},
	} {
		nc, err := net.Dial("tcp", w.Addr("http").String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(nc, test.send)
		_ = nc.SetDeadline(time.Now().Add(patience))
		line, err := bufio.NewReader(nc).ReadString('\n')
		if strings.TrimSpace(line) != test.want {
			t.Errorf("%s: answer %q, %v, want %q", test.name, line, err, test.want)
		}
		nc.Close()
	}
}
