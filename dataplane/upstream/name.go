package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

const (
	// lookupTimeout bounds one resolution.
	lookupTimeout = 10 * time.Second
	// firstRetry is the pause after the first failure of a name that has never
	// resolved; it doubles up to the usual interval.
	firstRetry = time.Second
	// maxAddrs is the most addresses of a name that are used.
	maxAddrs = 128
)

// A name is the DNS name of an ExternalName Service.
type name struct {
	host string
	port uint16
	stop context.CancelFunc

	// first is closed when the first resolution has ended, well or not.
	first     chan struct{}
	closeOnce sync.Once
	// err is that of the last resolution, nil if it went well.
	err atomic.Pointer[error]
}

func newName(host string, port uint16) *name {
	return &name{host: host, port: port, first: make(chan struct{})}
}

// resolve keeps the endpoints of p in step with its name until ctx ends. A
// failure keeps the last answer.
func (p *Pool) resolve(ctx context.Context) {
	n, cfg := p.name, &p.set.cfg
	// A pool may be removed before its first answer.
	defer n.answered()
	wait := min(firstRetry, cfg.ResolveInterval)
	known, healthy := false, false
	for {
		list, err := n.lookup(ctx, cfg)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			if p.replace(list) {
				cfg.Logger.DebugContext(ctx, "name resolved", "pool", p.ID(), "name", n.host, "endpoints", len(list))
			}
			n.err.Store(nil)
		} else {
			n.err.Store(&err)
		}
		n.answered()
		if !known || healthy != (err == nil) {
			known, healthy = true, err == nil
			p.tell(err)
		}

		pause := cfg.ResolveInterval
		if len(*p.list.Load()) == 0 {
			pause, wait = wait, min(2*wait, cfg.ResolveInterval)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// lookup returns the endpoints behind n, sorted: in the order of the answer, which
// name servers rotate, they would be another list each time.
func (n *name) lookup(ctx context.Context, cfg *Config) ([]snapshot.Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := cfg.Resolve(ctx, n.host)
	if err == nil && len(ips) == 0 {
		err = errors.New("no addresses")
	}
	if err != nil {
		return nil, fmt.Errorf("upstream: resolve %q: %w", n.host, err)
	}
	ips = slices.Clone(ips)
	for i, ip := range ips {
		ips[i] = ip.Unmap()
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	ips = slices.Compact(ips)
	ips = ips[:min(len(ips), maxAddrs)]
	list := make([]snapshot.Endpoint, len(ips))
	for i, ip := range ips {
		list[i] = snapshot.Endpoint{Addr: netip.AddrPortFrom(ip, n.port), Target: n.host}
	}
	return list, nil
}

// tell reports a change of what is known of the name.
func (p *Pool) tell(err error) {
	cfg := &p.set.cfg
	if cfg.Sink.Health == nil {
		return
	}
	h := &outcome.Health{
		Pool:      p.ID(),
		Origin:    p.Origin(),
		Name:      p.name.host,
		Healthy:   err == nil,
		Reason:    outcome.OK,
		Endpoints: len(*p.list.Load()),
	}
	if err != nil {
		h.Reason, h.Err = outcome.NameUnresolved, err.Error()
	}
	cfg.Sink.Health(h)
}

func (n *name) answered() { n.closeOnce.Do(func() { close(n.first) }) }

// await waits for the end of the first resolution.
func (n *name) await(ctx context.Context) *outcome.Error {
	select {
	case <-n.first:
		return nil
	default:
	}
	t := time.NewTimer(defaultConnectTimeout)
	defer t.Stop()
	select {
	case <-n.first:
		return nil
	case <-ctx.Done():
		err := dialError(ctx, outcome.NameUnresolved, fmt.Errorf("resolve %q: %w", n.host, ctx.Err()))
		err.Retry = outcome.RetryNo
		return err
	case <-t.C:
		return n.unresolved()
	}
}

// unresolved is the error of a name without any address. Another attempt would
// find the same, so it is not to be retried.
func (n *name) unresolved() *outcome.Error {
	cause := fmt.Errorf("upstream: resolve %q: no answer yet", n.host)
	if err := n.err.Load(); err != nil {
		cause = *err
	}
	return &outcome.Error{Side: outcome.Upstream, Reason: outcome.NameUnresolved, Err: cause}
}

// resolveDNS is the default of Config.Resolve.
//
// An ExternalName is a CNAME (Kubernetes API, ServiceSpec.externalName), hence
// absolute: the search list of resolv.conf does not apply to it, and a name within
// the cluster cannot take its place. A single label is left as it is, for the
// hosts file ("localhost") and the networks of containers ("db").
//
// Addresses of a family that this machine has no route for are left out unless
// nothing else remains: each would cost a request one of its attempts.
func resolveDNS(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	if strings.Contains(host, ".") && !strings.HasSuffix(host, ".") {
		host += "."
	}
	r := net.Resolver{PreferGo: true}
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if routed := slices.DeleteFunc(slices.Clone(ips), func(ip netip.Addr) bool { return !hasRoute(ip) }); len(routed) > 0 {
		return routed, nil
	}
	return ips, nil
}

// hasRoute reports whether the kernel has a route to ip. To connect a UDP socket
// looks up the route and sends nothing.
func hasRoute(ip netip.Addr) bool {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), 9)))
	if err != nil {
		return false
	}
	c.Close()
	return true
}
