package features

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where the segments of the network end makes no difference to either side.
func TestWireSegments(t *testing.T) {
	const in = "POST /a?b HTTP/1.1\r\nHost: a.example\r\nX-Request-ID: id\r\nConnection: x-hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"3;x=\"y\"\r\nabc\r\n00a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"
	const last = "GET /last HTTP/1.1\r\nHost: a.example\r\nX-Request-ID: id\r\nConnection: close\r\n\r\n"
	const out = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"2;x\r\nok\r\n1\r\n!\r\n0\r\nX-Sum: 2\r\n\r\n"
	for _, tt := range []struct {
		name string
		size int
	}{{"one byte", 1}, {"two bytes", 2}, {"seven bytes", 7}, {"all at once", 1000}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, func(c *originConn) {
				for head := c.head(); head != ""; head = c.head() {
					c.body(head)
					inSegments(out, tt.size, c.send)
				}
			})
			c := w.dial()
			inSegments(in+last, tt.size, c.send)
			for range 2 {
				if a := c.want("GET", 103); a.Header.Get("Link") != "a" {
					t.Errorf("interim fields = %v", a.Header)
				}
				if a := c.want("GET", 200); a.body != "ok!" || a.Trailer.Get("X-Sum") != "2" {
					t.Errorf("answer = %q with trailers %v", a.body, a.Trailer)
				}
			}
			c.closed()
			sent := w.origin.got()
			if len(sent) != 1 {
				t.Fatalf("connections to the origin = %d, want 1", len(sent))
			}
			head, body, _ := strings.Cut(sent[0], "\r\n\r\n")
			if diff := cmp.Diff("POST /a?b HTTP/1.1\r\nHost: a.example\r\n"+w.added("a.example")+"Transfer-Encoding: chunked", head); diff != "" {
				t.Errorf("the origin got (-want +got):\n%s", diff)
			}
			body, next, _ := strings.Cut(body, "0\r\nX-Sum: 1\r\n\r\n")
			if got := dechunk(body); got != "abc0123456789" {
				t.Errorf("the origin got the body %q in %q", got, body)
			}
			if diff := cmp.Diff("GET /last HTTP/1.1\r\nHost: a.example\r\n"+w.added("a.example")+"\r\n", next); diff != "" {
				t.Errorf("the origin got next (-want +got):\n%s", diff)
			}
		})
	}
}

// Ambiguity stays ambiguity, wherever it is cut.
func TestWireSmugglingInSegments(t *testing.T) {
	for _, tt := range []struct{ name, in string }{
		{"CL.TE", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"},
		{"TE folded", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
		{"bare CR", "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\rY: b\r\n\r\n"},
		{"bare LF", "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\nY: b\r\n\r\n"},
		{"bare LF at the end", "GET / HTTP/1.1\r\nHost: a.example\r\n\n"},
		{"CR CR LF", "GET / HTTP/1.1\r\nHost: a.example\r\r\n\r\n"},
		{"chunk that goes on", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"},
		{"bare CR in a chunk line", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2;a\rb\r\nab\r\n0\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, answering(plainAnswer))
			c := w.dial()
			inSegments(tt.in+"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n", 1, c.send)
			c.want("GET", 400)
			c.closed()
			if got := strings.Join(w.origin.got(), ""); strings.Contains(got, "smuggled") || strings.Contains(got, "0\r\n\r\n") {
				t.Errorf("the origin got %q", got)
			}
		})
	}
}

// inSegments sends s in writes of size bytes.
func inSegments(s string, size int, send func(string)) {
	for ; len(s) > size; s = s[size:] {
		send(s[:size])
	}
	send(s)
}

// dechunk returns the content of a chunked body without its last chunk.
func dechunk(s string) string {
	_, body, _ := strings.Cut(unchunked(" HTTP/1.1 "+s), " ")
	return strings.TrimSuffix(body, " ")
}
