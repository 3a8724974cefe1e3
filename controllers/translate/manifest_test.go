package translate_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// parseObjects reads documents of YAML. Those of kind Secret are [testSecret]s:
// the certificate is made here, so that no private key is in a golden file. Those of
// kind Bundle are what is known of a ConfigMap with authorities, in the same form.
func parseObjects(t testing.TB, text []byte) translate.Objects {
	t.Helper()
	o := translate.Objects{Secrets: map[types.NamespacedName]translate.Secret{}, Bundles: map[types.NamespacedName]translate.Bundle{}}
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &meta); err != nil {
			t.Fatalf("in.yaml: %v\n%s", err, doc)
		}
		switch meta.Kind {
		case "Ingress":
			o.Ingresses = append(o.Ingresses, decode[networkingv1.Ingress](t, doc))
		case "IngressClass":
			o.Classes = append(o.Classes, decode[networkingv1.IngressClass](t, doc))
		case "Service":
			o.Services = append(o.Services, decode[corev1.Service](t, doc))
		case "EndpointSlice":
			o.Slices = append(o.Slices, decode[discoveryv1.EndpointSlice](t, doc))
		case "ConfigMap":
			o.ConfigMaps = append(o.ConfigMaps, decode[corev1.ConfigMap](t, doc))
		case "IngressClassParameters":
			p := decode[v1alpha1.IngressClassParameters](t, doc)
			p.Default()
			o.Parameters = append(o.Parameters, p)
		case "ReferenceGrant":
			o.Grants = append(o.Grants, decode[gateway.ReferenceGrant](t, doc))
		case "Secret":
			s := decode[testSecret](t, doc)
			o.Secrets[types.NamespacedName{Namespace: s.Metadata.Namespace, Name: s.Metadata.Name}] = s.secret(t)
		case "Bundle":
			b := decode[testSecret](t, doc)
			b.Kind = "ConfigMap"
			s := b.secret(t)
			o.Bundles[types.NamespacedName{Namespace: b.Metadata.Namespace, Name: b.Metadata.Name}] = translate.Bundle{Origin: s.Origin, Trust: s.Trust}
		default:
			t.Fatalf("in.yaml: kind is %q", meta.Kind)
		}
	}
	return o
}

func decode[T any](t testing.TB, doc []byte) *T {
	t.Helper()
	v := new(T)
	if err := yaml.UnmarshalStrict(doc, v); err != nil {
		t.Fatalf("in.yaml: %v\n%s", err, doc)
	}
	return v
}

// A testSecret is the state of a Secret in a golden file.
type testSecret struct {
	Kind     string            `json:"kind"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	// Certificate is what is served of it.
	Certificate *testCertificate `json:"certificate"`
	Reason      translate.Reason `json:"reason"`
	Problem     string           `json:"problem"`
	LastGood    bool             `json:"lastGood"`
	Pending     metav1.Time      `json:"pending"`
	// Authorities are the names of those that are used of it.
	Authorities   []string         `json:"authorities"`
	TrustReason   translate.Reason `json:"trustReason"`
	TrustProblem  string           `json:"trustProblem"`
	TrustLastGood bool             `json:"trustLastGood"`
}

type testCertificate struct {
	Hosts    []string    `json:"hosts"`
	Key      string      `json:"key"`      // ed25519, ecdsa, rsa or rsa-1024
	NotAfter metav1.Time `json:"notAfter"` // default 2027-01-01
	// MustStaple demands a stapled OCSP response.
	MustStaple bool `json:"mustStaple"`
}

func (s *testSecret) secret(t testing.TB) translate.Secret {
	t.Helper()
	out := translate.Secret{
		Origin: snapshot.Origin{
			Kind: s.Kind, Namespace: s.Metadata.Namespace, Name: s.Metadata.Name, UID: string(s.Metadata.UID),
		},
		Reason: s.Reason, Problem: s.Problem, LastGood: s.LastGood, Pending: s.Pending.Time,
	}
	if s.Certificate != nil {
		out.Certificate = s.Certificate.issue(t, out.Origin)
	}
	out.Trust = translate.Trust{Reason: s.TrustReason, Problem: s.TrustProblem, LastGood: s.TrustLastGood}
	if len(s.Authorities) > 0 {
		out.Trust.Authorities = authorities(t, out.Origin, s.Authorities...)
	}
	return out
}

// authorities makes authorities that are the same in every run.
func authorities(t testing.TB, origin snapshot.Origin, names ...string) *snapshot.Authorities {
	t.Helper()
	var bundle []byte
	for i, name := range names {
		key := ed25519.NewKeyFromSeed(seed(name))
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name},
			NotBefore: day("2026-01-01"), NotAfter: day("2036-01-01"),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	a, err := snapshot.ParseAuthorities(origin, bundle, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// revocationLists makes a list of the authority of that name in [authorities].
func revocationLists(t testing.TB, name string) *snapshot.RevocationLists {
	t.Helper()
	key := ed25519.NewKeyFromSeed(seed(name))
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte(name)}
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: day("2026-01-01"), NextUpdate: day("2036-01-01")}
	der, err := x509.CreateRevocationList(nil, list, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := snapshot.ParseRevocationLists([]string{name + ".crl"}, [][]byte{der})
	if err != nil {
		t.Fatal(err)
	}
	return lists
}

// issue makes the certificate with an authority that is the same in every run.
// Ed25519 signatures are deterministic, so the certificate is as well.
func (c *testCertificate) issue(t testing.TB, origin snapshot.Origin) *snapshot.Certificate {
	t.Helper()
	authorityKey := ed25519.NewKeyFromSeed(seed("authority"))
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Cardea test authority"},
		NotBefore: day("2026-01-01"), NotAfter: day("2036-01-01"),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	name := fmt.Sprintf("%s/%s %s %s", origin.Namespace, origin.Name, c.Key, strings.Join(c.Hosts, " "))
	var key crypto.Signer = ed25519.NewKeyFromSeed(seed(name))
	switch c.Key {
	case "ecdsa":
		var err error
		if key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), seed(name)); err != nil {
			t.Fatal(err)
		}
	case "rsa":
		return rsaCertificate(t, origin, c, 2048)
	case "rsa-1024":
		return rsaCertificate(t, origin, c, 1024)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: c.Hosts,
		NotBefore: day("2026-01-01"), NotAfter: c.NotAfter.Time,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if c.NotAfter.IsZero() {
		leaf.NotAfter = day("2027-01-01")
	}
	if c.MustStaple {
		leaf.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}}}
	}
	var chain []byte
	for _, issued := range []struct {
		template *x509.Certificate
		public   crypto.PublicKey
	}{{leaf, key.Public()}, {authority, authorityKey.Public()}} {
		der, err := x509.CreateCertificate(nil, issued.template, authority, issued.public, authorityKey)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := snapshot.ParseCertificate(origin, chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// rsaCertificate makes a certificate of which the golden files show nothing that
// changes: an RSA key cannot be made from a seed, so its digest is that of its name.
func rsaCertificate(t testing.TB, origin snapshot.Origin, c *testCertificate, bits int) *snapshot.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		DNSNames: c.Hosts, NotBefore: day("2026-01-01"), NotAfter: day("2027-01-01"),
		PublicKeyAlgorithm: x509.RSA, PublicKey: &key.PublicKey,
	}
	cert := snapshot.NewCertificate(origin, &tls.Certificate{Leaf: leaf, PrivateKey: key}, leaf)
	cert.Digest = hex.EncodeToString(seed(origin.Name))
	return cert
}

func seed(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:]
}

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}
