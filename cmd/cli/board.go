package cli

import (
	"maps"
	"sync"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A board stands between whatever feeds the data plane and the data plane. It adds
// the default certificate, which is the operator's and not one of the objects, and
// remembers the endpoints in force for those who ask what is served. It is safe
// for concurrent use.
type board struct {
	publisher publisher

	mu        sync.Mutex
	spec      *snapshot.Spec // as it came, without the default certificate
	endpoints map[string][]snapshot.Endpoint
	pools     map[string]bool
	// defaultCertificate is what unknown names are served; nil: their handshakes
	// are rejected.
	defaultCertificate *snapshot.Certificate
}

func newBoard(p publisher, defaultCertificate *snapshot.Certificate) *board {
	return &board{
		publisher:          p,
		endpoints:          make(map[string][]snapshot.Endpoint),
		defaultCertificate: defaultCertificate,
	}
}

// Publish implements publisher.
func (b *board) Publish(u snapshot.Update) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.Spec != nil {
		b.spec = u.Spec
		u.Spec = b.withDefault(u.Spec)
	}
	if err := b.publisher.Publish(u); err != nil {
		return err
	}
	if u.Spec != nil {
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
	return b.publisher.Publish(snapshot.Update{Spec: b.withDefault(b.spec)})
}

func (b *board) withDefault(spec *snapshot.Spec) *snapshot.Spec {
	if b.defaultCertificate == nil {
		return spec
	}
	s := *spec
	s.UnknownSNI, s.DefaultCertificate = snapshot.UnknownSNIDefaultCert, b.defaultCertificate
	return &s
}

// of returns the endpoints of a pool.
func (b *board) of(pool string) []snapshot.Endpoint {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.endpoints[pool]
}

// all returns the endpoints of every pool.
func (b *board) all() map[string][]snapshot.Endpoint {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.endpoints)
}
