package dataplane

import (
	"context"
	"sync"
	"time"

	"github.com/cardea-dev/cardea/dataplane/listen"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// tickets gives the listeners their session ticket keys: those that were
// published, or, as long as none were, keys of this process that are replaced
// every [ticketRotation].
type tickets struct {
	mu        sync.Mutex
	listeners []*listen.Listener
	keys      *snapshot.TicketKeys
	foreign   bool
}

// ticketRotation is how long a key of this process encrypts tickets. It decrypts
// them for as long again: a session is resumed within a day or not at all.
const ticketRotation = 12 * time.Hour

func (t *tickets) init(listeners []*listen.Listener) {
	t.listeners = listeners
	t.set(&snapshot.TicketKeys{Current: snapshot.RandomTicketKey()})
}

// published takes over keys that all replicas share.
func (t *tickets) published(keys *snapshot.TicketKeys) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.foreign = true
	t.set(keys)
}

// rotate replaces a key of this process.
func (t *tickets) rotate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.foreign {
		t.set(&snapshot.TicketKeys{Current: snapshot.RandomTicketKey(), Others: []*snapshot.TicketKey{t.keys.Current}})
	}
}

// run rotates until ctx ends.
func (t *tickets) run(ctx context.Context) {
	tick := time.NewTicker(ticketRotation)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.rotate()
		}
	}
}

func (t *tickets) set(keys *snapshot.TicketKeys) {
	t.keys = keys
	for _, l := range t.listeners {
		l.SetTicketKeys(keys)
	}
}
