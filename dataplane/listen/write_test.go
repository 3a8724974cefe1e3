package listen

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// Whatever its size, what is written arrives as it is.
func TestWritesOfManyRecords(t *testing.T) {
	var sent [][]byte
	for _, size := range []int{1, maxRecord - 1, maxRecord, maxRecord + 1, 2 * maxRecord, 4*maxRecord + 7, 300_000} {
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(rand.Uint32())
		}
		sent = append(sent, p)
	}
	w := newWorld(t, func(cfg *Config) {
		cfg.Handler = func(c net.Conn, _ *outcome.Conn) {
			for _, p := range sent {
				if n, err := c.Write(p); n != len(p) || err != nil {
					t.Errorf("Write of %d bytes = %d, %v", len(p), n, err)
				}
			}
			v := append(net.Buffers{nil}, sent...)
			n, err := c.(*secured).WriteBuffers(&v)
			if want := int64(len(bytes.Join(sent, nil))); n != want || err != nil || len(v) != 0 {
				t.Errorf("WriteBuffers = %d, %v with %d slices left, want %d, nil and none", n, err, len(v), want)
			}
		}
	})
	c := tls.Client(w.dial(), client("ec.example.com"))
	got, err := io.ReadAll(c)
	once := bytes.Join(sent, nil)
	if want := append(once, once...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the client got %d bytes, %v, want the %d that were sent", len(got), err, len(want))
	}
	w.want(outcome.Done, outcome.OK)
}

// Of what does not get through, WriteBuffers leaves the rest.
func TestWriteBuffersThatTimesOut(t *testing.T) {
	const slices, size = 64, 1 << 20
	over := make(chan struct{})
	w := newWorld(t, func(cfg *Config) {
		cfg.Handler = func(c net.Conn, _ *outcome.Conn) {
			defer close(over)
			_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			v := make(net.Buffers, slices)
			for i := range v {
				v[i] = make([]byte, size)
			}
			n, err := c.(*secured).WriteBuffers(&v)
			left := int64(0)
			for _, p := range v {
				left += int64(len(p))
			}
			if !os.IsTimeout(err) || n+left != slices*size {
				t.Errorf("WriteBuffers = %d, %v with %d bytes left, want a timeout and %d in all", n, err, left, slices*size)
			}
		}
	})
	c := tls.Client(w.dial(), client("ec.example.com"))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	<-over
	c.NetConn().Close()
	w.want(outcome.Done, outcome.OK)
}
