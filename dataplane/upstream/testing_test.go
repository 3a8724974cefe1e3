package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// lineStream is the smallest protocol that these tests need: the request is a
// line, the answer too. "bye" as the answer asks to close the connection.
type lineStream struct {
	nc       net.Conn
	r        *bufio.Reader
	complete bool
	closes   atomic.Int32
}

func newLineStream(nc net.Conn) Stream {
	return &lineStream{nc: nc, r: bufio.NewReader(nc)}
}

func (s *lineStream) Head(*message.Request) error {
	s.complete = false
	_, err := s.nc.Write([]byte("get\n"))
	return err
}

func (s *lineStream) Response(func()) (*message.Response, error) {
	line, err := s.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	s.complete = line != "bye\n"
	return &message.Response{Reason: []byte(line)}, nil
}

func (s *lineStream) Close() bool {
	s.closes.Add(1)
	return s.complete && s.r.Buffered() == 0
}

func (s *lineStream) Write([]byte) error                  { return nil }
func (s *lineStream) Flush() error                        { return nil }
func (s *lineStream) End(*message.Fields) error           { return nil }
func (s *lineStream) Timeouts(read, send time.Duration)   {}
func (s *lineStream) Body() message.Body                  { return message.NoBody }
func (s *lineStream) Tunnel() (io.ReadWriteCloser, error) { return nil, errors.ErrUnsupported }
func (s *lineStream) Interrupt()                          { s.nc.Close() }

// countedConn tells the leak check when it is closed, and keeps the socket
// visible to the probe.
type countedConn struct {
	net.Conn
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { openConns.Add(-1) })
	return c.Conn.Close()
}

func (c *countedConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

func dialCounted(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	nc, err := dialTCP(ctx, addr)
	if err != nil {
		return nil, err
	}
	openConns.Add(1)
	return &countedConn{Conn: nc}, nil
}

// newSet returns a Set that speaks lineStream to loopback, closed with the test.
func newSet(t testing.TB, change func(*Config)) *Set {
	t.Helper()
	cfg := Config{Stream: newLineStream, Dial: dialCounted, AllowLoopback: true}
	if change != nil {
		change(&cfg)
	}
	s := New(cfg)
	t.Cleanup(s.Close)
	return s
}

// newPoolOf returns the pool "a" of s with the given endpoints.
func newPoolOf(t testing.TB, s *Set, addrs ...netip.AddrPort) *Pool {
	t.Helper()
	s.Prepare([]*snapshot.Pool{{ID: "a"}}, map[string][]snapshot.Endpoint{"a": list(addrs...)})
	return s.Pool("a")
}

func list(addrs ...netip.AddrPort) []snapshot.Endpoint {
	l := make([]snapshot.Endpoint, len(addrs))
	for i, a := range addrs {
		l[i].Addr = a
	}
	return l
}

// addrs returns n addresses that nobody dials.
func addrs(n int) []netip.AddrPort {
	l := make([]netip.AddrPort, n)
	for i := range l {
		l[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)
	}
	return l
}

// A server answers each line with what answer makes of it; "" is no answer.
type server struct {
	addr     netip.AddrPort
	l        net.Listener
	answer   func(line []byte) string
	accepted atomic.Int64
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newServer(t testing.TB, answer func(line []byte) string) *server {
	t.Helper()
	return startServer(t, answer, func(l net.Listener) net.Listener { return l })
}

// startServer starts a server on what wrap makes of its listener.
func startServer(t testing.TB, answer func(line []byte) string, wrap func(net.Listener) net.Listener) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: netip.MustParseAddrPort(l.Addr().String()), l: wrap(l), answer: answer, conns: make(map[net.Conn]bool)}
	if s.answer == nil {
		s.answer = func([]byte) string { return "ok\n" }
	}
	s.wg.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	s.l.Close()
	s.each(func(c net.Conn) { c.Close() })
	s.wg.Wait()
}

func (s *server) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.accepted.Add(1)
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(c) })
	}
}

func (s *server) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if answer := s.answer(line); answer != "" {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

func (s *server) each(f func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
}

// exchange makes one attempt and reports what it used.
func exchange(ctx context.Context, p *Pool, tried ...netip.AddrPort) (reused bool, err error) {
	e, oe := p.Pick(ctx, tried)
	if oe != nil {
		return false, oe
	}
	c, oe := p.Get(ctx, e, time.Minute)
	if oe != nil {
		return false, oe
	}
	defer c.Done()
	if err := c.Head(nil); err != nil {
		return c.Reused, err
	}
	_, err = c.Response(nil)
	return c.Reused, err
}

func mustExchange(t testing.TB, p *Pool) (reused bool) {
	t.Helper()
	reused, err := exchange(t.Context(), p)
	if err != nil {
		t.Fatalf("exchange: %v", err)
	}
	return reused
}

// get picks and gets; the caller calls Done.
func get(t testing.TB, p *Pool) *Conn {
	t.Helper()
	e, oe := p.Pick(t.Context(), nil)
	if oe != nil {
		t.Fatalf("Pick() = %v", oe)
	}
	c, oe := p.Get(t.Context(), e, time.Minute)
	if oe != nil {
		t.Fatalf("Get() = %v", oe)
	}
	return c
}

// eventually waits for a fact that another goroutine or the kernel brings about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

func wantReason(t testing.TB, err *outcome.Error, want outcome.Reason, retry outcome.Retry) {
	t.Helper()
	if err == nil {
		t.Fatalf("error = nil, want reason %s", want)
	}
	if err.Reason != want || err.Retry != retry {
		t.Errorf("error = %v (retry %d), want reason %s, retry %d", err, err.Retry, want, retry)
	}
}
