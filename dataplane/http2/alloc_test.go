package http2

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// browser is the head of a usual request.
var browser = []hpack.HeaderField{
	{Name: ":method", Value: "GET"},
	{Name: ":scheme", Value: "https"},
	{Name: ":authority", Value: "www.example.com"},
	{Name: ":path", Value: "/some/path/to/a/page?with=query"},
	{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
	{Name: "accept", Value: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
	{Name: "accept-language", Value: "en-US,en;q=0.5"},
	{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
	{Name: "cookie", Value: "session=0123456789abcdef0123456789abcdef"},
	{Name: "upgrade-insecure-requests", Value: "1"},
	{Name: "cache-control", Value: "max-age=0"},
}

// A bareClient speaks just enough HTTP/2 to make requests, and allocates nothing.
type bareClient struct {
	nc   net.Conn
	rd   *bufio.Reader
	enc  *hpack.Encoder
	head bytes.Buffer
	out  []byte
	id   uint32
	// got counts the bytes of DATA since the last update.
	got int
}

func dialBare(t testing.TB, s *Server) *bareClient {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(server, new(outcome.Conn))
	}()
	t.Cleanup(func() {
		nc.Close()
		<-done
	})
	c := &bareClient{nc: nc, rd: bufio.NewReaderSize(nc, 64<<10), id: 1}
	c.enc = hpack.NewEncoder(&c.head)
	_, _ = io.WriteString(nc, preface+"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x7f\xff\xff\xff")
	return c
}

// get makes n requests at once and waits for all answers.
func (c *bareClient) get(t testing.TB, n int, fields []hpack.HeaderField) {
	c.out = c.out[:0]
	for range n {
		c.head.Reset()
		for _, f := range fields {
			_ = c.enc.WriteField(f)
		}
		var h [frameHeaderLen]byte
		frameHeader{c.head.Len(), frameHeaders, flagEndHeaders | flagEndStream, c.id}.put(h[:])
		c.out = append(append(c.out, h[:]...), c.head.Bytes()...)
		c.id += 2
	}
	if c.got > 16<<10 {
		var h [frameHeaderLen]byte
		frameHeader{4, frameWindowUpdate, 0, 0}.put(h[:])
		c.out = append(c.out, h[:]...)
		c.out = append(c.out, byte(c.got>>24), byte(c.got>>16), byte(c.got>>8), byte(c.got))
		c.got = 0
	}
	if _, err := c.nc.Write(c.out); err != nil {
		t.Fatal(err)
	}
	for n > 0 {
		p, err := c.rd.Peek(frameHeaderLen)
		if err != nil {
			t.Fatal(err)
		}
		h := parseFrameHeader(p)
		if _, err := c.rd.Discard(frameHeaderLen + h.length); err != nil {
			t.Fatal(err)
		}
		switch {
		case h.typ == frameRSTStream || h.typ == frameGoAway:
			t.Fatalf("frame of type %d", h.typ)
		case h.typ == frameData:
			c.got += h.length
		}
		if (h.typ == frameData || h.typ == frameHeaders) && h.has(flagEndStream) {
			n--
		}
	}
}

// page answers with 1 KiB and allocates nothing.
func page() func(*Exchange) {
	body := make([]byte, 1<<10)
	return func(x *Exchange) {
		_ = x.Head(pageHead)
		_ = x.Write(body)
		_ = x.End(nil)
	}
}

var pageHead = func() *message.Response {
	res := &message.Response{Version: message.HTTP11, Status: 200, Length: 1 << 10}
	res.Fields.Add(message.ContentType, "text/html")
	res.Fields.Add(message.Server, "backend")
	res.Fields.AddName("X-Frame-Options", "DENY")
	return res
}()

// TestAllocations holds what a request may cost. Those with the same fields as the
// one before are found in the table; a literal is a string that the decoder makes.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := dialBare(t, &Server{Handler: page()})
	c.get(t, 10, browser)
	if n := testing.AllocsPerRun(1000, func() { c.get(t, 1, browser) }); n > 0 {
		t.Errorf("%v allocations a request with repeated fields, want 0", n)
	}
	if n := testing.AllocsPerRun(200, func() { c.get(t, 20, browser) }); n > 2 {
		t.Errorf("%v allocations for 20 requests at once, want 2 at most", n)
	}
	fresh := append([]hpack.HeaderField(nil), browser...)
	i := 0
	paths := make([]string, 2000)
	for i := range paths {
		paths[i] = fmt.Sprintf("/path/%d", i)
	}
	n := testing.AllocsPerRun(1000, func() {
		fresh[3].Value, fresh[3].Sensitive = paths[i], true
		fresh[8].Value, fresh[8].Sensitive = paths[i], true
		i++
		c.get(t, 1, fresh)
	})
	if n > 4 {
		t.Errorf("%v allocations a request with two fresh fields, want 4 at most", n)
	}
	t.Logf("%v allocations with two fresh fields", n)
}

func BenchmarkRequests(b *testing.B) {
	for _, streams := range []int{1, 20} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			c := dialBare(b, &Server{Handler: page()})
			c.get(b, streams, browser)
			b.ReportAllocs()
			for range b.N / streams {
				c.get(b, streams, browser)
			}
		})
	}
}
