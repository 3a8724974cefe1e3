package listen

import (
	"crypto/tls"
	"sync"
	"time"
)

// Staples are the OCSP responses that listeners send along with certificates (RFC
// 6066 §8, RFC 8446 §4.4.2.1). They change while the Configs that use them do not.
// The zero value holds none. All methods may be called from any goroutine.
type Staples struct {
	byDigest sync.Map // string to *staple
}

type staple struct {
	der   []byte
	until time.Time
}

// Set staples der to the certificate with that [snapshot.Certificate.Digest], but
// no longer than until.
func (s *Staples) Set(digest string, der []byte, until time.Time) {
	s.byDigest.Store(digest, &staple{der, until})
}

// Remove ends that.
func (s *Staples) Remove(digest string) { s.byDigest.Delete(digest) }

// certificate returns the function that gives crypto/tls the certificate with that
// digest and what is stapled to it now.
func (s *Staples) certificate(plain *tls.Certificate, digest string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		v, ok := s.byDigest.Load(digest)
		if !ok || !v.(*staple).until.After(time.Now()) {
			return plain, nil
		}
		stapled := *plain
		stapled.OCSPStaple = v.(*staple).der
		return &stapled, nil
	}
}
