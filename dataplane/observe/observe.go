// Package observe turns outcomes into Prometheus metrics, an access log and a
// handshake log.
//
// An [Observer] gives the data plane an [outcome.Sink] that never blocks and, once
// the series of a route exists, does not allocate. Label values come from the
// published table or from closed lists, never from a client: whatever names and
// methods clients send, the number of series stays the same. The series of a host
// go when the host leaves the table.
//
// Records of both logs are one line each, JSON or key=value text. They wait in a
// bounded buffer for one goroutine per log that writes them; what does not fit is
// dropped and counted. No record holds a header that may carry a credential, and
// query strings are left out unless asked for.
//
// All methods may be called from any goroutine.
package observe

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// Config says where outcomes go. The zero value keeps metrics that nobody can
// scrape and writes no log.
type Config struct {
	// Registerer takes the metrics. Nil: they are registered nowhere.
	Registerer prometheus.Registerer
	// MaxHosts is the most hosts that have series of their own; the others share
	// the host "_other". 0 means 1000.
	MaxHosts int
	// Version and Revision are labels of cardea_build_info. Version "" means
	// "unknown".
	Version, Revision string
	// KeyLog says that the secrets of TLS sessions are being written to a file:
	// cardea_tls_keylog_enabled is 1 then.
	KeyLog bool

	// AccessLog takes a record for each request. Nil: none. It may be the same as
	// HandshakeLog. Every Write is of whole lines, and one Write is made at a time.
	AccessLog io.Writer
	// HandshakeLog takes a record for each TLS handshake that Handshakes selects.
	// Nil: none.
	HandshakeLog io.Writer
	// Handshakes says which handshakes are logged, and what of them; see
	// [Observer.SetHandshakeLog] for changing it later.
	Handshakes HandshakeLog
	// Format of both logs; the zero value is JSON.
	Format Format
	// LogQuery adds the query string of requests and referrers to the access log.
	// They hold session IDs and tokens more often than their authors believe.
	LogQuery bool
	// Buffer is the most bytes of records of one log that wait to be written; as
	// many again may be in the hands of the writer. 0 means 1 MiB.
	Buffer int
	// FlushInterval is how long a record may wait for others, so that many are
	// written at once. 0 means 50 ms.
	FlushInterval time.Duration
	// CloseTimeout is how long Close waits for a writer that blocks. 0 means 5 s.
	CloseTimeout time.Duration
}

// Format is how a record is written.
type Format uint8

// The formats of the logs.
const (
	JSON Format = iota // an object a line
	Text               // key=value pairs, values quoted where they need it
)

// ParseFormat parses "json" or "text".
func ParseFormat(s string) (Format, error) {
	switch s {
	case "json":
		return JSON, nil
	case "text":
		return Text, nil
	}
	return 0, fmt.Errorf("observe: log format %q, want json or text", s)
}

// An Observer keeps the metrics and writes the logs.
type Observer struct {
	cfg       Config
	metrics   *metrics
	access    *lines // nil: none
	handshake *lines // nil: none
	// selection says what goes to handshake.
	selection atomic.Pointer[selection]
}

// New returns an Observer; call Close when the data plane has ended. It panics if
// the metrics cannot be registered, which is so if they are already, and if
// Config.Handshakes makes no sense.
func New(cfg Config) *Observer {
	cfg.MaxHosts = cmp.Or(cfg.MaxHosts, 1000)
	cfg.Version = cmp.Or(cfg.Version, "unknown")
	cfg.Buffer = cmp.Or(cfg.Buffer, 1<<20)
	cfg.FlushInterval = cmp.Or(cfg.FlushInterval, 50*time.Millisecond)
	cfg.CloseTimeout = cmp.Or(cfg.CloseTimeout, 5*time.Second)
	o := &Observer{cfg: cfg, metrics: newMetrics(cfg)}
	if err := o.SetHandshakeLog(cfg.Handshakes); err != nil {
		panic(err)
	}
	if same(cfg.AccessLog, cfg.HandshakeLog) {
		w := &serialized{w: cfg.AccessLog}
		cfg.AccessLog, cfg.HandshakeLog = w, w
	}
	if cfg.AccessLog != nil {
		o.access = newLines(cfg, cfg.AccessLog, o.metrics.dropped.WithLabelValues("access"))
	}
	if cfg.HandshakeLog != nil {
		o.handshake = newLines(cfg, cfg.HandshakeLog, o.metrics.dropped.WithLabelValues("handshake"))
	}
	return o
}

// same reports whether a and b are one writer.
func same(a, b io.Writer) bool {
	return a != nil && b != nil && reflect.TypeOf(a).Comparable() && a == b
}

// serialized lets two logs share a writer.
type serialized struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *serialized) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// Sink returns the functions that take the outcomes.
func (o *Observer) Sink() outcome.Sink {
	return outcome.Sink{
		Conn: o.metrics.conn,
		Handshake: func(h *outcome.Handshake) {
			o.metrics.handshake(h)
			if o.handshake == nil {
				return
			}
			if s := o.selection.Load(); s.takes(h) {
				o.logHandshake(h, s.only)
			}
		},
		Request: func(r *outcome.Request) {
			o.metrics.request(r)
			if o.access != nil {
				o.logRequest(r)
			}
		},
		UpstreamHandshake: o.metrics.upstreams.handshake,

		Health:  o.metrics.healthChange,
		Publish: o.metrics.publish,
		Drain:   o.metrics.drained,
	}
}

// SetOpenConnections sets the source of cardea_connections_open: the connections
// that are open now, by listener. f is called for each scrape.
func (o *Observer) SetOpenConnections(f func() map[string]int) { o.metrics.open.set(f) }

// SetShutdownPhase sets the source of cardea_shutdown_phase: 1 for the phase, 0 for
// the others. f is called for each scrape.
func (o *Observer) SetShutdownPhase(f func() map[string]int) { o.metrics.phase.set(f) }

// SetECHPublicNames sets the source of cardea_tls_ech_public_name_served: the
// public names of the keys in force, and 1 for those that have a certificate, 0 for
// the others. f is called for each scrape.
func (o *Observer) SetECHPublicNames(f func() map[string]int) { o.metrics.echPublicNames.set(f) }

// SetOCSP sets the sources of the metrics of OCSP stapling: certificates in service
// by the state of their response, those without a response by "true" and "false"
// for whether they demand one, and fetches by result. Each is called for each
// scrape.
func (o *Observer) SetOCSP(certificates, unstapled, fetches func() map[string]int) {
	o.metrics.ocspCertificates.set(certificates)
	o.metrics.ocspMissing.set(unstapled)
	o.metrics.ocspFetches.set(fetches)
}

// SetLastGood sets the source of cardea_secret_last_good: the Secrets
// ("namespace/name") of which older content is served than the cluster holds. f
// is called for each scrape.
func (o *Observer) SetLastGood(f func() []string) { o.metrics.lastGood.set(f) }

// SetConfigMapLastGood is the same for cardea_configmap_last_good, of ConfigMaps with
// authorities.
func (o *Observer) SetConfigMapLastGood(f func() []string) { o.metrics.configMapLastGood.set(f) }

// Flush waits until every record so far is written.
func (o *Observer) Flush() {
	o.access.flush()
	o.handshake.flush()
}

// Close writes the records that wait, as far as the writers take them in time,
// and ends the goroutines. Later records are dropped and counted.
func (o *Observer) Close() {
	deadline := time.Now().Add(o.cfg.CloseTimeout)
	o.access.close(deadline)
	o.handshake.close(deadline)
}
