package http2

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// A cannedPeer answers every request with the same bytes and allocates nothing, so
// that what is counted is ours. repeated says whether the fields come from the
// HPACK table.
type cannedPeer struct {
	nc     net.Conn
	header [frameHeaderLen]byte
	body   [maxFrame]byte
	out    []byte
	answer []byte
}

func (p *cannedPeer) run() {
	if _, err := io.ReadFull(p.nc, p.body[:len(preface)]); err != nil {
		return
	}
	p.frame(frameSettings, 0, 0, nil)
	for {
		if _, err := io.ReadFull(p.nc, p.header[:]); err != nil {
			return
		}
		h := parseFrameHeader(p.header[:])
		if _, err := io.ReadFull(p.nc, p.body[:h.length]); err != nil {
			return
		}
		if h.typ != frameHeaders {
			continue
		}
		p.out = p.out[:0]
		for rest := p.answer; len(rest) > 0; {
			f := parseFrameHeader(rest)
			binary.BigEndian.PutUint32(rest[5:], h.stream)
			p.out = append(p.out, rest[:frameHeaderLen+f.length]...)
			rest = rest[frameHeaderLen+f.length:]
		}
		if _, err := p.nc.Write(p.out); err != nil {
			return
		}
	}
}

func (p *cannedPeer) frame(t frameType, flags uint8, id uint32, payload []byte) {
	p.out = append(p.out[:0], make([]byte, frameHeaderLen)...)
	frameHeader{len(payload), t, flags, id}.put(p.out)
	_, _ = p.nc.Write(append(p.out, payload...))
}

// canned returns a ClientConn whose peer answers with a head of the given block
// and a body of size bytes.
func canned(t testing.TB, block []byte, size int) *ClientConn {
	t.Helper()
	near, far := tcpPair(t)
	p := &cannedPeer{nc: far}
	add := func(typ frameType, flags uint8, payload []byte) {
		var h [frameHeaderLen]byte
		frameHeader{len(payload), typ, flags, 0}.put(h[:])
		p.answer = append(append(p.answer, h[:]...), payload...)
	}
	add(frameHeaders, flagEndHeaders, block)
	add(frameData, flagEndStream, make([]byte, size))
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run()
	}()
	c := NewClientConn(near, nil)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Drain()
		<-done
		far.Close()
	})
	return c
}

// literalBlock is a head of new fields: 200, content-type, etag, date and server.
func literalBlock() []byte {
	var e encoder
	e.status(200)
	for _, i := range []int{31, 34, 33, 54} {
		e.literal(i, []byte("some value"))
	}
	return e.block
}

func exchange(t testing.TB, c *ClientConn) {
	s := c.Open()
	if err := s.Head(benchRequest); err != nil {
		t.Fatal(err)
	}
	if err := s.End(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Response(nil); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := s.Body().Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !s.Close() {
		t.Fatal("Close() = false")
	}
}

var benchRequest = get("User-Agent: bench", "Accept: */*", "Cookie: a=b", "X-Request-ID: 0123456789abcdef")

// TestClientAllocs is a ceiling: the decoder's two strings for each field that is
// not in a table are all there is.
func TestClientAllocs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		block []byte
		max   float64
	}{
		{"fields from the table", []byte{0x80 | staticStatus}, 0},
		{"four new values", literalBlock(), 4},
	} {
		c := canned(t, tt.block, 1000)
		for range 100 {
			exchange(t, c)
		}
		if raceEnabled {
			continue // sync.Pool drops some of what it gets
		}
		if got := testing.AllocsPerRun(200, func() { exchange(t, c) }); got > tt.max {
			t.Errorf("%s: %v allocations an exchange, want at most %v", tt.name, got, tt.max)
		}
	}
}

func BenchmarkClient(b *testing.B) {
	c := canned(b, literalBlock(), 1000)
	b.ReportAllocs()
	for b.Loop() {
		exchange(b, c)
	}
}
