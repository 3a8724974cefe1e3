package upstream

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A Pool is a set of interchangeable endpoints with their live state.
type Pool struct {
	set  *Set
	spec atomic.Pointer[snapshot.Pool]
	// protocol is spec's, which is the same as long as there is this pool.
	protocol snapshot.Protocol
	// security is nil in plain text. It is fixed, too.
	security *security
	// list is replaced as a whole; what it points to is never written again.
	list atomic.Pointer[[]*Endpoint]
	// next is the turn of the round robin. It starts anywhere, so that replicas
	// that start together do not send their first requests to the same endpoint.
	next atomic.Uint64
	// name is set for a pool with an ExternalName.
	name  *name
	count counters
	// kept is the last round of Retain that this pool was kept in; guarded by
	// Set.mu.
	kept uint64

	// mu is held by who replaces list. A retired pool's list is final.
	mu      sync.Mutex
	retired bool
}

func newPool(s *Set, spec *snapshot.Pool) *Pool {
	p := &Pool{set: s, protocol: spec.Protocol, security: newSecurity(spec, s.cfg.KeyLog)}
	p.spec.Store(spec)
	p.list.Store(new([]*Endpoint))
	p.next.Store(uint64(rand.Uint32()))
	if spec.ExternalName != "" {
		p.name = newName(spec.ExternalName, spec.ExternalPort)
	}
	return p
}

// describedBy reports whether spec is this pool's, and takes it over if so. A pool
// that is to resolve another name, to speak another protocol, or to trust or show
// something else, is another pool.
func (p *Pool) describedBy(spec *snapshot.Pool) bool {
	old := p.spec.Load()
	if old == spec {
		return true
	}
	if old.ExternalName != spec.ExternalName || old.ExternalPort != spec.ExternalPort || old.Protocol != spec.Protocol || !sameTLS(old.TLS, spec.TLS) {
		return false
	}
	p.spec.Store(spec)
	return true
}

func sameTLS(a, b *snapshot.UpstreamTLS) bool {
	return a == b || a != nil && b != nil && a.Digest() == b.Digest()
}

// multiplexed reports whether the connections are of type [Multiplex].
func (p *Pool) multiplexed() bool { return p.protocol == snapshot.H2C }

// ID returns the pool's ID.
func (p *Pool) ID() string { return p.spec.Load().ID }

// Origin returns the Service behind the pool.
func (p *Pool) Origin() snapshot.Origin { return p.spec.Load().Origin }

// Endpoints returns the endpoints in force.
func (p *Pool) Endpoints() []*Endpoint { return slices.Clone(*p.list.Load()) }

// Pick returns the endpoint whose turn it is, passing over those in tried: the
// addresses that this exchange has tried already, in order. When every endpoint
// has been tried it returns the one whose last try is longest ago: with a single
// endpoint a retry goes there again.
//
// A retry takes a turn of its own, so that the share of an endpoint that does not
// answer is spread over the others and does not all fall to its neighbour.
//
// The reason of the error is no_endpoints, or name_unresolved for a pool whose
// name has never resolved. Only while the first resolution of a name is under way
// does Pick wait: 5 s at most, or until ctx ends.
func (p *Pool) Pick(ctx context.Context, tried []netip.AddrPort) (*Endpoint, *outcome.Error) {
	list := *p.list.Load()
	if len(list) == 0 {
		if p.name == nil {
			return nil, &outcome.Error{Side: outcome.Upstream, Reason: outcome.NoEndpoints}
		}
		if err := p.name.await(ctx); err != nil {
			return nil, err
		}
		if list = *p.list.Load(); len(list) == 0 {
			return nil, p.name.unresolved()
		}
	}

	turn := p.next.Add(1)
	n := uint64(len(list))
	if len(tried) == 0 {
		return list[turn%n], nil
	}
	var oldest *Endpoint
	oldestTry := len(tried)
	for i := range n {
		e := list[(turn+i)%n]
		try := lastIndex(tried, e.Addr)
		if try < 0 {
			return e, nil
		}
		if try < oldestTry {
			oldest, oldestTry = e, try
		}
	}
	return oldest, nil
}

func lastIndex(tried []netip.AddrPort, addr netip.AddrPort) int {
	for i, t := range slices.Backward(tried) {
		if t == addr {
			return i
		}
	}
	return -1
}

// Get returns a connection to e, a kept one if there is one that is alive, else a
// new one. connectTimeout bounds a dial, the wait for a free turn to dial included;
// 0 means 5 s. When ctx ends first, because the client left, the reason of the
// error is client_closed. Call [Conn.Done] on the connection.
func (p *Pool) Get(ctx context.Context, e *Endpoint, connectTimeout time.Duration) (*Conn, *outcome.Error) {
	if c := p.Take(e); c != nil {
		return c, nil
	}
	if p.multiplexed() {
		return p.join(ctx, e, connectTimeout, false)
	}
	return p.Dial(ctx, e, connectTimeout)
}

// Take is Get for a kept connection only, without waiting; nil if there is none.
func (p *Pool) Take(e *Endpoint) *Conn {
	var c *Conn
	if p.multiplexed() {
		e.mu.Lock()
		c = e.open(0)
		e.mu.Unlock()
	} else {
		c = e.take()
	}
	if c != nil {
		p.count.reuses.Add(1)
	}
	return c
}

// Dial is Get without the kept connections: for a retry after one of them turned
// out to be dead. Of connections that carry many streams it passes over those that
// were there when the last one broke.
func (p *Pool) Dial(ctx context.Context, e *Endpoint, connectTimeout time.Duration) (*Conn, *outcome.Error) {
	if p.multiplexed() {
		return p.join(ctx, e, connectTimeout, true)
	}
	start := time.Now()
	nc, handshake, err := e.dial(ctx, connectTimeout)
	if err != nil {
		p.count.dialErrors.Add(1)
		return nil, err
	}
	p.count.dials.Add(1)
	c := newConn(e, nc, time.Since(start))
	c.TLS = handshake
	p.told(handshake)
	return c, nil
}

// replace puts list in force and reports whether that changes anything. An endpoint
// that stays keeps its state; the idle connections of those that go are closed. An
// endpoint is the same if its address and its target are: another Pod with the
// address of the last one is a new endpoint.
func (p *Pool) replace(list []snapshot.Endpoint) (changed bool) {
	added, gone := p.swap(list)
	for _, e := range gone {
		e.retire()
	}
	return added+len(gone) > 0
}

// swap is replace up to the endpoints that go.
func (p *Pool) swap(list []snapshot.Endpoint) (added int, gone []*Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired {
		return 0, nil
	}
	before := make(map[netip.AddrPort]*Endpoint, len(*p.list.Load()))
	for _, e := range *p.list.Load() {
		before[e.Addr] = e
	}
	after := make([]*Endpoint, 0, len(list))
	seen := make(map[netip.AddrPort]bool, len(list))
	for _, spec := range list {
		if seen[spec.Addr] {
			continue
		}
		seen[spec.Addr] = true
		e := before[spec.Addr]
		if e != nil && e.Endpoint == spec {
			delete(before, spec.Addr)
		} else {
			e = newEndpoint(p, spec)
			added++
		}
		after = append(after, e)
	}
	p.list.Store(&after)
	return added, slices.Collect(maps.Values(before))
}

// retire takes p out of force. Its list stays as it is, for those who hold p.
func (p *Pool) retire() {
	p.mu.Lock()
	p.retired = true
	list := *p.list.Load()
	p.mu.Unlock()
	if p.name != nil {
		p.name.stop()
	}
	for _, e := range list {
		e.retire()
	}
}
