package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A failure is what is known of a handshake that did not succeed.
type failure struct {
	reason outcome.Reason
	err    string
	// alert is what the client sent, if alerted.
	alert   alert
	alerted bool
}

// crypto/tls puts an alert into a *net.OpError: one that came as a "remote
// error", one that it sent, if it has nothing better to say, as a "local error".
const (
	opRemoteAlert = "remote error"
	opLocalAlert  = "local error"
)

// classify says why the handshake failed with err. What can be told from the
// bytes seen, from the ClientHello or from the alert that was sent is told from
// there. Texts are the last resort; a test holds each to the Go version.
func (c *conn) classify(err error) failure {
	h := c.hs
	f := failureOf(err)
	switch {
	case c.l.cutting.Load():
		f.reason = outcome.Shutdown
	case isTimeout(err):
		f.reason = outcome.TimeoutPartial
		if h.HelloSeen {
			f.reason = outcome.TimeoutHandshake
		} else if !h.begun {
			f.reason = outcome.TimeoutSilent
		}
	case h.records.alerted && !f.alerted && (f.reason == outcome.BadHello || h.records.alert == alertUserCanceled && left(f.reason)):
		// crypto/tls did not understand the alert, or passed over it and the client
		// meant it.
		f.alert, f.alerted = h.records.alert, true
		f.err = opRemoteAlert + ": " + f.alert.String()
		if f.reason = f.alert.reason(); f.alert == alertCloseNotify {
			f.reason = outcome.EOF
		}
	case f.reason != "":
	case !h.HelloSeen:
		f.reason = outcome.BadHello
	default:
		f.reason = h.unmet(err)
	}
	return f
}

// left reports whether a handshake that failed for that reason was ended by a client
// that left.
func left(reason outcome.Reason) bool { return reason == outcome.EOF || reason == outcome.Reset }

// failureOf is what err says by its type alone; reason is "" if it says nothing.
func failureOf(err error) failure {
	f := failure{err: err.Error()}
	if r, ok := errors.AsType[*refusal](err); ok {
		f.reason = r.reason
		return f
	}
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		f.reason = notTLS(header)
		return f
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		f.reason = clientCertReason(cert.Err)
		return f
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		switch op.Op {
		case opRemoteAlert:
			f.alert, f.alerted = alertTexts[op.Err.Error()]
			f.reason = f.alert.reason()
			return f
		case opLocalAlert:
			f.reason = outcome.BadHello
			if alertTexts[op.Err.Error()] == alertInternalError {
				f.reason = outcome.HandshakeInternal
			}
			return f
		}
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.reason = outcome.EOF
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		f.reason = outcome.Reset
	}
	return f
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// notTLS names a record whose header is none. crypto/tls gives the connection
// with the error only if it is the first one and does not look like TLS at all.
func notTLS(e tls.RecordHeaderError) outcome.Reason {
	switch {
	case e.RecordHeader[0] == 0x80:
		// An SSLv2 ClientHello, by the check of crypto/tls.
		return outcome.Version
	case e.Conn == nil:
		return outcome.BadHello
	case speaksHTTP(e.RecordHeader):
		return outcome.NotTLSHTTP
	}
	return outcome.NotTLS
}

func clientCertReason(err error) outcome.Reason {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return outcome.ClientCertUnknownCA
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			return outcome.ClientCertExpired
		case x509.IncompatibleUsage:
			return outcome.ClientCertUsage
		}
	}
	return outcome.ClientCertInvalid
}

// unmet says what crypto/tls found missing in a complete ClientHello, or in what
// followed it.
func (h *handshake) unmet(err error) outcome.Reason {
	text := err.Error()
	switch {
	case strings.Contains(text, "client didn't provide a certificate"):
		return outcome.ClientCertMissing
	case strings.Contains(text, "signature algorithms"):
		// The suites are common, but the client cannot check the signature of a
		// certificate of this key type.
		return outcome.Cipher
	}
	if h.mismatch != nil && h.sent != alertInternalError {
		return h.mismatch.reason
	}
	switch h.sent {
	case alertNoProtocol:
		return outcome.ALPN
	case alertProtocolVersion, alertInappropriate:
		return outcome.Version
	case alertInternalError:
		return outcome.HandshakeInternal
	case alertUnrecognizedName:
		return outcome.NoCertificate
	case alertCertificateRequired:
		return outcome.ClientCertMissing
	case alertHandshakeFailure:
		switch {
		case strings.Contains(text, "no cipher suite"):
			// There are common suites, but none for the certificate's key type.
			return outcome.Cipher
		case strings.Contains(text, "key exchanges"):
			return outcome.Curve
		}
		return outcome.BadHello
	}
	if strings.Contains(text, "internal error") || strings.Contains(text, "failed to sign") || !strings.HasPrefix(text, "tls: ") {
		return outcome.HandshakeInternal
	}
	return outcome.BadHello
}
