//go:build scan

package scan

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
	"github.com/cardea-dev/cardea/test/process"
)

const (
	// intermediate has the default policy, and certificates of both key types.
	intermediate = "shop.example.com"
	modern       = "modern.example.com"
)

// A world is the running program and what its scanners are given.
type world struct {
	port string // of 127.0.0.1
	// ca is the file of the authority that signed what is served.
	ca string
}

func newWorld(t *testing.T) world {
	t.Helper()
	authority := harness.NewAuthority(t)
	dir := t.TempDir()
	harness.Write(t, dir, "all.yaml", harness.Service("default", "web", harness.Backend(t, "web"))+`
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: cardea}
spec: {controller: cardea.dev/ingress-controller}
`+authority.Secret("default", "shop-ecdsa", harness.Leaf{Names: []string{intermediate}})+
		authority.Secret("default", "shop-rsa", harness.Leaf{Names: []string{intermediate}, RSA: true})+
		authority.Secret("default", "modern", harness.Leaf{Names: []string{modern}})+`
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: default, annotations: {cardea.dev/hsts: max-age=31536000; includeSubDomains; preload}}
spec:
  ingressClassName: cardea
  tls:
  - {hosts: [`+intermediate+`], secretName: shop-ecdsa}
  - {hosts: [`+intermediate+`], secretName: shop-rsa}
  rules: [{host: `+intermediate+`, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: modern
  namespace: default
  annotations: {cardea.dev/tls-policy: modern}
spec:
  ingressClassName: cardea
  tls: [{hosts: [`+modern+`], secretName: modern}]
  rules: [{host: `+modern+`, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`)
	// Scanners make some of their checks without a server name.
	files := t.TempDir()
	cert, key := authority.Issue(harness.Leaf{Names: []string{intermediate}})
	harness.Write(t, files, "tls.crt", cert)
	harness.Write(t, files, "tls.key", key)
	harness.Write(t, files, "ca.crt", authority.PEM())
	p := process.Serve(t, dir, nil, "--default-tls-cert", filepath.Join(files, "tls.crt"), "--default-tls-key", filepath.Join(files, "tls.key"))
	_, port, err := net.SplitHostPort(p.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	return world{port: port, ca: filepath.Join(files, "ca.crt")}
}
