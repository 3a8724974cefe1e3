package upstream

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/http1"
	"github.com/cardea-dev/cardea/dataplane/http2"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A Config configures a [Set]. The zero value is useful.
type Config struct {
	// Stream makes the client side of the protocol on a new connection. Nil means
	// HTTP/1.1.
	Stream func(net.Conn) Stream
	// Multiplex makes the client side on a new connection to an endpoint of a pool
	// that speaks HTTP/2. Nil means http2's.
	Multiplex func(net.Conn) Multiplex
	// Dial connects to an address that the guard has passed. Nil means TCP with
	// TCP_NODELAY and keep-alive probes.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	// Resolve returns the addresses of an ExternalName, IPv4 and IPv6. Nil means
	// DNS by net.Resolver, the name taken as absolute.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	// ResolveInterval is the time between two resolutions of a name. 0 means 30 s.
	ResolveInterval time.Duration
	// AllowLoopback lets endpoints be loopback addresses. Own still applies.
	AllowLoopback bool
	// Own reports whether an address is one of this process's own listeners; those
	// are never dialled. Nil means none is.
	Own func(netip.AddrPort) bool
	// MaxIdlePerEndpoint is the most idle connections kept to one endpoint. 0
	// means 256, negative none.
	MaxIdlePerEndpoint int
	// MaxIdle is the most idle connections kept in all. 0 means 8192.
	MaxIdle int
	// IdleTimeout is the longest that an idle connection is kept; some are closed
	// an eighth of it earlier. 0 means 60 s.
	IdleTimeout time.Duration
	// MaxDials is the most dials at one time to one endpoint. 0 means 256.
	MaxDials int
	// KeyLog, if not nil, is written the secrets of TLS sessions with endpoints, in
	// the NSS key log format. Nil means that nobody is.
	KeyLog io.Writer
	// Sink gets a Health outcome when a name begins or ceases to resolve.
	Sink outcome.Sink
	// Logger is told, at level debug, when a name resolves to other addresses than
	// before. Nil means no log.
	Logger *slog.Logger
}

// defaultConnectTimeout bounds a connect when the caller gives no bound.
const defaultConnectTimeout = 5 * time.Second

func (c Config) withDefaults() Config {
	if c.Stream == nil {
		c.Stream = streamHTTP1
	}
	if c.Multiplex == nil {
		c.Multiplex = multiplexHTTP2
	}
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	if c.Resolve == nil {
		c.Resolve = resolveDNS
	}
	if c.ResolveInterval <= 0 {
		c.ResolveInterval = 30 * time.Second
	}
	if c.Own == nil {
		c.Own = func(netip.AddrPort) bool { return false }
	}
	if c.MaxIdlePerEndpoint == 0 {
		c.MaxIdlePerEndpoint = 256
	}
	if c.MaxIdle <= 0 {
		c.MaxIdle = 8192
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 60 * time.Second
	}
	if c.MaxDials <= 0 {
		c.MaxDials = 256
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func streamHTTP1(nc net.Conn) Stream { return http1.NewClientConn(nc, nil) }

func multiplexHTTP2(nc net.Conn) Multiplex {
	_, secure := nc.(*tls.Conn)
	return multiplex{http2.NewClientConn(nc, &http2.ClientConfig{Secure: secure})}
}

// A multiplex is a ClientConn whose streams are Streams.
type multiplex struct{ *http2.ClientConn }

func (m multiplex) Open() Stream {
	if s := m.ClientConn.Open(); s != nil {
		return s
	}
	return nil // a nil *http2.ClientStream is not a nil Stream
}

// A Set is all pools of the Spec in force. Make one with [New].
type Set struct {
	cfg Config

	// mu guards the fields below.
	mu     sync.RWMutex
	pools  map[string]*Pool
	closed bool
	// round counts the calls of Retain; see Pool.kept.
	round uint64

	// idle counts idle connections; epoch is the janitor's clock. See janitor.go.
	idle  atomic.Int64
	epoch atomic.Uint32
	awake atomic.Bool
	wake  chan struct{}

	// done is closed by Close; goroutines are those of the janitor and the names.
	done       chan struct{}
	goroutines sync.WaitGroup
}

// New returns an empty Set. Close it after use.
func New(cfg Config) *Set {
	s := &Set{
		cfg:   cfg.withDefaults(),
		pools: make(map[string]*Pool),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	s.goroutines.Go(s.janitor)
	return s
}

// Prepare makes the pools that are new, and replaces the endpoint list of each
// pool that endpoints names. It removes no pool. A pool that is to resolve another
// name than before is a new one; one with a name takes no endpoints but those it
// resolves. Prepare does not wait for a resolution: who picks first waits.
func (s *Set) Prepare(pools []*snapshot.Pool, endpoints map[string][]snapshot.Endpoint) {
	for _, old := range s.add(pools, endpoints) {
		old.retire()
	}
	for id, list := range endpoints {
		if p := s.Pool(id); p != nil && p.name == nil {
			p.replace(list)
		}
	}
}

// add makes the pools that are new, with their endpoints from the start, and
// returns those they take the place of.
func (s *Set) add(pools []*snapshot.Pool, endpoints map[string][]snapshot.Endpoint) (replaced []*Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	for _, spec := range pools {
		old := s.pools[spec.ID]
		if old != nil && old.describedBy(spec) {
			continue
		}
		if old != nil {
			replaced = append(replaced, old)
		}
		p := newPool(s, spec)
		if p.name != nil {
			ctx, stop := context.WithCancel(context.Background())
			p.name.stop = stop
			s.goroutines.Go(func() { p.resolve(ctx) })
		} else {
			p.swap(endpoints[spec.ID])
		}
		s.pools[spec.ID] = p
	}
	return replaced
}

// Retain removes every pool that is not in pools. Requests that hold a removed
// pool go on with the endpoints it had last; their connections are closed when
// they are done. A pool that comes back later is a new one.
func (s *Set) Retain(pools []*snapshot.Pool) {
	for _, p := range s.remove(pools) {
		p.retire()
	}
}

// remove takes out and returns the pools that are not in keep. To find that there
// are none, as after most publishes, takes one look at each and no memory.
func (s *Set) remove(keep []*snapshot.Pool) (removed []*Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	kept := 0
	for _, spec := range keep {
		if p := s.pools[spec.ID]; p != nil && p.kept != s.round {
			p.kept = s.round
			kept++
		}
	}
	if kept == len(s.pools) {
		return nil
	}
	for id, p := range s.pools {
		if p.kept != s.round {
			delete(s.pools, id)
			removed = append(removed, p)
		}
	}
	return removed
}

// Pool returns the pool with that ID, nil if there is none. The pointer is the
// same as long as the pool is in force.
func (s *Set) Pool(id string) *Pool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pools[id]
}

// all returns the pools in force.
func (s *Set) all() []*Pool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	pools := make([]*Pool, 0, len(s.pools))
	for _, p := range s.pools {
		pools = append(pools, p)
	}
	return pools
}

// Close removes every pool, closes the idle connections and waits for the Set's
// goroutines. Busy connections are closed when they are done. Calling it again
// does nothing.
func (s *Set) Close() {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return
	}
	s.Retain(nil)
	close(s.done)
	s.goroutines.Wait()
}
