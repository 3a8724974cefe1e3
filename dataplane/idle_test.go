//go:build linux && (amd64 || arm64) && !race

package dataplane_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// An idle connection waits on so little stack that the runtime halves the one that
// its requests have grown, and wakes up as if nothing had been.
func TestIdleConnectionsHoldLittleStack(t *testing.T) {
	const conns = 100
	w := secureWorld(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "hello") })
	get := func(c *tls.Conn, r *bufio.Reader) {
		t.Helper()
		// In two records: the first one alone wakes nobody up.
		fmt.Fprint(c, "GET / HTTP/1.1\r\n")
		fmt.Fprint(c, "Host: shop.example\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); string(body) != "hello" || err != nil {
			t.Fatalf("body = %q, %v, want hello", body, err)
		}
	}
	type client struct {
		c *tls.Conn
		r *bufio.Reader
	}
	clients := make([]client, conns)
	before := stacks()
	for i := range clients {
		c, r := w.dialTLS()
		clients[i] = client{c, r}
		get(c, r)
	}
	awaitIdle(t, conns)
	if each := (stacks() - before) / conns; each > 6<<10 {
		t.Errorf("an idle connection holds %d bytes of stack, want 4096 and little more", each)
	}
	for _, c := range clients {
		get(c.c, c.r)
	}
}

// stacks returns the size of all stacks after the runtime has shrunk them.
func stacks() int64 {
	for range 3 {
		runtime.GC()
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// awaitIdle waits until n goroutines wait for input without reading.
func awaitIdle(t *testing.T, n int) {
	t.Helper()
	stack := make([]byte, 4<<20)
	waiting := []byte("socket.(*Conn).AwaitInput")
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		found := bytes.Count(stack[:runtime.Stack(stack, true)], waiting)
		if found >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are idle, want %d", found, n)
		}
	}
}
