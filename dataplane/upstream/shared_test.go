package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A fakeMultiplex has room for some streams, which do nothing.
type fakeMultiplex struct {
	room int
	// startErr is how Start ends, after startTime.
	startErr  *outcome.Error
	startTime time.Duration

	mu      sync.Mutex
	nc      net.Conn
	streams int
	closing bool
	closed  bool
}

type fakeStream struct {
	lineStream
	m *fakeMultiplex
}

func (m *fakeMultiplex) Start(ctx context.Context) *outcome.Error {
	if m.startTime > 0 {
		select {
		case <-time.After(m.startTime):
		case <-ctx.Done():
			m.nc.Close()
			return dialError(ctx, outcome.ConnectTimeout, ctx.Err())
		}
	}
	if m.startErr != nil {
		m.nc.Close()
	}
	return m.startErr
}

func (m *fakeMultiplex) Open() Stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing || m.streams >= m.room {
		return nil
	}
	m.streams++
	return &fakeStream{m: m}
}

func (m *fakeMultiplex) Closing() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closing
}

func (m *fakeMultiplex) Drain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closing = true
	m.settle()
}

func (m *fakeMultiplex) settle() {
	if m.closing && m.streams == 0 {
		m.closed = true
		m.nc.Close()
	}
}

func (m *fakeMultiplex) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func (s *fakeStream) Close() bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.streams--
	s.m.settle()
	return !s.m.closing
}

// A fakeWorld dials fakeMultiplexes in memory.
type fakeWorld struct {
	// dial is asked before each dial; prepare gets each new connection.
	dial    func(ctx context.Context) error
	prepare func(*fakeMultiplex)

	mu    sync.Mutex
	conns []*fakeMultiplex
}

func (w *fakeWorld) pool(t *testing.T, change func(*Config)) *Pool {
	t.Helper()
	s := newSet(t, func(c *Config) {
		c.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			if w.dial != nil {
				if err := w.dial(ctx); err != nil {
					return nil, err
				}
			}
			openConns.Add(1)
			near, _ := net.Pipe()
			return &countedConn{Conn: near}, nil
		}
		c.Multiplex = func(nc net.Conn) Multiplex {
			m := &fakeMultiplex{nc: nc, room: 100}
			if w.prepare != nil {
				w.prepare(m)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.conns = append(w.conns, m)
			return m
		}
		if change != nil {
			change(c)
		}
	})
	s.Prepare([]*snapshot.Pool{{ID: "a", Protocol: snapshot.H2C}}, map[string][]snapshot.Endpoint{"a": list(addrs(1)...)})
	return s.Pool("a")
}

func (w *fakeWorld) dialled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// carrier returns the connection of c.
func carrier(c *Conn) *fakeMultiplex { return c.shared.m.(*fakeMultiplex) }

func TestSharedIsShared(t *testing.T) {
	w := &fakeWorld{}
	p := w.pool(t, nil)
	a := get(t, p)
	b := get(t, p)
	if a.Reused || !b.Reused || carrier(a) != carrier(b) {
		t.Errorf("two streams: reused %t and %t, same connection %t; want false, true, true", a.Reused, b.Reused, carrier(a) == carrier(b))
	}
	if st := p.Stats(); st.Busy != 2 || st.Idle != 0 || st.Dials != 1 || st.Reuses != 1 {
		t.Errorf("Stats() = %+v, want 2 busy, 1 dial, 1 reuse", st)
	}
	a.Done()
	a.Done()
	b.Done()
	if st := p.Stats(); st.Busy != 0 || st.Idle != 1 {
		t.Errorf("Stats() after Done = %+v, want 1 idle", st)
	}
	if c := get(t, p); !c.Reused || c.ConnectTime != 0 {
		t.Errorf("Get() after Done: reused %t, connect time %v, want the kept connection", c.Reused, c.ConnectTime)
	} else {
		c.Done()
	}
}

// A burst dials one connection after the other, each when the one before is full.
func TestSharedBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialling int
		var mu sync.Mutex
		w := &fakeWorld{dial: func(context.Context) error {
			mu.Lock()
			dialling++
			if dialling > 1 {
				t.Errorf("%d dials at one time, want 1", dialling)
			}
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			dialling--
			mu.Unlock()
			return nil
		}}
		p := w.pool(t, nil)
		var wg sync.WaitGroup
		conns := make(chan *Conn, 250)
		for range cap(conns) {
			wg.Go(func() { conns <- get(t, p) })
		}
		wg.Wait()
		close(conns)
		if got := w.dialled(); got != 3 {
			t.Errorf("connections for 250 streams, 100 each: %d, want 3", got)
		}
		for c := range conns {
			if c.ConnectTime < time.Second {
				t.Errorf("ConnectTime = %v, want the wait for the dial", c.ConnectTime)
			}
			c.Done()
		}
	})
}

// Streams gather on the connections in use, so that others can end.
func TestSharedPrefersBusy(t *testing.T) {
	w := &fakeWorld{prepare: func(m *fakeMultiplex) { m.room = 2 }}
	p := w.pool(t, nil)
	var conns []*Conn
	for range 6 {
		conns = append(conns, get(t, p))
	}
	for _, c := range conns[:5] {
		c.Done()
	}
	busy := carrier(conns[5])
	c := get(t, p)
	if carrier(c) != busy {
		t.Error("Get took an idle connection, and one in use had room")
	}
	c.Done()
	conns[5].Done()
}

func TestSharedIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		p := w.pool(t, func(c *Config) { c.IdleTimeout = 8 * time.Second })
		long := get(t, p)
		time.Sleep(time.Minute)
		if w.conns[0].isClosed() {
			t.Fatal("connection closed while in use")
		}
		long.Done()
		time.Sleep(9 * time.Second)
		if st := p.Stats(); !w.conns[0].isClosed() || st.Expired != 1 || st.Idle != 0 {
			t.Errorf("after the idle timeout: closed %t, %+v", w.conns[0].isClosed(), st)
		}
	})
}

func TestSharedClosing(t *testing.T) {
	w := &fakeWorld{}
	p := w.pool(t, nil)
	a := get(t, p)
	carrier(a).Drain()
	b := get(t, p)
	if carrier(a) == carrier(b) || b.Reused {
		t.Error("a connection that is closing was used")
	}
	a.Done()
	if !w.conns[0].isClosed() {
		t.Error("connection not closed after its last stream")
	}
	b.Done()
	// One that is closed while idle is found by who looks first.
	w.conns[1].Drain()
	c := get(t, p)
	defer c.Done()
	if st := p.Stats(); st.Idle != 0 || st.Closed != 1 || st.Dials != 3 {
		t.Errorf("Stats() = %+v, want none idle, 1 closed, 3 dials", st)
	}
	if got := p.set.idle.Load(); got != 0 {
		t.Errorf("idle connections = %d, want 0", got)
	}
}

// After a connection broke, a retry goes to one that is newer than the break; all
// retries share it.
func TestSharedDialAfterBreak(t *testing.T) {
	w := &fakeWorld{prepare: func(m *fakeMultiplex) { m.room = 2 }}
	p := w.pool(t, nil)
	e := p.Endpoints()[0]
	var conns []*Conn
	for range 4 {
		conns = append(conns, get(t, p))
	}
	carrier(conns[0]).Drain()
	conns[0].Done()
	conns[1].Done()
	conns[2].Done() // room on the second, which is as old

	first, err := p.Dial(t.Context(), e, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Dial(t.Context(), e, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if carrier(first) == carrier(conns[3]) || carrier(second) != carrier(first) {
		t.Error("Dial after a break: want one new connection for both")
	}
	if got := w.dialled(); got != 3 {
		t.Errorf("connections = %d, want 3", got)
	}
	for _, c := range []*Conn{conns[3], first, second} {
		c.Done()
	}
}

func TestSharedRetire(t *testing.T) {
	w := &fakeWorld{prepare: func(m *fakeMultiplex) { m.room = 1 }}
	p := w.pool(t, nil)
	e := p.Endpoints()[0]
	busy, idle := get(t, p), get(t, p)
	idle.Done()
	p.set.Prepare(nil, map[string][]snapshot.Endpoint{"a": {}})
	if w.conns[0].isClosed() || !w.conns[1].isClosed() {
		t.Errorf("endpoint gone: busy connection closed %t, idle one %t; want false, true", w.conns[0].isClosed(), w.conns[1].isClosed())
	}
	late, err := p.Get(t.Context(), e, time.Minute)
	if err != nil {
		t.Fatalf("Get of an endpoint that has gone: %v", err)
	}
	late.Done()
	busy.Done()
	for i, m := range w.conns {
		if !m.isClosed() {
			t.Errorf("connection %d open after its last stream", i)
		}
	}
	if got := p.set.idle.Load(); got != 0 {
		t.Errorf("idle connections = %d, want 0", got)
	}
}

func TestSharedMaxIdle(t *testing.T) {
	w := &fakeWorld{prepare: func(m *fakeMultiplex) { m.room = 1 }}
	p := w.pool(t, func(c *Config) { c.MaxIdlePerEndpoint = 1 })
	a, b := get(t, p), get(t, p)
	a.Done()
	b.Done()
	if st := p.Stats(); st.Idle != 1 || st.Surplus != 1 {
		t.Errorf("Stats() = %+v, want 1 idle, 1 surplus", st)
	}
}

func TestSharedDialError(t *testing.T) {
	refused := &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamInvalid, Retry: outcome.RetryYes, Err: errors.New("not HTTP/2")}
	for _, tt := range []struct {
		name string
		w    *fakeWorld
		want outcome.Reason
	}{
		{"dial", &fakeWorld{dial: func(context.Context) error { time.Sleep(time.Second); return syscall.ECONNREFUSED }}, outcome.ConnectRefused},
		{"start", &fakeWorld{prepare: func(m *fakeMultiplex) { m.startTime, m.startErr = time.Second, refused }}, outcome.UpstreamInvalid},
		{"no room", &fakeWorld{prepare: func(m *fakeMultiplex) { m.startTime, m.room = time.Second, 0 }}, outcome.ConnectFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := tt.w.pool(t, nil)
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						_, err := p.Get(t.Context(), p.Endpoints()[0], time.Minute)
						wantReason(t, err, tt.want, outcome.RetryYes)
					})
				}
				wg.Wait()
				if st := p.Stats(); st.Dials+st.DialErrors != 1 {
					t.Errorf("10 attempts at one time: %d dials, want 1", st.Dials+st.DialErrors)
				}
				// The next one tries again.
				_, err := p.Get(t.Context(), p.Endpoints()[0], time.Minute)
				wantReason(t, err, tt.want, outcome.RetryYes)
			})
		})
	}
}

// Each has its own time: a dial that ends for want of it is taken over by who has
// some left.
func TestSharedDialTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{prepare: func(m *fakeMultiplex) { m.startTime = 3 * time.Second }}
		p := w.pool(t, nil)
		e := p.Endpoints()[0]
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := p.Get(t.Context(), e, time.Second)
			wantReason(t, err, outcome.ConnectTimeout, outcome.RetryYes)
		})
		synctest.Wait()
		wg.Go(func() {
			_, err := p.Get(t.Context(), e, 500*time.Millisecond)
			wantReason(t, err, outcome.ConnectTimeout, outcome.RetryYes)
		})
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			_, err := p.Get(ctx, e, time.Minute)
			wantReason(t, err, outcome.ClientClosed, outcome.RetryNo)
		})
		wg.Go(func() {
			c, err := p.Get(t.Context(), e, time.Minute)
			if err != nil {
				t.Errorf("Get with time left: %v", err)
				return
			}
			if took := time.Since(start); took != 4*time.Second || c.Reused {
				t.Errorf("Get took %v (reused %t), want 4s, on a dial of its own", took, c.Reused)
			}
			c.Done()
		})
		wg.Wait()
	})
}

func TestSharedAllocs(t *testing.T) {
	w := &fakeWorld{}
	p := w.pool(t, nil)
	hold := get(t, p)
	defer hold.Done()
	get(t, p).Done()
	ctx, e := t.Context(), p.Endpoints()[0]
	// One is the fake's own.
	if got := testing.AllocsPerRun(100, func() {
		c, err := p.Get(ctx, e, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		c.Done()
	}); got > 1 {
		t.Errorf("Get and Done = %v allocations, want none", got-1)
	}
}
