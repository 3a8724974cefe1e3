package dataplane

import (
	"fmt"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Publish puts an update in force. It may be called at any time, from any
// goroutine; publishes take effect one after the other.
//
// The pools that are new, with their endpoints, are there before the first
// request can find a route to them, and those that nothing names any more go only
// when none can. An update without a Spec replaces endpoint lists and recompiles
// nothing.
//
// A Spec that contradicts itself is refused as a whole: the error says why, and
// what was in force stays in force. The endpoints of such an update are replaced
// all the same, as far as their pools are in force: they are facts about the
// world, not wishes, and whoever published them will not do it again.
func (d *DataPlane) Publish(u snapshot.Update) error {
	d.publishing.Lock()
	defer d.publishing.Unlock()

	start := time.Now()
	err := d.publish(u)
	now := d.current.Load()
	o := outcome.Publish{
		Duration:         time.Since(start),
		Since:            u.Since,
		EndpointsInForce: d.inForce,
		Snapshot:         now,
	}
	for id := range u.Endpoints {
		if _, ok := d.endpoints[id]; ok {
			o.EndpointsReplaced++
		}
	}
	if now != nil {
		o.Generation = now.Generation
		c := now.Counts()
		o.Hosts, o.Routes, o.Pools, o.Certificates = c.Hosts, c.Routes, c.Pools, c.Certificates
	}
	if err != nil {
		o.Err, o.Snapshot = err.Error(), nil
	}
	if d.cfg.Sink.Publish != nil {
		d.cfg.Sink.Publish(&o)
	}
	return err
}

func (d *DataPlane) publish(u snapshot.Update) error {
	if u.Keys != nil {
		d.tickets.published(u.Keys)
	}
	if u.ECH != nil {
		d.ech.Store(u.ECH)
		for _, l := range d.listeners {
			l.SetECHKeys(u.ECH)
		}
	}
	prev := d.current.Load()
	if u.Spec == nil {
		d.upstreams.Prepare(nil, u.Endpoints)
		d.count(u.Endpoints)
		return nil
	}

	d.upstreams.Prepare(u.Spec.Pools, u.Endpoints)
	next, err := snapshot.Compile(prev, u.Spec, d.proxy.Bind)
	if err != nil {
		next = prev
	} else {
		d.current.Store(next)
		d.stapler.published()
	}
	var pools []*snapshot.Pool
	if next != nil {
		pools = next.Spec.Pools
	}
	d.upstreams.Retain(pools)
	d.forget()
	d.count(u.Endpoints)
	if err != nil {
		return fmt.Errorf("dataplane: publish: %w", err)
	}
	return nil
}

// count notes the number of endpoints of pools that are in force.
func (d *DataPlane) count(endpoints map[string][]snapshot.Endpoint) {
	for id, list := range endpoints {
		if d.upstreams.Pool(id) == nil {
			continue
		}
		d.inForce += len(list) - d.endpoints[id]
		d.endpoints[id] = len(list)
	}
}

// forget drops the counts of pools that are gone.
func (d *DataPlane) forget() {
	for id, n := range d.endpoints {
		if d.upstreams.Pool(id) == nil {
			d.inForce -= n
			delete(d.endpoints, id)
		}
	}
}
