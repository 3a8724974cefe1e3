package cli

import (
	"maps"
	"sync"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A board stands between whatever feeds the data plane and the data plane. It adds
// what is the operator's and not one of the objects, the default certificate and
// the connection policy of the flags, and remembers the endpoints in force for those who ask what is served. It is safe
// for concurrent use.
type board struct {
	publisher publisher

	mu        sync.Mutex
	spec      *snapshot.Spec // as it came, without what is added
	endpoints map[string][]snapshot.Endpoint
	pools     map[string]bool
	// defaultCertificate is what unknown names are served where the Spec has nothing
	// for them; nil: their handshakes are rejected.
	defaultCertificate *snapshot.Certificate
	// connections is that of the flags; merged is what became of it and of that of
	// the Spec, which is the same as long as that is.
	connections, ofSpec, merged *snapshot.ConnectionPolicy
	// rejectUnknown rejects unknown names all the same.
	rejectUnknown bool
	// first, if set, is called once, after the first table is in force.
	first func()
}

func newBoard(p publisher, defaultCertificate *snapshot.Certificate, connections *snapshot.ConnectionPolicy) *board {
	return &board{
		publisher:          p,
		endpoints:          make(map[string][]snapshot.Endpoint),
		defaultCertificate: defaultCertificate,
		connections:        connections,
		merged:             connections,
	}
}

// Publish implements publisher.
func (b *board) Publish(u snapshot.Update) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.Spec != nil {
		b.spec = u.Spec
		u.Spec = b.complete(u.Spec)
	}
	if err := b.publisher.Publish(u); err != nil {
		return err
	}
	if u.Spec != nil {
		if b.first != nil {
			b.first()
			b.first = nil
		}
		b.pools = make(map[string]bool, len(u.Spec.Pools))
		for _, p := range u.Spec.Pools {
			b.pools[p.ID] = true
		}
	}
	maps.Copy(b.endpoints, u.Endpoints)
	maps.DeleteFunc(b.endpoints, func(id string, _ []snapshot.Endpoint) bool { return !b.pools[id] })
	return nil
}

// setDefaultCertificate serves c to unknown names from now on.
func (b *board) setDefaultCertificate(c *snapshot.Certificate) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.defaultCertificate = c
	if b.spec == nil {
		return nil // it comes with the first Spec
	}
	return b.publisher.Publish(snapshot.Update{Spec: b.complete(b.spec)})
}

// setRejectUnknown says whether unknown names are rejected even if there is a
// default certificate. It counts from the next Spec on.
func (b *board) setRejectUnknown(reject bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rejectUnknown = reject
}

// complete returns spec with what is added. mu is held.
func (b *board) complete(spec *snapshot.Spec) *snapshot.Spec {
	if b.defaultCertificate == nil && b.connections == nil {
		return spec
	}
	s := *spec
	if b.defaultCertificate != nil && spec.DefaultCertificate == nil && !b.rejectUnknown {
		s.UnknownSNI, s.DefaultCertificate = snapshot.UnknownSNIDefaultCert, b.defaultCertificate
	}
	if b.ofSpec != spec.Connections {
		b.ofSpec, b.merged = spec.Connections, connectionsOf(spec.Connections, b.connections)
	}
	if b.connections != nil {
		s.Connections = b.merged
	}
	return &s
}

// of returns the endpoints of a pool.
func (b *board) of(pool string) []snapshot.Endpoint {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.endpoints[pool]
}

// addresses returns the addresses of the endpoints of a pool.
func (b *board) addresses(pool string) (list []string) {
	for _, ep := range b.of(pool) {
		list = append(list, ep.Addr.String())
	}
	return list
}

// all returns the endpoints of every pool.
func (b *board) all() map[string][]snapshot.Endpoint {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.endpoints)
}
