package translate_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestRow47FilesOfTheOperator: what files say counts where an Ingress says nothing,
// and nowhere else; when it changes, the hosts that it counts for get other pools,
// and no other host is touched.
func TestRow47FilesOfTheOperator(t *testing.T) {
	const ingress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: shop, name: NAME, annotations: {ANNOTATIONS}}
spec:
  ingressClassName: cardea
  tls: [{hosts: [NAME.example.com], secretName: tls}]
  rules:
  - host: NAME.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 443}}}}]}
---
`
	text := `apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web, uid: uid-web}
spec: {ports: [{port: 443}]}
---
`
	for name, annotations := range map[string]string{
		"none":     `cardea.dev/backend-protocol: HTTPS`,
		"own":      `cardea.dev/backend-protocol: HTTPS, cardea.dev/backend-tls-ca: ca, cardea.dev/backend-tls-client-cert: pair`,
		"insecure": `cardea.dev/backend-protocol: HTTPS, cardea.dev/backend-tls-verify: "off"`,
		"plain":    ``,
		"clients":  `cardea.dev/auth-tls-secret: shop/ca`,
	} {
		text += strings.NewReplacer("NAME", name, "ANNOTATIONS", annotations).Replace(ingress)
	}
	text += `kind: Secret
metadata: {namespace: shop, name: ca}
authorities: [own]
---
kind: Secret
metadata: {namespace: shop, name: pair}
certificate: {hosts: [pair]}
---
kind: Secret
metadata: {namespace: shop, name: tls}
certificate: {hosts: [tls]}
`
	objects := parseObjects(t, []byte(text))
	ca := objects.Secrets[types.NamespacedName{Namespace: "shop", Name: "ca"}].Trust.Authorities
	certificate := func(name string) *snapshot.Certificate {
		c := testCertificate{Hosts: []string{name}}
		return c.issue(t, snapshot.Origin{Kind: "File", Name: name})
	}
	tr := translate.New(translate.Options{})
	for _, in := range objects.Ingresses {
		tr.SetIngress(in)
	}
	for _, s := range objects.Services {
		tr.SetService(s)
	}
	for name, s := range objects.Secrets {
		tr.SetSecret(name, s)
	}
	now := day("2026-06-01")
	hosts := func() (map[string]*snapshot.Host, map[string]*snapshot.UpstreamTLS) {
		spec := tr.Translate(now).Spec
		byName, pools := map[string]*snapshot.Host{}, map[string]*snapshot.UpstreamTLS{}
		for _, h := range spec.Hosts {
			name, _, _ := strings.Cut(h.Name, ".")
			byName[name] = h
			for _, p := range spec.Pools {
				if p.ID == h.Routes[0].Pool {
					pools[name] = p.TLS
				}
			}
		}
		return byName, pools
	}
	before, _ := hosts()
	for step, files := range []translate.Files{
		{BackendAuthorities: authorities(t, snapshot.Origin{Kind: "File", Name: "ca.pem"}, "a")},
		{BackendAuthorities: authorities(t, snapshot.Origin{Kind: "File", Name: "ca.pem"}, "b"), BackendCertificate: certificate("cardea")},
		{BackendCertificate: certificate("cardea2"), RevocationLists: revocationLists(t, "own")},
		{},
	} {
		tr.SetFiles(files)
		after, pools := hosts()
		if got := pools["none"]; got.Authorities != files.BackendAuthorities || got.Certificate != files.BackendCertificate || got.RevocationLists != files.RevocationLists {
			t.Errorf("step %d: a backend of which nothing is said has %+v, want what the files say", step, got)
		}
		if got := pools["own"]; got.Authorities != ca || got.Certificate.Origin.Name != "pair" || got.RevocationLists != files.RevocationLists {
			t.Errorf("step %d: a backend with authorities and certificate of its own has %+v, want these and the revocation lists", step, got)
		}
		if got := pools["insecure"]; got.Authorities != nil || got.RevocationLists != nil {
			t.Errorf("step %d: a backend that is not verified has %+v, want no authorities", step, got)
		}
		if got := after["clients"].TLS.ClientAuth; got.Authorities != ca || got.RevocationLists != files.RevocationLists {
			t.Errorf("step %d: client certificates are verified with %+v, want the lists of the files besides the Ingress's authorities", step, got)
		}
		if after["none"].Routes[0].Pool == before["none"].Routes[0].Pool {
			t.Errorf("step %d: other trust, and still the pool %s, whose connections were made under the old one", step, after["none"].Routes[0].Pool)
		}
		if after["plain"] != before["plain"] {
			t.Errorf("step %d: a host without TLS to its backend was built anew", step)
		}
		before = after
	}
	if again, _ := hosts(); again["none"] != before["none"] {
		t.Error("without a change a host was built anew")
	}
}
