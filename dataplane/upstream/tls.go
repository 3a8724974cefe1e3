package upstream

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// maxSessions is the number of TLS sessions that a pool keeps for resumption.
const maxSessions = 256

// A security speaks TLS to the endpoints of one pool. All that it trusts and shows
// is fixed: what is to trust or show something else is another pool.
type security struct {
	spec     *snapshot.UpstreamTLS
	config   *tls.Config
	sessions tls.ClientSessionCache
	http2    bool
	now      func() time.Time
}

// newSecurity returns nil for a pool in plain text.
func newSecurity(spec *snapshot.Pool, keyLog io.Writer) *security {
	u := spec.TLS
	if u == nil {
		return nil
	}
	s := &security{
		spec: u, http2: spec.Protocol == snapshot.H2C,
		sessions: tls.NewLRUClientSessionCache(maxSessions), now: time.Now,
	}
	s.config = &tls.Config{
		// All of the verification is in verify, which knows of names besides
		// ServerName, of depth and of revocation. crypto/tls calls it in every
		// handshake, resumed ones included.
		InsecureSkipVerify: true,
		VerifyConnection:   s.verify,

		MinVersion:   max(u.MinVersion, tls.VersionTLS10),
		MaxVersion:   u.MaxVersion,
		CipherSuites: u.CipherSuites,
		NextProtos:   []string{"http/1.1"},
		KeyLogWriter: keyLog,
	}
	if u.MinVersion == 0 {
		s.config.MinVersion = tls.VersionTLS12
	}
	if s.http2 {
		s.config.NextProtos = []string{"h2"}
	}
	if !u.NoSNI {
		s.config.ServerName = u.ServerName
	}
	return s
}

// dial speaks TLS on nc, until ctx ends. The outcome is never nil; if it is not Done
// nc is closed.
func (s *security) dial(ctx context.Context, nc net.Conn, endpoint netip.AddrPort) (net.Conn, *outcome.UpstreamHandshake) {
	o := &outcome.UpstreamHandshake{
		Endpoint: endpoint, Result: outcome.Done, Reason: outcome.OK, ServerName: sentName(s.config.ServerName),
	}
	config := s.config.Clone()
	// Endpoints of one pool need not share what their tickets are sealed with.
	config.ClientSessionCache = sessionsOf{s.sessions, endpoint.String()}
	asked := false
	config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		// Not Certificates: crypto/tls would leave ours out where the endpoint lists
		// other authorities, and the endpoint would not say what it missed.
		if s.spec.Certificate == nil {
			return &tls.Certificate{}, nil
		}
		o.ClientCertificate = true
		return s.spec.Certificate.TLS, nil
	}
	start := time.Now()
	wire := newWire(nc)
	conn := &secureConn{Conn: tls.Client(wire, config), wire: wire}
	err := conn.HandshakeContext(ctx)
	state := conn.ConnectionState()
	if err == nil && s.http2 && state.NegotiatedProtocol != "h2" {
		// RFC 9113 §3.2: "TLS implementations that support HTTP/2 MUST use ALPN."
		err = errNoH2
	}
	if err == nil && asked && state.Version == tls.VersionTLS13 && !s.http2 {
		// With HTTP/2 the same shows when the prefaces are exchanged.
		err = conn.confirm(ctx)
	}
	o.Duration = time.Since(start)
	o.Version, o.CipherSuite, o.Curve = state.Version, state.CipherSuite, uint16(state.CurveID)
	o.ALPN, o.Resumed = state.NegotiatedProtocol, state.DidResume
	o.Verified = err == nil && !s.spec.Insecure
	saw(o, state.PeerCertificates)
	switch {
	case err != nil:
		nc.Close()
		failed(ctx, o, err)
		return nil, o
	case s.http2:
		return conn.Conn, o
	}
	return conn, o
}

// judged returns why there was no response: err, or that the endpoint does not like
// our certificate and has said so later than confirm waits. Such an alert belongs to
// the handshake: the endpoint has not looked at the request.
func (c *Conn) judged(err error) error {
	if c.TLS == nil || c.Reused {
		return err
	}
	alert, ok := remoteAlert(err)
	if !ok || !strings.Contains(alert, "certificate") && !strings.Contains(alert, "access denied") {
		return err
	}
	return refused(c.TLS, alert)
}

// refused is how an attempt ends whose endpoint ended the connection with an alert
// before it had said anything else.
func refused(done *outcome.UpstreamHandshake, alert string) *outcome.Error {
	o := *done
	o.Result, o.Reason, o.Err, o.Verified = outcome.Failed, outcome.UpstreamTLSHandshake, alert, false
	return &outcome.Error{
		Side: outcome.Upstream, Reason: o.Reason, Retry: outcome.RetryYes,
		Err: fmt.Errorf("upstream: %w", &HandshakeError{&o}),
	}
}

// told hands a handshake to the sink; nil is none.
func (p *Pool) told(o *outcome.UpstreamHandshake) {
	if o != nil && p.set.cfg.Sink.UpstreamHandshake != nil {
		p.set.cfg.Sink.UpstreamHandshake(o)
	}
}

// sentName is what goes out as SNI, in which RFC 6066 §3 permits no IP address.
func sentName(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return ""
	}
	return name
}

// saw notes the certificate that the endpoint showed.
func saw(o *outcome.UpstreamHandshake, chain []*x509.Certificate) {
	if len(chain) == 0 {
		return
	}
	sum := sha256.Sum256(chain[0].Raw)
	o.CertificateDigest = hex.EncodeToString(sum[:])
	o.CertificateSubject = chain[0].Subject.String()
	o.CertificateNotAfter = chain[0].NotAfter
}

// failed notes why a handshake failed.
func failed(ctx context.Context, o *outcome.UpstreamHandshake, err error) {
	o.Result, o.Reason, o.Err = outcome.Failed, outcome.UpstreamTLSHandshake, handshakeText(err)
	bad, distrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case distrusted:
		o.Reason = outcome.UpstreamTLSVerify
		if d, ok := errors.AsType[*distrust](bad.Err); ok && d.what == commonNameOnly {
			o.Reason = outcome.UpstreamTLSCommonName
		}
		saw(o, bad.UnverifiedCertificates)
	case errors.Is(ctx.Err(), context.Canceled):
		o.Reason = outcome.ClientClosed
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		o.Result, o.Reason = outcome.Timeout, outcome.UpstreamTLSTimeout
		o.Err = "the endpoint did not finish it in time"
	}
}

// sessionsOf keeps the sessions of one endpoint in the cache of its pool.
type sessionsOf struct {
	tls.ClientSessionCache
	endpoint string
}

func (c sessionsOf) Get(key string) (*tls.ClientSessionState, bool) {
	return c.ClientSessionCache.Get(c.endpoint + " " + key)
}

func (c sessionsOf) Put(key string, session *tls.ClientSessionState) {
	c.ClientSessionCache.Put(c.endpoint+" "+key, session)
}

// verify decides whether to talk to the endpoint that showed these certificates. Its
// error is a *tls.CertificateVerificationError.
func (s *security) verify(state tls.ConnectionState) error {
	if s.spec.Insecure {
		return nil
	}
	if err := s.check(state.PeerCertificates); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return nil
}

func (s *security) check(peer []*x509.Certificate) error {
	if len(peer) == 0 {
		return &distrust{"no certificate", errors.New("the endpoint showed none")}
	}
	now := s.now()
	options := x509.VerifyOptions{Intermediates: x509.NewCertPool(), CurrentTime: now}
	if a := s.spec.Authorities; a != nil {
		options.Roots = a.Pool
	}
	for _, c := range peer[1:] {
		options.Intermediates.AddCert(c)
	}
	chains, err := peer[0].Verify(options)
	if err != nil {
		return &distrust{distrustText(peer[0], err, now), err}
	}
	if !s.spec.SkipHostname {
		if err := s.checkName(peer[0]); err != nil {
			return err
		}
	}
	for _, chain := range chains {
		if err = s.checkChain(chain, now); err == nil {
			return nil
		}
	}
	return err
}

// checkName accepts the certificate if it has one of the names. The common name is
// not looked at (RFC 9525 §2).
func (s *security) checkName(leaf *x509.Certificate) error {
	var first error
	for _, name := range append([]string{s.spec.ServerName}, s.spec.AltNames...) {
		if name == "" {
			continue
		}
		err := leaf.VerifyHostname(name)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = errors.New("no name is known to verify")
	}
	if snapshot.NamedByCommonName(leaf) {
		return &distrust{commonNameOnly, fmt.Errorf("the certificate names its host in its common name (%q), which is not looked at (RFC 9525 section 2); issue it with the subject alternative name %s",
			leaf.Subject.CommonName, snapshot.AltName(s.spec.ServerName))}
	}
	return &distrust{"name mismatch", first}
}

// commonNameOnly is the distrust of what OpenSSL would accept, and that has a reason
// of its own for those who come from it.
const commonNameOnly = "common name only"

// checkChain looks at what is not the business of package x509.
func (s *security) checkChain(chain []*x509.Certificate, now time.Time) error {
	if most := s.spec.Depth; most > 0 && len(chain)-1 > most {
		return &distrust{"chain too long", fmt.Errorf("%d intermediates between the certificate and the authority, want %d at most", len(chain)-2, most-1)}
	}
	err := s.spec.RevocationLists.Check(s.spec.Authorities.Lineage(chain), now)
	if err == nil && s.spec.Authorities != nil {
		err = s.spec.Authorities.CheckRevocation(chain, now)
	}
	if err == nil {
		return nil
	}
	what := "revocation unknown"
	if r, ok := errors.AsType[*snapshot.RevocationError](err); ok && r.Revoked {
		what = "revoked"
	}
	return &distrust{what, err}
}

// A distrust is why an endpoint's certificate is not accepted, in a word or two.
type distrust struct {
	what string
	err  error
}

func (d *distrust) Error() string { return d.what + ": " + d.err.Error() }
func (d *distrust) Unwrap() error { return d.err }

// distrustText names the errors of package x509.
func distrustText(leaf *x509.Certificate, err error, now time.Time) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "unknown authority"
	}
	if _, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return "no system trust store"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch {
		case invalid.Reason == x509.Expired && invalid.Cert != nil && now.Before(invalid.Cert.NotBefore):
			return "not yet valid"
		case invalid.Reason == x509.Expired && invalid.Cert != nil && !invalid.Cert.Equal(leaf):
			return "expired authority"
		case invalid.Reason == x509.Expired:
			return "expired"
		case invalid.Reason == x509.IncompatibleUsage:
			return "not for servers"
		}
	}
	return "invalid"
}

var errNoH2 = errors.New("the endpoint does not offer h2 by ALPN")

// handshakeText says why a handshake failed, in words for those who do not know
// Go's.
func handshakeText(err error) string {
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return bad.Err.Error()
	}
	if bad, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the endpoint does not speak TLS: " + bad.Msg
	}
	if alert, ok := remoteAlert(err); ok {
		return alert
	}
	if errors.Is(err, io.EOF) {
		return "the endpoint closed the connection"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err.Error()
	}
	return err.Error()
}

// remoteAlert says with which alert the peer ended the connection. The type of it is crypto/tls's own, so that the operation tells.
func remoteAlert(err error) (text string, ok bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return "", false
	}
	const prefix = "tls: "
	text = op.Err.Error()
	if len(text) > len(prefix) && text[:len(prefix)] == prefix {
		text = text[len(prefix):]
	}
	return fmt.Sprintf("the endpoint sent the alert %q", text), true
}

// A HandshakeError is the cause of an [outcome.Error] whose TLS handshake failed.
type HandshakeError struct{ Handshake *outcome.UpstreamHandshake }

// Error says which endpoint was asked for under which name, and what happened.
func (e *HandshakeError) Error() string {
	name := "without a name"
	if e.Handshake.ServerName != "" {
		name = "as " + e.Handshake.ServerName
	}
	return fmt.Sprintf("TLS handshake with %s %s: %s", e.Handshake.Endpoint, name, e.Handshake.Err)
}
