package snapshot

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// ECHKeys are the keys by which clients encrypt their ClientHello (RFC 9849). All
// replicas must hold the same. The zero value turns it off.
type ECHKeys struct {
	// Current is the key whose configuration a client is sent that used another
	// one, to try again with.
	Current *ECHKey
	// Others decrypt only: those that clients may still know of, and the one that
	// they will be told of next.
	Others []*ECHKey
}

// TLS returns the keys as crypto/tls takes them, never nil.
func (k *ECHKeys) TLS() []tls.EncryptedClientHelloKey {
	list := []tls.EncryptedClientHelloKey{}
	if k.Current == nil {
		return list
	}
	for i, key := range append([]*ECHKey{k.Current}, k.Others...) {
		for _, c := range key.configs {
			list = append(list, tls.EncryptedClientHelloKey{Config: c.raw, PrivateKey: key.private, SendAsRetry: i == 0})
		}
	}
	return list
}

// PublicNames are the names that clients send in the clear in place of the one
// they mean, sorted. Each should be a declared host with a certificate: a client
// that is to try again believes that only behind it.
func (k *ECHKeys) PublicNames() []string {
	var names []string
	if k.Current != nil {
		for _, key := range append([]*ECHKey{k.Current}, k.Others...) {
			names = append(names, key.PublicNames()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// An ECHKey is one private key with the configurations that clients are told of
// it. It is immutable, has no exported content and prints without its secret.
type ECHKey struct {
	private []byte
	configs []echConfig
}

// maxECHConfigs bounds the configurations of one key: each costs a decryption for
// every ClientHello that is not for it.
const maxECHConfigs = 4

// ParseECHKey parses a key in the format of RFC 9934, a PRIVATE KEY (PKCS #8) and
// an ECHCONFIG (an ECHConfigList) as PEM, which OpenSSL and nginx use, too. Every
// configuration must be one for this key that crypto/tls can serve; that is tried,
// and configurations of other versions are passed over. The error quotes nothing
// of the content.
func ParseECHKey(data []byte) (*ECHKey, error) {
	var private, list []byte
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		switch {
		case b.Type == "PRIVATE KEY" && private == nil:
			private = b.Bytes
		case b.Type == "ECHCONFIG" && list == nil:
			list = b.Bytes
		default:
			return nil, fmt.Errorf("snapshot: ECH key: another block %.40q than one PRIVATE KEY and one ECHCONFIG", b.Type)
		}
	}
	switch {
	case private == nil:
		return nil, errors.New("snapshot: ECH key: no PRIVATE KEY block")
	case list == nil:
		return nil, errors.New("snapshot: ECH key: no ECHCONFIG block")
	}
	secret, err := parseECHPrivateKey(private)
	if err != nil {
		return nil, err
	}
	key := &ECHKey{private: secret}
	if key.configs, err = parseECHConfigList(list); err != nil {
		return nil, err
	}
	for i := range key.configs {
		if err := key.configs[i].try(secret); err != nil {
			return nil, err
		}
	}
	return key, nil
}

// parseECHPrivateKey returns the private key as HPKE serialises it.
func parseECHPrivateKey(der []byte) ([]byte, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("snapshot: ECH key: PRIVATE KEY is not PKCS #8")
	}
	switch key := key.(type) {
	case *ecdh.PrivateKey:
		return key.Bytes(), nil
	case *ecdsa.PrivateKey:
		dh, err := key.ECDH()
		if err != nil {
			return nil, errors.New("snapshot: ECH key: PRIVATE KEY is of a curve that is not supported")
		}
		return dh.Bytes(), nil
	}
	return nil, fmt.Errorf("snapshot: ECH key: PRIVATE KEY is of type %T, want X25519 or a NIST curve", key)
}

// try makes sure that what is encrypted for c can be decrypted by the private key,
// with every suite that clients may choose: crypto/tls ends the handshakes of all
// clients that send the extension if a key cannot be used.
func (c *echConfig) try(private []byte) error {
	kem, err := hpke.NewKEM(c.kem)
	if err != nil {
		return fmt.Errorf("snapshot: ECH key: KEM %#04x is not supported", c.kem)
	}
	secret, err := kem.NewPrivateKey(private)
	if err != nil {
		return fmt.Errorf("snapshot: ECH key: the private key does not fit KEM %#04x", c.kem)
	}
	public, err := kem.NewPublicKey(c.publicKey)
	if err != nil || !bytes.Equal(secret.PublicKey().Bytes(), c.publicKey) {
		return errors.New("snapshot: ECH key: the configuration is of another private key")
	}
	for _, s := range c.suites {
		kdf, err := hpke.NewKDF(s.kdf)
		if err != nil {
			return fmt.Errorf("snapshot: ECH key: KDF %#04x is not supported", s.kdf)
		}
		aead, err := hpke.NewAEAD(s.aead)
		if err != nil {
			return fmt.Errorf("snapshot: ECH key: AEAD %#04x is not supported", s.aead)
		}
		sealed, err := hpke.Seal(public, kdf, aead, nil, nil)
		if err == nil {
			_, err = hpke.Open(secret, kdf, aead, nil, sealed)
		}
		if err != nil {
			return fmt.Errorf("snapshot: ECH key: KEM %#04x, KDF %#04x, AEAD %#04x cannot be used: %w", c.kem, s.kdf, s.aead, err)
		}
	}
	return nil
}

// PublicNames are those of the configurations.
func (k *ECHKey) PublicNames() (names []string) {
	for _, c := range k.configs {
		names = append(names, c.publicName)
	}
	return names
}

// ID is a digest of the configurations, which are public, for logs.
func (k *ECHKey) ID() string {
	h := sha256.New()
	for _, c := range k.configs {
		h.Write(c.raw)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Equal reports whether k and other are the same key with the same configurations.
func (k *ECHKey) Equal(other *ECHKey) bool {
	return k == other || k != nil && other != nil && bytes.Equal(k.private, other.private) &&
		slices.EqualFunc(k.configs, other.configs, func(a, b echConfig) bool { return bytes.Equal(a.raw, b.raw) })
}

// String never shows the secret.
func (k *ECHKey) String() string { return "ECH key " + k.ID() }

// GoString is String, so that %#v cannot print the secret.
func (k *ECHKey) GoString() string { return k.String() }

// MarshalText is String, so that no encoder writes the secret.
func (k *ECHKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
