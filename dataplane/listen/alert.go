package listen

import (
	"crypto/tls"
	"errors"
	"strconv"
	"strings"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// An alert is the description of a TLS alert (RFC 8446 §6).
type alert uint8

const (
	alertCloseNotify         alert = 0
	alertHandshakeFailure    alert = 40
	alertBadCertificate      alert = 42
	alertCertificateExpired  alert = 45
	alertUnknownCA           alert = 48
	alertDecodeError         alert = 50
	alertUserCanceled        alert = 90
	alertProtocolVersion     alert = 70
	alertInternalError       alert = 80
	alertInappropriate       alert = 86
	alertUnrecognizedName    alert = 112
	alertCertificateRequired alert = 116
	alertNoProtocol          alert = 120
)

// alertNames are the names of RFC 8446 §6 and of the RFCs that it obsoletes.
var alertNames = map[alert]string{
	0:   "close_notify",
	10:  "unexpected_message",
	20:  "bad_record_mac",
	21:  "decryption_failed",
	22:  "record_overflow",
	30:  "decompression_failure",
	40:  "handshake_failure",
	41:  "no_certificate",
	42:  "bad_certificate",
	43:  "unsupported_certificate",
	44:  "certificate_revoked",
	45:  "certificate_expired",
	46:  "certificate_unknown",
	47:  "illegal_parameter",
	48:  "unknown_ca",
	49:  "access_denied",
	50:  "decode_error",
	51:  "decrypt_error",
	60:  "export_restriction",
	70:  "protocol_version",
	71:  "insufficient_security",
	80:  "internal_error",
	86:  "inappropriate_fallback",
	90:  "user_canceled",
	100: "no_renegotiation",
	109: "missing_extension",
	110: "unsupported_extension",
	111: "certificate_unobtainable",
	112: "unrecognized_name",
	113: "bad_certificate_status_response",
	114: "bad_certificate_hash_value",
	115: "unknown_psk_identity",
	116: "certificate_required",
	120: "no_application_protocol",
	121: "ech_required",
}

// String returns the name, or "alert_99" for one that has none.
func (a alert) String() string {
	if s, ok := alertNames[a]; ok {
		return s
	}
	return "alert_" + strconv.Itoa(int(a))
}

// alertReasons has a reason of its own for what clients really send.
var alertReasons = map[alert]outcome.Reason{
	40: outcome.AlertHandshake,
	42: outcome.AlertBadCertificate,
	43: outcome.AlertUnsupported,
	44: outcome.AlertRevoked,
	45: outcome.AlertExpired,
	46: outcome.AlertCertUnknown,
	48: outcome.AlertUnknownCA,
	70: outcome.AlertVersion,
	90: outcome.AlertUserCanceled,
	// RFC 9849 §11.2.
	121: outcome.AlertECHRequired,
}

// reason is the reason for a handshake that the client ended with a.
func (a alert) reason() outcome.Reason {
	if r, ok := alertReasons[a]; ok {
		return r
	}
	return outcome.AlertOther
}

// sealedAlertFor returns the alert that crypto/tls sent for err when it no longer
// sends in the clear: TLS 1.3 encrypts what follows the ServerHello, and the
// error says the same. A test holds it to what the client receives.
func sealedAlertFor(err error, version uint16) (alert, bool) {
	if version != tls.VersionTLS13 {
		return 0, false
	}
	if v, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		switch clientCertReason(v.Err) {
		case outcome.ClientCertUnknownCA:
			return alertUnknownCA, true
		case outcome.ClientCertExpired:
			return alertCertificateExpired, true
		}
		return alertBadCertificate, true
	}
	if _, ok := errors.AsType[*refusal](err); ok {
		// Ours, of VerifyConnection: crypto/tls has one alert for all of them.
		return alertBadCertificate, true
	}
	switch text := err.Error(); {
	case strings.Contains(text, "client didn't provide a certificate"):
		return alertCertificateRequired, true
	case strings.Contains(text, "failed to parse client certificate"):
		return alertDecodeError, true
	}
	return 0, false
}

// alertTexts gives the alert behind an error text of crypto/tls, whose alert type
// is not exported; tls.AlertError shares its texts.
var alertTexts = func() map[string]alert {
	m := make(map[string]alert, 256)
	for a := range 256 {
		m[tls.AlertError(a).Error()] = alert(a)
	}
	return m
}()

// plainAlert returns the alert in p if p is one unencrypted alert record: type
// 21, version, length 2, level, description. An encrypted one is longer, or of
// another type.
func plainAlert(p []byte) (alert, bool) {
	if len(p) == 7 && p[0] == 21 && p[3] == 0 && p[4] == 2 {
		return alert(p[6]), true
	}
	return 0, false
}

// records follows the records that a client sends, for the alerts in the clear
// among them.
//
// crypto/tls cannot read all of those. RFC 8446 §6: "Alert messages convey a
// description of the alert … Like other messages, alert messages are encrypted as
// specified by the current connection state." OpenSSL, when it does not like the
// server's certificate, still sends its TLS 1.3 alert in the clear, because it
// takes up its handshake key only with its next flight; crypto/tls then tries to
// decrypt it and reports a bad record MAC. An encrypted TLS 1.3 record has the
// outer type 23, so a record of type 21 is always what it says.
type records struct {
	// head is the record's header and, of an alert, its body; have is how much of
	// it there is.
	head [7]byte
	have int
	// skip is how much of the record's body is still to come.
	skip int

	// alert is the first one, if alerted: a close_notify often follows.
	alert   alert
	alerted bool
}

// feed takes the next bytes of the connection, cut anywhere.
func (r *records) feed(p []byte) {
	for len(p) > 0 {
		if r.skip > 0 {
			n := min(r.skip, len(p))
			p, r.skip = p[n:], r.skip-n
			continue
		}
		r.head[r.have] = p[0]
		p, r.have = p[1:], r.have+1
		length := int(r.head[3])<<8 | int(r.head[4])
		switch isAlert := r.head[0] == 21 && length == 2; {
		case r.have < 5 || isAlert && r.have < 7:
			continue
		case isAlert && !r.alerted:
			r.alert, r.alerted = alert(r.head[6]), true
		case isAlert:
		default:
			r.skip = length
		}
		r.have = 0
	}
}
