package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// handshake counts a TLS handshake.
func (m *metrics) handshake(h *outcome.Handshake) {
	listener := h.Conn.Listener
	host := m.hosts.unknown
	switch {
	case h.Host != "":
		host = m.hosts.of(h.Host)
	case h.SNI == "":
		host = m.hosts.none
	}
	m.hosts.shake(host, shakeKey{listener, h.Result, h.Reason}).Inc()

	s := m.shakeSeries(listener)
	switch h.Result {
	case outcome.Done:
		s.done.Observe(h.Duration.Seconds())
		m.negotiatedOf(s, negotiatedKey{h.Version, h.CipherSuite, h.Curve, h.Resumed, policyOf(h)}).Inc()
	case outcome.Filtered, outcome.Passthrough:
		// It was over before there was a handshake, or is its endpoint's.
	case outcome.Timeout:
		s.timeout.Observe(h.Duration.Seconds())
	default:
		s.failed.Observe(h.Duration.Seconds())
	}
	if h.DefaultCertificate {
		s.defaultCert.Inc()
	}
	switch {
	case h.ECHAccepted:
		s.echAccepted.Inc()
	case h.ECHOffered:
		s.echOther.Inc()
	}
}

// shakeKey is what tells the handshake counters of one host apart.
type shakeKey struct {
	listener string
	result   outcome.Result
	reason   outcome.Reason
}

// shake returns the counter for a handshake.
func (h *hosts) shake(s *hostSeries, key shakeKey) prometheus.Counter {
	if c, ok := s.handshakes.find(key); ok {
		return c
	}
	if !key.reason.Known() {
		key.reason = outcome.HandshakeInternal
	}
	h.creating.Lock()
	defer h.creating.Unlock()
	if s.gone {
		s = h.other
	}
	c, ok := s.handshakes.find(key)
	if !ok {
		c = h.metrics.handshakes.WithLabelValues(key.listener, s.label, string(key.result), string(key.reason))
		s.handshakes.add(key, c)
	}
	return c
}

// shakeSeries is what is measured for all handshakes of a listener together.
type shakeSeries struct {
	listener              string
	done, failed, timeout prometheus.Observer
	defaultCert           prometheus.Counter
	echAccepted, echOther prometheus.Counter
	negotiated            cells[negotiatedKey, prometheus.Counter]
}

type negotiatedKey struct {
	version, cipher, curve uint16
	resumed                bool
	policy                 string
}

// policyOf returns the name of the TLS policy of a handshake that came that far.
func policyOf(h *outcome.Handshake) string {
	if h.Policy == nil {
		return ""
	}
	return h.Policy.Name
}

// maxPolicies is how many policies have a name of their own in the metrics: they
// are the operator's, who has few, but nothing stops him from renaming one every
// day.
const maxPolicies = 32

// policy returns the label for a policy. The lock that guards the creation of
// series is held.
func (m *metrics) policy(name string) string {
	if !m.policies[name] && len(m.policies) < maxPolicies {
		m.policies[name] = true
	}
	if !m.policies[name] {
		return otherPolicy
	}
	return name
}

const otherPolicy = "_other"

func (m *metrics) shakeSeries(listener string) *shakeSeries {
	if s, ok := m.shakeOf.find(listener); ok {
		return s
	}
	m.creating.Lock()
	defer m.creating.Unlock()
	s, ok := m.shakeOf.find(listener)
	if !ok {
		s = &shakeSeries{
			listener:    listener,
			done:        m.handshakeDuration.WithLabelValues(listener, string(outcome.Done)),
			failed:      m.handshakeDuration.WithLabelValues(listener, string(outcome.Failed)),
			timeout:     m.handshakeDuration.WithLabelValues(listener, string(outcome.Timeout)),
			defaultCert: m.defaultCert.WithLabelValues(listener),
			echAccepted: m.ech.WithLabelValues(listener, "true"),
			echOther:    m.ech.WithLabelValues(listener, "false"),
		}
		m.shakeOf.add(listener, s)
	}
	return s
}

// negotiatedOf returns the counter for what was negotiated; the combinations are
// those that the policies allow.
func (m *metrics) negotiatedOf(s *shakeSeries, key negotiatedKey) prometheus.Counter {
	if c, ok := s.negotiated.find(key); ok {
		return c
	}
	m.creating.Lock()
	defer m.creating.Unlock()
	key.policy = m.policy(key.policy)
	c, ok := s.negotiated.find(key)
	if !ok {
		resumed := "false"
		if key.resumed {
			resumed = "true"
		}
		c = m.negotiated.WithLabelValues(s.listener, versionName(key.version), cipherName(key.cipher), curveName(key.curve), resumed, key.policy)
		s.negotiated.add(key, c)
	}
	return c
}

// connSeries is what is measured for the connections of a listener.
type connSeries struct {
	duration prometheus.Observer
	in, out  prometheus.Counter
	reasons  cells[outcome.Reason, prometheus.Counter]
}

// conn counts a connection that ended.
func (m *metrics) conn(c *outcome.Conn) {
	s, ok := m.connOf.find(c.Listener)
	if !ok {
		s = m.newConnSeries(c.Listener)
	}
	s.duration.Observe(c.Duration.Seconds())
	s.in.Add(float64(max(c.BytesIn, 0)))
	s.out.Add(float64(max(c.BytesOut, 0)))
	reason, ok := s.reasons.find(c.Reason)
	if !ok {
		reason = m.newConnReason(s, c.Listener, c.Reason)
	}
	reason.Inc()
}

func (m *metrics) newConnSeries(listener string) *connSeries {
	m.creating.Lock()
	defer m.creating.Unlock()
	s, ok := m.connOf.find(listener)
	if !ok {
		s = &connSeries{
			duration: m.connectionDuration.WithLabelValues(listener),
			in:       m.receivedBytes.WithLabelValues(listener),
			out:      m.sentBytes.WithLabelValues(listener),
		}
		m.connOf.add(listener, s)
	}
	return s
}

func (m *metrics) newConnReason(s *connSeries, listener string, reason outcome.Reason) prometheus.Counter {
	if !reason.Known() {
		reason = outcome.InternalError
	}
	m.creating.Lock()
	defer m.creating.Unlock()
	c, ok := s.reasons.find(reason)
	if !ok {
		c = m.connections.WithLabelValues(listener, string(reason))
		s.reasons.add(reason, c)
	}
	return c
}

// healthChange counts a change of what is known of an endpoint or a name.
func (m *metrics) healthChange(h *outcome.Health) {
	healthy, reason := "false", h.Reason
	if h.Healthy {
		healthy = "true"
	}
	if !reason.Known() {
		reason = outcome.InternalError
	}
	m.health.WithLabelValues(healthy, string(reason)).Inc()
}
