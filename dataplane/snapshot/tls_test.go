package snapshot_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A difference that a connection would have to prove anew gives another digest;
// one that it would not, the same.
func TestSecurity(t *testing.T) {
	auth := func(change func(*snapshot.ClientAuth)) *snapshot.TLS {
		a := &snapshot.ClientAuth{Authorities: &snapshot.Authorities{Digest: "a"}}
		change(a)
		return &snapshot.TLS{ClientAuth: a}
	}
	hosts := map[string]*snapshot.TLS{
		"undeclared":     nil,
		"modern":         {Policy: snapshot.Modern},
		"require":        auth(func(*snapshot.ClientAuth) {}),
		"optional":       auth(func(a *snapshot.ClientAuth) { a.Mode = snapshot.ClientAuthOptional }),
		"other CA":       auth(func(a *snapshot.ClientAuth) { a.Authorities = &snapshot.Authorities{Digest: "b"} }),
		"deeper":         auth(func(a *snapshot.ClientAuth) { a.Depth = 2 }),
		"common name":    auth(func(a *snapshot.ClientAuth) { a.MatchCN = "CN=a" }),
		"names":          auth(func(a *snapshot.ClientAuth) { a.MatchSANs = []string{"a", "b"} }),
		"other names":    auth(func(a *snapshot.ClientAuth) { a.MatchSANs = []string{"ab"} }),
		"error page":     auth(func(a *snapshot.ClientAuth) { a.ErrorPage = &snapshot.ClientAuthErrorPage{} }),
		"old and modern": {Policy: &snapshot.TLSPolicy{MinVersion: tls.VersionTLS10}},
	}
	seen := map[snapshot.Security]string{}
	for name, host := range hosts {
		s := host.Security(nil)
		if other, ok := seen[s]; ok {
			t.Errorf("Security of %q = that of %q", name, other)
		}
		seen[s] = name
	}
	// 0 is TLS 1.2, and not the oldest version that there is.
	for _, oldest := range []uint16{tls.VersionTLS12, 0} {
		same := &snapshot.TLS{NoHTTP2: true, Policy: &snapshot.TLSPolicy{Name: "own", MinVersion: oldest}}
		if got, want := same.Security(nil), (*snapshot.TLS)(nil).Security(nil); got != want {
			t.Errorf("Security of a host with a policy of the same strength (%#x) = %v, want %v", oldest, got, want)
		}
	}
	if got, want := (*snapshot.TLS)(nil).Security(snapshot.Modern), hosts["modern"].Security(nil); got != want {
		t.Errorf("Security under the default policy modern = %v, want %v", got, want)
	}
}

// A certificate that an embedder has parsed has no bundle: two of them are not one
// identity all the same, whose connections might be shared.
func TestUpstreamDigestTellsCertificatesApart(t *testing.T) {
	a, b := newAuthority(t, "a", 1, nil), newAuthority(t, "b", 2, nil)
	digest := func(c *x509.Certificate) string {
		shown := snapshot.NewCertificate(snapshot.Origin{}, &tls.Certificate{Certificate: [][]byte{c.Raw}}, c)
		return (&snapshot.UpstreamTLS{ServerName: "web", Certificate: shown}).Digest()
	}
	if digest(a.Certificate) == digest(b.Certificate) {
		t.Error("Digest is the same with two certificates to show")
	}
}

// No way of printing a ticket key shows it.
func TestTicketKeyIsNotPrinted(t *testing.T) {
	var secret [32]byte
	copy(secret[:], strings.Repeat("geheim", 6))
	key := snapshot.NewTicketKey(secret)
	keys := snapshot.TicketKeys{Current: key, Others: []*snapshot.TicketKey{key}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		for _, v := range []any{key, keys, &keys} {
			if got := fmt.Sprintf(format, v); strings.Contains(got, "geheim") || strings.Contains(got, "67656865696d") {
				t.Errorf("Sprintf(%q) = %s, want no secret", format, got)
			}
		}
	}
	if text, err := key.MarshalText(); err != nil || strings.Contains(string(text), "geheim") {
		t.Errorf("MarshalText() = %q, %v, want no secret", text, err)
	}
}

// TestHostDemand is that what a connection and a request have to agree on comes
// from the declared host, exact before wildcard, and follows every publish.
func TestHostDemand(t *testing.T) {
	auth := &snapshot.ClientAuth{Authorities: &snapshot.Authorities{Digest: "a", Pool: x509.NewCertPool()}}
	plain := &snapshot.TLS{}
	guarded := &snapshot.TLS{ClientAuth: auth}
	spec := func(policy *snapshot.TLSPolicy, hosts ...*snapshot.Host) *snapshot.Spec {
		return &snapshot.Spec{TLSPolicy: policy, Hosts: hosts}
	}
	route := []*snapshot.Route{{Path: "/", Kind: snapshot.Prefix, Answer: &snapshot.Answer{Status: 503}}}
	a := &snapshot.Host{Name: "a.test", TLS: guarded, Routes: route}
	b := &snapshot.Host{Name: "b.test", TLS: plain, Routes: route}
	wild := &snapshot.Host{Name: "*.w.test", TLS: guarded}
	under := &snapshot.Host{Name: "x.w.test", Routes: route}

	var current *snapshot.Snapshot
	for i, step := range []struct {
		spec *snapshot.Spec
		// guarded are the names that demand a certificate; all others do not.
		guarded string
	}{
		{spec(nil, b), ""},
		{spec(nil, wild, a, b, under), "a.test x.w.test y.w.test"},
		{spec(snapshot.Modern, wild, a, b, under), "a.test x.w.test y.w.test"},
		{spec(snapshot.Modern, a, b, under), "a.test"},
		{spec(nil, b, under), ""},
	} {
		next, err := snapshot.Compile(current, step.spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		current = next
		for _, name := range []string{"a.test", "b.test", "x.w.test", "y.w.test", "a.b.w.test", "none.test", ""} {
			want := plain.Security(step.spec.TLSPolicy)
			if name != "" && strings.Contains(" "+step.guarded+" ", " "+name+" ") {
				want = guarded.Security(step.spec.TLSPolicy)
			}
			got, demand := current.HostDemand([]byte(name))
			if got != want || (demand == auth) != (want == guarded.Security(step.spec.TLSPolicy)) {
				t.Errorf("step %d: HostDemand(%q) = %v, %v, want %v", i, name, got, demand, want)
			}
			if got := current.ServerNameSecurity(name); got != want {
				t.Errorf("step %d: ServerNameSecurity(%q) = %v, want %v", i, name, got, want)
			}
		}
	}
}

// TestRow45: what is to be verified has a name, and what is trusted is not nothing:
// such a Spec is refused, whoever wrote it.
func TestRow45NoNameCannotBePublished(t *testing.T) {
	for _, c := range []struct {
		u    snapshot.UpstreamTLS
		want string
	}{
		{snapshot.UpstreamTLS{}, `snapshot: pool "p" of Service shop/web verifies TLS without a server name`},
		{snapshot.UpstreamTLS{SkipHostname: true}, `snapshot: pool "p" of Service shop/web verifies TLS without a server name`},
		{snapshot.UpstreamTLS{ServerName: "web", Authorities: &snapshot.Authorities{}}, `snapshot: pool "p" of Service shop/web trusts an empty list of authorities`},
		{snapshot.UpstreamTLS{Insecure: true}, ""},
		{snapshot.UpstreamTLS{ServerName: "web"}, ""},
	} {
		pool := &snapshot.Pool{ID: "p", Origin: snapshot.Origin{Kind: "Service", Namespace: "shop", Name: "web"}, TLS: &c.u}
		_, err := snapshot.Compile(nil, &snapshot.Spec{Pools: []*snapshot.Pool{pool}}, func(*snapshot.Route) any { return nil })
		if got := fmt.Sprint(err); err == nil && c.want != "" || err != nil && got != c.want {
			t.Errorf("Compile(%+v) = %v, want %q", c.u, err, c.want)
		}
	}
}

// TestRow74WhatIsServed: a certificate counts as served if the declared host has it,
// by its exact name or a wildcard; the default one where no host has any.
func TestRow74WhatIsServed(t *testing.T) {
	made := map[string]*snapshot.Certificate{}
	certificate := func(name string) *snapshot.Certificate {
		if made[name] == nil {
			a := newAuthority(t, name, int64(len(made)+1), nil)
			key, err := x509.MarshalPKCS8PrivateKey(a.key)
			if err != nil {
				t.Fatal(err)
			}
			made[name], err = snapshot.ParseCertificate(snapshot.Origin{}, a.pem(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
			if err != nil {
				t.Fatal(err)
			}
		}
		return made[name]
	}
	declared := func(name string, certificates ...string) *snapshot.Host {
		h := &snapshot.Host{Name: name, TLS: &snapshot.TLS{}}
		for _, c := range certificates {
			h.TLS.Certificates = append(h.TLS.Certificates, certificate(c))
		}
		return h
	}
	spec := &snapshot.Spec{Hosts: []*snapshot.Host{
		declared("*.example.com", "wild"), declared("bare.example.com"), declared("shop.example.com", "ecdsa", "rsa"),
	}}
	for _, c := range []struct {
		sni, certificate   string
		want, withDefaults bool
	}{
		{"shop.example.com", "ecdsa", true, true},
		{"shop.example.com", "rsa", true, true},
		{"shop.example.com", "wild", false, false},
		{"shop.example.com", "default", false, false},
		{"a.example.com", "wild", true, true},
		{"bare.example.com", "wild", false, false},
		{"bare.example.com", "default", false, true},
		{"nobody.invalid", "default", false, true},
		{"", "default", false, true},
		{"", "ecdsa", false, false},
	} {
		for _, d := range []struct {
			certificate *snapshot.Certificate
			want        bool
		}{{nil, c.want}, {certificate("default"), c.withDefaults}} {
			spec.DefaultCertificate = d.certificate
			s, err := snapshot.Compile(nil, spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Serves(c.sni, certificate(c.certificate).Digest); got != d.want {
				t.Errorf("Serves(%q, %q) with default %v = %v, want %v", c.sni, c.certificate, d.certificate != nil, got, d.want)
			}
		}
	}
}
