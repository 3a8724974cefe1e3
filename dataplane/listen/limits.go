// How connections are counted per address in bounded memory.
//
// A place holds what is known of one address: its open connections and its bucket
// of tokens. Places of addresses with open connections are as many as those, which
// is a bound already. The others are kept for their buckets alone: they stand in a
// line in order of their last use, and leave it when their bucket is full again,
// because then nothing is known any more, or when the line is too long. Who
// forgets an address that way gives it a full bucket; that takes an attacker more
// addresses than the line is long, each of which had to complete a TCP handshake.

package listen

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Limits counts connections for [snapshot.ConnectionPolicy]. Listeners that share
// one are limited together. It is safe for concurrent use.
type Limits struct {
	open   atomic.Int64 // connections
	seed   maphash.Seed
	shards [limitShards]limitShard
}

const (
	limitShards = 64
	// maxIdlePlaces is the length of the line, of all shards together: some 8 MiB.
	maxIdlePlaces = 65_536
)

type limitShard struct {
	mu     sync.Mutex
	places map[netip.Addr]*place
	// line holds the places without open connections, the longest unused first.
	line list.List
}

// A place is what is known of an address. The shard's mu guards it.
type place struct {
	shard *limitShard
	addr  netip.Addr
	open  int
	// tokens at time at.
	tokens float64
	at     time.Time
	// idle is the place's own in the line, nil while connections are open.
	idle *list.Element
}

// NewLimits returns Limits that have seen no connection.
func NewLimits() *Limits {
	l := &Limits{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].places = make(map[netip.Addr]*place)
		l.shards[i].line.Init()
	}
	return l
}

// limitKey is what is counted as one client: an IPv4 address, or the /64 that an
// IPv6 address is in.
func limitKey(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap().WithZone(""); !addr.Is6() {
		return addr
	}
	p, _ := addr.Prefix(64)
	return p.Addr()
}

// take counts a new connection of addr, or says why there must not be one. The
// place, if there is one, is to be given back at the end of the connection.
func (l *Limits) take(addr netip.Addr, policy *snapshot.Connections, now time.Time) (outcome.Reason, *place) {
	key := limitKey(addr)
	s := &l.shards[maphash.Comparable(l.seed, key)%limitShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.places[key]
	if !known {
		s.shorten(policy, now)
		p = &place{shard: s, addr: key, tokens: policy.Bucket(), at: now}
		s.places[key] = p
	}
	p.refill(policy, now)
	reason := outcome.OK
	switch {
	case policy.MaxPerAddress > 0 && p.open >= policy.MaxPerAddress:
		reason = outcome.FilteredConcurrent
	case policy.NewPerSecondPerAddress > 0 && p.tokens < 1:
		reason = outcome.FilteredRate
	}
	if reason != outcome.OK {
		if p.open == 0 {
			p.wait()
		}
		return reason, nil
	}
	if policy.NewPerSecondPerAddress > 0 {
		p.tokens--
	}
	p.open++
	if p.idle != nil {
		s.line.Remove(p.idle)
		p.idle = nil
	}
	return outcome.OK, p
}

// refill adds the tokens since the last time.
func (p *place) refill(policy *snapshot.Connections, now time.Time) {
	if since := now.Sub(p.at); since > 0 {
		p.tokens += since.Seconds() * policy.NewPerSecondPerAddress
		p.at = now
	}
	p.tokens = min(p.tokens, policy.Bucket())
}

// wait puts p at the end of the line.
func (p *place) wait() {
	if p.idle != nil {
		p.shard.line.MoveToBack(p.idle)
		return
	}
	p.idle = p.shard.line.PushBack(p)
}

// give ends a connection that take has counted. A nil place counts nothing.
func (p *place) give() {
	if p == nil {
		return
	}
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if p.open--; p.open == 0 {
		p.wait()
	}
}

// shorten makes room for one more place: those at the head of the line go whose
// bucket is full, two at a time so that the line does get shorter, and the first
// one if the line is too long. mu is held.
func (s *limitShard) shorten(policy *snapshot.Connections, now time.Time) {
	for range 2 {
		head := s.line.Front()
		if head == nil {
			return
		}
		p := head.Value.(*place)
		p.refill(policy, now)
		if p.tokens < policy.Bucket() && policy.NewPerSecondPerAddress > 0 && s.line.Len() < maxIdlePlaces/limitShards {
			return
		}
		s.line.Remove(head)
		delete(s.places, p.addr)
	}
}
