package snapshot

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"
)

// A Certificate is a chain with its private key, and what is asked of it time and
// again. It is immutable.
//
// The parsed form of a leaf is several times as large as the leaf itself, and no
// handshake looks at it, so that it is not kept: see [Certificate.Leaf].
type Certificate struct {
	// Origin is the Secret or file it comes from.
	Origin Origin
	// TLS is ready for crypto/tls: chain and key. Do not print it: it holds the
	// private key. String and GoString of Certificate never do.
	TLS *tls.Certificate
	// Digest is the SHA-256 of the leaf in hex.
	Digest string
	// Bundle is the SHA-256, in hex, of the PEM it was parsed from (certificate,
	// a zero byte, key): equal for equal content and nothing else.
	Bundle string
	// NotBefore and NotAfter are the validity of the leaf, in UTC, both included.
	NotBefore, NotAfter time.Time
	// Serial is the serial number of the leaf in hex.
	Serial string
	// DNSNames are those of the leaf's subjectAltName.
	DNSNames []string
	// RSABits is the size of the leaf's RSA key; 0 if its key is of another type.
	RSABits int
	// MustStaple says that the leaf demands a stapled OCSP response (RFC 7633).
	MustStaple bool

	algorithm x509.PublicKeyAlgorithm
	// chain keeps the intermediates of TLS shared for as long as c lives.
	chain []*intermediate
}

// NewCertificate returns the certificate of a pair whose leaf the caller has
// parsed. The pair belongs to it from then on; its bundle is not known.
func NewCertificate(origin Origin, pair *tls.Certificate, leaf *x509.Certificate) *Certificate {
	sum := sha256.Sum256(leaf.Raw)
	c := &Certificate{
		Origin:     origin,
		TLS:        pair,
		Digest:     hexText(sum[:]),
		NotBefore:  leaf.NotBefore,
		NotAfter:   leaf.NotAfter,
		DNSNames:   slices.Clip(leaf.DNSNames),
		RSABits:    RSABits(leaf),
		MustStaple: mustStaple(leaf),
		algorithm:  leaf.PublicKeyAlgorithm,
	}
	if leaf.SerialNumber != nil {
		c.Serial = leaf.SerialNumber.Text(16)
	}
	return c
}

// Leaf returns the leaf, which it parses: some ten microseconds and a few KiB.
func (c *Certificate) Leaf() *x509.Certificate {
	if c.TLS.Leaf != nil {
		return c.TLS.Leaf
	}
	leaf, err := x509.ParseCertificate(c.TLS.Certificate[0])
	if err != nil {
		panic("snapshot: a leaf that was parsed before: " + err.Error())
	}
	return leaf
}

// Covers reports whether a client that asks for host accepts the names of c. A
// wildcard host needs the same wildcard.
func (c *Certificate) Covers(host string) bool {
	if strings.HasPrefix(host, "*.") {
		return slices.ContainsFunc(c.DNSNames, func(name string) bool { return strings.EqualFold(name, host) })
	}
	if !addressLike(host) && slices.ContainsFunc(c.DNSNames, func(name string) bool { return strings.EqualFold(name, host) }) {
		return true // as nearly always, and VerifyHostname would say so at some length
	}
	leaf := x509.Certificate{DNSNames: c.DNSNames}
	return leaf.VerifyHostname(host) == nil
}

// addressLike reports whether host may be an IP address, or is empty. No DNS name
// under a real top-level domain ends with a digit.
func addressLike(host string) bool {
	return host == "" || strings.Contains(host, ":") || '0' <= host[len(host)-1] && host[len(host)-1] <= '9'
}

// ID returns "namespace/name#digest": what names a served certificate in logs.
func (c *Certificate) ID() string {
	return c.Origin.Namespace + "/" + c.Origin.Name + "#" + c.Digest
}

// KeyType returns "ECDSA", "RSA" or "Ed25519".
func (c *Certificate) KeyType() string { return c.algorithm.String() }

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
	var sum [sha256.Size]byte
	return hexText(h.Sum(sum[:0]))
}

// hexText is hex.EncodeToString without its copy.
func hexText(sum []byte) string {
	var text [2 * sha256.Size]byte
	return string(text[:hex.Encode(text[:], sum)])
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
	pair, ok := quickPair(certPEM, keyPEM)
	if !ok {
		if encryptedKey(keyPEM) {
			return nil, errors.New("tls.key is encrypted; Cardea needs an unencrypted PEM private key")
		}
		var err error
		if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
			return nil, explain(err, keyPEM)
		}
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
	leaf := pair.Leaf
	pair.Leaf = nil
	c := NewCertificate(origin, &pair, leaf)
	c.Bundle, c.chain = BundleDigest(certPEM, keyPEM), chain
	return c, nil
}

// quickPair is tls.X509KeyPair for a pair that is in order and whose key is of the
// kind that its PEM says. X509KeyPair tries all kinds, one after the other, which
// for ECDSA makes as many errors as the key is parsed from pieces. Whatever is not
// in order is left to it, so that all errors are its own.
func quickPair(certPEM, keyPEM []byte) (pair tls.Certificate, ok bool) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return pair, false
	}
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		pair.PrivateKey, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		pair.PrivateKey, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		pair.PrivateKey, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return pair, false
	}
	if err != nil {
		return pair, false
	}
	for block, certPEM = pem.Decode(certPEM); block != nil; block, certPEM = pem.Decode(certPEM) {
		if block.Type == "CERTIFICATE" {
			pair.Certificate = append(pair.Certificate, block.Bytes)
		}
	}
	if len(pair.Certificate) == 0 {
		return pair, false
	}
	if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return pair, false
	}
	key, signs := pair.PrivateKey.(crypto.Signer)
	if !signs {
		return pair, false
	}
	switch public := pair.Leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		ok = public.Equal(key.Public())
	case *rsa.PublicKey:
		ok = public.Equal(key.Public())
	case ed25519.PublicKey:
		ok = public.Equal(key.Public())
	}
	return pair, ok
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
