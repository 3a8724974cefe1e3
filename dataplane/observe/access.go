package observe

import (
	"bytes"
	"crypto/tls"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// logRequest writes the access log record of a request. Its time is the end of
// the request. It names no field that may carry a credential: not Authorization,
// not Cookie, and of the target and the referrer only the path.
func (o *Observer) logRequest(r *outcome.Request) {
	e := newRecord(o.cfg.Format, "access", r.Start.Add(r.Duration))
	if c := r.Conn; c != nil {
		e.int("conn", int64(c.ID))
	}
	e.bytes("id", r.ID)
	if c := r.Conn; c != nil {
		e.str("listener", c.Listener)
		e.addr("remote", c.Remote)
		e.addr("proxy", c.Proxy)
		if r.Client.IsValid() && r.Client != c.Remote.Addr() {
			e.ip("client", r.Client)
		}
	}
	e.str("method", r.Method)
	e.bytes("host", r.Host)
	target, query, hasQuery := bytes.Cut(r.Target, []byte{'?'})
	path := r.Path
	if len(path) == 0 {
		path = target
	}
	e.bytes("path", path)
	if o.cfg.LogQuery && hasQuery {
		e.bytes("query", query)
	}
	e.str("proto", r.Proto)
	e.int("status", int64(r.Status))
	e.str("reason", string(r.Reason))
	if r.Reason != outcome.OK {
		e.str("side", r.Side.String())
	}
	e.str("err", r.Err)

	e.str("route_host", r.RouteHost)
	e.object("ingress", &r.Route)
	e.str("field", r.Route.Field)
	e.object("service", &r.Service)
	e.str("pool", r.Pool)
	e.addr("endpoint", r.Endpoint)
	e.int("attempts", int64(r.Attempts))
	e.flag("reused", r.Reused)
	if r.UpstreamStatus != 0 && r.UpstreamStatus != r.Status {
		e.int("upstream_status", int64(r.UpstreamStatus))
	}

	e.seconds("duration_seconds", r.Duration)
	if r.ConnectTime > 0 {
		e.seconds("connect_seconds", r.ConnectTime)
	}
	if r.FirstByte > 0 {
		e.seconds("first_byte_seconds", r.FirstByte)
	}
	if r.FieldsDropped > 0 {
		e.int("fields_dropped", int64(r.FieldsDropped))
	}
	e.int("bytes_in", r.BodyIn)
	e.int("bytes_out", r.BodyOut)
	e.flag("upgraded", r.Upgraded)
	if u := r.UpstreamTLS; u != nil {
		e.str("upstream_tls_version", versionName(u.Version))
		if u.CipherSuite != 0 {
			e.str("upstream_tls_cipher", tls.CipherSuiteName(u.CipherSuite))
		}
		e.str("upstream_tls_sni", u.ServerName)
		e.flag("upstream_tls_verified", u.Verified)
		e.str("upstream_tls_cert", u.CertificateDigest)
		e.str("upstream_tls_subject", u.CertificateSubject)
	}

	e.bytes("user_agent", r.UserAgent)
	e.bytes("referer", redactReferer(r.Referer, o.cfg.LogQuery))
	if c := r.Conn; c != nil && c.TLS != nil {
		e.str("tls_version", versionName(c.TLS.Version))
		e.str("sni", c.TLS.SNI)
		if cc := c.TLS.ClientCertificate; cc != nil {
			e.str("client_cert", cc.Digest)
		}
	}
	e.done(o.access)
}

// redactReferer removes what a referring URL may hold besides the place: the
// user, which a sender must leave out and some do not (RFC 9110 §10.1.3), and the
// query unless it is wanted. It returns a part of ref, or what is behind the user.
func redactReferer(ref []byte, query bool) []byte {
	if i := bytes.IndexByte(ref, '#'); i >= 0 {
		ref = ref[:i]
	}
	if i := bytes.IndexByte(ref, '?'); i >= 0 && !query {
		ref = ref[:i]
	}
	authority := bytes.Index(ref, []byte("//"))
	if authority < 0 {
		return ref
	}
	authority += 2
	end := len(ref)
	if i := bytes.IndexAny(ref[authority:], "/?"); i >= 0 {
		end = authority + i
	}
	if at := bytes.LastIndexByte(ref[authority:end], '@'); at >= 0 {
		return ref[authority+at+1:]
	}
	return ref
}

// versionName returns "TLS 1.3" and the like, "" for none.
func versionName(v uint16) string {
	if v == 0 {
		return ""
	}
	return tls.VersionName(v)
}
