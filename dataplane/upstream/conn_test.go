package upstream

import (
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// The fact that the tests below wait for: the kernel has the peer's FIN, RST or
// bytes. The probe itself is the instrument; it takes nothing from the socket.
func waitCondition(t *testing.T, p *Pool, want condition) {
	t.Helper()
	e := p.Endpoints()[0]
	eventually(t, "idle connections in the wanted condition", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, c := range e.idle {
			if c.look() != want {
				return false
			}
		}
		return true
	})
}

func TestProbe(t *testing.T) {
	tests := []struct {
		name string
		do   func(net.Conn)
		cond condition
		want Stats
	}{
		{
			"closed by the peer",
			func(c net.Conn) { c.Close() },
			closedByPeer,
			Stats{Closed: 1},
		},
		{
			"half-closed by the peer",
			func(c net.Conn) { c.(*net.TCPConn).CloseWrite() },
			closedByPeer,
			Stats{Closed: 1},
		},
		{
			"reset by the peer",
			func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
			closedByPeer,
			Stats{Closed: 1},
		},
		{
			"data that nobody asked for",
			func(c net.Conn) { c.Write([]byte("HTTP/1.1 408 Request Timeout\r\n")) },
			unexpectedData,
			Stats{Unexpected: 1},
		},
		{
			"data, then closed",
			func(c net.Conn) { c.Write([]byte("x")); c.Close() },
			unexpectedData,
			Stats{Unexpected: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t, nil)
			p := newPoolOf(t, newSet(t, nil), srv.addr)
			mustExchange(t, p)
			srv.each(tt.do)
			waitCondition(t, p, tt.cond)
			if mustExchange(t, p) {
				t.Error("exchange reused the connection")
			}
			want := tt.want
			want.Pool, want.Endpoints, want.Dials = "a", 1, 2
			want.Idle = 1
			if got := p.Stats(); got != want {
				t.Errorf("Stats() = %+v, want %+v", got, want)
			}
		})
	}
}

// After a restart of the backend every kept connection is dead; one Get passes
// over all of them.
func TestProbeAllDead(t *testing.T) {
	srv := newServer(t, nil)
	p := newPoolOf(t, newSet(t, nil), srv.addr)
	var conns []*Conn
	for range 5 {
		c := get(t, p)
		c.Head(nil)
		c.Response(nil)
		conns = append(conns, c)
	}
	for _, c := range conns {
		c.Done()
	}
	srv.each(func(c net.Conn) { c.Close() })
	waitCondition(t, p, closedByPeer)
	if mustExchange(t, p) {
		t.Error("exchange reused a dead connection")
	}
	if got := p.Stats().Closed; got != 5 {
		t.Errorf("Closed = %d, want 5", got)
	}
}

// The probe must not mistake an old read deadline for a dead connection.
func TestProbeIgnoresDeadline(t *testing.T) {
	srv := newServer(t, nil)
	p := newPoolOf(t, newSet(t, nil), srv.addr)
	c := get(t, p)
	c.Head(nil)
	c.Response(nil)
	c.nc.SetReadDeadline(time.Unix(1, 0))
	c.Done()
	again := get(t, p)
	defer again.Done()
	if !again.Reused {
		t.Error("connection with a past read deadline was not reused")
	}
}

func TestDialPassesOverIdle(t *testing.T) {
	srv := newServer(t, nil)
	p := newPoolOf(t, newSet(t, nil), srv.addr)
	mustExchange(t, p)
	c, err := p.Dial(t.Context(), p.Endpoints()[0], time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Done()
	if c.Reused || c.ConnectTime <= 0 {
		t.Errorf("Dial() = reused %t, connect time %v, want a new connection", c.Reused, c.ConnectTime)
	}
}

// The last connection used is used next.
func TestIdleIsAStack(t *testing.T) {
	srv := newServer(t, nil)
	p := newPoolOf(t, newSet(t, nil), srv.addr)
	a, b := get(t, p), get(t, p)
	for _, c := range []*Conn{a, b} {
		c.Head(nil)
		c.Response(nil)
		c.Done()
	}
	c := get(t, p)
	defer c.Done()
	if c != b || !c.Reused || c.ConnectTime != 0 {
		t.Errorf("Get() = %p (reused %t, connect time %v), want %p, the last one kept", c, c.Reused, c.ConnectTime, b)
	}
}

func TestDone(t *testing.T) {
	var bye atomic.Bool
	srv := newServer(t, func([]byte) string {
		if bye.Load() {
			return "bye\n"
		}
		return "ok\n"
	})
	p := newPoolOf(t, newSet(t, nil), srv.addr)

	c := get(t, p)
	c.Head(nil)
	c.Response(nil)
	c.Done()
	c.Done()
	if got := c.Stream.(*lineStream).closes.Load(); got != 1 {
		t.Errorf("Stream.Close called %d times by two Done, want 1", got)
	}
	if st := p.Stats(); st.Idle != 1 || st.Busy != 0 {
		t.Errorf("after two Done: %d idle, %d busy, want 1, 0", st.Idle, st.Busy)
	}

	// An exchange that is not complete, and one after which the peer will close.
	c = get(t, p)
	c.Head(nil)
	c.Done()
	if got := p.Stats().Idle; got != 0 {
		t.Errorf("idle after an incomplete exchange = %d, want 0", got)
	}
	bye.Store(true)
	mustExchange(t, p)
	if got := p.Stats().Idle; got != 0 {
		t.Errorf("idle after an exchange that asked to close = %d, want 0", got)
	}
}
