package snapshot

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var notBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// issue makes a PEM chain and key: a leaf of that key signed by itself, or by an
// intermediate of its own that is then in the chain.
func issue(tb testing.TB, key crypto.Signer, intermediate bool, names ...string) (certPEM, keyPEM []byte) {
	tb.Helper()
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: names[0]},
		DNSNames:     names,
		NotBefore:    notBefore,
		NotAfter:     notBefore.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	parent, signer := leaf, key
	var chain []byte
	if intermediate {
		signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
		parent = &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "an intermediate"}, NotBefore: notBefore,
			NotAfter: notBefore.AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, parent, parent, signer.Public(), signer)
		if err != nil {
			tb.Fatal(err)
		}
		chain = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	certPEM = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), chain...)
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func ed25519Key(n byte) crypto.Signer {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

var ecdsaKey = sync.OnceValue(func() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

var rsaKey = sync.OnceValue(func() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func certificate(tb testing.TB, key crypto.Signer, names ...string) *Certificate {
	tb.Helper()
	certPEM, keyPEM := issue(tb, key, false, names...)
	c, err := ParseCertificate(Origin{Kind: "Secret", Namespace: "shop", Name: "tls"}, certPEM, keyPEM)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// someCertificates are three that differ only in what the tables look at.
var someCertificates = sync.OnceValue(func() (certs []*Certificate) {
	for i := range 3 {
		certs = append(certs, &Certificate{Digest: fmt.Sprint(i), TLS: &tls.Certificate{Leaf: &x509.Certificate{}}, algorithm: x509.ECDSA})
	}
	return certs
})

func TestParseCertificate(t *testing.T) {
	tests := []struct {
		rule         string
		key          crypto.Signer
		intermediate bool
		keyType      string
		chain        int
	}{
		{"an ECDSA key", ecdsaKey(), false, "ECDSA", 1},
		{"an RSA key", rsaKey(), false, "RSA", 1},
		{"an Ed25519 key", ed25519Key(1), false, "Ed25519", 1},
		{"a chain with an intermediate", ecdsaKey(), true, "ECDSA", 2},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			certPEM, keyPEM := issue(t, test.key, test.intermediate, "shop.test")
			c, err := ParseCertificate(Origin{Kind: "Secret", Namespace: "shop", Name: "tls"}, certPEM, keyPEM)
			if err != nil {
				t.Fatalf("ParseCertificate = %v, want a certificate", err)
			}
			if got := c.KeyType(); got != test.keyType {
				t.Errorf("KeyType = %q, want %q", got, test.keyType)
			}
			if got := len(c.TLS.Certificate); got != test.chain {
				t.Errorf("certificates in the chain = %d, want %d", got, test.chain)
			}
			leaf := c.Leaf()
			if leaf.Subject.CommonName != "shop.test" {
				t.Errorf("Leaf = %v, want that of shop.test", leaf)
			}
			if c.TLS.Leaf != nil {
				t.Error("the parsed leaf is kept, want it parsed when it is asked for")
			}
			if !c.NotBefore.Equal(leaf.NotBefore) || !c.NotAfter.Equal(leaf.NotAfter) {
				t.Errorf("valid from %v to %v, want %v to %v", c.NotBefore, c.NotAfter, leaf.NotBefore, leaf.NotAfter)
			}
			if got, want := c.Serial, leaf.SerialNumber.Text(16); got != want {
				t.Errorf("Serial = %q, want %q", got, want)
			}
			if !slices.Equal(c.DNSNames, leaf.DNSNames) || c.RSABits != RSABits(leaf) {
				t.Errorf("names %q, RSA bits %d, want %q and %d", c.DNSNames, c.RSABits, leaf.DNSNames, RSABits(leaf))
			}
			if want := "shop/tls#" + c.Digest; len(c.Digest) != 64 || c.ID() != want {
				t.Errorf("ID = %q, want %q with 64 digits", c.ID(), want)
			}
			if c.Bundle != BundleDigest(certPEM, keyPEM) {
				t.Errorf("Bundle = %q, want the digest of what was parsed", c.Bundle)
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				if got := fmt.Sprintf(verb, c); got != c.ID() {
					t.Errorf("Sprintf(%q) = %q, want the ID alone", verb, got)
				}
			}
		})
	}
}

func TestParseCertificateRefuses(t *testing.T) {
	certPEM, keyPEM := issue(t, ed25519Key(1), false, "shop.test")
	_, otherKey := issue(t, ed25519Key(2), false, "shop.test")
	block, _ := pem.Decode(keyPEM)
	pkcs8 := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes})
	legacy := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: block.Bytes,
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
	})
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}})
	garbage := []byte("c2VjcmV0LXBhc3N3b3Jk hunter2")
	tests := []struct {
		rule      string
		cert, key []byte
		want      string
	}{
		{"no certificate", nil, keyPEM, "tls.crt is empty"},
		{"no key", certPEM, nil, "tls.key is empty"},
		{"nothing", nil, nil, "tls.crt is empty"},
		{"a key of another certificate", certPEM, otherKey, "does not match"},
		{"a certificate that is garbage", garbage, keyPEM, "tls.crt"},
		{"a key that is garbage", certPEM, garbage, "tls.key"},
		{"a key block that is garbage", certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: garbage}), "tls.key"},
		{"a certificate block that is garbage", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: garbage}), keyPEM, "tls.crt"},
		{"the two exchanged", keyPEM, certPEM, "tls.crt"},
		{"an encrypted PKCS #8 key", certPEM, pkcs8, "tls.key is encrypted"},
		{"an encrypted key of the older kind", certPEM, legacy, "tls.key is encrypted"},
		{"an encrypted key behind parameters", certPEM, append(parameters, legacy...), "tls.key is encrypted"},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			c, err := ParseCertificate(Origin{Kind: "Secret"}, test.cert, test.key)
			if err == nil {
				t.Fatalf("ParseCertificate = %v, want an error with %q", c, test.want)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("ParseCertificate = %v, want an error with %q", err, test.want)
			}
			for _, secret := range leaks(test.key) {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("ParseCertificate = %v, which quotes the key", err)
				}
			}
		})
	}
}

// TestCertificatesDoNotTellTheirKey: whoever prints or encodes what holds a
// certificate gets its ID.
func TestCertificatesDoNotTellTheirKey(t *testing.T) {
	c := certificate(t, ed25519Key(1), "shop.test")
	s := &Spec{DefaultCertificate: c, Hosts: []*Host{{Name: "shop.test", TLS: &TLS{Certificates: []*Certificate{c}}}}}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), `"`+c.ID()+`"`); got != 2 || strings.Contains(string(text), "PrivateKey") {
		t.Errorf("json.Marshal = %s, want the certificates by ID alone", text)
	}
}

// leaks returns the pieces of a key that no text may hold.
func leaks(key []byte) (words []string) {
	for line := range strings.Lines(string(key)) {
		for word := range strings.FieldsSeq(line) {
			if len(word) >= 6 && !strings.Contains(line, "-----") {
				words = append(words, word)
			}
		}
	}
	return words
}

// TestChoose performs handshakes: what a client supports is for crypto/tls to say.
func TestChoose(t *testing.T) {
	ecdsaCert, rsaCert := certificate(t, ecdsaKey(), "shop.test"), certificate(t, rsaKey(), "shop.test")
	ed25519Cert := certificate(t, ed25519Key(1), "shop.test")
	both := []*Certificate{rsaCert, ecdsaCert}
	onlyRSA := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	tests := []struct {
		rule   string
		certs  []*Certificate
		client *tls.Config
		want   *Certificate
	}{
		{"ECDSA before RSA", both, &tls.Config{}, ecdsaCert},
		{"ECDSA before RSA in the other order", []*Certificate{ecdsaCert, rsaCert}, &tls.Config{}, ecdsaCert},
		{"RSA for a client of RSA suites", both, onlyRSA, rsaCert},
		{"Ed25519 before RSA", []*Certificate{rsaCert, ed25519Cert}, &tls.Config{}, ed25519Cert},
		{"the only one", []*Certificate{rsaCert}, &tls.Config{}, rsaCert},
		{"the first one if none fits", []*Certificate{ecdsaCert, ecdsaCert}, onlyRSA, ecdsaCert},
		{"none", nil, &tls.Config{}, nil},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			var got *Certificate
			choose := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				got = (&TLS{Certificates: test.certs}).Choose(hello)
				return nil, fmt.Errorf("chosen")
			}
			client, server := net.Pipe()
			test.client.ServerName, test.client.InsecureSkipVerify = "shop.test", true
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = tls.Client(client, test.client).HandshakeContext(t.Context())
				client.Close()
			}()
			_ = tls.Server(server, &tls.Config{GetCertificate: choose}).HandshakeContext(t.Context())
			server.Close()
			<-done
			if got != test.want {
				t.Errorf("Choose = %v, want %v", got, test.want)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	c := certificate(t, ecdsaKey(), "shop.test", "*.wild.test")
	for host, want := range map[string]bool{
		"shop.test":     true,
		"SHOP.test":     true,
		"www.shop.test": false,
		"a.wild.test":   true,
		"a.b.wild.test": false,
		"wild.test":     false,
		"*.wild.test":   true,
		"*.WILD.test":   true,
		"*.shop.test":   false,
		"*.a.wild.test": false,
		"192.0.2.1":     false,
		"":              false,
	} {
		if got := c.Covers(host); got != want {
			t.Errorf("Covers(%q) = %v, want %v", host, got, want)
		}
		if strings.HasPrefix(host, "*.") {
			continue
		}
		if got := c.Leaf().VerifyHostname(host) == nil; got != want {
			t.Errorf("the parsed leaf covers %q: %v, want %v", host, got, want)
		}
	}
}
