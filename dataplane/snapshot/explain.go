package snapshot

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// explain turns what crypto/tls says of a pair that it does not take into what its
// owner can do. OpenSSL takes more than Go does, and those who come from it meet
// errors that name neither the piece nor the remedy. The texts of crypto/x509 that
// are looked for are pinned by a test.
func explain(err error, keyPEM []byte) error {
	if name := keyAlgorithm(keyPEM); name != "" {
		return fmt.Errorf("tls.key is a key of the kind %s, which Go does not support; issue the certificate anew for an ECDSA key (P-256) or an RSA key (rsaEncryption)", name)
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "negative serial number"):
		return errors.New("tls.crt has a negative serial number, which RFC 5280 §4.1.2.2 forbids and Go refuses; issue it anew")
	case strings.Contains(text, "invalid ECDSA parameters"):
		return errors.New("tls.crt writes out the parameters of its curve instead of naming it, which RFC 5480 §2.1.1 forbids; issue it anew with a named curve")
	case strings.Contains(text, "unsupported elliptic curve"), strings.Contains(text, "unknown elliptic curve"):
		return errors.New("tls.crt or tls.key is on an elliptic curve that Go does not support; issue the certificate anew for P-256")
	}
	return fmt.Errorf("tls.crt and tls.key: %s", strings.TrimPrefix(text, "tls: "))
}

// The algorithms of keys in PKCS #8 that OpenSSL makes and Go does not read.
var foreignKeys = map[string]string{
	"1.2.840.113549.1.1.10": "RSA-PSS",
	"1.3.101.113":           "Ed448",
	"1.2.840.10040.4.1":     "DSA",
}

// keyAlgorithm returns the name of the algorithm of the key in keyPEM if it is one
// that Go does not read; "" if not. It looks at nothing but the identifier.
func keyAlgorithm(keyPEM []byte) string {
	for {
		var block *pem.Block
		if block, keyPEM = pem.Decode(keyPEM); block == nil {
			return ""
		}
		// RFC 5958 §2: version, algorithm identifier, key.
		var info struct {
			Version   int
			Algorithm struct {
				ID         asn1.ObjectIdentifier
				Parameters asn1.RawValue `asn1:"optional"`
			}
			PrivateKey asn1.RawValue
		}
		if _, err := asn1.Unmarshal(block.Bytes, &info); err == nil {
			return foreignKeys[info.Algorithm.ID.String()]
		}
	}
}

// NamedByCommonName reports whether a certificate can be for a host by its common
// name alone. OpenSSL accepts that, Go does not (RFC 9525 §2: "The Common Name RDN
// MUST NOT be used to identify a service").
func NamedByCommonName(c *x509.Certificate) bool {
	return c.Subject.CommonName != "" && len(c.DNSNames)+len(c.IPAddresses)+len(c.URIs)+len(c.EmailAddresses) == 0
}

// AltName returns the subject alternative name that a certificate for name needs, as
// OpenSSL writes it: "DNS:web.shop.svc", "IP:192.0.2.1".
func AltName(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return "IP:" + name
	}
	return "DNS:" + name
}

// minRSABits is the least that crypto/rsa signs with.
const minRSABits = 1024

// unusable says why a pair that was parsed cannot be served.
func unusable(leaf *x509.Certificate) error {
	bits := RSABits(leaf)
	if bits > 0 && bits < minRSABits {
		return fmt.Errorf("tls.key is an RSA key of %d bits, and Go refuses to sign with less than %d; issue the certificate anew for an ECDSA key (P-256)", bits, minRSABits)
	}
	return nil
}

// RSABits returns the size of the RSA key of a certificate; 0 if it has another.
func RSABits(c *x509.Certificate) int {
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok {
		return key.N.BitLen()
	}
	return 0
}
