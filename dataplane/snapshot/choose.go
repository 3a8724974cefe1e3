package snapshot

import (
	"crypto/tls"
	"crypto/x509"
)

// Choose returns the certificate for a client: of those that it supports the one
// whose signature costs least (ECDSA and Ed25519 before RSA, by a factor of
// thirty), else in the order given. It returns the first one if the client
// supports none, so that the handshake fails for the true reason and the outcome
// can name the certificate, and nil if there are none. It does not allocate.
func (t *TLS) Choose(hello *tls.ClientHelloInfo) *Certificate {
	switch len(t.Certificates) {
	case 0:
		return nil
	case 1:
		return t.Certificates[0]
	}
	var fits *Certificate
	for _, c := range t.Certificates {
		if fits != nil && signCost(c) >= signCost(fits) {
			continue
		}
		if hello.SupportsCertificate(c.TLS) == nil {
			fits = c
		}
	}
	if fits == nil {
		return t.Certificates[0]
	}
	return fits
}

// signCost orders keys by what a signature costs the server.
func signCost(c *Certificate) int {
	switch c.TLS.Leaf.PublicKeyAlgorithm {
	case x509.ECDSA:
		return 0
	case x509.Ed25519:
		return 1
	}
	return 2
}
