package listen

import (
	"crypto/tls"
	"strconv"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// An alert is the description of a TLS alert (RFC 8446 §6).
type alert uint8

const (
	alertHandshakeFailure    alert = 40
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
}

// reason is the reason for a handshake that the client ended with a.
func (a alert) reason() outcome.Reason {
	if r, ok := alertReasons[a]; ok {
		return r
	}
	return outcome.AlertOther
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
