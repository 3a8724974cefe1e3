package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// demoServices are the Services of the demo, each with a backend of its own.
var demoServices = []string{"web", "api"}

// writeDemo writes the example. Files that exist are kept, so that edits outlive
// a restart, but for those that hold what is new at every start: the ports of the
// backends.
func writeDemo(dir string, ports map[string]int, now time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(dir, "ingress.yaml"), []byte(demoIngress), 0o644); err != nil {
		return err
	}
	var services strings.Builder
	services.WriteString("# Written anew at every start of the demo: the backends' ports change.\n")
	for _, name := range demoServices {
		fmt.Fprintf(&services, demoService, name, ports[name])
	}
	if err := os.WriteFile(filepath.Join(dir, "services.yaml"), []byte(services.String()), 0o644); err != nil {
		return err
	}
	secret := filepath.Join(dir, "tls.yaml")
	if _, err := os.Stat(secret); err == nil {
		return nil
	}
	ca, cert, key, err := makeCertificate(now, demoHost)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o644); err != nil {
		return err
	}
	return writeNew(secret, fmt.Appendf(nil, demoSecret, indent(cert), indent(key)), 0o600)
}

// writeNew writes a file unless it exists.
func writeNew(name string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// makeCertificate makes an authority and a certificate of it for host, both good
// for 30 days. The authority's key is used once and forgotten.
func makeCertificate(now time.Time, host string) (caPEM, certPEM, keyPEM []byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	const month = 30 * 24 * time.Hour
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "Cardea demo authority"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(month),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1),
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(month),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// indent indents PEM for a block scalar of a Secret's stringData.
func indent(text []byte) []byte {
	return bytes.ReplaceAll(bytes.TrimSpace(text), []byte("\n"), []byte("\n    "))
}

func replaceQuotes(s string) string { return strings.ReplaceAll(s, "'", `'\''`) }

const demoIngress = `# Edit this file while "cardea demo" runs: what you save is served at once.
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
spec:
  ingressClassName: cardea
  tls:
  - hosts: [` + demoHost + `]
    secretName: shop-tls
  rules:
  - host: ` + demoHost + `
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: web
            port:
              name: http
      - path: /api
        pathType: Prefix
        backend:
          service:
            name: api
            port:
              number: 80
`

const demoService = `---
apiVersion: v1
kind: Service
metadata:
  name: %[1]s
spec:
  ports:
  - name: http
    port: 80
    targetPort: %[2]d
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: %[1]s
  labels:
    kubernetes.io/service-name: %[1]s
addressType: IPv4
ports:
- name: http
  port: %[2]d
endpoints:
- addresses: [127.0.0.1]
`

const demoSecret = `apiVersion: v1
kind: Secret
metadata:
  name: shop-tls
type: kubernetes.io/tls
stringData:
  tls.crt: |
    %s
  tls.key: |
    %s
`
