package controllers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// This file is about the certificate of the webhook, without I/O.
//
// Each certificate has an authority of its own, whose key is thrown away once it has
// signed it: nobody can sign another one. A new pair takes two steps, so that the API
// server, which knows the authorities from the configuration, trusts at every moment
// whatever replica answers it:
//
//	prepare  the next pair is made; both authorities are told to the API server
//	promote  some time later the next pair is served

// The content of the Secret.
const (
	pairAuthorities = "ca.crt"   // the authorities that the API server is told
	pairNextCert    = "next.crt" // the pair that is to be served next, if there is one
	pairNextKey     = "next.key"
	pairPrepared    = "prepared" // since when; RFC 3339
)

// webhookType is the type of the Secret.
const webhookType corev1.SecretType = "cardea.dev/webhook-certificate"

const (
	// pairLife is how long a certificate is good for.
	pairLife = 90 * 24 * time.Hour
	// pairAhead is how long before its end the next one is made.
	pairAhead = 30 * 24 * time.Hour
	// pairSettles is how long the API server is given to learn of an authority.
	pairSettles = 2 * time.Minute
	// pairSkew is how far clocks may differ.
	pairSkew = time.Hour
)

// pairTimes are these times; tests have others.
type pairTimes struct{ life, ahead, settles time.Duration }

func (t pairTimes) withDefaults() pairTimes {
	if t.life == 0 {
		t = pairTimes{pairLife, pairAhead, pairSettles}
	}
	return t
}

// webhookPairs is the content of the Secret.
type webhookPairs struct {
	current, next *webhookPair // next: nil if none is prepared
	prepared      time.Time
	// authorities is what the API server is told, in PEM.
	authorities []byte
}

// A webhookPair is a certificate with its key, and the authority that signed it.
type webhookPair struct {
	cert, key, authority []byte // PEM; authority: only of one just made
	pair                 *tls.Certificate
}

// newWebhookPair makes a pair for DNS names.
func newWebhookPair(names []string, now time.Time, life time.Duration) (*webhookPair, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "cardea webhook authority"},
		NotBefore: now.Add(-pairSkew), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: "cardea webhook"}, DNSNames: names,
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return parseWebhookPair(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}))
}

func parseWebhookPair(cert, key, authority []byte) (*webhookPair, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &webhookPair{cert: cert, key: key, authority: authority, pair: &pair}, nil
}

// parseWebhookPairs reads the content of the Secret. The error quotes nothing of it.
func parseWebhookPairs(data map[string][]byte) (p webhookPairs, err error) {
	if p.current, err = parseWebhookPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], nil); err != nil {
		return webhookPairs{}, errors.New("tls.crt and tls.key are no pair")
	}
	p.authorities = data[pairAuthorities]
	if err := p.trusts(p.current); err != nil {
		return webhookPairs{}, err
	}
	if len(data[pairNextCert]) == 0 {
		return p, nil
	}
	if p.next, err = parseWebhookPair(data[pairNextCert], data[pairNextKey], nil); err == nil {
		err = p.trusts(p.next)
	}
	if err == nil {
		p.prepared, err = time.Parse(time.RFC3339, string(data[pairPrepared]))
	}
	if err != nil {
		p.next = nil // it is made anew
	}
	return p, nil
}

// trusts returns an error if whoever trusts the authorities does not trust pair,
// whatever the time.
func (p webhookPairs) trusts(pair *webhookPair) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.authorities)
	leaf := pair.pair.Leaf
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: leaf.NotBefore}); err != nil {
		return errors.New("ca.crt is not the authority of the certificate")
	}
	return nil
}

func (p webhookPairs) data() map[string][]byte {
	data := map[string][]byte{corev1.TLSCertKey: p.current.cert, corev1.TLSPrivateKeyKey: p.current.key, pairAuthorities: p.authorities}
	if p.next != nil {
		data[pairNextCert], data[pairNextKey] = p.next.cert, p.next.key
		data[pairPrepared] = []byte(p.prepared.UTC().Format(time.RFC3339))
	}
	return data
}

// advance returns what the Secret should hold now, and whether that is something else.
// The zero value of webhookPairs is one that holds nothing of use.
func (p webhookPairs) advance(names []string, now time.Time, times pairTimes) (_ webhookPairs, changed bool, err error) {
	switch {
	case p.current == nil || !p.current.good(names, now):
		// There is nothing to go on with. If there was something, the API server trusts
		// it on, for replicas that have not read this yet.
		fresh, err := newWebhookPair(names, now, times.life)
		if err != nil {
			return p, false, fmt.Errorf("controllers: webhook certificate: %w", err)
		}
		return webhookPairs{current: fresh, authorities: join(fresh.authority, p.authorities)}, true, nil
	case p.next != nil && !p.next.good(names, now):
		p.next = nil
		return p, true, nil
	case p.next != nil && now.Sub(p.prepared) >= times.settles:
		// The authority of the one before stays for the replicas that serve it on.
		return webhookPairs{current: p.next, authorities: p.authorities}, true, nil
	case p.next == nil && p.current.pair.Leaf.NotAfter.Sub(now) < times.ahead:
		next, err := newWebhookPair(names, now, times.life)
		if err != nil {
			return p, false, fmt.Errorf("controllers: webhook certificate: %w", err)
		}
		p.next, p.prepared = next, now
		p.authorities = join(next.authority, p.authorities)
		return p, true, nil
	}
	return p, false, nil
}

// good reports whether the pair can be served for the names.
func (p *webhookPair) good(names []string, now time.Time) bool {
	leaf := p.pair.Leaf
	return slices.Equal(leaf.DNSNames, names) && !now.After(leaf.NotAfter) && !now.Before(leaf.NotBefore)
}

// join puts an authority before one other, the latest: no more than two certificates
// are in use at a time.
func join(authority, others []byte) []byte {
	block, _ := pem.Decode(others)
	if block == nil {
		return authority
	}
	return bytes.Join([][]byte{authority, pem.EncodeToMemory(block)}, nil)
}
