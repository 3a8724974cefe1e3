package listen

import (
	"crypto/tls"
	"slices"
	"sync/atomic"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// ECH is Encrypted ClientHello (RFC 9849). A client sends an outer ClientHello
// that names a public name, and in it, encrypted, the one that it means. crypto/tls
// asks for the keys twice:
//
//   - the Config of the listener, with the outer hello, to decrypt. If that
//     succeeds, configFor sees the inner hello alone; if not, the outer one, and
//     the client gets the certificate of the public name;
//   - the Config that configFor returned, once the handshake has gone that far,
//     for the configurations that a client is told of whose hello could not be
//     decrypted. It verifies them by the certificate, ends the handshake with the
//     alert ech_required, and comes again.
//
// Many clients send an extension of random bytes to those who have no keys
// (GREASE, RFC 9849 §6.2). Nothing tells it from a hello for a key that is gone.

// extECH is the number of the extension.
const extECH = 0xfe0d

// echKeys is the cell of the keys in force.
type echKeys struct {
	atomic.Pointer[[]tls.EncryptedClientHelloKey]
}

// get returns the keys, never nil: to crypto/tls that would be an error.
func (k *echKeys) get() []tls.EncryptedClientHelloKey {
	if list := k.Load(); list != nil {
		return *list
	}
	return []tls.EncryptedClientHelloKey{}
}

// SetECHKeys replaces the keys of Encrypted ClientHello, at once and for all
// handshakes that follow. There are none at the beginning.
func (l *Listener) SetECHKeys(keys *snapshot.ECHKeys) {
	if l.cfg.TLS {
		list := keys.TLS()
		l.configs.ech.Store(&list)
	}
}

// echFor is called by crypto/tls with an outer ClientHello.
func (l *Listener) echFor(hello *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	hello.Conn.(*conn).hs.outer(hello)
	return l.configs.ech.get(), nil
}

// retryWith is called by crypto/tls for the configurations to try again with.
func (cs *configs) retryWith(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	return cs.ech.get(), nil
}

// outer notes of the outer ClientHello what is not noted of the one in it: the
// fingerprint, so that it is the one that everybody on the way sees.
func (h *handshake) outer(hello *tls.ClientHelloInfo) {
	h.JA4 = ja4(hello)
	h.ECHOffered = slices.Contains(hello.Extensions, extECH)
}
