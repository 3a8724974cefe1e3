package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// fallbackName marks the certificate of --default-tls-self-signed wherever it is
// shown. The domain is one that RFC 2606 §2 keeps from ever existing.
const (
	fallbackName = "Cardea self-signed fallback certificate"
	fallbackHost = "fallback.cardea.invalid"
)

// selfSigned makes a certificate that no client trusts, with a key that this
// process alone has and that is nowhere written down.
func selfSigned(now time.Time) (*snapshot.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"Cardea"}, CommonName: fallbackName},
		DNSNames:    []string{fallbackHost},
		NotBefore:   now.Add(-time.Hour), // clocks differ
		NotAfter:    now.AddDate(10, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	return snapshot.ParseCertificate(
		snapshot.Origin{Kind: "Process", Name: "self-signed"},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	)
}
