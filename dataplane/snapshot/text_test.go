package snapshot

import (
	"crypto/ed25519"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestText(t *testing.T) {
	cert := certificate(t, ed25519Key(1), "shop.test", "www.shop.test")
	web := func(field string) Origin {
		return Origin{Kind: "Ingress", Namespace: "shop", Name: "web", UID: "u-1", Field: field}
	}
	s := &Spec{
		UnknownSNI:         UnknownSNIDefaultCert,
		DefaultCertificate: cert,
		TrustedCIDRs:       []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Connections: &ConnectionPolicy{
			Origin: Origin{Kind: "IngressClassParameters", Name: "edge", Field: "spec.connections"},
			Allow:  []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Deny: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
			MaxPerAddress: 100, NewPerSecondPerAddress: 2.5, Burst: 10, Max: 1000,
			ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, ProxyTimeout: time.Second,
		},
		Hosts: []*Host{
			{Routes: []*Route{{Path: "/", Kind: Prefix, Pool: "shop/api:80"}}},
			{Name: "*.shop.test", Origin: web(""), TLS: &TLS{Origin: web("spec.tls[1]")}},
			{
				Name: "shop.test", Origin: web(""),
				TLS: &TLS{Origin: web("spec.tls[0]"), Certificates: []*Certificate{cert}},
				Routes: []*Route{
					{Path: "/", Kind: Prefix, Pool: "shop/web:http", Origin: web("a"), Policy: Policy{RedirectHTTPS: true}},
					{Path: "/a/b", Kind: Prefix, Answer: &Answer{Status: 503, Reason: "no_service"}, Origin: web("b")},
					{Path: "/a", Kind: Exact, Pool: "shop/api:80", Origin: web("c"), Policy: Policy{
						ACME: true, ConnectTimeout: time.Second, ReadTimeout: time.Minute, SendTimeout: 90 * time.Second, MaxBody: 1 << 20, Tries: 2,
					}},
					{Path: "/b/a", Kind: Prefix, Pool: "shop/api:80", Origin: web("d")},
				},
			},
		},
		Pools: []*Pool{
			{ID: "shop/api:80", Origin: Origin{Kind: "Service", Namespace: "shop", Name: "api"}},
			{ID: "shop/web:http", ExternalName: "web.test", ExternalPort: 8080, Protocol: H2C},
		},
	}
	id := "shop/tls#" + cert.Digest[:16]
	want := strings.Join([]string{
		"unknown-sni  default-cert",
		"default-certificate  " + id + " Ed25519 [shop.test www.shop.test] until 2027-01-01T00:00:00Z",
		"trusted  10.0.0.0/8",
		"connections  allow=[0.0.0.0/0] deny=[192.0.2.0/24 2001:db8::/32] max-per-address=100 new-per-second-per-address=2.5 burst=10 max=1000" +
			" proxy-protocol=[10.1.0.0/16] proxy-timeout=1s  (IngressClassParameters edge spec.connections)",
		"*  owner",
		"*  Prefix /  -> pool shop/api:80",
		"*.shop.test  owner  (Ingress shop/web)",
		"*.shop.test  TLS  none  (Ingress shop/web spec.tls[1])",
		"shop.test  owner  (Ingress shop/web)",
		"shop.test  TLS  " + id + " Ed25519 [shop.test www.shop.test] until 2027-01-01T00:00:00Z  (Ingress shop/web spec.tls[0])",
		"shop.test  Exact /a  -> pool shop/api:80  (Ingress shop/web c)  acme connect-timeout=1s read-timeout=1m0s send-timeout=1m30s max-body=1048576 tries=2",
		"shop.test  Prefix /a/b  -> 503 no_service  (Ingress shop/web b)",
		"shop.test  Prefix /b/a  -> pool shop/api:80  (Ingress shop/web d)",
		"shop.test  Prefix /  -> pool shop/web:http  (Ingress shop/web a)  redirect-https",
		"pool shop/api:80  (Service shop/api)",
		"pool shop/web:http  external web.test:8080  h2c",
		"",
	}, "\n")
	if diff := cmp.Diff(want, s.Text()); diff != "" {
		t.Errorf("Text (-want +got):\n%s", diff)
	}
	if key := cert.TLS.PrivateKey.(ed25519.PrivateKey); strings.Contains(s.Text(), string(key)) {
		t.Errorf("Text holds the private key")
	}
}

func TestTextOfTLS(t *testing.T) {
	cert := certificate(t, ed25519Key(1), "client.test")
	ca := &Authorities{
		Origin: Origin{Kind: "Secret", Namespace: "shop", Name: "ca"}, Digest: "00112233445566778899",
		Certificates: make([]*x509.Certificate, 2),
	}
	s := &Spec{
		TLSPolicy: Modern,
		Hosts: []*Host{{Name: "shop.test", TLS: &TLS{
			Certificates: []*Certificate{cert}, Policy: Intermediate, NoHTTP2: true,
			ClientAuth: &ClientAuth{
				Mode: ClientAuthOptional, Authorities: ca, Depth: 2, MatchCN: "^CN=a", MatchSANs: []string{"a.test"},
				ErrorPage: &ClientAuthErrorPage{}, PassCertificate: true,
			},
		}}},
		Pools: []*Pool{
			{ID: "a", TLS: &UpstreamTLS{ServerName: "a.test", AltNames: []string{"b.test"}, Authorities: ca, Certificate: cert}},
			{ID: "b", TLS: &UpstreamTLS{Insecure: true, NoSNI: true}},
			{ID: "c", Protocol: H2C, TLS: &UpstreamTLS{ServerName: "c.test", SkipHostname: true}},
		},
	}
	want := strings.Join([]string{
		"unknown-sni  reject",
		"tls-policy  modern",
		"shop.test  owner",
		"shop.test  TLS  shop/tls#" + cert.Digest[:16] + " Ed25519 [client.test] until 2027-01-01T00:00:00Z",
		"shop.test  TLS  policy=intermediate no-http2 client-auth=optional authorities=shop/ca#0011223344556677 (2 certificates, 0 CRLs)" +
			` depth=2 match-cn="^CN=a" match-sans=["a.test"] error-page=400 pass-certificate`,
		`pool a  tls verified name=a.test alt-names=["b.test"] authorities=shop/ca#0011223344556677 (2 certificates, 0 CRLs) certificate=shop/tls#` + cert.Digest[:16],
		"pool b  tls unverified no-sni",
		"pool c  h2c  tls verified-without-name name=c.test",
		"",
	}, "\n")
	if diff := cmp.Diff(want, s.Text()); diff != "" {
		t.Errorf("Text (-want +got):\n%s", diff)
	}
}
