package observe

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func upstreamHandshake(service string, result outcome.Result, reason outcome.Reason) *outcome.UpstreamHandshake {
	return &outcome.UpstreamHandshake{
		Origin: snapshot.Origin{Kind: "Service", Namespace: "shop", Name: service}, Result: result, Reason: reason,
		ServerName: service + ".shop.svc", Version: tls.VersionTLS12, CipherSuite: tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		CertificateDigest: "c0ffee", CertificateSubject: "CN=" + service, Verified: result == outcome.Done,
	}
}

func poolsOf(insecure bool, services ...string) *snapshot.Spec {
	spec := &snapshot.Spec{}
	for _, s := range services {
		spec.Pools = append(spec.Pools, &snapshot.Pool{
			ID: "shop/" + s, Origin: snapshot.Origin{Kind: "Service", Namespace: "shop", Name: s},
			TLS: &snapshot.UpstreamTLS{ServerName: s, Insecure: insecure},
		})
	}
	return spec
}

// TestRow49: handshakes with endpoints are counted by Service, within bounds.
func TestRow49HandshakesAreCounted(t *testing.T) {
	w := newWorld(t, Config{MaxHosts: 2})
	const name = "cardea_upstream_tls_handshakes_total"
	u := w.metrics.upstreams
	u.publish(poolsOf(false, "a", "b", "c").Pools)
	for _, s := range []string{"a", "a", "c", "unknown"} {
		w.sink.UpstreamHandshake(upstreamHandshake(s, outcome.Failed, outcome.UpstreamTLSVerify))
	}
	w.sink.UpstreamHandshake(upstreamHandshake("a", outcome.Done, outcome.OK))
	w.want(t, name, map[string]float64{
		"namespace=shop reason=upstream_tls_verify result=failed service=a":  2,
		"namespace=shop reason=ok result=done service=a":                     1,
		"namespace= reason=upstream_tls_verify result=failed service=_other": 2,
	})
	u.publish(poolsOf(false, "b", "c").Pools)
	w.sink.UpstreamHandshake(upstreamHandshake("c", outcome.Timeout, outcome.UpstreamTLSTimeout))
	w.want(t, name, map[string]float64{
		"namespace= reason=upstream_tls_verify result=failed service=_other":  2,
		"namespace=shop reason=upstream_tls_timeout result=timeout service=c": 1,
	})
}

// TestRow52: backends that are not verified are counted, for an alert to see.
func TestRow52InsecureUpstreamsAreCounted(t *testing.T) {
	w := newWorld(t, Config{})
	for _, c := range []struct {
		spec *snapshot.Spec
		want float64
	}{{poolsOf(true, "a", "b"), 2}, {poolsOf(false, "a", "b"), 0}, {poolsOf(true, "a"), 1}, {poolsOf(true), 0}} {
		w.metrics.upstreams.publish(c.spec.Pools)
		w.want(t, "cardea_insecure_upstreams", map[string]float64{"": c.want})
	}
}

// TestRow48: the access log tells the two TLS sessions of a request apart.
func TestRow48AccessLogHasBothSessions(t *testing.T) {
	var log bytes.Buffer
	o := New(Config{AccessLog: &log})
	r := request("shop.test")
	r.Conn = &outcome.Conn{Listener: "https", TLS: &outcome.Handshake{Version: tls.VersionTLS13, SNI: "shop.test"}}
	r.UpstreamTLS = upstreamHandshake("web", outcome.Done, outcome.OK)
	o.Sink().Request(r)
	o.Close()
	for _, want := range []string{
		`"tls_version":"TLS 1.3"`, `"sni":"shop.test"`,
		`"upstream_tls_version":"TLS 1.2"`, `"upstream_tls_cipher":"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"`, `"upstream_tls_sni":"web.shop.svc"`,
		`"upstream_tls_verified":true`, `"upstream_tls_cert":"c0ffee"`, `"upstream_tls_subject":"CN=web"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("access log = %s, want %s", &log, want)
		}
	}
}
