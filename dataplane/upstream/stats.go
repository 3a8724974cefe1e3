package upstream

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Stats are the figures of a pool. The counters begin with the pool.
type Stats struct {
	Pool   string
	Origin snapshot.Origin
	// Endpoints in force, the idle connections to them, and those in use; for one
	// that carries many streams, these.
	Endpoints, Idle, Busy int
	// Dials that made a connection, and those that did not.
	Dials, DialErrors uint64
	// Reuses of a kept connection.
	Reuses uint64
	// Closed and Unexpected count the kept connections that were dropped when
	// they were to be used: the peer had closed them, or had sent something.
	Closed, Unexpected uint64
	// Expired were closed unused after the idle timeout or to make room, Surplus
	// because there was no room.
	Expired, Surplus uint64
}

type counters struct {
	dials, dialErrors, reuses, closed, unexpected, expired, surplus atomic.Uint64
}

// Stats returns the figures of all pools in force, by ID. They are read one after
// the other while requests go on, so they need not add up.
func (s *Set) Stats() []Stats {
	pools := s.all()
	all := make([]Stats, 0, len(pools))
	for _, p := range pools {
		all = append(all, p.Stats())
	}
	slices.SortFunc(all, func(a, b Stats) int { return cmp.Compare(a.Pool, b.Pool) })
	return all
}

// Stats returns the figures of p.
func (p *Pool) Stats() Stats {
	list := *p.list.Load()
	st := Stats{
		Pool:       p.ID(),
		Origin:     p.Origin(),
		Endpoints:  len(list),
		Dials:      p.count.dials.Load(),
		DialErrors: p.count.dialErrors.Load(),
		Reuses:     p.count.reuses.Load(),
		Closed:     p.count.closed.Load(),
		Unexpected: p.count.unexpected.Load(),
		Expired:    p.count.expired.Load(),
		Surplus:    p.count.surplus.Load(),
	}
	for _, e := range list {
		st.Idle += e.idleCount()
		st.Busy += e.Busy()
	}
	return st
}
