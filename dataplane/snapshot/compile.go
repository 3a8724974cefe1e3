package snapshot

import (
	"errors"
	"fmt"
	"strings"
)

// Compile compiles spec. It takes over from prev (nil for the first) everything
// that the two have in common, by identity of the pointers in the Spec. bind is
// called once for each new route and its result returned by [Snapshot.Match]; nil
// means no plans. The error says what is inconsistent in spec.
//
// Hosts and pools that are in both cost one comparison of pointers; what is new
// is validated and compiled. prev is not changed and may be in use.
func Compile(prev *Snapshot, spec *Spec, bind func(*Route) any) (*Snapshot, error) {
	if spec == nil {
		return nil, errors.New("snapshot: no spec")
	}
	if prev == nil {
		prev = &Snapshot{Spec: &Spec{}}
	}
	security := (*TLS)(nil).Security(spec.TLSPolicy)
	if security != prev.security {
		// Every host that has no policy of its own demands something else now.
		prev = &Snapshot{Spec: &Spec{}, Generation: prev.Generation}
	}
	c := &compilation{
		spec:         spec,
		security:     security,
		special:      prev.special,
		bind:         bind,
		hosts:        prev.hosts.edit(),
		pools:        prev.pools.edit(),
		certificates: prev.certificates.edit(),
		catchAll:     prev.catchAll,
		routes:       prev.routes,
		passthroughs: prev.passthroughs,
	}
	if prev.hosts.len == 0 {
		c.hosts.reserve(len(spec.Hosts))
		c.pools.reserve(len(spec.Pools))
	}
	if err := diff(prev.Spec.Pools, spec.Pools, poolID, c.pool); err != nil {
		return nil, err
	}
	if err := diff(prev.Spec.Hosts, spec.Hosts, hostName, c.host); err != nil {
		return nil, err
	}
	if err := c.removePools(); err != nil {
		return nil, err
	}
	connections := prev.Connections
	if prev.Spec.Connections != spec.Connections {
		var err error
		if connections, err = compileConnections(spec.Connections); err != nil {
			return nil, err
		}
	}
	return &Snapshot{
		Generation:   prev.Generation + 1,
		Spec:         spec,
		Connections:  connections,
		hosts:        c.hosts.done(),
		catchAll:     c.catchAll,
		pools:        c.pools.done(),
		certificates: c.certificates.done(),
		routes:       c.routes,
		passthroughs: c.passthroughs,
		security:     c.security,
		special:      c.special,
	}, nil
}

// compilation is a Snapshot in the making.
type compilation struct {
	spec *Spec
	bind func(*Route) any

	hosts        edit[*host]
	pools        edit[poolRef]
	certificates edit[int]
	catchAll     *host
	routes       int
	passthroughs int
	security     Security
	special      int
	// removed holds the pools that spec no longer has: they go last, when the
	// routes that named them are gone.
	removed []string
}

// poolRef is a pool and the number of routes that name it.
type poolRef struct {
	pool *Pool
	refs int
}

func poolID(p *Pool) string   { return p.ID }
func hostName(h *Host) string { return h.Name }

// pool takes a pool that is new, gone or replaced.
func (c *compilation) pool(old, pool *Pool) error {
	if pool == nil {
		c.removed = append(c.removed, old.ID)
		return nil
	}
	if err := checkPool(pool); err != nil {
		return err
	}
	ref, _ := c.pools.find(pool.ID)
	c.pools.set(pool.ID, poolRef{pool, ref.refs})
	return nil
}

// host takes a host that is new, gone or replaced.
func (c *compilation) host(old, h *Host) error {
	if h != nil {
		if err := checkHost(h); err != nil {
			return err
		}
	}
	var before *host
	if old != nil {
		before = c.take(old)
	}
	if h == nil {
		return nil
	}
	compiled, err := compileHost(before, h, c.bind)
	if err != nil {
		return err
	}
	compiled.security = c.security
	if h.TLS != nil {
		compiled.security = h.TLS.Security(c.spec.TLSPolicy)
	}
	return c.put(compiled)
}

// take removes a host and what it refers to.
func (c *compilation) take(old *Host) *host {
	var before *host
	if old.Name == "" {
		before, c.catchAll = c.catchAll, nil
	} else {
		key := hostKey(old.Name)
		before, _ = c.hosts.find(key)
		c.hosts.delete(key)
	}
	c.routes -= len(old.Routes)
	if before != nil && before.security != c.security {
		c.special--
	}
	for _, r := range old.Routes {
		if ref, ok := c.pools.find(r.Pool); ok {
			ref.refs--
			c.pools.set(r.Pool, ref)
		}
	}
	if old.TLS == nil {
		return before
	}
	if old.TLS.Passthrough != "" {
		c.passthroughs--
		if ref, ok := c.pools.find(old.TLS.Passthrough); ok {
			ref.refs--
			c.pools.set(old.TLS.Passthrough, ref)
		}
	}
	for _, cert := range old.TLS.Certificates {
		if n, _ := c.certificates.find(cert.Digest); n > 1 {
			c.certificates.set(cert.Digest, n-1)
		} else {
			c.certificates.delete(cert.Digest)
		}
	}
	return before
}

// put adds a host and what it refers to.
func (c *compilation) put(h *host) error {
	switch {
	case h.spec.Name != "":
		c.hosts.set(hostKey(h.spec.Name), h)
	case len(h.bound) > 0:
		c.catchAll = h
	}
	c.routes += len(h.bound)
	if h.security != c.security {
		c.special++
	}
	for _, r := range h.spec.Routes {
		if r.Pool == "" {
			continue
		}
		ref, ok := c.pools.find(r.Pool)
		if !ok {
			return fmt.Errorf("snapshot: host %q: %s %s of %s names pool %q, which does not exist",
				h.spec.Name, r.Kind, r.Path, r.Origin, r.Pool)
		}
		ref.refs++
		c.pools.set(r.Pool, ref)
	}
	if h.spec.TLS == nil {
		return nil
	}
	if id := h.spec.TLS.Passthrough; id != "" {
		ref, ok := c.pools.find(id)
		if !ok {
			return fmt.Errorf("snapshot: host %q: passthrough of %s names pool %q, which does not exist",
				h.spec.Name, h.spec.TLS.Origin, id)
		}
		if ref.pool.TLS != nil {
			return fmt.Errorf("snapshot: host %q: passthrough of %s names pool %q, to which TLS is spoken; the client speaks it already",
				h.spec.Name, h.spec.TLS.Origin, id)
		}
		ref.refs++
		c.pools.set(id, ref)
		c.passthroughs++
	}
	for _, cert := range h.spec.TLS.Certificates {
		n, _ := c.certificates.find(cert.Digest)
		c.certificates.set(cert.Digest, n+1)
	}
	return nil
}

// hostKey is the key of a host name in the table: a wildcard without its star.
func hostKey(name string) string { return strings.TrimPrefix(name, "*") }

// removePools removes the pools that are gone; no route may name them.
func (c *compilation) removePools() error {
	for _, id := range c.removed {
		if ref, _ := c.pools.find(id); ref.refs > 0 {
			return c.danglingPool(id)
		}
		c.pools.delete(id)
	}
	return nil
}

// danglingPool finds a route that names a pool which spec does not have.
func (c *compilation) danglingPool(id string) error {
	for _, h := range c.spec.Hosts {
		if h.TLS != nil && h.TLS.Passthrough == id {
			return fmt.Errorf("snapshot: host %q: passthrough of %s names pool %q, which does not exist", h.Name, h.TLS.Origin, id)
		}
		for _, r := range h.Routes {
			if r.Pool == id {
				return fmt.Errorf("snapshot: host %q: %s %s of %s names pool %q, which does not exist",
					h.Name, r.Kind, r.Path, r.Origin, id)
			}
		}
	}
	return fmt.Errorf("snapshot: pool %q is gone but named", id)
}
