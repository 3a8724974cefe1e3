package http2

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	xh2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// FuzzClient plays bytes as an endpoint that answers two requests. Whatever they
// are, both attempts end, with an answer whose head is clean and whose body is as
// long as it says, or with an error that says why not. TestMain holds that no
// goroutine and no buffer is left.
func FuzzClient(f *testing.F) {
	f.Add(scriptOf(func(fr *xh2.Framer, block func(...string) []byte) {
		_ = fr.WriteHeaders(xh2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200", "content-length", "5")})
		_ = fr.WriteData(1, true, []byte("hello"))
		_ = fr.WriteHeaders(xh2.HeadersFrameParam{StreamID: 3, EndHeaders: true, BlockFragment: block(":status", "103", "link", "</a>")})
		_ = fr.WriteHeaders(xh2.HeadersFrameParam{StreamID: 3, EndHeaders: true, BlockFragment: block(":status", "200")})
		_ = fr.WriteDataPadded(3, false, []byte("x"), make([]byte, 9))
		_ = fr.WriteHeaders(xh2.HeadersFrameParam{StreamID: 3, EndHeaders: true, EndStream: true, BlockFragment: block("grpc-status", "0")})
	}))
	f.Add(scriptOf(func(fr *xh2.Framer, block func(...string) []byte) {
		_ = fr.WriteSettings(xh2.Setting{ID: xh2.SettingInitialWindowSize, Val: 1}, xh2.Setting{ID: xh2.SettingMaxConcurrentStreams, Val: 1})
		_ = fr.WritePing(false, [8]byte{1})
		_ = fr.WriteWindowUpdate(0, 100)
		_ = fr.WriteWindowUpdate(1, 100)
		_ = fr.WriteRSTStream(1, xh2.ErrCodeRefusedStream)
		_ = fr.WriteGoAway(1, xh2.ErrCodeNo, []byte("bye"))
	}))
	f.Add(scriptOf(func(fr *xh2.Framer, block func(...string) []byte) {
		b := block(":status", "200", "a", "b")
		_ = fr.WriteHeaders(xh2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:1], EndStream: true})
		_ = fr.WriteContinuation(1, true, b[1:])
		_ = fr.WriteHeaders(xh2.HeadersFrameParam{StreamID: 3, EndHeaders: true, BlockFragment: block(":status", "204", "Connection", "close")})
		_ = fr.WriteData(3, true, []byte("x"))
	}))
	f.Fuzz(func(t *testing.T, input []byte) {
		near, far := net.Pipe()
		c := NewClientConn(near, &ClientConfig{MaxHead: 4 << 10, MaxFields: 20})
		go func() {
			_, _ = io.Copy(io.Discard, far)
		}()
		_ = far.SetWriteDeadline(time.Now().Add(10 * time.Second))
		go func() {
			_, _ = far.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0})
		}()
		if err := c.Start(t.Context()); err != nil {
			t.Fatalf("Start() = %v", err)
		}
		a, b := c.Open(), c.Open()
		for _, s := range []*ClientStream{a, b} {
			if s.Head(newRequest("GET", "/", 0)) != nil || s.End(nil) != nil {
				t.Fatal("request not sent")
			}
		}
		played := make(chan struct{})
		go func() {
			defer close(played)
			_, _ = far.Write(input)
			_ = far.Close()
		}()
		for _, s := range []*ClientStream{a, b} {
			fuzzResponse(t, s)
			s.Close()
		}
		c.Drain()
		<-played
	})
}

// fuzzResponse reads an answer to its end.
func fuzzResponse(t *testing.T, s *ClientStream) {
	var res *message.Response
	for res == nil || res.Status < 200 {
		var err error
		if res, err = s.Response(nil); err != nil {
			fuzzError(t, err)
			return
		}
		for l := range res.Fields.All() {
			if !message.IsToken(l.Name) || !message.ValidValue(l.Value) || bytes.ContainsAny(l.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
				t.Errorf("field %q: %q", l.Name, l.Value)
			}
			switch l.ID {
			case message.Connection, message.TransferEncoding, message.Upgrade, message.KeepAlive:
				t.Errorf("field of the connection %q", l.Name)
			}
		}
	}
	var n int64
	for {
		p, err := s.Body().Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			fuzzError(t, err)
			return
		}
		n += int64(len(p))
	}
	if res.Length >= 0 && n != res.Length && res.Status != 304 {
		t.Errorf("body of %d bytes, declared %d", n, res.Length)
	}
}

func fuzzError(t *testing.T, err error) {
	e, ok := err.(*outcome.Error)
	if !ok || e.Side != outcome.Upstream || !e.Reason.Known() {
		t.Errorf("error %v (%T), want one of the upstream side with a known reason", err, err)
	}
}

// scriptOf returns what write writes.
func scriptOf(write func(*xh2.Framer, func(...string) []byte)) []byte {
	var out, block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fr := xh2.NewFramer(&out, nil)
	fr.AllowIllegalWrites = true
	write(fr, func(kv ...string) []byte {
		block.Reset()
		for i := 0; i < len(kv); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
		}
		return bytes.Clone(block.Bytes())
	})
	return out.Bytes()
}
