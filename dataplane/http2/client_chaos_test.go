package http2

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// chaosHandler answers with bytes that say whose they are, and misbehaves as the
// request asks.
func chaosHandler(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	size, _ := strconv.Atoi(r.URL.Query().Get("size"))
	word := []byte(id + ".")
	switch r.URL.Path {
	case "/abort":
		panic(http.ErrAbortHandler)
	case "/cut":
		_, _ = w.Write(word)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "/early":
		_, _ = w.Write(word)
		return // the request body is not read
	}
	w.Header().Set("Trailer", "X-Id")
	_, _ = io.Copy(io.Discard, r.Body)
	for n := 0; n < size; n += len(word) {
		if _, err := w.Write(word); err != nil {
			return
		}
	}
	w.Header().Set("X-Id", id)
}

// TestClientChaos holds that streams which end in every way, side by side, are
// never mixed up: every answer is whole and is that of its request, or the attempt
// says why not. TestMain holds that all buffers come back.
func TestClientChaos(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(chaosHandler), Protocols: new(http.Protocols)}
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	defer func() {
		_ = srv.Close()
		<-done
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClientConn(nc, nil)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.Drain()
	var ids, whole atomic.Int64
	var wg sync.WaitGroup
	until := time.Now().Add(2 * time.Second)
	for range 30 {
		wg.Go(func() {
			for time.Now().Before(until) && !t.Failed() {
				id := ids.Add(1)
				ok, err := chaosAttempt(c, id)
				if err != nil {
					t.Errorf("attempt %d: %v", id, err)
				}
				if ok {
					whole.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if c.Closing() {
		t.Error("the connection did not survive")
	}
	t.Logf("%d attempts, %d whole answers", ids.Load(), whole.Load())
}

// chaosAttempt makes one attempt and reports whether the answer came whole; err is
// what must not be.
func chaosAttempt(c *ClientConn, id int64) (whole bool, err error) {
	s := c.Open()
	if s == nil {
		return false, fmt.Errorf("no stream, and there is room")
	}
	defer s.Close()
	paths := []string{"/", "/", "/", "/abort", "/cut", "/early"}
	path := paths[rand.IntN(len(paths))]
	size := rand.IntN(1 << rand.IntN(20))
	upload := []int64{0, 0, 10, 40_000, 300_000, -1}[rand.IntN(6)]
	req := newRequest("POST", fmt.Sprintf("%s?id=%d&size=%d", path, id, size), upload)
	if rand.IntN(4) == 0 {
		stop := time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, s.Interrupt)
		defer stop.Stop()
	}
	if s.Head(req) != nil {
		return false, nil
	}
	var sender sync.WaitGroup
	// Before Close nobody sends any more, as in the proxy.
	defer func() {
		if !whole {
			s.Interrupt()
		}
		sender.Wait()
	}()
	sender.Go(func() {
		for left := max(upload, 0); left > 0; {
			n := min(left, 16<<10)
			if s.Write(make([]byte, n)) != nil {
				return
			}
			left -= n
		}
		_ = s.End(nil)
	})
	for {
		res, failed := s.Response(nil)
		if failed != nil {
			return false, known(failed)
		}
		if res.Status == 200 {
			break
		}
	}
	word, got := fmt.Appendf(nil, "%d.", id), 0
	for leave := rand.IntN(10) == 0; ; {
		chunk, failed := s.Body().Next()
		if failed == io.EOF {
			break
		}
		if failed != nil {
			return false, known(failed)
		}
		for len(chunk) > 0 {
			at := got % len(word)
			n := min(len(chunk), len(word)-at)
			if !bytes.Equal(chunk[:n], word[at:at+n]) {
				return false, fmt.Errorf("another's bytes: %q at %d, want of %q", chunk[:n], got, word)
			}
			chunk, got = chunk[n:], got+n
		}
		if leave {
			return false, nil
		}
	}
	switch path {
	case "/cut", "/abort":
		return false, fmt.Errorf("%s: the answer looks whole", path)
	case "/early":
		return false, nil // and the rest of the request is given up
	}
	if tr := s.Body().Trailers(); tr == nil || string(tr.Named("X-Id")) != strconv.FormatInt(id, 10) {
		return false, fmt.Errorf("trailers are not its own")
	}
	if got < size {
		return false, fmt.Errorf("got %d bytes, want %d", got, size)
	}
	return true, nil
}

// known returns nil for the errors that the test brings about.
func known(err error) error {
	e, ok := err.(*outcome.Error)
	if ok && (e.Reason == outcome.ClientClosed || e.Reason == outcome.UpstreamReset) {
		return nil
	}
	return err
}
