package listen

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A handshake is the state of a TLS connection until its outcome is decided. The
// goroutine of the handshake owns it until the connection is handed over; from
// then on only decide writes to it.
type handshake struct {
	outcome.Handshake

	// running says that crypto/tls is at it, begun that a byte of TLS came.
	running, begun bool
	// timeout bounds it, from accept.
	timeout time.Duration
	// records holds the alert that came in the clear.
	records records
	// mismatch is what of the ClientHello does not fit the policy.
	mismatch *refusal
	// auth is what the host demands of client certificates; nil: nothing.
	auth *clientAuth
	// sent is the last alert that we sent in the clear, if wasSent.
	sent    alert
	wasSent bool
	// first holds the first bytes that came, seen of them.
	first [8]byte
	seen  int
	// instead replaces the internal_error that crypto/tls sends when configFor
	// returns an error.
	instead alert

	once    sync.Once
	decided atomic.Bool
}

// A refusal is an error of ours in a handshake: we end it by our own decision.
type refusal struct {
	reason outcome.Reason
	// alert is what the client is sent, as long as that is in the clear.
	alert alert
	// detail says more than the reason, for logs.
	detail string
}

func (r *refusal) Error() string {
	text := "refused: " + r.reason.Info().Text
	if r.detail != "" {
		text += ": " + r.detail
	}
	return text
}

var (
	refuseVersion       = &refusal{reason: outcome.Version, alert: alertProtocolVersion}
	refuseCipher        = &refusal{reason: outcome.Cipher, alert: alertHandshakeFailure}
	refuseCurve         = &refusal{reason: outcome.Curve, alert: alertHandshakeFailure}
	refuseNotReady      = &refusal{reason: outcome.NotReady, alert: alertInternalError}
	refuseNoSNI         = &refusal{reason: outcome.NoSNI, alert: alertUnrecognizedName}
	refuseUnknownSNI    = &refusal{reason: outcome.UnknownSNI, alert: alertUnrecognizedName}
	refuseNoCertificate = &refusal{reason: outcome.NoCertificate, alert: alertUnrecognizedName}
)

// maxSNI is the longest server name that is kept: no host name is longer.
const maxSNI = 255

// authenticate does the handshake and starts the handler. It ends with the
// handshake, because that has grown its stack to a size that an idle connection
// should not hold: the handler runs on a new goroutine.
func (l *Listener) authenticate(c *conn) {
	if f := l.admitted(c); f.reason != outcome.OK {
		l.handshakes.Add(-1)
		l.refuse(c, f)
		return
	}
	if host, hello := l.passthrough(c); host != nil {
		l.pass(c, host, hello)
		return
	}
	tc := tls.Server(c, l.tls)
	if c.shake(tc) {
		go l.serve(c, &secured{Conn: tc, c: c})
		return
	}
	l.end(c, c.Conn)
}

// shake does the handshake and reports whether it succeeded. If not, its outcome
// is decided.
func (c *conn) shake(tc *tls.Conn) (ok bool) {
	defer c.rescue()
	defer c.l.handshakes.Add(-1)
	h, bounds := c.hs, c.l.bounds()
	h.timeout = bounds.timeout
	// Deadlines, not a context: they tell read from write, and the first byte can
	// move the one for reading.
	_ = c.Conn.SetWriteDeadline(c.info.Accepted.Add(bounds.timeout))
	if !h.begun {
		_ = c.Conn.SetReadDeadline(c.info.Accepted.Add(bounds.firstByte))
	}
	// A client that sends nothing holds no more than a goroutine in its first frames.
	// An error shows at the first read, too.
	_ = c.AwaitInput()
	growStack(-1)
	h.running = true
	err := tc.Handshake()
	h.running = false
	h.Duration = time.Since(c.info.Accepted)
	state := tc.ConnectionState()
	h.negotiated(state)
	if err == nil {
		h.identify(state)
		_ = c.Conn.SetDeadline(time.Time{})
		c.info.TLS = &h.Handshake
		return true
	}
	h.offended(err)
	f := c.classify(err)
	h.explain(err, f)
	c.fail(f)
	if f.reason == outcome.NotTLSHTTP {
		c.answerHTTP()
	}
	return false
}

// received sees the bytes that came during the handshake. The first byte gives the
// client the rest of the time for the handshake.
func (c *conn) received(p []byte) {
	if !c.hs.begun {
		c.hs.begun = true
		// An error here shows at the next read.
		_ = c.Conn.SetReadDeadline(c.info.Accepted.Add(c.hs.timeout))
	}
	c.hs.seen += copy(c.hs.first[c.hs.seen:], p)
	c.hs.records.feed(p)
}

// configFor is called by crypto/tls with the ClientHello. It notes what the
// client offers and decides which certificate it gets, if any.
func (l *Listener) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c := hello.Conn.(*conn)
	h := c.hs
	h.offered(hello)
	snap := l.cfg.Current()
	if snap == nil {
		return nil, h.refuse(refuseNotReady)
	}
	host := snap.ServerName(h.SNI)
	var s served
	if host != nil {
		h.Host, h.Ingress = host.Name, host.TLS.Origin
		s.host, s.tls = host.Name, host.TLS
	}
	s.policy = s.tls.EffectivePolicy(snap.Spec.TLSPolicy)
	s.security = snap.ServerNameSecurity(h.SNI)
	h.Policy, h.Security = s.policy, s.security
	h.mismatch = mismatch(hello, s.policy)
	if no := h.certificate(hello, snap.Spec, host); no != nil {
		if h.mismatch != nil {
			// The client would get no further with the right name.
			no = h.mismatch
		}
		return nil, h.refuse(no)
	}
	s.cert = h.Certificate
	s.groups = cheaper(hello, s.policy)
	cfg, auth := l.configs.of(&s, hello.SupportedProtos)
	h.auth = auth
	return cfg, nil
}

// offered notes what the ClientHello offers. The slices are the hello's own,
// which nobody changes.
func (h *handshake) offered(hello *tls.ClientHelloInfo) {
	h.HelloSeen = true
	h.SNI = strings.ToLower(hello.ServerName)
	if len(h.SNI) > maxSNI {
		h.SNI = strings.Clone(h.SNI[:maxSNI])
	}
	h.OfferedVersions = hello.SupportedVersions
	h.OfferedCipherSuites = hello.CipherSuites
	h.OfferedALPN = hello.SupportedProtos
	h.OfferedExtensions = hello.Extensions
	h.OfferedCurves = plain(hello.SupportedCurves)
	h.OfferedSignatureSchemes = plain(hello.SignatureSchemes)
	if h.JA4 == "" { // else that of the outer hello, see echFor
		h.JA4 = ja4(hello)
	}
}

// plain returns the numbers of ids.
func plain[T ~uint16](ids []T) []uint16 {
	numbers := make([]uint16, len(ids))
	for i, id := range ids {
		numbers[i] = uint16(id)
	}
	return numbers
}

// certificate decides which certificate is served: one that the host's own
// Ingress names, else the default one where the table says so, never one of
// another owner.
func (h *handshake) certificate(hello *tls.ClientHelloInfo, spec *snapshot.Spec, host *snapshot.Host) *refusal {
	if host != nil {
		if host.TLS.Passthrough != "" {
			// The table has changed between the look ahead and now, or the hello has
			// a form that the look ahead does not read. What is to be passed through
			// is not terminated, whatever there is to do it with.
			return refuseNoCertificate
		}
		if h.Certificate = choose(hello, host.TLS); h.Certificate != nil {
			return nil
		}
	}
	if spec.UnknownSNI == snapshot.UnknownSNIDefaultCert && spec.DefaultCertificate != nil {
		h.Certificate, h.DefaultCertificate = spec.DefaultCertificate, true
		return nil
	}
	switch {
	case host != nil:
		return refuseNoCertificate
	case h.SNI == "":
		return refuseNoSNI
	}
	return refuseUnknownSNI
}

// refuse makes the error r of configFor reach the client as its own alert.
func (h *handshake) refuse(r *refusal) error {
	h.instead = r.alert
	return r
}

// alertOut looks at records on their way out for an alert in the clear. It notes
// the alert, and puts the one of a refusal in the place of crypto/tls's
// internal_error: no key is agreed on at that time, so the record is ours to
// write.
func (h *handshake) alertOut(p []byte) []byte {
	last := p
	for len(last) > 7 {
		// crypto/tls writes whole records, some of them at once.
		n := 5 + int(last[3])<<8 + int(last[4])
		if n >= len(last) {
			return p
		}
		last = last[n:]
	}
	a, ok := plainAlert(last)
	if !ok {
		return p
	}
	if h.instead != 0 && a == alertInternalError {
		a = h.instead
		p = append([]byte(nil), p...)
		p[len(p)-1] = byte(a)
	}
	h.sent, h.wasSent = a, true
	return p
}

// negotiated notes how far the two sides came.
func (h *handshake) negotiated(state tls.ConnectionState) {
	h.Version = state.Version
	h.CipherSuite = state.CipherSuite
	h.Curve = uint16(state.CurveID)
	h.ALPN = state.NegotiatedProtocol
	h.Resumed = state.DidResume
	h.HelloRetried = state.HelloRetryRequest
	h.ECHAccepted = state.ECHAccepted
	if len(state.PeerCertificates) > 0 {
		h.ClientCertificate = clientCertificate(state.PeerCertificates[0])
	}
}

// identify notes what the client's certificate is worth, once the handshake is
// done. One that was not good enough got this far only if that is answered over
// HTTP, or to be told to the backend.
func (h *handshake) identify(state tls.ConnectionState) {
	if h.auth == nil {
		return
	}
	h.ClientVerdict = outcome.OK
	if h.auth.refuses() {
		if h.ClientCertificate == nil {
			h.ClientVerdict = outcome.ClientCertMissing
		}
	} else if no := h.auth.verify(state.PeerCertificates, time.Now()); no != nil {
		h.ClientVerdict = no.reason
		if h.ClientCertificate != nil {
			h.ClientCertificate.VerifyErr = no.Error()
		}
	}
	if h.ClientCertificate != nil {
		h.ClientCertificate.Verified = h.ClientVerdict == outcome.OK
	}
}

// offended notes the client certificate that was not accepted.
func (h *handshake) offended(err error) {
	if r, ok := errors.AsType[*refusal](err); ok && h.ClientCertificate != nil {
		h.ClientCertificate.VerifyErr = r.Error()
		return
	}
	v, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(v.UnverifiedCertificates) == 0 {
		return
	}
	h.ClientCertificate = clientCertificate(v.UnverifiedCertificates[0])
	h.ClientCertificate.VerifyErr = v.Err.Error()
}

// explain notes what the log tells of a failure besides its reason.
func (h *handshake) explain(err error, f failure) {
	if !h.HelloSeen && h.seen > 0 && f.reason != outcome.NotTLSHTTP {
		h.FirstBytes = h.first[:h.seen]
	}
	if h.wasSent {
		h.AlertSent = h.sent.String()
	} else if a, ok := sealedAlertFor(err, h.Version); ok {
		h.AlertSent = a.String()
	}
}

func clientCertificate(leaf *x509.Certificate) *outcome.ClientCertificate {
	sum := sha256.Sum256(leaf.Raw)
	c := &outcome.ClientCertificate{
		Subject:    leaf.Subject.String(),
		Issuer:     leaf.Issuer.String(),
		Serial:     leaf.SerialNumber.Text(16),
		Digest:     hex.EncodeToString(sum[:]),
		NotBefore:  leaf.NotBefore,
		NotAfter:   leaf.NotAfter,
		DNSNames:   leaf.DNSNames,
		EmailNames: leaf.EmailAddresses,
		Raw:        leaf.Raw,
	}
	for _, u := range leaf.URIs {
		c.URINames = append(c.URINames, u.String())
	}
	for _, ip := range leaf.IPAddresses {
		c.IPNames = append(c.IPNames, ip.String())
	}
	return c
}
