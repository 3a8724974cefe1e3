package observe

import (
	"crypto/tls"
	"slices"
	"strconv"
	"strings"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// logHandshake writes the handshake log record of a connection, with the fields
// of only; nil means all.
func (o *Observer) logHandshake(h *outcome.Handshake, only map[string]bool) {
	at := h.Conn.Accepted.Add(h.Duration)
	e := newRecord(o.cfg.Format, "handshake", at)
	e.int("conn", int64(h.Conn.ID))
	e.only = only
	e.str("listener", h.Conn.Listener)
	e.addr("remote", h.Conn.Remote)
	e.addr("local", h.Conn.Local)
	e.addr("proxy", h.Conn.Proxy)
	e.str("result", string(h.Result))
	e.str("reason", string(h.Reason))
	e.str("err", h.Err)
	e.str("alert", h.Alert)
	e.str("alert_sent", h.AlertSent)
	e.seconds("duration_seconds", h.Duration)
	e.int("bytes_in", h.BytesIn)
	e.int("bytes_out", h.BytesOut)

	e.flag("hello", h.HelloSeen)
	e.octets("first_bytes", h.FirstBytes)
	e.str("ja4", h.JA4)
	e.str("sni", h.SNI)
	e.str("host", h.Host)
	e.object("ingress", &h.Ingress)
	e.str("field", h.Ingress.Field)
	if h.Result != outcome.Done {
		// What the client offered explains a failure and nothing else.
		e.list("offered_versions", len(h.OfferedVersions), func(i int) string { return versionName(h.OfferedVersions[i]) })
		e.list("offered_ciphers", len(h.OfferedCipherSuites), func(i int) string { return cipherName(h.OfferedCipherSuites[i]) })
		e.list("offered_curves", len(h.OfferedCurves), func(i int) string { return curveName(h.OfferedCurves[i]) })
		e.list("offered_schemes", len(h.OfferedSignatureSchemes), func(i int) string { return schemeName(h.OfferedSignatureSchemes[i]) })
		e.list("offered_extensions", len(h.OfferedExtensions), func(i int) string { return strconv.Itoa(int(h.OfferedExtensions[i])) })
		e.list("offered_alpn", len(h.OfferedALPN), func(i int) string { return h.OfferedALPN[i] })
	}

	if h.Policy != nil {
		e.str("policy", h.Policy.Name)
	}
	e.str("pool", h.Pool)
	e.addr("endpoint", h.Endpoint)
	if h.Attempts > 0 {
		e.int("attempts", int64(h.Attempts))
	}
	e.str("version", versionName(h.Version))
	e.str("cipher", cipherName(h.CipherSuite))
	e.str("curve", curveName(h.Curve))
	e.str("alpn", h.ALPN)
	e.flag("resumed", h.Resumed)
	e.flag("hello_retried", h.HelloRetried)
	e.str("ech", ech(h))
	if c := h.Certificate; c != nil {
		e.str("cert", c.ID())
		e.str("cert_serial", c.Serial)
		e.str("cert_key", c.KeyType())
		e.time("cert_not_before", c.NotBefore)
		e.time("cert_not_after", c.NotAfter)
	}
	e.flag("default_cert", h.DefaultCertificate)
	if c := h.ClientCertificate; c != nil {
		e.str("client_subject", c.Subject)
		e.str("client_issuer", c.Issuer)
		e.str("client_serial", c.Serial)
		e.str("client_cert", c.Digest)
		e.time("client_not_before", c.NotBefore)
		e.time("client_not_after", c.NotAfter)
		e.list("client_dns", len(c.DNSNames), func(i int) string { return c.DNSNames[i] })
		e.list("client_uri", len(c.URINames), func(i int) string { return c.URINames[i] })
		e.list("client_email", len(c.EmailNames), func(i int) string { return c.EmailNames[i] })
		e.list("client_ip", len(c.IPNames), func(i int) string { return c.IPNames[i] })
		e.flag("client_verified", c.Verified)
		e.str("client_verify_err", c.VerifyErr)
	}
	e.done(o.handshake)
}

// handshakeFields are the names of the fields in a record of the handshake log,
// without those that are always there: time, log and conn.
var handshakeFields = []string{
	"listener", "remote", "local", "proxy", "result", "reason", "err", "alert", "alert_sent", "duration_seconds", "bytes_in", "bytes_out",
	"hello", "first_bytes", "ja4", "sni", "host", "ingress", "field",
	"offered_versions", "offered_ciphers", "offered_curves", "offered_schemes", "offered_extensions", "offered_alpn",
	"pool", "endpoint", "attempts", "policy", "version", "cipher", "curve", "alpn", "resumed", "hello_retried", "ech",
	"cert", "cert_serial", "cert_key", "cert_not_before", "cert_not_after", "default_cert",
	"client_subject", "client_issuer", "client_serial", "client_cert", "client_not_before", "client_not_after",
	"client_dns", "client_uri", "client_email", "client_ip", "client_verified", "client_verify_err",
}

// HandshakeFields returns the names of the fields that [HandshakeLog] can name, in
// the order in which a record has them.
func HandshakeFields() []string { return slices.Clone(handshakeFields) }

// cipherName returns "TLS_AES_128_GCM_SHA256" and the like, a number for suites
// that crypto/tls does not know (GREASE among them), "" for none.
func cipherName(id uint16) string {
	if id == 0 {
		return ""
	}
	if name, ok := cipherNames[id]; ok {
		return name
	}
	return tls.CipherSuiteName(id)
}

// cipherNames spares tls.CipherSuiteName, which builds its lists for each call.
var cipherNames = func() map[uint16]string {
	names := map[uint16]string{}
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		names[s.ID] = s.Name
	}
	return names
}()

// curveName returns "X25519" and the like, a number for groups that crypto/tls
// does not know, "" for none.
func curveName(id uint16) string {
	if id == 0 {
		return ""
	}
	switch c := tls.CurveID(id); c {
	case tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519, tls.X25519MLKEM768,
		tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024:
		return c.String()
	}
	return number(id)
}

// schemeName returns "ECDSAWithP256AndSHA256" and the like, a number for schemes
// that crypto/tls does not know.
func schemeName(id uint16) string {
	if name := tls.SignatureScheme(id).String(); !strings.HasPrefix(name, "SignatureScheme(") {
		return name
	}
	return number(id)
}

// number returns four hex digits.
func number(id uint16) string {
	return "0x" + strconv.FormatUint(uint64(id)|1<<16, 16)[1:]
}

// ech says what became of an encrypted ClientHello, "" if none was sent.
func ech(h *outcome.Handshake) string {
	switch {
	case h.ECHAccepted:
		return "accepted"
	case h.ECHOffered:
		return "offered"
	}
	return ""
}
