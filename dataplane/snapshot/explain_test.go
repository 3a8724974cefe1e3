package snapshot

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"strings"
	"testing"
)

// edited returns certPEM with one sequence of its bytes replaced, as OpenSSL and
// old authorities write what Go does not.
func edited(t *testing.T, certPEM []byte, old, now string) []byte {
	t.Helper()
	block, _ := pem.Decode(certPEM)
	der := bytes.Replace(block.Bytes, []byte(old), []byte(now), 1)
	if bytes.Equal(der, block.Bytes) {
		t.Fatalf("the certificate has no % x", old)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// foreignKey is a key in PKCS #8 of an algorithm that Go does not read.
func foreignKey(t *testing.T, id ...int) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: id}, []byte("hunter2 hunter2 hunter2")})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TestParseCertificateOfOpenSSL: what OpenSSL serves and Go does not is refused with
// the reason and the remedy. It pins the texts of crypto/x509 that are looked for.
func TestParseCertificateOfOpenSSL(t *testing.T) {
	certPEM, keyPEM := issue(t, ecdsaKey(), false, "shop.test")
	const p256 = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
	smallCert, smallKey := smallRSA(t)
	tests := []struct {
		rule      string
		cert, key []byte
		want      string
	}{
		{"an RSA-PSS key", certPEM, foreignKey(t, 1, 2, 840, 113549, 1, 1, 10), "tls.key is a key of the kind RSA-PSS, which Go does not support"},
		{"an Ed448 key", certPEM, foreignKey(t, 1, 3, 101, 113), "tls.key is a key of the kind Ed448, which Go does not support"},
		{"a DSA key", certPEM, foreignKey(t, 1, 2, 840, 10040, 4, 1), "tls.key is a key of the kind DSA, which Go does not support"},
		{"a negative serial number", edited(t, certPEM, "\x02\x01\x02\x02\x01\x01", "\x02\x01\x02\x02\x01\x81"), keyPEM, "tls.crt has a negative serial number"},
		{"explicit parameters of a curve", edited(t, certPEM, p256, "\x30"+p256[1:]), keyPEM, "writes out the parameters of its curve"},
		{"a curve that Go does not have", edited(t, certPEM, p256, p256[:9]+"\x02"), keyPEM, "on an elliptic curve that Go does not support"},
		{"an RSA key of 512 bits", smallCert, smallKey, "tls.key is an RSA key of 512 bits"},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			c, err := ParseCertificate(Origin{Kind: "Secret"}, test.cert, test.key)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "issue ") {
				t.Fatalf("ParseCertificate = %v, %v, want an error with %q and what to do", c, err, test.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("ParseCertificate = %v, which quotes the key", err)
			}
		})
	}
}

// smallRSA makes a pair that crypto/rsa makes only when it is told to.
func smallRSA(t *testing.T) (certPEM, keyPEM []byte) {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 512)
	if err != nil {
		t.Fatal(err)
	}
	return issue(t, key, false, "shop.test")
}

func TestRSABits(t *testing.T) {
	if got := RSABits(certificate(t, rsaKey(), "a.test").Leaf()); got != 2048 {
		t.Errorf("RSABits = %d, want 2048", got)
	}
	if got := RSABits(certificate(t, ecdsaKey(), "a.test").Leaf()); got != 0 {
		t.Errorf("RSABits of an ECDSA key = %d, want 0", got)
	}
}

// Row 30: an encrypted key is refused with a message of its own.
func TestRow30EncryptedKey(t *testing.T) {
	certPEM, keyPEM := issue(t, ecdsaKey(), false, "shop.test")
	block, _ := pem.Decode(keyPEM)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes})
	_, err := ParseCertificate(Origin{Kind: "Secret"}, certPEM, encrypted)
	if err == nil || !strings.Contains(err.Error(), "tls.key is encrypted") {
		t.Errorf("ParseCertificate of an encrypted key = %v, want it told", err)
	}
}
