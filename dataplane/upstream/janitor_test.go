package upstream

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// idleStream is always ready for another exchange.
type idleStream struct{ lineStream }

func (*idleStream) Head(*message.Request) error { return nil }
func (*idleStream) Response(func()) (*message.Response, error) {
	return new(message.Response), nil
}
func (*idleStream) Close() bool { return true }

// newPipeSet returns a Set whose connections are in memory, for use in a bubble.
func newPipeSet(t *testing.T, change func(*Config)) *Set {
	return newSet(t, func(c *Config) {
		c.Stream = func(net.Conn) Stream { return new(idleStream) }
		c.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
			ours, theirs := net.Pipe()
			theirs.Close()
			openConns.Add(1)
			return &pipeConn{countedConn{Conn: ours}}, nil
		}
		if change != nil {
			change(c)
		}
	})
}

// pipeConn has no socket to look at.
type pipeConn struct{ conn countedConn }

func (c *pipeConn) Close() error                       { return c.conn.Close() }
func (c *pipeConn) Read(p []byte) (int, error)         { return c.conn.Read(p) }
func (c *pipeConn) Write(p []byte) (int, error)        { return c.conn.Write(p) }
func (c *pipeConn) LocalAddr() net.Addr                { return c.conn.LocalAddr() }
func (c *pipeConn) RemoteAddr() net.Addr               { return c.conn.RemoteAddr() }
func (c *pipeConn) SetDeadline(t time.Time) error      { return c.conn.SetDeadline(t) }
func (c *pipeConn) SetReadDeadline(t time.Time) error  { return c.conn.SetReadDeadline(t) }
func (c *pipeConn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }

// keepIdle makes n connections to e idle.
func keepIdle(t *testing.T, p *Pool, e *Endpoint, n int) {
	t.Helper()
	conns := make([]*Conn, n)
	for i := range conns {
		c, err := p.Dial(t.Context(), e, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	for _, c := range conns {
		c.Done()
	}
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeSet(t, func(c *Config) { c.IdleTimeout = 80 * time.Second })
		p := newPoolOf(t, s, addrs(1)...)
		e := p.Endpoints()[0]
		check := func(want int, after time.Duration) {
			t.Helper()
			synctest.Wait()
			if got := e.idleCount(); got != want || s.idle.Load() != int64(want) {
				t.Errorf("after %v: %d idle (counted %d), want %d", after, got, s.idle.Load(), want)
			}
		}
		// The clock is kept whether the janitor was parked before or not.
		for range 2 {
			keepIdle(t, p, e, 2)
			time.Sleep(79 * time.Second)
			check(2, 79*time.Second)
			time.Sleep(time.Second)
			check(0, 80*time.Second)
			time.Sleep(time.Hour)
			if s.awake.Load() {
				t.Error("janitor is awake with nothing idle")
			}
		}
		// The surplus ages under the connection in use.
		keepIdle(t, p, e, 3)
		for range 9 {
			time.Sleep(10 * time.Second)
			c, _ := p.Get(t.Context(), e, 0)
			c.Done()
		}
		check(1, 90*time.Second)
		if got := p.Stats().Expired; got != 6 {
			t.Errorf("Expired = %d, want 6", got)
		}
	})
}

func TestMaxIdlePerEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeSet(t, func(c *Config) { c.MaxIdlePerEndpoint = 3 })
		p := newPoolOf(t, s, addrs(2)...)
		for _, e := range p.Endpoints() {
			keepIdle(t, p, e, 5)
		}
		if st := p.Stats(); st.Idle != 6 || st.Surplus != 4 {
			t.Errorf("Stats() = %+v, want 6 idle and 4 surplus", st)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newPipeSet(t, func(c *Config) { c.MaxIdlePerEndpoint = -1 })
		p := newPoolOf(t, s, addrs(1)...)
		keepIdle(t, p, p.Endpoints()[0], 2)
		if got := s.idle.Load(); got != 0 {
			t.Errorf("idle = %d, want none kept", got)
		}
	})
}

// A connection that is idle for moments only does not wake the janitor each time.
func TestJanitorSleepsUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeSet(t, nil)
		p := newPoolOf(t, s, addrs(1)...)
		e := p.Endpoints()[0]
		keepIdle(t, p, e, 1)
		synctest.Wait()
		for range 100 {
			c, _ := p.Get(t.Context(), e, 0)
			synctest.Wait()
			if !s.awake.Load() {
				t.Fatal("janitor parked between two ticks")
			}
			c.Done()
			if len(s.wake) != 0 {
				t.Fatal("janitor woken by a connection that was kept")
			}
		}
	})
}

// At the bound of all idle connections, the oldest make room.
func TestMaxIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeSet(t, func(c *Config) { c.MaxIdle, c.IdleTimeout = 80, 80*time.Second })
		quiet := newPoolOf(t, s, addrs(1)...)
		s.Prepare([]*snapshot.Pool{{ID: "b"}}, map[string][]snapshot.Endpoint{"b": list(addrs(1)...)})
		busy := s.Pool("b")
		keepIdle(t, quiet, quiet.Endpoints()[0], 60)
		time.Sleep(35 * time.Second)
		keepIdle(t, busy, busy.Endpoints()[0], 20)
		if got := s.idle.Load(); got != 80 {
			t.Fatalf("idle = %d, want 80", got)
		}
		keepIdle(t, busy, busy.Endpoints()[0], 1)
		synctest.Wait()
		keepIdle(t, busy, busy.Endpoints()[0], 10)
		if got := s.idle.Load(); got > 80 {
			t.Errorf("idle = %d, want at most 80", got)
		}
		q, b := quiet.Stats(), busy.Stats()
		if b.Idle < 20 || b.Expired != 0 || b.Surplus != 1 || q.Expired < 10 {
			t.Errorf("quiet pool %+v, busy pool %+v: want the quiet one to make room", q, b)
		}
	})
}
