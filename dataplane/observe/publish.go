package observe

import (
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// publish counts a publish and follows the table that it put in force.
func (m *metrics) publish(p *outcome.Publish) {
	m.publishDuration.Observe(p.Duration.Seconds())
	if p.Err != "" {
		m.publishes.WithLabelValues("refused").Inc()
		m.accepted.Set(0)
		return
	}
	m.publishes.WithLabelValues("ok").Inc()
	m.accepted.Set(1)
	m.published.SetToCurrentTime()
	if !p.Since.IsZero() {
		m.propagation.Observe(max(time.Since(p.Since), 0).Seconds())
	}
	m.generation.Set(float64(p.Generation))
	m.tableHosts.Set(float64(p.Hosts))
	m.tableRoutes.Set(float64(p.Routes))
	m.tablePools.Set(float64(p.Pools))
	m.tableCerts.Set(float64(p.Certificates))
	m.tableEndpoints.Set(float64(p.EndpointsInForce))
	if p.Snapshot != nil {
		m.hosts.publish(p.Snapshot.Spec)
		m.upstreams.publish(p.Snapshot.Spec.Pools)
	}
}

// drained counts what was cut at the end.
func (m *metrics) drained(d *outcome.Drain) {
	m.drainCut.WithLabelValues("request").Add(float64(d.Requests))
	m.drainCut.WithLabelValues("tunnel").Add(float64(d.Tunnels))
	m.drainCut.WithLabelValues("connection").Add(float64(d.Connections))
}
