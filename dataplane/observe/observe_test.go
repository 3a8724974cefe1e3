package observe

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// buffer is a writer that tests read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// world is an Observer with its registry and its logs.
type world struct {
	*Observer
	registry          *prometheus.Registry
	sink              outcome.Sink
	access, handshake *buffer
}

func newWorld(tb testing.TB, cfg Config) *world {
	tb.Helper()
	w := &world{registry: prometheus.NewPedanticRegistry(), access: &buffer{}, handshake: &buffer{}}
	cfg.Registerer = w.registry
	if cfg.AccessLog == nil {
		cfg.AccessLog = w.access
	}
	if cfg.HandshakeLog == nil {
		cfg.HandshakeLog = w.handshake
	}
	w.Observer = New(cfg)
	tb.Cleanup(w.Close)
	w.sink = w.Sink()
	return w
}

func (w *world) gather(tb testing.TB) []*dto.MetricFamily {
	tb.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		tb.Fatalf("Gather = %v", err)
	}
	return families
}

// series returns the values of a metric by their labels: "host=a reason=ok".
func (w *world) series(tb testing.TB, name string) map[string]float64 {
	tb.Helper()
	values := map[string]float64{}
	for _, f := range w.gather(tb) {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			values[strings.Join(labels, " ")] = value
		}
	}
	return values
}

// count returns the number of all series.
func (w *world) count(tb testing.TB) (n int) {
	for _, f := range w.gather(tb) {
		n += len(f.GetMetric())
	}
	return n
}

func (w *world) want(tb testing.TB, name string, want map[string]float64) {
	tb.Helper()
	if diff := cmp.Diff(want, w.series(tb, name)); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

var (
	ingress = snapshot.Origin{Kind: "Ingress", Namespace: "shop", Name: "web", Field: "spec.rules[0].http.paths[0]"}
	service = snapshot.Origin{Kind: "Service", Namespace: "shop", Name: "api"}
	conn    = &outcome.Conn{ID: 7, Listener: "https", Remote: netip.MustParseAddrPort("192.0.2.1:4711"), Accepted: start}
	start   = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
)

// host makes a host with a route to a service.
func host(name, serviceName string, certs ...*snapshot.Certificate) *snapshot.Host {
	s := service
	s.Name = serviceName
	h := &snapshot.Host{Name: name, Origin: ingress, Routes: []*snapshot.Route{
		{Path: "/", Kind: snapshot.Prefix, Origin: ingress, Service: s, Pool: "p"},
	}}
	if name != "" {
		h.TLS = &snapshot.TLS{Origin: ingress, Certificates: certs}
	}
	return h
}

func cert(secret string, serial int64) *snapshot.Certificate {
	c := snapshot.NewCertificate(snapshot.Origin{Kind: "Secret", Namespace: "shop", Name: secret}, &tls.Certificate{}, &x509.Certificate{
		SerialNumber: big.NewInt(serial), PublicKeyAlgorithm: x509.ECDSA,
		NotBefore: start.Add(-time.Hour), NotAfter: start.Add(time.Duration(serial) * time.Hour),
	})
	c.Digest = fmt.Sprintf("%s-%d", secret, serial)
	return c
}

// publish puts a table of these hosts in force.
func (w *world) publish(tb testing.TB, hosts ...*snapshot.Host) *outcome.Publish {
	tb.Helper()
	spec := &snapshot.Spec{Hosts: hosts, Pools: []*snapshot.Pool{{ID: "p"}}}
	slices.SortFunc(spec.Hosts, func(a, b *snapshot.Host) int { return strings.Compare(a.Name, b.Name) })
	snap, err := snapshot.Compile(nil, spec, nil)
	if err != nil {
		tb.Fatal(err)
	}
	c := snap.Counts()
	p := &outcome.Publish{
		Generation: 1, Snapshot: snap, Hosts: c.Hosts, Routes: c.Routes, Pools: c.Pools, Certificates: c.Certificates,
		EndpointsInForce: 3, Since: time.Now().Add(-time.Millisecond), Duration: time.Millisecond,
	}
	w.sink.Publish(p)
	return p
}

// request is an ordinary request to a host of the table.
func request(host string) *outcome.Request {
	return &outcome.Request{
		Conn: conn, ID: []byte("r-1"), Method: "GET", Proto: "HTTP/1.1", Host: []byte("shop.test"), Path: []byte("/a"),
		Target: []byte("/a?token=secret"), UserAgent: []byte("curl/8"), Referer: []byte("https://u:p@x.test/y?token=secret"),
		Start: start, Duration: 1500 * time.Microsecond, Status: 200, Reason: outcome.OK,
		RouteHost: host, Matched: true, Route: ingress, Service: service, Pool: "p",
		Endpoint: netip.MustParseAddrPort("[2001:db8::1]:8080"), Attempts: 1, ConnectTime: 200 * time.Microsecond,
		FirstByte: time.Millisecond, UpstreamStatus: 200, BodyIn: 3, BodyOut: 1024,
	}
}

func handshake(host, sni string) *outcome.Handshake {
	return &outcome.Handshake{
		Conn: conn, Result: outcome.Failed, Reason: outcome.AlertUnknownCA, Err: "remote error: tls: unknown certificate authority",
		Alert: "unknown_ca", Duration: time.Millisecond, HelloSeen: true, SNI: sni, Host: host, Ingress: ingress,
		OfferedVersions: []uint16{tls.VersionTLS13}, OfferedCipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256, 0x0a0a},
		OfferedCurves: []uint16{uint16(tls.X25519), 0x1a1a}, OfferedALPN: []string{"h2", "http/1.1"},
		Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, Curve: uint16(tls.X25519MLKEM768),
		Certificate: cert("tls", 1),
	}
}

func TestRequestsAreCountedByRoute(t *testing.T) {
	w := newWorld(t, Config{})
	w.publish(t, host("shop.test", "api"), host("", "api"))
	w.sink.Request(request("shop.test"))
	w.sink.Request(request("shop.test"))
	r := request("shop.test")
	r.Method, r.Status, r.Reason, r.Reused = "BREW", 502, outcome.UpstreamReset, true
	w.sink.Request(r)
	w.sink.Request(request(""))
	w.sink.Request(request("unpublished.test"))
	w.sink.Request(&outcome.Request{Status: 404, Method: "GET", Reason: outcome.NoRoute, Host: []byte("x"), Start: start})
	w.sink.Request(&outcome.Request{Status: 404, Method: "GET", Reason: outcome.NoRoute, RouteHost: "shop.test", Start: start})
	w.sink.Request(&outcome.Request{Status: 0, Reason: outcome.SendTimeout, Start: start})
	odd := request("shop.test")
	odd.Status = 299
	w.sink.Request(odd)

	w.want(t, "cardea_requests_total", map[string]float64{
		"code=200 host=shop.test ingress=web method=GET namespace=shop reason=ok service=api":               2,
		"code=502 host=shop.test ingress=web method=other namespace=shop reason=upstream_reset service=api": 1,
		"code=2xx host=shop.test ingress=web method=GET namespace=shop reason=ok service=api":               1,
		"code=200 host=* ingress=web method=GET namespace=shop reason=ok service=api":                       1,
		"code=200 host=_other ingress= method=GET namespace= reason=ok service=":                            1,
		"code=404 host=_unknown ingress= method=GET namespace= reason=no_route service=":                    1,
		"code=404 host=shop.test ingress= method=GET namespace= reason=no_route service=":                   1,
		"code=0 host=_unknown ingress= method=other namespace= reason=send_timeout service=":                1,
	})
	w.want(t, "cardea_request_duration_seconds", map[string]float64{"host=shop.test": 5, "host=*": 1, "host=_other": 1, "host=_unknown": 2})
	w.want(t, "cardea_upstream_requests_total", map[string]float64{
		"connection=new host=shop.test": 3, "connection=reused host=shop.test": 1, "connection=new host=*": 1, "connection=reused host=*": 0,
		"connection=new host=_other": 1, "connection=reused host=_other": 0, "connection=new host=_unknown": 0, "connection=reused host=_unknown": 0,
	})
	w.want(t, "cardea_response_body_bytes_total", map[string]float64{"host=shop.test": 4096, "host=*": 1024, "host=_other": 1024, "host=_unknown": 0})
}

func TestTunnelsHaveNoDuration(t *testing.T) {
	w := newWorld(t, Config{})
	w.publish(t, host("shop.test", "api"))
	r := request("shop.test")
	r.Upgraded, r.Status, r.Duration, r.BodyIn = true, 101, time.Hour, -1
	w.sink.Request(r)
	w.want(t, "cardea_request_duration_seconds", map[string]float64{"host=shop.test": 0})
	w.want(t, "cardea_upstream_first_byte_seconds", map[string]float64{"host=shop.test": 1})
	w.want(t, "cardea_request_body_bytes_total", map[string]float64{"host=shop.test": 0})
}

// TestRow10HandshakesAreCounted: by declared host, result and reason; what was
// negotiated and how long it took by listener alone.
func TestRow10HandshakesAreCounted(t *testing.T) {
	w := newWorld(t, Config{})
	w.publish(t, host("*.shop.test", "api"))
	w.sink.Handshake(handshake("*.shop.test", "a.shop.test"))
	w.sink.Handshake(handshake("", "nobody.test"))
	silent := handshake("", "")
	silent.Result, silent.Reason = outcome.Timeout, outcome.TimeoutSilent
	w.sink.Handshake(silent)
	done := handshake("*.shop.test", "b.shop.test")
	done.Result, done.Reason, done.DefaultCertificate, done.Policy = outcome.Done, outcome.OK, true, snapshot.Modern
	done.ECHOffered = true
	w.sink.Handshake(done)
	silent.ECHOffered, silent.ECHAccepted = true, true
	w.sink.Handshake(silent)

	w.want(t, "cardea_tls_ech_total", map[string]float64{"accepted=false listener=https": 1, "accepted=true listener=https": 1})
	w.want(t, "cardea_tls_handshakes_total", map[string]float64{
		"host=*.shop.test listener=https reason=client_alert_unknown_ca result=failed": 1,
		"host=_unknown listener=https reason=client_alert_unknown_ca result=failed":    1,
		"host=_none listener=https reason=timeout_silent result=timeout":               2,
		"host=*.shop.test listener=https reason=ok result=done":                        1,
	})
	w.want(t, "cardea_tls_negotiated_total", map[string]float64{
		"cipher=TLS_AES_128_GCM_SHA256 curve=X25519MLKEM768 listener=https policy=modern resumed=false version=TLS 1.3": 1,
	})
	w.want(t, "cardea_tls_default_certificate_total", map[string]float64{"listener=https": 1})
	w.want(t, "cardea_tls_handshake_duration_seconds", map[string]float64{
		"listener=https result=done": 1, "listener=https result=failed": 2, "listener=https result=timeout": 2,
	})
}

func TestConnectionsAndHealth(t *testing.T) {
	w := newWorld(t, Config{})
	for _, reason := range []outcome.Reason{outcome.OK, outcome.OK, outcome.Shed} {
		w.sink.Conn(&outcome.Conn{Listener: "http", Reason: reason, BytesIn: 10, BytesOut: 20, Duration: time.Second})
	}
	w.want(t, "cardea_connections_total", map[string]float64{"listener=http reason=ok": 2, "listener=http reason=shed": 1})
	w.want(t, "cardea_connection_received_bytes_total", map[string]float64{"listener=http": 30})
	w.want(t, "cardea_connections_open", map[string]float64{})
	w.SetOpenConnections(func() map[string]int { return map[string]int{"http": 4, "https": 5} })
	w.SetShutdownPhase(func() map[string]int { return map[string]int{"serving": 0, "leaving": 1} })
	w.want(t, "cardea_connections_open", map[string]float64{"listener=http": 4, "listener=https": 5})

	w.sink.Health(&outcome.Health{Reason: outcome.ConnectRefused})
	w.want(t, "cardea_upstream_health_changes_total", map[string]float64{"healthy=false reason=connect_refused": 1})
	w.SetLastGood(func() []string { return []string{"shop/tls", "shop/tls"} })
	w.want(t, "cardea_secret_last_good", map[string]float64{"namespace=shop secret=tls": 1})
	w.SetConfigMapLastGood(func() []string { return []string{"shop/ca"} })
	w.want(t, "cardea_configmap_last_good", map[string]float64{"configmap=ca namespace=shop": 1})
}

func TestDrain(t *testing.T) {
	w := newWorld(t, Config{})
	w.sink.Drain(&outcome.Drain{Requests: 3, Tunnels: 2, Connections: 9})
	w.want(t, "cardea_drain_cut_total", map[string]float64{"kind=request": 3, "kind=tunnel": 2, "kind=connection": 9})
}

func TestPublish(t *testing.T) {
	w := newWorld(t, Config{Version: "v1.2.3"})
	w.publish(t, host("a.test", "api", cert("tls", 1)), host("b.test", "api", cert("tls", 1)))
	w.sink.Publish(&outcome.Publish{Err: "refused", Generation: 9})
	for name, want := range map[string]map[string]float64{
		"cardea_publishes_total":         {"result=ok": 1, "result=refused": 1},
		"cardea_last_publish_successful": {"": 0},
		"cardea_generation":              {"": 1},
		"cardea_hosts":                   {"": 2},
		"cardea_routes":                  {"": 2},
		"cardea_pools":                   {"": 1},
		"cardea_certificates":            {"": 1},
		"cardea_endpoints":               {"": 3},
		"cardea_propagation_seconds":     {"": 1},
	} {
		w.want(t, name, want)
	}
	if got := slices.Collect(maps.Keys(w.series(t, "cardea_build_info"))); len(got) != 1 || !strings.Contains(got[0], "version=v1.2.3") {
		t.Errorf("cardea_build_info = %v, want one with the version", got)
	}
}

func TestSeriesOfAHostGoWithIt(t *testing.T) {
	w := newWorld(t, Config{})
	kept := host("kept.test", "api")
	w.publish(t, kept)
	w.sink.Request(request("kept.test"))
	w.sink.Request(request("gone.test"))
	w.sink.Handshake(handshake("gone.test", "gone.test"))
	before := w.count(t)

	w.publish(t, kept, host("gone.test", "api", cert("tls", 1)))
	for range 3 {
		w.sink.Request(request("gone.test"))
		w.sink.Handshake(handshake("gone.test", "gone.test"))
	}
	if after := w.count(t); after <= before {
		t.Fatalf("%d series with the host, %d without, want more", after, before)
	}
	w.publish(t, kept)
	if after := w.count(t); after != before {
		t.Errorf("%d series after the host left, want the %d from before it came", after, before)
	}
	w.sink.Request(request("gone.test"))
	w.sink.Handshake(handshake("gone.test", "gone.test"))
	if after := w.count(t); after != before {
		t.Errorf("%d series after a late request to a host that left, want %d", after, before)
	}
}

func TestSeriesOfARouteGoWithIt(t *testing.T) {
	w := newWorld(t, Config{})
	w.publish(t, host("shop.test", "api"))
	w.sink.Request(request("shop.test"))
	w.publish(t, host("shop.test", "other"))
	w.sink.Request(request("shop.test")) // began before the publish
	w.want(t, "cardea_requests_total", map[string]float64{
		"code=200 host=shop.test ingress= method=GET namespace= reason=ok service=": 1,
	})
}

func TestMaxHosts(t *testing.T) {
	w := newWorld(t, Config{MaxHosts: 2})
	a, b := host("a.test", "api", cert("a", 1)), host("b.test", "api", cert("b", 2))
	c, d := host("c.test", "api", cert("c", 3)), host("d.test", "api", cert("c", 3))
	w.publish(t, a, b, c, d)
	all := func() {
		for _, name := range []string{"a.test", "b.test", "c.test", "d.test"} {
			w.sink.Request(request(name))
		}
	}
	all()
	w.want(t, "cardea_request_duration_seconds", map[string]float64{"host=a.test": 1, "host=b.test": 1, "host=_other": 2})
	at := func(n int64) float64 { return float64(start.Unix() + 3600*n) }
	w.want(t, "cardea_tls_certificate_expiry_timestamp_seconds", map[string]float64{
		"host=a.test key_type=ECDSA namespace=shop secret=a serial=1": at(1),
		"host=b.test key_type=ECDSA namespace=shop secret=b serial=2": at(2),
		"host=_other key_type=ECDSA namespace=shop secret=c serial=3": at(3),
	})

	w.publish(t, b, c, d) // c takes the place of a
	all()
	w.want(t, "cardea_request_duration_seconds", map[string]float64{"host=b.test": 2, "host=c.test": 1, "host=_other": 4})
	w.want(t, "cardea_tls_certificate_expiry_timestamp_seconds", map[string]float64{
		"host=b.test key_type=ECDSA namespace=shop secret=b serial=2": at(2),
		"host=c.test key_type=ECDSA namespace=shop secret=c serial=3": at(3),
		"host=_other key_type=ECDSA namespace=shop secret=c serial=3": at(3),
	})
	w.publish(t, b, host("c.test", "api", cert("c", 4)))
	w.want(t, "cardea_tls_certificate_expiry_timestamp_seconds", map[string]float64{
		"host=b.test key_type=ECDSA namespace=shop secret=b serial=2": at(2),
		"host=c.test key_type=ECDSA namespace=shop secret=c serial=4": at(4),
	})
}

// TestClientsMakeNoSeries: whatever clients send, the number of series is that of
// the table.
func TestClientsMakeNoSeries(t *testing.T) {
	w := &world{registry: prometheus.NewPedanticRegistry()}
	w.Observer = New(Config{Registerer: w.registry})
	w.sink = w.Sink()
	w.publish(t, host("shop.test", "api"), host("", "api"))
	declared, undeclared := handshake("x", "x"), handshake("", "x")
	caught, gone, lost := request(""), request("x"), request("")
	lost.Matched, lost.Route, lost.Service, lost.Status, lost.Reason = false, snapshot.Origin{}, snapshot.Origin{}, 404, outcome.NoRoute
	flood := func(i int) {
		name := fmt.Sprintf("x%d.nowhere.test", i)
		declared.Host, declared.SNI, undeclared.SNI = name, name, name
		for _, r := range []*outcome.Request{caught, gone, lost} {
			r.Host, r.Path, r.Method = []byte(name), []byte("/"+name), name
			w.sink.Request(r)
		}
		gone.RouteHost = name
		w.sink.Handshake(declared)
		w.sink.Handshake(undeclared)
	}
	flood(0)
	before := w.count(t)
	for i := range 100_000 {
		flood(i)
	}
	if after := w.count(t); after != before {
		t.Errorf("%d series after 100,000 names, want %d as after one", after, before)
	}
}

// TestPoliciesAreBounded: a policy that gets another name every day has no series
// for each of them.
func TestPoliciesAreBounded(t *testing.T) {
	w := newWorld(t, Config{})
	done := handshake("", "")
	done.Result, done.Reason = outcome.Done, outcome.OK
	const n = 100
	for i := range n {
		done.Policy = &snapshot.TLSPolicy{Name: fmt.Sprint("custom-", i)}
		w.sink.Handshake(done)
	}
	series := w.series(t, "cardea_tls_negotiated_total")
	if len(series) != maxPolicies+1 {
		t.Errorf("%d series of %d policies, want %d", len(series), n, maxPolicies+1)
	}
	const other = "cipher=TLS_AES_128_GCM_SHA256 curve=X25519MLKEM768 listener=https policy=_other resumed=false version=TLS 1.3"
	if got := series[other]; got != n-maxPolicies {
		t.Errorf("policy _other counts %v, want %d", got, n-maxPolicies)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// TestConcurrently races everything that the data plane calls at once.
func TestConcurrently(t *testing.T) {
	w := newWorld(t, Config{MaxHosts: 3, Handshakes: HandshakeLog{Mode: HandshakeAll}, AccessLog: discard{}, HandshakeLog: discard{}})
	names := []string{"a.test", "b.test", "c.test", "d.test"}
	w.publish(t, host("a.test", "api"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				w.sink.Request(request(names[i%4]))
				w.sink.Handshake(handshake(names[i%4], names[i%4]))
				w.sink.Conn(&outcome.Conn{Listener: "https", Reason: outcome.OK})
			}
		})
	}
	for i := range 100 {
		w.publish(t, host(names[i%4], "api", cert("tls", 1)), host(names[(i+1)%4], fmt.Sprint("api", i%3)))
		w.gather(t)
	}
	wg.Wait()
	w.publish(t)
	for name := range w.series(t, "cardea_requests_total") {
		if !strings.Contains(name, "host=_") {
			t.Errorf("series %q in an empty table, want none of a host", name)
		}
	}
	total := 0.0
	for _, n := range w.series(t, "cardea_connections_total") {
		total += n
	}
	if total != 2000 {
		t.Errorf("cardea_connections_total = %v, want 2000", total)
	}
}

func TestLint(t *testing.T) {
	w := newWorld(t, Config{})
	w.exercise(t)
	problems, err := promlint.NewWithMetricFamilies(w.gather(t)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// exercise makes every metric have a value.
func (w *world) exercise(tb testing.TB) {
	w.publish(tb, host("shop.test", "api", cert("tls", 1)))
	dropped := request("shop.test")
	dropped.FieldsDropped = 2
	w.sink.Request(dropped)
	w.want(tb, "cardea_request_fields_dropped_total", map[string]float64{"": 2})
	w.sink.Handshake(handshake("shop.test", "shop.test"))
	done := handshake("shop.test", "shop.test")
	done.Result, done.Reason = outcome.Done, outcome.OK
	w.sink.Handshake(done)
	w.sink.Conn(&outcome.Conn{Listener: "https", Reason: outcome.OK})
	w.sink.Health(&outcome.Health{Healthy: true, Reason: outcome.OK})
	w.sink.UpstreamHandshake(&outcome.UpstreamHandshake{Result: outcome.Done, Reason: outcome.OK})
	w.SetOpenConnections(func() map[string]int { return map[string]int{"https": 1} })
	w.SetShutdownPhase(func() map[string]int { return map[string]int{"serving": 1} })
	w.SetLastGood(func() []string { return []string{"shop/tls"} })
	w.SetConfigMapLastGood(func() []string { return []string{"shop/ca"} })
	w.SetOCSP(
		func() map[string]int { return map[string]int{"stapled": 2} },
		func() map[string]int { return map[string]int{"true": 1} },
		func() map[string]int { return map[string]int{"good": 3} })
	w.want(tb, "cardea_ocsp_certificates", map[string]float64{"state=stapled": 2})
	w.want(tb, "cardea_ocsp_unstapled_certificates", map[string]float64{"must_staple=true": 1})
	w.want(tb, "cardea_ocsp_fetches_total", map[string]float64{"result=good": 3})
	w.SetECHPublicNames(func() map[string]int { return map[string]int{"shop.test": 1} })
}
