package observe

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// request counts a request. Once the series of its route, method, status and
// reason exist it takes no lock and does not allocate.
func (m *metrics) request(r *outcome.Request) {
	host := m.hosts.unknown
	if r.Matched || r.RouteHost != "" { // a host without a matching path is known
		host = m.hosts.of(r.RouteHost)
	}
	m.hosts.counter(host, r).Inc()

	if r.FieldsDropped > 0 {
		m.fieldsDropped.Add(float64(r.FieldsDropped))
	}
	t := m.hosts.trafficOf(host)
	if !r.Upgraded { // a tunnel lasts as long as its ends want
		t.duration.Observe(r.Duration.Seconds())
	}
	t.in.Add(float64(max(r.BodyIn, 0))) // a counter panics on less
	t.out.Add(float64(max(r.BodyOut, 0)))
	if r.Attempts <= 0 {
		return
	}
	t.attempts.Add(float64(r.Attempts))
	if r.FirstByte > 0 {
		t.firstByte.Observe(r.FirstByte.Seconds())
	}
	if r.Reused {
		t.reused.Inc()
		return
	}
	t.fresh.Inc()
	if r.ConnectTime > 0 {
		m.connectDuration.Observe(r.ConnectTime.Seconds())
	}
}

// requestKey is what tells the counters of one route apart.
type requestKey struct {
	reason outcome.Reason
	code   uint16
	method uint8
}

// counter returns the counter for a request.
func (h *hosts) counter(s *hostSeries, r *outcome.Request) prometheus.Counter {
	var route routeKey
	if s.routed {
		route = routeKey{r.Route.Namespace, r.Route.Name, r.Service.Name}
	}
	key := requestKey{r.Reason, uint16(r.Status), methodIndex(r.Method)}
	if series, ok := s.requests.find(route); ok {
		if c, ok := series.counters.find(key); ok {
			return c
		}
	}
	return h.newCounter(s, route, key)
}

// newCounter makes the counter for a request, or finds the one of the bounded
// labels that the request gets instead.
func (h *hosts) newCounter(s *hostSeries, route routeKey, key requestKey) prometheus.Counter {
	key.code = codeClass(key.code)
	if key.reason != outcome.OK && !key.reason.Known() {
		key.reason = outcome.InternalError
	}
	h.creating.Lock()
	defer h.creating.Unlock()
	if s.gone {
		s = h.other
	}
	if !s.routes[route] {
		route = routeKey{}
	}
	series, ok := s.requests.find(route)
	if !ok {
		series = &routeSeries{}
		s.requests.add(route, series)
	}
	c, ok := series.counters.find(key)
	if !ok {
		c = h.metrics.requests.WithLabelValues(key.labels(s.label, route)...)
		series.counters.add(key, c)
	}
	return c
}

func (k requestKey) labels(host string, route routeKey) []string {
	return []string{host, route.namespace, route.ingress, route.service, methods[k.method], codeLabel(k.code), string(k.reason)}
}

func (m *metrics) deleteRequests(host string, route routeKey, r *routeSeries) {
	for _, c := range r.counters.all() {
		m.requests.DeleteLabelValues(c.key.labels(host, route)...)
	}
}

// traffic is what is measured for all requests of a host together.
type traffic struct {
	duration, firstByte              prometheus.Observer
	in, out, attempts, fresh, reused prometheus.Counter
}

func (h *hosts) trafficOf(s *hostSeries) *traffic {
	if t := s.traffic.Load(); t != nil {
		return t
	}
	h.creating.Lock()
	defer h.creating.Unlock()
	if s.gone {
		s = h.other
	}
	t := s.traffic.Load()
	if t == nil {
		m := h.metrics
		t = &traffic{
			duration:  m.requestDuration.WithLabelValues(s.label),
			firstByte: m.firstByte.WithLabelValues(s.label),
			in:        m.requestBytes.WithLabelValues(s.label),
			out:       m.responseBytes.WithLabelValues(s.label),
			attempts:  m.attempts.WithLabelValues(s.label),
			fresh:     m.upstreamRequests.WithLabelValues(s.label, "new"),
			reused:    m.upstreamRequests.WithLabelValues(s.label, "reused"),
		}
		s.traffic.Store(t)
	}
	return t
}

func (m *metrics) deleteTraffic(host string) {
	m.requestDuration.DeleteLabelValues(host)
	m.firstByte.DeleteLabelValues(host)
	m.requestBytes.DeleteLabelValues(host)
	m.responseBytes.DeleteLabelValues(host)
	m.attempts.DeleteLabelValues(host)
	m.upstreamRequests.DeleteLabelValues(host, "new")
	m.upstreamRequests.DeleteLabelValues(host, "reused")
}

// methods are those that have a label: RFC 9110 §9 and PATCH (RFC 5789). Clients
// may invent others.
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "other"}

func methodIndex(method string) uint8 {
	for i := range methods[:len(methods)-1] {
		if methods[i] == method {
			return uint8(i)
		}
	}
	return uint8(len(methods) - 1)
}

// codeClass returns a status that has a name, or is 499, as it is, and of others
// the class (2 for 2xx): a backend may invent hundreds.
func codeClass(status uint16) uint16 {
	switch {
	case status == 0 || status == 499 || http.StatusText(int(status)) != "":
		return status
	case status >= 1000:
		return 9
	}
	return status / 100
}

func codeLabel(code uint16) string {
	if 0 < code && code < 10 {
		return strconv.Itoa(int(code)) + "xx"
	}
	return strconv.Itoa(int(code))
}
