package controllers

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A tally counts failed handshakes in bounded memory. The handshakes' goroutines
// add, one goroutine drains; a lock is held for one map operation.
type tally struct {
	seed    maphash.Seed
	clients atomic.Pointer[ClientAddress]
	limit   int // of entries a shard
	shards  [16]struct {
		mu      sync.Mutex
		entries map[tallyKey]*tallied
		lost    int
	}
}

type tallyKey struct {
	ingress snapshot.Origin // without field
	host    string
	reason  outcome.Reason
}

// tallied is what was counted under one key.
type tallied struct {
	count   int
	clients examples
	// certificate is the one served last.
	certificate *snapshot.Certificate
}

func newTally(limit int, clients ClientAddress) *tally {
	t := &tally{seed: maphash.MakeSeed()}
	t.clients.Store(&clients)
	t.limit = max(1, limit/len(t.shards))
	for i := range t.shards {
		t.shards[i].entries = make(map[tallyKey]*tallied)
	}
	return t
}

// add counts h and reports whether it is the first of its key since drain.
func (t *tally) add(h *outcome.Handshake) (first bool) {
	key := tallyKey{h.Ingress.Object(), h.Host, h.Reason}
	client := ""
	if h.Conn != nil {
		client = t.clients.Load().of(h.Conn.Remote.Addr())
	}
	shard := &t.shards[maphash.Comparable(t.seed, key)%uint64(len(t.shards))]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	entry, ok := shard.entries[key]
	if !ok {
		if len(shard.entries) >= t.limit {
			shard.lost++
			return false
		}
		entry = &tallied{}
		shard.entries[key] = entry
	}
	entry.count++
	entry.clients.add(client)
	if h.Certificate != nil {
		entry.certificate = h.Certificate
	}
	return !ok
}

// drain returns what was counted since the last call, and how many handshakes
// found no room.
func (t *tally) drain() (all map[tallyKey]*tallied, lost int) {
	all = make(map[tallyKey]*tallied)
	for i := range t.shards {
		shard := &t.shards[i]
		shard.mu.Lock()
		lost += shard.lost
		shard.lost = 0
		var entries map[tallyKey]*tallied
		if len(shard.entries) > 0 {
			entries, shard.entries = shard.entries, make(map[tallyKey]*tallied)
		}
		shard.mu.Unlock()
		for key, entry := range entries {
			all[key] = entry
		}
	}
	return all, lost
}

// of returns what is told of a client's address.
func (c ClientAddress) of(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || c == ClientNone {
		return ""
	}
	if c == ClientFull {
		return addr.String()
	}
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	prefix, _ := addr.Prefix(bits)
	return prefix.String()
}

// maxExamples is how many clients or hosts an Event names.
const maxExamples = 3

// examples are a few of many names.
type examples struct {
	names []string
	more  bool
}

func (x *examples) add(name string) {
	switch {
	case name == "" || slices.Contains(x.names, name):
	case len(x.names) < maxExamples:
		x.names = append(x.names, name)
	default:
		x.more = true
	}
}

func (x *examples) merge(other examples) {
	for _, name := range other.names {
		x.add(name)
	}
	x.more = x.more || other.more
}
