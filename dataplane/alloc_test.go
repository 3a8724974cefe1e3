//go:build !race

package dataplane_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestAllocations holds what a request may cost through the whole data plane, from
// the client's socket to the endpoint's, which speaks HTTP/1.1, and back.
func TestAllocations(t *testing.T) {
	w := newWorld(t, nil)
	u := single("www.example.com", snapshot.Policy{}, steadyBackend(t))
	w.secure(u.Spec.Hosts[0])
	w.publish(u)
	secured, err := tls.Dial("tcp", w.Addr("https").String(), &tls.Config{ServerName: "www.example.com", RootCAs: w.ca})
	if err != nil {
		t.Fatal(err)
	}
	defer secured.Close()
	for _, test := range []struct {
		name string
		max  float64
		do   func()
	}{
		{"HTTP/1.1", 0, newPlainClient(t, dialFor(t, w.Addr("http"))).get},
		// One of crypto/tls for each record that it reads, on either side.
		{"HTTP/1.1 over TLS", 2, newPlainClient(t, secured).get},
		{"HTTP/2 with repeated fields", 0, dialBare(t, w.Addr("http")).getter(false)},
		// The strings of its seven fields.
		{"HTTP/2 with fresh fields", 7, dialBare(t, w.Addr("http")).getter(true)},
	} {
		for range 20 {
			test.do()
		}
		n := testing.AllocsPerRun(500, test.do)
		t.Logf("%s: %v allocations a request", test.name, n)
		if n > test.max {
			t.Errorf("%s: %v allocations a request, want %v at most", test.name, n, test.max)
		}
	}
}

// steadyBackend answers every request with 1 KiB and allocates nothing.
func steadyBackend(t *testing.T) snapshot.Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: backend\r\nContent-Type: text/html\r\nX-Frame-Options: DENY\r\n"+
		"Date: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Length: 1024\r\n\r\n%s", bytes.Repeat([]byte("x"), 1024))
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				buf, n := make([]byte, 8<<10), 0
				for {
					k, err := nc.Read(buf[n:])
					if err != nil {
						return
					}
					if n += k; !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
						continue
					}
					n = 0
					if _, err := nc.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return snapshot.Endpoint{Addr: netip.MustParseAddrPort(ln.Addr().String())}
}

// browser is the head of a usual request.
var browser = []hpack.HeaderField{
	{Name: ":method", Value: "GET"},
	{Name: ":scheme", Value: "http"},
	{Name: ":authority", Value: "www.example.com"},
	{Name: ":path", Value: "/some/path/to/a/page?with=query"},
	{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
	{Name: "accept", Value: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
	{Name: "accept-language", Value: "en-US,en;q=0.5"},
	{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
	{Name: "cookie", Value: "session=0123456789abcdef0123456789abcdef"},
	{Name: "cache-control", Value: "max-age=0"},
}

// A plainClient makes requests of HTTP/1.1 and allocates nothing.
type plainClient struct {
	t        *testing.T
	nc       net.Conn
	rd       *bufio.Reader
	head, in []byte
}

func newPlainClient(t *testing.T, nc net.Conn) *plainClient {
	c := &plainClient{t: t, nc: nc, rd: bufio.NewReaderSize(nc, 16<<10), in: make([]byte, 1024)}
	c.head = []byte("GET /some/path/to/a/page?with=query HTTP/1.1\r\nHost: www.example.com\r\n")
	for _, f := range browser[4:] {
		c.head = fmt.Appendf(c.head, "%s: %s\r\n", f.Name, f.Value)
	}
	c.head = append(c.head, "\r\n"...)
	return c
}

func dialFor(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc
}

// get makes a request and reads its answer.
func (c *plainClient) get() {
	if _, err := c.nc.Write(c.head); err != nil {
		c.t.Fatal(err)
	}
	for first := true; ; first = false {
		line, err := c.rd.ReadSlice('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			c.t.Fatalf("answer %q, want 200", line)
		}
		if len(line) == 2 {
			break
		}
	}
	if _, err := io.ReadFull(c.rd, c.in); err != nil {
		c.t.Fatal(err)
	}
}

// A bareClient makes requests of HTTP/2 by prior knowledge and allocates nothing.
type bareClient struct {
	t    *testing.T
	nc   net.Conn
	rd   *bufio.Reader
	enc  *hpack.Encoder
	head bytes.Buffer
	out  []byte
	id   uint32
	// received counts the bytes of DATA since the last WINDOW_UPDATE.
	received uint32
}

const frameHeader = 9

func dialBare(t *testing.T, addr net.Addr) *bareClient {
	nc := dialFor(t, addr)
	c := &bareClient{t: t, nc: nc, rd: bufio.NewReaderSize(nc, 64<<10), id: 1}
	c.enc = hpack.NewEncoder(&c.head)
	_, _ = io.WriteString(nc, http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	return c
}

// getter returns a function that makes a request and reads its answer. With fresh,
// every field is new to both tables of HPACK.
func (c *bareClient) getter(fresh bool) func() {
	fields := append([]hpack.HeaderField(nil), browser...)
	return func() {
		if fresh {
			for i := 3; i < len(fields); i++ {
				fields[i].Value = varied(browser[i].Value, int(c.id))
			}
		}
		c.get(fields)
	}
}

// values are made before anybody counts.
var values = func() map[string][]string {
	m := make(map[string][]string)
	for _, f := range browser[3:] {
		for i := range 1000 {
			m[f.Value] = append(m[f.Value], fmt.Sprintf("%s%d", f.Value, i))
		}
	}
	return m
}()

func varied(value string, id int) string { return values[value][id/2%1000] }

func (c *bareClient) get(fields []hpack.HeaderField) {
	c.head.Reset()
	for _, f := range fields {
		_ = c.enc.WriteField(f)
	}
	c.out = c.out[:0]
	c.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, c.id, c.head.Bytes())
	c.id += 2
	if c.received > 16<<10 {
		var p [4]byte
		binary.BigEndian.PutUint32(p[:], c.received)
		c.frame(http2.FrameWindowUpdate, 0, 0, p[:])
		c.received = 0
	}
	if _, err := c.nc.Write(c.out); err != nil {
		c.t.Fatal(err)
	}
	for ended := false; !ended; {
		h, err := c.rd.Peek(frameHeader)
		if err != nil {
			c.t.Fatal(err)
		}
		length := uint32(h[0])<<16 | uint32(h[1])<<8 | uint32(h[2])
		kind, flags := http2.FrameType(h[3]), http2.Flags(h[4])
		switch kind {
		case http2.FrameRSTStream, http2.FrameGoAway:
			c.t.Fatalf("frame of type %v", kind)
		case http2.FrameData:
			c.received += length
			ended = flags.Has(http2.FlagDataEndStream)
		}
		if _, err := c.rd.Discard(frameHeader + int(length)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *bareClient) frame(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
	n := len(payload)
	c.out = append(c.out, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	c.out = binary.BigEndian.AppendUint32(c.out, id)
	c.out = append(c.out, payload...)
}
