package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// slowly reads in steps and rests between them, so that who sends has to wait.
type slowly struct {
	r    io.Reader
	left int // rests
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.left > 0 {
		s.left--
		<-time.After(time.Millisecond)
	}
	return s.r.Read(p)
}

// TestBigBodies sends more than any buffer holds, both ways at once, to readers
// that are slower than who sends. What is not read stays where it is: memory does
// not grow with the size.
func TestBigBodies(t *testing.T) {
	const size = 64 << 20
	block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for _, framing := range []string{"Content-Length: " + itoa(size), "Transfer-Encoding: chunked"} {
		t.Run(framing, func(t *testing.T) {
			addr := backend(t, func(p *peer, _ int) {
				for {
					req, err := http.ReadRequest(p.r)
					if err != nil {
						return
					}
					fmt.Fprintf(p, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", framing)
					var out io.WriteCloser = nopCloser{p}
					if req.ContentLength < 0 {
						out = &chunks{p}
					}
					n, err := io.CopyBuffer(out, struct{ io.Reader }{&slowly{req.Body, 100}}, make([]byte, 64<<10))
					if n != size || err != nil {
						t.Errorf("backend got %d bytes, %v, want %d", n, err, size)
					}
					out.Close()
				}
			})
			w := newWorld(t, settings{}, addr)
			c := w.dial()

			before, peak := heap(), uint64(0)
			var sending sync.WaitGroup
			sending.Go(func() {
				fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", framing)
				var out io.WriteCloser = nopCloser{c}
				if framing[0] == 'T' {
					out = &chunks{c}
				}
				for sent := 0; sent < size; sent += len(block) {
					if _, err := out.Write(block); err != nil {
						t.Errorf("client: %v", err)
						return
					}
					if sent%(8<<20) == 0 {
						peak = max(peak, heap())
					}
				}
				out.Close()
			})
			res, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, &slowly{res.Body, 200})
			if n != size || err != nil {
				t.Errorf("client got %d bytes, %v, want %d", n, err, size)
			}
			sending.Wait()
			if o := w.outcome(outcome.OK, 200); o.BodyIn != size || o.BodyOut != size {
				t.Errorf("outcome: %d in, %d out, want %d", o.BodyIn, o.BodyOut, size)
			}
			if peak > before+16<<20 {
				t.Errorf("the heap grew from %d to %d KiB for a body of %d KiB", before>>10, peak>>10, size>>10)
			}
		})
	}
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// chunks writes chunked coding.
type chunks struct{ w io.Writer }

func (c *chunks) Write(p []byte) (int, error) {
	if _, err := fmt.Fprintf(c.w, "%x\r\n", len(p)); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	if err == nil {
		_, err = io.WriteString(c.w, "\r\n")
	}
	return n, err
}

func (c *chunks) Close() error {
	_, err := io.WriteString(c.w, "0\r\n\r\n")
	return err
}
