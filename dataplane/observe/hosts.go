// How the series of a host come and go.
//
// A publish decides which hosts have series of their own: those of the table, up
// to the limit, in order of appearance; when one leaves, the next takes its place.
// The map of them is read without a lock, by every request and handshake, and
// replaced by a publish that changes it. Within a host the series are made when
// they are first needed, under one mutex, and found without it from then on.
//
// What a label may say is bounded here and nowhere else: a host that is not in the
// map is "_other", and a route that is not in the published host has no names. So
// a request that ends after its host has left makes no series again.

package observe

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Host labels that are no name of a host.
const (
	anyHost     = "*"        // the host "", which takes what no other does
	otherHost   = "_other"   // more hosts than MaxHosts, and hosts that just left
	unknownHost = "_unknown" // no such host in the table
	noHost      = "_none"    // the client named no host
	defaultHost = "_default" // of the default certificate
)

// hosts holds the series that belong to a host.
type hosts struct {
	metrics *metrics
	max     int
	// named holds the hosts of the table that have series of their own.
	named                     atomic.Pointer[map[string]*hostSeries]
	any, other, unknown, none *hostSeries

	// creating guards the creation and deletion of series.
	creating sync.Mutex

	// Of the publish, which is one at a time (publishing guards them):
	publishing sync.Mutex
	spec       *snapshot.Spec
}

// hostSeries is what is counted for one value of the host label.
type hostSeries struct {
	label string
	// gone says that the host has left the table; guarded by hosts.creating.
	gone bool
	// routed says that requests are counted by route: not for the labels that
	// stand for many hosts.
	routed bool
	// routes are those that the table has for the host; guarded by
	// hosts.creating.
	routes map[routeKey]bool

	traffic    atomic.Pointer[traffic]
	requests   cells[routeKey, *routeSeries]
	handshakes cells[shakeKey, prometheus.Counter]
}

// routeKey is what the labels of a request say of its route.
type routeKey struct{ namespace, ingress, service string }

// routeSeries holds the counters of a route's requests.
type routeSeries struct {
	counters cells[requestKey, prometheus.Counter]
}

func newHosts(m *metrics, limit int) *hosts {
	h := &hosts{
		metrics: m, max: limit,
		any:     &hostSeries{label: anyHost, routed: true},
		other:   &hostSeries{label: otherHost},
		unknown: &hostSeries{label: unknownHost},
		none:    &hostSeries{label: noHost},
	}
	h.named.Store(&map[string]*hostSeries{})
	return h
}

// of returns the series of a host of the table.
func (h *hosts) of(name string) *hostSeries {
	if name == "" {
		return h.any
	}
	if s := (*h.named.Load())[name]; s != nil {
		return s
	}
	return h.other
}

// publish follows the table from the last Spec to this one.
func (h *hosts) publish(spec *snapshot.Spec) {
	h.publishing.Lock()
	defer h.publishing.Unlock()
	if spec == h.spec {
		return
	}
	named := maps.Clone(*h.named.Load())
	var left []*hostSeries
	for old, now := range snapshot.Changes(h.spec, spec) {
		if now != nil {
			h.admit(named, now)
		}
		if now == nil && old.Name == "" {
			h.change(h.any, nil)
		}
		if now == nil && named[old.Name] != nil {
			left = append(left, named[old.Name])
			delete(named, old.Name)
		}
	}
	if len(left) > 0 {
		h.promote(named, spec)
	}
	h.spec = spec
	h.metrics.expiry.table.Store(&servedTable{spec, named})
	h.named.Store(&named)
	for _, s := range left {
		h.remove(s)
	}
}

// admit follows a host that is new or changed, and gives it series of its own if
// there is room.
func (h *hosts) admit(named map[string]*hostSeries, host *snapshot.Host) {
	switch {
	case host.Name == "":
		h.change(h.any, host)
	case named[host.Name] != nil:
		h.change(named[host.Name], host)
	case len(named) < h.max:
		named[host.Name] = newHostSeries(host)
	}
}

// promote gives hosts of "_other" series of their own as far as there is room.
func (h *hosts) promote(named map[string]*hostSeries, spec *snapshot.Spec) {
	for _, host := range spec.Hosts {
		switch {
		case len(named) == h.max:
			return
		case host.Name == "" || named[host.Name] != nil:
			continue
		}
		named[host.Name] = newHostSeries(host)
	}
}

// labelOf returns the host label for a host of the table.
func labelOf(named map[string]*hostSeries, name string) string {
	switch {
	case name == "":
		return anyHost
	case named[name] != nil:
		return name
	}
	return otherHost
}

func newHostSeries(host *snapshot.Host) *hostSeries {
	return &hostSeries{label: host.Name, routed: true, routes: routesOf(host)}
}

// routesOf returns what the routes of host (may be nil) are called in labels.
func routesOf(host *snapshot.Host) map[routeKey]bool {
	routes := map[routeKey]bool{}
	if host != nil {
		for _, r := range host.Routes {
			routes[routeKey{r.Origin.Namespace, r.Origin.Name, r.Service.Name}] = true
		}
	}
	return routes
}

// change removes the series of the routes that a host no longer has.
func (h *hosts) change(s *hostSeries, now *snapshot.Host) {
	h.creating.Lock()
	defer h.creating.Unlock()
	s.routes = routesOf(now)
	s.requests.keep(func(key routeKey, r *routeSeries) bool {
		if key == (routeKey{}) || s.routes[key] {
			return true
		}
		h.metrics.deleteRequests(s.label, key, r)
		return false
	})
}

// remove removes every series of a host that has left the table.
func (h *hosts) remove(s *hostSeries) {
	h.creating.Lock()
	defer h.creating.Unlock()
	s.gone = true
	for _, c := range s.requests.all() {
		h.metrics.deleteRequests(s.label, c.key, c.value)
	}
	for _, c := range s.handshakes.all() {
		h.metrics.handshakes.DeleteLabelValues(c.key.listener, s.label, string(c.key.result), string(c.key.reason))
	}
	if s.traffic.Load() != nil {
		h.metrics.deleteTraffic(s.label)
	}
}
