package upstream

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// An Endpoint is one address of a pool, with its connections.
type Endpoint struct {
	snapshot.Endpoint

	pool *Pool
	// dials has room for each dial under way.
	dials chan struct{}
	busy  atomic.Int64

	// mu guards the fields below.
	mu sync.Mutex
	// idle is a stack; the connections are in the order in which they were kept.
	idle []*Conn
	gone bool

	// shared are the connections that carry many streams, in the order in which
	// they were made; dialing is the dial of one that is under way. breaks counts
	// those that ended other than by our wish.
	shared  []*shared
	dialing *sharedDial
	breaks  uint64
}

func newEndpoint(p *Pool, spec snapshot.Endpoint) *Endpoint {
	return &Endpoint{Endpoint: spec, pool: p, dials: make(chan struct{}, p.set.cfg.MaxDials)}
}

// Busy returns the number of attempts that are under way.
func (e *Endpoint) Busy() int { return int(e.busy.Load()) }

// take returns the connection that was kept last and is alive, nil if none is.
func (e *Endpoint) take() *Conn {
	for {
		c := e.pop()
		if c == nil {
			return nil
		}
		switch seen := c.look(); {
		case seen == closedByPeer:
			e.pool.count.closed.Add(1)
		case seen == unexpectedData:
			e.pool.count.unexpected.Add(1)
		case c.overdue():
			e.pool.count.expired.Add(1)
		default:
			c.handOut(true)
			return c
		}
		c.nc.Close()
	}
}

func (e *Endpoint) pop() *Conn {
	e.mu.Lock()
	n := len(e.idle) - 1
	if n < 0 {
		e.mu.Unlock()
		return nil
	}
	c := e.idle[n]
	e.idle[n] = nil
	e.idle = e.idle[:n]
	e.mu.Unlock()
	e.pool.set.idle.Add(-1)
	return c
}

// keep reports whether it has put c on the stack; if not, the caller closes it.
func (e *Endpoint) keep(c *Conn) bool {
	s := e.pool.set
	if !s.reserve() {
		e.pool.count.surplus.Add(1)
		return false
	}
	e.mu.Lock()
	full := len(e.idle) >= s.cfg.MaxIdlePerEndpoint
	if e.gone || full {
		gone := e.gone
		e.mu.Unlock()
		s.idle.Add(-1)
		if !gone {
			e.pool.count.surplus.Add(1)
		}
		return false
	}
	// Read under mu, so that epochs do not fall from the bottom of the stack to
	// its top.
	c.keptAt = s.epoch.Load()
	e.idle = append(e.idle, c)
	e.mu.Unlock()
	return true
}

// expire takes off and returns the connections that were kept at least age epochs
// before now; those are at the bottom of the stack.
func (e *Endpoint) expire(now, age uint32) []*Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for n < len(e.idle) && now-e.idle[n].keptAt >= age {
		n++
	}
	if n == 0 {
		return nil
	}
	old := make([]*Conn, n)
	copy(old, e.idle)
	rest := copy(e.idle, e.idle[n:])
	clear(e.idle[rest:])
	e.idle = e.idle[:rest]
	if rest == 0 {
		e.idle = nil
	}
	return old
}

// retire closes the idle connections, the others when they are done; from now on
// none is kept.
func (e *Endpoint) retire() {
	e.mu.Lock()
	idle, multi := e.idle, slices.Clone(e.shared)
	e.idle, e.gone = nil, true
	for _, sc := range multi {
		e.unlist(sc)
	}
	e.mu.Unlock()
	e.pool.set.idle.Add(-int64(len(idle)))
	for _, c := range idle {
		c.nc.Close()
	}
	for _, sc := range multi {
		sc.m.Drain()
	}
}

func (e *Endpoint) idleCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.idle) + e.idleShared()
}
