package translate_test

import (
	"testing"
	"time"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// bare is an Ingress that says nothing about security, to a backend that speaks
// TLS.
const bare = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: shop, name: web}
spec:
  ingressClassName: cardea
  tls: [{hosts: [shop.example.com], secretName: tls}]
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 443}}}}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {ports: [{port: 443, appProtocol: https}]}
---
kind: Secret
metadata: {namespace: shop, name: tls}
certificate: {hosts: [shop.example.com]}
`

func bareSpec(t *testing.T) *snapshot.Spec {
	t.Helper()
	objects := parseObjects(t, []byte(bare))
	spec := objects.Translate(translate.Options{}, time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)).Spec
	if len(spec.Hosts) != 1 || len(spec.Hosts[0].Routes) != 1 || len(spec.Pools) != 1 {
		t.Fatalf("Spec:\n%s\nwant one host, route and pool", spec.Text())
	}
	return spec
}

// TestRow67SecureByDefault is that who says nothing gets the secure choice.
func TestRow67SecureByDefault(t *testing.T) {
	spec := bareSpec(t)
	if spec.UnknownSNI != snapshot.UnknownSNIReject || len(spec.TrustedCIDRs) > 0 {
		t.Errorf("unknown SNI %v, trusted %v, want reject and nobody", spec.UnknownSNI, spec.TrustedCIDRs)
	}
	for _, p := range []*snapshot.TLSPolicy{spec.TLSPolicy, spec.Hosts[0].TLS.Policy} {
		if p != nil && p.Digest() != snapshot.Intermediate.Digest() {
			t.Errorf("policy %s, want intermediate", p.Name)
		}
	}
	if !spec.Hosts[0].Routes[0].Policy.RedirectHTTPS {
		t.Error("plain HTTP is not redirected")
	}
	if u := spec.Pools[0].TLS; u == nil || u.Insecure || u.SkipHostname || u.ServerName == "" {
		t.Errorf("TLS to the backend %+v, want chain and name verified", u)
	}
}

// TestRow69TrustIsTheOwnersDecision is that nobody is asked for a certificate, and
// no authority but the system's is trusted, unless an Ingress says so.
func TestRow69TrustIsTheOwnersDecision(t *testing.T) {
	spec := bareSpec(t)
	if a := spec.Hosts[0].TLS.ClientAuth; a != nil {
		t.Errorf("client certificates are demanded: %+v", a)
	}
	if u := spec.Pools[0].TLS; u.Authorities != nil || u.Certificate != nil {
		t.Errorf("TLS to the backend %+v, want the system's authorities and no certificate of ours", u)
	}
}
