package upstream

import "time"

// Idle connections are timed by a coarse clock, the epoch, so that keeping one
// reads no time and sets no timer. The janitor advances it lifetime times per
// idle timeout, and only while something is idle: with nothing to age it parks.
// A connection kept within epoch n is closed when epoch n+lifetime begins, which
// is between 7/8 and the whole of the timeout later.

// lifetime is the idle timeout in epochs.
const lifetime = 8

// reserve counts one more idle connection unless there is no room for it, and
// sees to it that the janitor is awake.
func (s *Set) reserve() bool {
	n := s.idle.Add(1)
	full := n > int64(s.cfg.MaxIdle)
	if full {
		s.idle.Add(-1)
	}
	if full || !s.awake.Load() {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return !full
}

func (s *Set) janitor() {
	for {
		// Whoever counts up idle after the Load sees awake false and wakes us.
		s.awake.Store(false)
		if s.idle.Load() == 0 {
			select {
			case <-s.done:
				return
			case <-s.wake:
			}
		}
		s.awake.Store(true)
		if !s.tidy() {
			return
		}
	}
}

// tidy advances the epoch until nothing is idle at a tick; false means that the
// Set is closed. Between ticks it is no reason to park: the connections of a
// steady load are idle for moments, and each would wake the janitor anew.
func (s *Set) tidy() bool {
	tick := time.NewTicker(s.cfg.IdleTimeout / lifetime)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return false
		case <-s.wake:
			s.makeRoom()
		case <-tick.C:
			now := s.epoch.Add(1)
			for _, p := range s.all() {
				p.expire(now, lifetime)
			}
			if s.idle.Load() == 0 {
				return true
			}
		}
	}
}

// makeRoom closes the oldest idle connections of all pools, an eighth of the
// bound, when the bound is reached. A connection that finds no room is closed by
// who brings it: the busy endpoints get the room that the quiet ones held.
func (s *Set) makeRoom() {
	if s.idle.Load() < int64(s.cfg.MaxIdle) {
		return
	}
	target := int64(s.cfg.MaxIdle - s.cfg.MaxIdle/8 - 1)
	now, pools := s.epoch.Load(), s.all()
	for age := range uint32(lifetime) {
		for _, p := range pools {
			if s.idle.Load() <= target {
				return
			}
			p.expire(now, lifetime-1-age)
		}
	}
}

// expire closes the idle connections that are at least age epochs old.
func (p *Pool) expire(now, age uint32) {
	for _, e := range *p.list.Load() {
		old := e.expire(now, age)
		p.set.idle.Add(-int64(len(old)))
		p.count.expired.Add(uint64(len(old)))
		for _, c := range old {
			c.nc.Close()
		}
		if p.multiplexed() {
			multi := e.expireShared(now, age)
			p.count.expired.Add(uint64(len(multi)))
			for _, m := range multi {
				m.Drain()
			}
		}
	}
}
