// Package responder is an authority for tests that answers for its certificates
// by OCSP. The answers are made by the openssl command, so that what verifies them
// is held to another implementation.
package responder

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// An Authority issues certificates and answers for them.
type Authority struct {
	// URL is where it answers.
	URL string

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	serial int64
	index  []byte // the index.txt of openssl
	broken bool
	asked  int
	hold   chan struct{}
}

// New starts an authority.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir(), key: newKey(t), serial: 1}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Answering authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	a.cert = a.sign(template, template, &a.key.PublicKey)
	a.write("ca.pem", a.PEM())
	a.write("ca.key", keyPEM(t, a.key))
	server := httptest.NewServer(http.HandlerFunc(a.answer))
	t.Cleanup(server.Close)
	a.URL = server.URL
	return a
}

// PEM is the certificate of the authority.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Pool trusts the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Issue returns a chain for host, with the authority's certificate, and its key.
// mustStaple makes it demand a staple (RFC 7633).
func (a *Authority) Issue(host string, mustStaple bool) (chain, key []byte) {
	a.t.Helper()
	a.mu.Lock()
	a.serial++
	serial := a.serial
	a.index = fmt.Appendf(a.index, "V\t%s\t\t%02X\tunknown\t/CN=%s\n", time.Now().Add(48*time.Hour).UTC().Format("060102150405Z"), serial, host)
	a.mu.Unlock()
	k := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), OCSPServer: []string{a.URL},
	}
	if mustStaple {
		template.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}}}
	}
	leaf := a.sign(template, a.cert, &k.PublicKey)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), a.PEM()...), keyPEM(a.t, k)
}

// Forget makes it answer that it knows none of its certificates.
func (a *Authority) Forget() { a.mu.Lock(); defer a.mu.Unlock(); a.index = nil }

// Break makes it answer nonsense, or cease to.
func (a *Authority) Break(broken bool) { a.mu.Lock(); defer a.mu.Unlock(); a.broken = broken }

// Hold makes it answer no more until the function that it returns is called.
func (a *Authority) Hold() (release func()) {
	hold := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hold = hold
	return sync.OnceFunc(func() { close(hold) })
}

// Asked is how often it was asked.
func (a *Authority) Asked() int { a.mu.Lock(); defer a.mu.Unlock(); return a.asked }

func (a *Authority) answer(w http.ResponseWriter, r *http.Request) {
	request, err := io.ReadAll(r.Body)
	a.mu.Lock()
	a.asked++
	n, broken, hold := a.asked, a.broken, a.hold
	index := a.write(fmt.Sprintf("index.%d", n), a.index)
	a.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	if err != nil || broken || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ocsp-request" {
		fmt.Fprint(w, "nonsense")
		return
	}
	out := filepath.Join(a.dir, fmt.Sprintf("response.%d", n))
	text, err := exec.CommandContext(r.Context(), "openssl", "ocsp", "-index", index, "-CA", filepath.Join(a.dir, "ca.pem"),
		"-rsigner", filepath.Join(a.dir, "ca.pem"), "-rkey", filepath.Join(a.dir, "ca.key"),
		"-reqin", a.write(fmt.Sprintf("request.%d", n), request), "-respout", out, "-ndays", "2").CombinedOutput()
	if err != nil {
		a.t.Errorf("openssl ocsp: %v\n%s", err, text)
		return
	}
	http.ServeFile(w, r, out)
}

func (a *Authority) write(name string, b []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		a.t.Error(err)
	}
	return path
}

func (a *Authority) sign(template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keyPEM(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
