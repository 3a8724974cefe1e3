package observe

import (
	"crypto/fips140"
	"runtime"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is every metric of Cardea's data plane.
type metrics struct {
	// hosts holds the series that belong to a host.
	hosts *hosts

	requests         *prometheus.CounterVec
	requestDuration  *prometheus.HistogramVec
	firstByte        *prometheus.HistogramVec
	requestBytes     *prometheus.CounterVec
	responseBytes    *prometheus.CounterVec
	attempts         *prometheus.CounterVec
	upstreamRequests *prometheus.CounterVec
	connectDuration  prometheus.Histogram
	fieldsDropped    prometheus.Counter
	health           *prometheus.CounterVec
	upstreams        *upstreamTLS

	connections        *prometheus.CounterVec
	connectionDuration *prometheus.HistogramVec
	receivedBytes      *prometheus.CounterVec
	sentBytes          *prometheus.CounterVec
	open               *gauges

	handshakes        *prometheus.CounterVec
	handshakeDuration *prometheus.HistogramVec
	negotiated        *prometheus.CounterVec
	defaultCert       *prometheus.CounterVec
	ech               *prometheus.CounterVec
	echPublicNames    *gauges
	ocspCertificates  *gauges
	ocspMissing       *gauges
	ocspFetches       *gauges
	expiry            *expiry
	lastGood          *secrets
	configMapLastGood *secrets

	publishes       *prometheus.CounterVec
	publishDuration prometheus.Histogram
	propagation     prometheus.Histogram
	published       prometheus.Gauge
	accepted        prometheus.Gauge
	generation      prometheus.Gauge
	tableHosts      prometheus.Gauge
	tableRoutes     prometheus.Gauge
	tablePools      prometheus.Gauge
	tableCerts      prometheus.Gauge
	tableEndpoints  prometheus.Gauge

	dropped  *prometheus.CounterVec
	drainCut *prometheus.CounterVec
	phase    *gauges

	families []family
	// connOf and shakeOf find the series of a listener; they are few.
	connOf  cells[string, *connSeries]
	shakeOf cells[string, *shakeSeries]
	// creating guards the creation of series by connOf and shakeOf.
	creating sync.Mutex
	// policies are the TLS policies that have a label; guarded by creating.
	policies map[string]bool
}

// A family documents a metric: docs/metrics.md is made of them.
type family struct {
	name, kind, help string
	labels           []string
}

// Buckets, in seconds. A request takes from a fraction of a millisecond to the
// minutes of a long poll; a publish has to be within a second of its cause.
var (
	requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	connectBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .1, .5, 1, 5}
	publishBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	connBuckets    = []float64{.01, .1, 1, 10, 60, 300, 1800, 3600, 14400}
)

func newMetrics(cfg Config) *metrics {
	b := &builder{registerer: cfg.Registerer}
	m := &metrics{
		policies: map[string]bool{},
		requests: b.counters("cardea_requests_total",
			"Requests by the route that took them (host, Ingress namespace and name, Service), method, status code and reason; reason ok means that a backend or a filter answered. A status that has no name counts as its class, such as 2xx; code 0 means that nothing was sent.",
			"host", "namespace", "ingress", "service", "method", "code", "reason"),
		requestDuration: b.histograms("cardea_request_duration_seconds",
			"Time from the first byte of a request to the end of its response. Upgraded connections (websocket) are not in it.", requestBuckets, "host"),
		firstByte: b.histograms("cardea_upstream_first_byte_seconds",
			"Time from the first byte of a request to the head of the backend's response.", requestBuckets, "host"),
		requestBytes: b.counters("cardea_request_body_bytes_total",
			"Bytes of request bodies received, without framing.", "host"),
		responseBytes: b.counters("cardea_response_body_bytes_total",
			"Bytes of response bodies sent, without framing.", "host"),
		fieldsDropped: b.counters("cardea_request_fields_dropped_total",
			"Header fields of requests that were not passed on because of an underscore in their name.").WithLabelValues(),
		attempts: b.counters("cardea_upstream_attempts_total",
			"Attempts at endpoints. More attempts than requests means that some were tried again.", "host"),
		upstreamRequests: b.counters("cardea_upstream_requests_total",
			"Requests that reached an endpoint, by whether their last attempt went over a new or a reused connection.", "host", "connection"),
		connectDuration: b.histogram("cardea_upstream_connect_seconds",
			"Time to connect to an endpoint, where a new connection was needed.", connectBuckets),
		health: b.counters("cardea_upstream_health_changes_total",
			"Changes of what is known of endpoints and of the names of ExternalName Services, by what they changed to and why.", "healthy", "reason"),
		upstreams: newUpstreamTLS(b, cfg.MaxHosts),

		connections: b.counters("cardea_connections_total",
			"Connections that ended, by listener and reason; ok are the ordinary ends.", "listener", "reason"),
		connectionDuration: b.histograms("cardea_connection_duration_seconds",
			"Time from accept to the end of a connection.", connBuckets, "listener"),
		receivedBytes: b.counters("cardea_connection_received_bytes_total",
			"Bytes received on connections that ended, TLS included.", "listener"),
		sentBytes: b.counters("cardea_connection_sent_bytes_total",
			"Bytes sent on connections that ended, TLS included.", "listener"),
		open: b.gaugesBy("cardea_connections_open", "Connections that are open now.", "listener"),

		handshakes: b.counters("cardea_tls_handshakes_total",
			"TLS handshakes by the declared host that the client asked for, result (done, failed, timeout, filtered, passthrough) and reason. Host _unknown: the client named a host that no Ingress declares; _none: it named none.",
			"listener", "host", "result", "reason"),
		handshakeDuration: b.histograms("cardea_tls_handshake_duration_seconds",
			"Time from accept to the end of the handshake, by result.", requestBuckets, "listener", "result"),
		negotiated: b.counters("cardea_tls_negotiated_total",
			"TLS handshakes done, by what was negotiated, whether it was resumed from a session ticket, and the host's TLS policy (_other: more than 32 policies).",
			"listener", "version", "cipher", "curve", "resumed", "policy"),
		defaultCert: b.counters("cardea_tls_default_certificate_total",
			"TLS handshakes in which the default certificate was served instead of a host's own.", "listener"),
		ech: b.counters("cardea_tls_ech_total",
			"TLS handshakes whose client sent an encrypted ClientHello, or what looks like one (GREASE), by whether it was decrypted.", "listener", "accepted"),
		echPublicNames: b.gaugesBy("cardea_tls_ech_public_name_served",
			"Public names of the ECH keys in force: 1 if the name is a declared host with a certificate, else 0, and a client whose key is outdated cannot learn of the current one.", "public_name"),
		ocspCertificates: b.gaugesBy("cardea_ocsp_certificates",
			"Certificates in service by what there is to staple to them (--enable-ocsp): stapled, pending (not fetched yet), failed (nothing that holds), revoked, unknown (to the authority), none (no responder or issuer in the chain).", "state"),
		ocspMissing: b.gaugesBy("cardea_ocsp_unstapled_certificates",
			"Certificates in service without a response, by whether they demand one (must-staple), in which case many clients refuse them (--enable-ocsp).", "must_staple"),
		ocspFetches: b.countersBy("cardea_ocsp_fetches_total",
			"OCSP responses fetched, by result: good, revoked, unknown, unreachable, invalid (does not verify).", "result"),
		expiry: b.expiry("cardea_tls_certificate_expiry_timestamp_seconds",
			"When a certificate in service ends to be valid (notAfter), by host, the Secret it comes from, serial number and key type. Host _default: the default certificate.",
			"host", "namespace", "secret", "serial", "key_type"),
		lastGood: b.secrets("cardea_secret_last_good",
			"1 for each Secret of which the last good content is served because the cluster's is invalid or gone.", "namespace", "secret"),
		configMapLastGood: b.secrets("cardea_configmap_last_good",
			"1 for each ConfigMap with authorities of which the last good content is used because the cluster's is invalid or gone.", "namespace", "configmap"),

		publishes: b.counters("cardea_publishes_total",
			"Publishes by result: ok, or refused (what was in force stays in force).", "result"),
		publishDuration: b.histogram("cardea_publish_duration_seconds",
			"Time to put an update in force.", publishBuckets),
		propagation: b.histogram("cardea_propagation_seconds",
			"Time from when a change was first seen to when it was in force.", publishBuckets),
		published: b.gauge("cardea_last_publish_timestamp_seconds",
			"When an update was last put in force."),
		accepted: b.gauge("cardea_last_publish_successful",
			"1 if the last update was put in force, 0 if it was refused."),
		generation:     b.gauge("cardea_generation", "Generation of the table in force; it counts publishes of routes and certificates."),
		tableHosts:     b.gauge("cardea_hosts", "Hosts in the table."),
		tableRoutes:    b.gauge("cardea_routes", "Routes in the table."),
		tablePools:     b.gauge("cardea_pools", "Pools of endpoints in the table."),
		tableCerts:     b.gauge("cardea_certificates", "Distinct certificates in the table."),
		tableEndpoints: b.gauge("cardea_endpoints", "Endpoints in all pools."),

		drainCut: b.counters("cardea_drain_cut_total",
			"What the drain at the end of the process cut because it did not end in time, by kind: request, tunnel, connection. The record of the log, \"drained\", has the same figures: a process that ends may not be scraped again.", "kind"),
		phase: b.gaugesBy("cardea_shutdown_phase",
			"1 for how far the end of the process has come, 0 for the other phases: serving, leaving (not ready any more, still accepting), draining, cutting, ended.", "phase"),

		dropped: b.counters("cardea_log_records_dropped_total",
			"Records that a log (access, handshake) could not take in time.", "log"),
	}
	for _, kind := range []string{"request", "tunnel", "connection"} {
		m.drainCut.WithLabelValues(kind) // there before anything is cut, so that a first one is an increase
	}
	b.gaugeVec("cardea_build_info", "1, with the version of Cardea and of Go, and whether the FIPS 140-3 module is in force.",
		"version", "revision", "go_version", "fips").
		WithLabelValues(cfg.Version, cfg.Revision, runtime.Version(), strconv.FormatBool(fips140.Enabled())).Set(1)
	keyLog := b.gauge("cardea_tls_keylog_enabled",
		"1 while the secrets of TLS sessions are written to a file (--tls-keylog), by which recorded traffic can be read; else 0.")
	if cfg.KeyLog {
		keyLog.Set(1)
	}
	for _, result := range []string{"ok", "refused"} {
		m.publishes.WithLabelValues(result)
	}
	m.hosts = newHosts(m, cfg.MaxHosts)
	m.families = b.families
	return m
}

// builder makes metrics, registers them and remembers their documentation.
type builder struct {
	registerer prometheus.Registerer
	families   []family
}

// add registers c as a metric. It panics if that name is taken.
func (b *builder) add(c prometheus.Collector, kind, name, help string, labels []string) {
	b.families = append(b.families, family{name, kind, help, labels})
	if b.registerer != nil {
		b.registerer.MustRegister(c)
	}
}

func (b *builder) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	b.add(c, "counter", name, help, labels)
	return c
}

func (b *builder) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	c := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	b.add(c, "histogram", name, help, labels)
	return c
}

func (b *builder) histogram(name, help string, buckets []float64) prometheus.Histogram {
	c := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	b.add(c, "histogram", name, help, nil)
	return c
}

func (b *builder) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	c := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	b.add(c, "gauge", name, help, labels)
	return c
}

func (b *builder) gauge(name, help string) prometheus.Gauge {
	c := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	b.add(c, "gauge", name, help, nil)
	return c
}

func (b *builder) gaugesBy(name, help string, label string) *gauges {
	c := &gauges{desc: prometheus.NewDesc(name, help, []string{label}, nil), kind: prometheus.GaugeValue}
	b.add(c, "gauge", name, help, []string{label})
	return c
}

func (b *builder) countersBy(name, help string, label string) *gauges {
	c := &gauges{desc: prometheus.NewDesc(name, help, []string{label}, nil), kind: prometheus.CounterValue}
	b.add(c, "counter", name, help, []string{label})
	return c
}

func (b *builder) expiry(name, help string, labels ...string) *expiry {
	c := &expiry{desc: prometheus.NewDesc(name, help, labels, nil)}
	b.add(c, "gauge", name, help, labels)
	return c
}

func (b *builder) secrets(name, help string, labels ...string) *secrets {
	c := &secrets{desc: prometheus.NewDesc(name, help, labels, nil)}
	b.add(c, "gauge", name, help, labels)
	return c
}
