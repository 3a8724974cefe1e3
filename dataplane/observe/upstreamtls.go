package observe

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// upstreamTLS counts the handshakes with endpoints by the Service behind them. As
// with hosts, what has series of its own is what the table names, up to the limit.
type upstreamTLS struct {
	handshakes *prometheus.CounterVec
	insecure   prometheus.Gauge
	max        int
	// named holds the Services of the table that speak TLS.
	named atomic.Pointer[map[serviceKey]bool]

	// creating guards the creation and deletion of series, and made, which says
	// which there are.
	creating sync.Mutex
	made     map[serviceKey]map[upstreamKey]bool

	// Of the publish, which is one at a time (publishing guards it).
	publishing sync.Mutex
	pools      []*snapshot.Pool
}

type serviceKey struct{ namespace, service string }

type upstreamKey struct {
	result outcome.Result
	reason outcome.Reason
}

func newUpstreamTLS(b *builder, limit int) *upstreamTLS {
	u := &upstreamTLS{
		handshakes: b.counters("cardea_upstream_tls_handshakes_total",
			"TLS handshakes with endpoints, by the Service behind them, result (done, failed, timeout) and reason. Service _other: beyond `--metrics-max-hosts`, or just removed.",
			"namespace", "service", "result", "reason"),
		insecure: b.gauge("cardea_insecure_upstreams",
			"Pools of endpoints that speak TLS and whose certificates are not verified."),
		max:  limit,
		made: map[serviceKey]map[upstreamKey]bool{},
	}
	u.named.Store(&map[serviceKey]bool{})
	return u
}

// handshake counts one. There are few for each connection, so that a lock does no
// harm.
func (u *upstreamTLS) handshake(o *outcome.UpstreamHandshake) {
	key := upstreamKey{o.Result, o.Reason}
	if key.reason != outcome.OK && !key.reason.Known() {
		key.reason = outcome.InternalError
	}
	u.creating.Lock()
	defer u.creating.Unlock()
	service := serviceKey{o.Origin.Namespace, o.Origin.Name}
	if !(*u.named.Load())[service] {
		service = serviceKey{"", otherHost}
	}
	if u.made[service] == nil {
		u.made[service] = map[upstreamKey]bool{}
	}
	u.made[service][key] = true
	u.handshakes.WithLabelValues(service.namespace, service.service, string(key.result), string(key.reason)).Inc()
}

// publish follows the table.
func (u *upstreamTLS) publish(pools []*snapshot.Pool) {
	u.publishing.Lock()
	defer u.publishing.Unlock()
	if len(pools) == len(u.pools) && (len(pools) == 0 || &pools[0] == &u.pools[0]) {
		return // the list is shared by the tables that do not change it
	}
	u.pools = pools
	named, insecure := map[serviceKey]bool{}, 0
	for _, p := range pools {
		if p.TLS == nil {
			continue
		}
		if p.TLS.Insecure {
			insecure++
		}
		if len(named) < u.max {
			named[serviceKey{p.Origin.Namespace, p.Origin.Name}] = true
		}
	}
	u.insecure.Set(float64(insecure))

	u.creating.Lock()
	defer u.creating.Unlock()
	u.named.Store(&named)
	for service, keys := range u.made {
		if named[service] || service.service == otherHost {
			continue
		}
		for key := range keys {
			u.handshakes.DeleteLabelValues(service.namespace, service.service, string(key.result), string(key.reason))
		}
		delete(u.made, service)
	}
}
