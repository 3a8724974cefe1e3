package features

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// Trailers beyond their limits are refused, in either protocol, and do not make a whole
// request of what came before them.
func TestWireOversizedTrailers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
	}{
		{"one large line", []string{"x: " + strings.Repeat("a", 70000)}},
		{"many lines", slices.Repeat([]string{"x: a"}, 300)},
		{"many large lines", slices.Repeat([]string{"x: " + strings.Repeat("a", 1000)}, 100)},
	} {
		t.Run(tt.name+"/HTTP/1.1", func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, answering(plainAnswer))
			c := w.dial()
			go c.send(request("POST", "/", chunkedTE) + "2\r\nab\r\n0\r\n" + strings.Join(tt.lines, "\r\n") + "\r\n\r\n")
			c.want("POST", 400)
			w.refusedBody()
		})
		t.Run(tt.name+"/HTTP/2", func(t *testing.T) {
			t.Parallel()
			lines := tt.lines
			if len(lines) == 1 {
				lines = []string{"x: " + strings.Repeat("a", 60000), "y: " + strings.Repeat("a", 10000)}
			}
			w := newWire(t, wireOptions{}, answering(plainAnswer))
			c := w.dialFrames()
			c.headers(1, false, h2Request("POST"))
			_ = c.fr.WriteData(1, false, []byte("ab"))
			c.longHeaders(1, lines)
			if got := c.end(1); !strings.HasPrefix(got, "reset") && !strings.HasPrefix(got, "400") {
				t.Errorf("it ends in %q, want its refusal", got)
			}
			w.refusedBody()
		})
	}
}

// refusedBody checks that one request ended for its body, and that the origin got no
// whole one.
func (w *wire) refusedBody() {
	w.t.Helper()
	if o := w.outcome(); o.reason != outcome.BadBody || o.side != outcome.Downstream {
		w.t.Errorf("outcome = %+v, want bad_body", o)
	}
	w.quiet()
	for _, b := range w.origin.got() {
		if all, err := strictRequests(b); err != nil || len(all) > 0 && all[0].whole {
			w.t.Errorf("the origin got %q, %v", fmt.Sprintf("%.200s", b), err)
		}
	}
}

// longHeaders sends a block that ends the stream in as many frames as it takes.
func (c *framesClient) longHeaders(id uint32, lines []string) {
	block := c.block(lines)
	const size = 16 << 10
	n := min(len(block), size)
	_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:n], EndStream: true, EndHeaders: n == len(block)})
	for block = block[n:]; len(block) > 0; block = block[n:] {
		n = min(len(block), size)
		_ = c.fr.WriteContinuation(id, n == len(block), block[:n])
	}
}
