package observe

import (
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
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

// certLabels are the labels of cardea_tls_certificate_expiry_timestamp_seconds.
type certLabels struct{ host, namespace, secret, serial, keyType string }

// serve adds (by +1) or removes (by -1) what a host serves under a label. Several
// hosts have the label "_other", so that the series is counted.
func (h *hosts) serve(label string, host *snapshot.Host, by int) {
	if host.TLS == nil {
		return
	}
	for _, c := range host.TLS.Certificates {
		h.serveCertificate(label, c, by)
	}
}

func (h *hosts) serveCertificate(label string, c *snapshot.Certificate, by int) {
	key := certLabels{label, c.Origin.Namespace, c.Origin.Name, c.Serial, c.KeyType()}
	h.certs[key] += by
	switch {
	case by > 0:
		h.metrics.expiry.WithLabelValues(key.list()...).Set(float64(c.NotAfter.Unix()))
	case h.certs[key] == 0:
		delete(h.certs, key)
		h.metrics.expiry.DeleteLabelValues(key.list()...)
	}
}

func (l certLabels) list() []string {
	return []string{l.host, l.namespace, l.secret, l.serial, l.keyType}
}

// serveDefault follows the default certificate.
func (h *hosts) serveDefault(spec *snapshot.Spec) {
	now := spec.DefaultCertificate
	if now == h.defaultOf {
		return
	}
	if h.defaultOf != nil {
		h.serveCertificate(defaultHost, h.defaultOf, -1)
	}
	if now != nil {
		h.serveCertificate(defaultHost, now, +1)
	}
	h.defaultOf = now
}

// drained counts what was cut at the end.
func (m *metrics) drained(d *outcome.Drain) {
	m.drainCut.WithLabelValues("request").Add(float64(d.Requests))
	m.drainCut.WithLabelValues("tunnel").Add(float64(d.Tunnels))
	m.drainCut.WithLabelValues("connection").Add(float64(d.Connections))
}
