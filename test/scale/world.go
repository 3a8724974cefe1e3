//go:build linux

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// A world is a folder of manifests: one file with a Service and its endpoint, and
// one file a host with its Ingress and its Secret.
type world struct {
	dir      string
	hosts    int
	backends []netip.AddrPort
	issuer   *authority
}

// An authority is an intermediate that signs every leaf; its certificate is part
// of every chain, as with a public authority.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer
}

func newAuthority() (*authority, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{Organization: []string{"Scale"}, CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	root := template("Root", 1)
	der, err := x509.CreateCertificate(rand.Reader, template("Intermediate", 2), root, key.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key}, nil
}

// issue returns a chain and its key in PEM. The serial number tells which one is
// served.
func (a *authority) issue(host string, serial int64) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 90),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		OCSPServer:            []string{"http://ocsp.example.com"},
		IssuingCertificateURL: []string{"http://issuer.example.com/ca.cer"},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	chain := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), a.pem...)
	return chain, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), nil
}

func hostName(i int) string { return fmt.Sprintf("h%05d.scale.example.com", i) }

func serialOf(i int) int64 { return int64(i) + 1000 }

// newWorld writes a folder. Hosts go to the first backend; the second one is for
// routes that come later.
func newWorld(dir string, hosts int, backends ...netip.AddrPort) (*world, error) {
	issuer, err := newAuthority()
	if err != nil {
		return nil, err
	}
	w := &world{dir, hosts, backends, issuer}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "service.yaml"), w.services(), 0o600); err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	errs := make(chan error, runtime.NumCPU())
	for worker := range runtime.NumCPU() {
		wg.Go(func() {
			for i := worker; i < hosts; i += runtime.NumCPU() {
				content, err := w.manifest(i, serialOf(i), false)
				if err == nil {
					err = os.WriteFile(w.file(i), content, 0o600)
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return w, <-errs
}

func (w *world) file(i int) string { return filepath.Join(w.dir, fmt.Sprintf("h%05d.yaml", i)) }

// put implements source. What it returns is when the file was renamed into place.
func (w *world) put(i int, serial int64, second bool) (time.Time, error) {
	content, err := w.manifest(i, serial, second)
	if err != nil {
		return time.Time{}, err
	}
	return place(w.file(i), content)
}

// serve implements source.
func (w *world) serve(program string) (*process, error) {
	return launch(program, os.Environ(), "serve", "--manifests", w.dir, "--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0",
		"--admin-addr", "127.0.0.1:0", "--debug-addr", "127.0.0.1:0", "--access-log=false", "--handshake-log=off")
}

func (w *world) count() int { return w.hosts }

// place makes content appear under path at once, and returns when it did.
func place(path string, content []byte) (time.Time, error) {
	next := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".next")
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return time.Time{}, err
	}
	now := time.Now()
	return now, os.Rename(next, path)
}

// manifest returns the file of a host with a new certificate, and with a second
// route if that is wanted.
func (w *world) manifest(i int, serial int64, second bool) ([]byte, error) {
	certPEM, keyPEM, err := w.issuer.issue(hostName(i), serial)
	if err != nil {
		return nil, err
	}
	path := func(path, service string) string {
		return fmt.Sprintf(`
      - path: %s
        pathType: Prefix
        backend:
          service:
            name: %s
            port:
              name: http`, path, service)
	}
	paths := path("/", "service-0")
	if second {
		paths += path("/two", "service-1")
	}
	return fmt.Appendf(nil, `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: h%05[1]d
  namespace: scale
spec:
  ingressClassName: cardea
  tls:
  - hosts: ["%[2]s"]
    secretName: h%05[1]d
  rules:
  - host: "%[2]s"
    http:
      paths:%[3]s
---
apiVersion: v1
kind: Secret
metadata:
  name: h%05[1]d
  namespace: scale
type: kubernetes.io/tls
data:
  tls.crt: %[4]s
  tls.key: %[5]s
`, i, hostName(i), paths, base64.StdEncoding.EncodeToString(certPEM), base64.StdEncoding.EncodeToString(keyPEM)), nil
}

// services returns a Service with one endpoint for every backend.
func (w *world) services() []byte {
	var b []byte
	for i, backend := range w.backends {
		b = fmt.Appendf(b, `---
apiVersion: v1
kind: Service
metadata: {name: service-%[1]d, namespace: scale}
spec:
  ports: [{name: http, port: 80, targetPort: %[3]d}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: service-%[1]d-1, namespace: scale, labels: {kubernetes.io/service-name: service-%[1]d}}
addressType: IPv4
ports: [{name: http, port: %[3]d, protocol: TCP}]
endpoints: [{addresses: ["%[2]s"], conditions: {ready: true}}]
`, i, backend.Addr(), backend.Port())
	}
	return b
}
