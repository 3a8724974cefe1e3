package harness

import (
	"crypto"
	"crypto/ecdsa"
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
	"sync/atomic"
	"testing"
	"time"
)

// An Authority signs certificates for tests; no key of it is ever stored.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

// NewAuthority makes an authority.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, key: ecdsaKey(t)}
	template := &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: "Test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a.cert = a.sign(template, template, a.key.Public())
	return a
}

// Pool returns a pool with the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// PEM returns the authority's certificate in PEM.
func (a *Authority) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// Bundle returns the authority's certificate as the data of a Secret, as Data does;
// if any certificates are revoked, with the list of them.
func (a *Authority) Bundle(revoked ...tls.Certificate) string {
	data := map[string]string{"ca.crt": a.PEM()}
	if len(revoked) > 0 {
		data["ca.crl"] = a.RevocationList(revoked...)
	}
	b, err := json.Marshal(data)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(b)
}

// A Leaf says what certificate to make.
type Leaf struct {
	Names []string
	RSA   bool
	// NotAfter is an hour from now if zero, NotBefore two hours before it.
	NotAfter time.Time
}

// Issue returns a certificate and its key in PEM.
func (a *Authority) Issue(l Leaf) (certPEM, keyPEM string) {
	a.t.Helper()
	key := crypto.Signer(nil)
	if l.RSA {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			a.t.Fatal(err)
		}
		key = k
	} else {
		key = ecdsaKey(a.t)
	}
	if l.NotAfter.IsZero() {
		l.NotAfter = time.Now().Add(time.Hour)
	}
	leaf := a.sign(&x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: l.Names[0]}, DNSNames: l.Names,
		NotBefore: l.NotAfter.Add(-2 * time.Hour), NotAfter: l.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key.Public())
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Client returns a certificate of a client with that common name.
func (a *Authority) Client(name string) tls.Certificate { return a.ClientWith(name, nil) }

// ClientWith is Client with what change, if not nil, makes of the certificate.
func (a *Authority) ClientWith(name string, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key := ecdsaKey(a.t)
	template := &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	leaf := a.sign(template, a.cert, key.Public())
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
}

// RevocationList returns a list, in PEM, on which the certificates are; it is
// current for an hour.
func (a *Authority) RevocationList(revoked ...tls.Certificate) string {
	a.t.Helper()
	list := &x509.RevocationList{Number: nextSerial(), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, r := range revoked {
		c, err := x509.ParseCertificate(r.Certificate[0])
		if err != nil {
			a.t.Fatal(err)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// ClientFiles returns a certificate of a client with that common name and its key
// in PEM.
func (a *Authority) ClientFiles(name string) (certPEM, keyPEM string) {
	a.t.Helper()
	return pairPEM(a.t, a.Client(name))
}

func pairPEM(t testing.TB, c tls.Certificate) (certPEM, keyPEM string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Secret returns a TLS Secret as a document of YAML.
func (a *Authority) Secret(namespace, name string, l Leaf) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ntype: kubernetes.io/tls\nstringData: %s\n",
		name, namespace, a.Data(l))
}

// Data returns the data of a TLS Secret as a JSON object, which is YAML, too.
func (a *Authority) Data(l Leaf) string {
	certPEM, keyPEM := a.Issue(l)
	b, err := json.Marshal(map[string]string{"tls.crt": certPEM, "tls.key": keyPEM})
	if err != nil {
		a.t.Fatal(err)
	}
	return string(b)
}

func (a *Authority) sign(template, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func ecdsaKey(t testing.TB) crypto.Signer {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var serial atomic.Int64

func nextSerial() *big.Int { return big.NewInt(serial.Add(1)) }
