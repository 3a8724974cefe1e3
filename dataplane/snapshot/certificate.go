package snapshot

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
)

// A Certificate is a chain with its private key, parsed once. It is immutable.
type Certificate struct {
	// Origin is the Secret or file it comes from.
	Origin Origin
	// TLS is ready for crypto/tls: chain, key and parsed leaf. Do not print it:
	// it holds the private key. String and GoString of Certificate never do.
	TLS *tls.Certificate
	// Digest is the SHA-256 of the leaf in hex.
	Digest string
	// Bundle is the SHA-256, in hex, of the PEM it was parsed from (certificate,
	// a zero byte, key): equal for equal content and nothing else.
	Bundle string
	// chain keeps the intermediates of TLS shared for as long as c lives.
	chain []*intermediate
}

// Leaf returns the leaf certificate.
func (c *Certificate) Leaf() *x509.Certificate { return c.TLS.Leaf }

// ID returns "namespace/name#digest": what names a served certificate in logs.
func (c *Certificate) ID() string {
	return c.Origin.Namespace + "/" + c.Origin.Name + "#" + c.Digest
}

// KeyType returns "ECDSA", "RSA" or "Ed25519".
func (c *Certificate) KeyType() string { return c.TLS.Leaf.PublicKeyAlgorithm.String() }

// String returns the ID and never key material.
func (c *Certificate) String() string { return c.ID() }

// GoString is String, so that %#v cannot print the key.
func (c *Certificate) GoString() string { return c.ID() }

// MarshalText is String, so that no encoder writes the key.
func (c *Certificate) MarshalText() ([]byte, error) { return []byte(c.ID()), nil }

// BundleDigest is the content hash that [Certificate.Bundle] holds.
func BundleDigest(certPEM, keyPEM []byte) string {
	h := sha256.New()
	h.Write(certPEM)
	h.Write([]byte{0})
	h.Write(keyPEM)
	return hex.EncodeToString(h.Sum(nil))
}

// ParseCertificate parses a PEM chain (leaf first) and its PEM private key and
// checks that they belong together. It does not look at the validity dates. The
// error is for the owner of the object: it names the key ("tls.crt", "tls.key")
// and never quotes its content.
func ParseCertificate(origin Origin, certPEM, keyPEM []byte) (*Certificate, error) {
	if len(certPEM) == 0 {
		return nil, errors.New("tls.crt is empty")
	}
	if len(keyPEM) == 0 {
		return nil, errors.New("tls.key is empty")
	}
	if encryptedKey(keyPEM) {
		return nil, errors.New("tls.key is encrypted; Cardea needs an unencrypted PEM private key")
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, explain(err, keyPEM)
	}
	if err := unusable(pair.Leaf); err != nil {
		return nil, err
	}
	var chain []*intermediate
	for i, der := range pair.Certificate[1:] {
		shared := intern(der)
		chain = append(chain, shared)
		pair.Certificate[i+1] = shared.der
	}
	sum := sha256.Sum256(pair.Certificate[0])
	return &Certificate{
		Origin: origin,
		TLS:    &pair,
		Digest: hex.EncodeToString(sum[:]),
		Bundle: BundleDigest(certPEM, keyPEM),
		chain:  chain,
	}, nil
}

// encryptedKey reports whether keyPEM holds an encrypted key, in the form of
// PKCS #8 or in the older one of RFC 1421; other blocks may come before it.
func encryptedKey(keyPEM []byte) bool {
	for {
		var block *pem.Block
		block, keyPEM = pem.Decode(keyPEM)
		switch {
		case block == nil:
			return false
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return true
		}
	}
}
