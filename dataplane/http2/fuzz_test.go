package http2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A replay is a connection whose peer has said all that it will and takes
// everything.
type replay struct {
	in  bytes.Reader
	out bytes.Buffer
}

func (r *replay) Read(p []byte) (int, error)       { return r.in.Read(p) }
func (r *replay) Write(p []byte) (int, error)      { return r.out.Write(p) }
func (r *replay) Close() error                     { return nil }
func (r *replay) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (r *replay) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (r *replay) SetDeadline(time.Time) error      { return nil }
func (r *replay) SetReadDeadline(time.Time) error  { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }

// FuzzServerConn makes frames of the input, good ones and bad ones, and holds that
// the server ends, that what it sends are frames that x/net accepts, and that every
// request which gets to the handler is one that HTTP/1.1 could carry.
func FuzzServerConn(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		var nc replay
		input := append([]byte(preface), 0, 0, 0, byte(frameSettings), 0, 0, 0, 0, 0)
		nc.in.Reset(append(input, frames(script)...))
		handler := func(x *Exchange) {
			if x.Refusal() == nil {
				checkDowngrade(t, x.Request())
			}
			echo(x)
			if x.in.trailers.Len() > 0 && x.in.err == nil && x.in.done {
				checkLines(t, &x.in.trailers)
			}
		}
		info := new(outcome.Conn)
		(&Server{Handler: handler, MaxStreams: 8}).Serve(&nc, info)
		if !info.Reason.Known() {
			t.Errorf("Conn.Reason = %q", info.Reason)
		}
		checkOutput(t, nc.out.Bytes())
	})
}

// frames makes frames of a script: each step is a byte that chooses, one for the
// stream, one for the flags and one for the length of what follows.
func frames(script []byte) []byte {
	var out, head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for len(script) >= 4 {
		kind, id, flags, n := script[0], uint32(script[1]), script[2], int(script[3])
		script = script[4:]
		n = min(n, len(script))
		payload := script[:n]
		script = script[n:]
		typ := frameType(kind % 12)
		switch {
		case kind >= 200: // a good request with one odd field
			head.Reset()
			name, value, _ := bytes.Cut(payload, []byte{'='})
			for _, field := range [][2]string{
				{":method", "POST"},
				{":scheme", "https"},
				{":authority", "example.com"},
				{":path", "/"},
				{string(name), string(value)},
			} {
				_ = enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
			}
			typ, payload = frameHeaders, head.Bytes()
			flags = flags&flagEndStream | flagEndHeaders
		case kind >= 120 && typ == frameData:
			flags &= flagEndStream
		}
		var h [frameHeaderLen]byte
		frameHeader{len(payload), typ, flags, id}.put(h[:])
		if kind == 119 { // a length that lies
			binary.BigEndian.PutUint16(h[1:], uint16(id)<<8|uint16(flags))
		}
		out.Write(h[:])
		out.Write(payload)
	}
	return out.Bytes()
}

func seeds() [][]byte {
	step := func(kind, id, flags byte, payload string) []byte {
		return append([]byte{kind, id, flags, byte(len(payload))}, payload...)
	}
	join := func(steps ...[]byte) []byte { return bytes.Join(steps, nil) }
	request := step(200, 1, flagEndStream, "accept=text/html")
	return [][]byte{
		request,
		join(step(200, 1, 0, "x=y"), step(120, 1, 0, "hello"), step(120, 1, 1, "world")),
		join(step(200, 1, 0, "content-length=5"), step(120, 1, 1, "hello")),
		join(step(200, 1, 0, "content-length=5"), step(120, 1, 1, "hell")),
		join(step(200, 1, 0, "trailer=x"), step(1, 1, 5, "\x00\x01x\x01y")),
		join(request, step(200, 3, 1, "cookie=a=b"), step(3, 3, 0, "\x00\x00\x00\x08")),
		join(request, step(8, 0, 0, "\x00\x00\x00\x00")),
		join(request, step(8, 1, 0, "\x7f\xff\xff\xff")),
		join(step(4, 0, 0, "\x00\x04\x00\x00\x00\x01"), request, step(4, 0, 0, "\x00\x04\x00\x01\x00\x00")),
		join(step(1, 1, 0, "\x82"), step(9, 1, 4, "\x86\x84\x01\x01h")),
		join(step(6, 0, 0, "12345678"), step(2, 1, 0, "\x00\x00\x00\x00\x10"), step(7, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00")),
		join(step(1, 1, 13, "\x02\x82\x86\x84\x01\x01h\x00\x00")),
		step(200, 1, 1, "host=other"),
		step(200, 1, 1, "transfer-encoding=chunked"),
		step(119, 255, 255, "x"),
	}
}

// checkDowngrade holds that a request is one that can be written as HTTP/1.1 in one
// way only.
func checkDowngrade(t *testing.T, r *message.Request) {
	t.Helper()
	if !message.IsToken([]byte(r.Method)) || !message.ValidAuthority(r.Authority) || len(r.Target) == 0 {
		t.Errorf("request %q %q for %q", r.Method, r.Target, r.Authority)
	}
	for _, c := range r.Target {
		if !message.TargetByte(c) {
			t.Errorf("target %q", r.Target)
		}
	}
	if n := r.Fields.Count(message.Host); n != 1 {
		t.Errorf("%d Host lines", n)
	}
	if r.Fields.Count(message.Cookie) > 1 || r.Fields.Count(message.ContentLength) > 1 {
		t.Error("several Cookie or Content-Length lines")
	}
	for _, id := range []message.ID{message.Connection, message.TransferEncoding, message.Upgrade, message.KeepAlive} {
		if r.Fields.Has(id) {
			t.Errorf("field %s", id)
		}
	}
	checkLines(t, &r.Fields)
}

func checkLines(t *testing.T, f *message.Fields) {
	t.Helper()
	for l := range f.All() {
		if !message.IsToken(l.Name) || !message.ValidValue(l.Value) {
			t.Errorf("field %q: %q", l.Name, l.Value)
		}
	}
}

// checkOutput parses what the server has sent.
func checkOutput(t *testing.T, out []byte) {
	t.Helper()
	fr := xhttp2.NewFramer(io.Discard, bytes.NewReader(out))
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	ended := make(map[uint32]bool)
	for {
		f, err := fr.ReadFrame()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("what was sent: %v", err)
		}
		h := f.Header()
		switch h.Type {
		case xhttp2.FrameData, xhttp2.FrameHeaders:
			if ended[h.StreamID] {
				t.Errorf("%v after the end of stream %d", h.Type, h.StreamID)
			}
			ended[h.StreamID] = h.Flags.Has(xhttp2.FlagDataEndStream)
		case xhttp2.FrameRSTStream:
			ended[h.StreamID] = true
		}
	}
}
