package upstream

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A h2cServer is net/http's server in plain text.
type h2cServer struct {
	addr  netip.AddrPort
	conns atomic.Int64
	*http.Server
	done chan struct{}
}

func newH2CServer(t testing.TB, addr string, h http.HandlerFunc) *h2cServer {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &h2cServer{addr: netip.MustParseAddrPort(l.Addr().String()), done: make(chan struct{})}
	s.Server = &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	go func() {
		defer close(s.done)
		_ = s.Serve(l)
	}()
	t.Cleanup(s.stop)
	return s
}

func (s *h2cServer) stop() {
	_ = s.Close()
	<-s.done
}

// newH2CPool returns a pool of HTTP/2 endpoints.
func newH2CPool(t testing.TB, s *Set, addrs ...netip.AddrPort) *Pool {
	t.Helper()
	s.Prepare([]*snapshot.Pool{{ID: "h2c", Protocol: snapshot.H2C}}, map[string][]snapshot.Endpoint{"h2c": list(addrs...)})
	return s.Pool("h2c")
}

// post sends size bytes, and returns the answer.
func post(ctx context.Context, c *Conn, size int) (string, error) {
	req := newRequest("a.example")
	req.Method, req.Length = "POST", int64(size)
	if err := c.Head(req); err != nil {
		return "", err
	}
	chunk := []byte(strings.Repeat("x", 16<<10))
	for size > 0 {
		n := min(size, len(chunk))
		if err := c.Write(chunk[:n]); err != nil {
			return "", err
		}
		size -= n
	}
	if err := c.End(nil); err != nil {
		return "", err
	}
	if _, err := c.Response(nil); err != nil {
		return "", err
	}
	var answer strings.Builder
	for body := c.Body(); ; {
		p, err := body.Next()
		if err == io.EOF {
			return answer.String(), ctx.Err()
		} else if err != nil {
			return "", err
		}
		answer.Write(p)
	}
}

// 200 attempts at a time go over two connections of 100 streams.
func TestHTTP2ManyStreams(t *testing.T) {
	var inside sync.WaitGroup
	inside.Add(200)
	srv := newH2CServer(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		inside.Done()
		inside.Wait() // all of them are here at one time
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	p := newH2CPool(t, newSet(t, nil), srv.addr)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			c, err := p.Get(t.Context(), p.Endpoints()[0], time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Done()
			if got, err := post(t.Context(), c, 10_000); got != "10000" || err != nil {
				t.Errorf("post = %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if got := srv.conns.Load(); got != 2 {
		t.Errorf("connections = %d, want 2", got)
	}
	if st := p.Stats(); st.Busy != 0 || st.Idle != 2 {
		t.Errorf("Stats() = %+v, want 2 idle", st)
	}
}

// The retry of the proxy in short: what was not processed is tried again.
func again(ctx context.Context, p *Pool) (string, error) {
	var last *outcome.Error
	for try := range 5 {
		e, err := p.Pick(ctx, nil)
		if err != nil {
			return "", err
		}
		get := p.Get
		if try > 0 {
			get = p.Dial
		}
		c, err := get(ctx, e, time.Minute)
		if err != nil {
			last = err
			continue
		}
		answer, failed := post(ctx, c, 0)
		reused := c.Reused
		c.Done()
		if failed == nil {
			return answer, nil
		}
		var ok bool
		if last, ok = failed.(*outcome.Error); !ok || last.Retry == outcome.RetryNo || last.Retry == outcome.RetryIfReused && !reused {
			return "", failed
		}
	}
	return "", last
}

// A server that shuts down says GOAWAY: not one request is lost while another takes
// its place.
func TestHTTP2GracefulRestart(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }
	old := newH2CServer(t, "127.0.0.1:0", handler)
	next := newH2CServer(t, "127.0.0.1:0", handler)
	s := newSet(t, nil)
	p := newH2CPool(t, s, old.addr)
	var served atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := again(t.Context(), p); got != "ok" || err != nil {
					t.Errorf("exchange = %q, %v", got, err)
					return
				}
				served.Add(1)
			}
		})
	}
	after := func(n int64) {
		eventually(t, "more requests served", func() bool { return t.Failed() || served.Load() >= n })
	}
	after(500)
	s.Prepare(nil, map[string][]snapshot.Endpoint{"h2c": list(next.addr)})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := old.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown() = %v: streams of an endpoint that has gone do not end", err)
	}
	after(served.Load() + 500)
	close(stop)
	wg.Wait()
}

// A server that is killed and comes back on its port: requests fail while it is
// away, none hangs, and after that all succeed.
func TestHTTP2KilledAndBack(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }
	srv := newH2CServer(t, "127.0.0.1:0", handler)
	p := newH2CPool(t, newSet(t, nil), srv.addr)
	for range 3 {
		if got, err := again(t.Context(), p); got != "ok" || err != nil {
			t.Fatalf("before: %q, %v", got, err)
		}
		srv.stop()
		_, err := again(t.Context(), p)
		if e, ok := err.(*outcome.Error); !ok || e.Reason != outcome.ConnectRefused {
			t.Errorf("while it is away: %v, want connect_refused", err)
		}
		srv = newH2CServer(t, srv.addr.String(), handler)
		if got, err := again(t.Context(), p); got != "ok" || err != nil {
			t.Fatalf("after: %q, %v", got, err)
		}
	}
}

// An answer that nobody reads holds no more than its window; the other streams of
// the connection go on.
func TestHTTP2SlowReaders(t *testing.T) {
	const size = 16 << 20
	block := make([]byte, 64<<10)
	srv := newH2CServer(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			io.WriteString(w, "ok")
			return
		}
		for range size / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	p := newH2CPool(t, newSet(t, nil), srv.addr)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var slow []*Conn
	for range 50 {
		c := get(t, p)
		if err := c.Head(newRequest("a.example")); err != nil {
			t.Fatal(err)
		}
		if err := c.End(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Response(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Body().Next(); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	for range 100 {
		if got, err := again(t.Context(), p); got != "ok" || err != nil {
			t.Fatalf("beside slow readers: %q, %v", got, err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&now)
	if held := int64(now.HeapAlloc) - int64(before.HeapAlloc); held > 50*(512<<10) {
		t.Errorf("50 slow readers of %d MiB each hold %d KiB", size>>20, held>>10)
	}
	// One of them reads on, and gets all of it.
	got := 0
	body := slow[0].Body()
	for {
		chunk, err := body.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		got += len(chunk)
	}
	if got < size-64<<10 || got > size {
		t.Errorf("read %d bytes, want %d but for the first chunk", got, size)
	}
	for _, c := range slow {
		c.Done()
	}
	if got := srv.conns.Load(); got != 1 {
		t.Errorf("connections = %d, want 1", got)
	}
}

// The same for the other direction: a server that does not read holds the sender
// back.
func TestHTTP2SlowServer(t *testing.T) {
	release := make(chan struct{})
	srv := newH2CServer(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		<-release
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	p := newH2CPool(t, newSet(t, nil), srv.addr)
	c := get(t, p)
	defer c.Done()
	const size = 32 << 20
	req := newRequest("a.example")
	req.Method, req.Length = "POST", size
	if err := c.Head(req); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	done := make(chan error, 1)
	go func() {
		chunk := make([]byte, 32<<10)
		for range size / len(chunk) {
			if err := c.Write(chunk); err != nil {
				done <- err
				return
			}
			sent.Add(int64(len(chunk)))
		}
		done <- c.End(nil)
	}()
	var was int64 = -1
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for was != sent.Load() {
		was = sent.Load()
		<-tick.C
	}
	if was > 4<<20 {
		t.Errorf("sent %d KiB to a server that does not read", was>>10)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := c.Response(nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := c.Body().Next(); string(got) != fmt.Sprint(size) {
		t.Errorf("server got %s bytes, want %d", got, size)
	}
}

// An endpoint that speaks HTTP/1.1 only is found before a request is sent.
func TestHTTP2ToHTTP1(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	defer func() {
		srv.Close()
		<-done
	}()
	p := newH2CPool(t, newSet(t, nil), netip.MustParseAddrPort(l.Addr().String()))
	_, oe := p.Get(t.Context(), p.Endpoints()[0], time.Minute)
	wantReason(t, oe, outcome.UpstreamInvalid, outcome.RetryYes)
}

func BenchmarkHTTP2(b *testing.B) {
	srv := newH2CServer(b, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	p := newH2CPool(b, newSet(b, nil), srv.addr)
	req := newRequest("a.example")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := fetch(b.Context(), p, req); err != nil {
				b.Fatal(err)
			}
		}
	})
}
