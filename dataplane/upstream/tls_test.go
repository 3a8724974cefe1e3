package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A tlsWorld is a Set whose handshakes are kept.
type tlsWorld struct {
	*Set
	mu         sync.Mutex
	handshakes []outcome.UpstreamHandshake
}

func newTLSWorld(t testing.TB, change func(*Config)) *tlsWorld {
	t.Helper()
	w := &tlsWorld{}
	w.Set = newSet(t, func(c *Config) {
		c.Sink.UpstreamHandshake = func(o *outcome.UpstreamHandshake) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.handshakes = append(w.handshakes, *o)
		}
		if change != nil {
			change(c)
		}
	})
	return w
}

// pool puts the pool of that trust in force beside what is there.
func (w *tlsWorld) pool(u *snapshot.UpstreamTLS, addrs ...netip.AddrPort) *Pool {
	id := u.Digest()
	w.Prepare([]*snapshot.Pool{{ID: id, TLS: u, Origin: snapshot.Origin{Kind: "Service", Namespace: "shop", Name: "web"}}},
		map[string][]snapshot.Endpoint{id: list(addrs...)})
	return w.Pool(id)
}

// last returns the last handshake.
func (w *tlsWorld) last(t testing.TB) outcome.UpstreamHandshake {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.handshakes) == 0 {
		t.Fatal("no handshake was told")
	}
	return w.handshakes[len(w.handshakes)-1]
}

// wantFailed makes an attempt and holds how it fails against reason and text.
func wantFailed(t testing.TB, w *tlsWorld, p *Pool, reason outcome.Reason, text string) {
	t.Helper()
	_, err := exchange(t.Context(), p)
	oe, ok := err.(*outcome.Error)
	if !ok || oe.Reason != reason || oe.Retry != outcome.RetryYes || oe.Side != outcome.Upstream || !strings.Contains(err.Error(), text) {
		t.Fatalf("exchange = %v, want reason %s with %q, to be retried", err, reason, text)
	}
	if o := w.last(t); o.Reason != reason || o.Result == outcome.Done || !strings.Contains(o.Err, text) || o.Verified {
		t.Errorf("handshake told = %+v, want %s with %q", o, reason, text)
	}
}

// TestRow39: the name is sent and verified, and TLS is a matter of the pool.
func TestRow39ServerNameIsSentAndVerified(t *testing.T) {
	root := newAuthority(t, "root", nil)
	sent := make(chan string, 1)
	leaf := root.issue(t, "web.shop.svc", nil)
	srv := newTLSServer(t, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		sent <- hello.ServerName
		return &leaf, nil
	}}, nil)
	w := newTLSWorld(t, nil)
	trust := root.authorities(t)
	for _, c := range []struct {
		u    snapshot.UpstreamTLS
		sent string
	}{
		{snapshot.UpstreamTLS{ServerName: "web.shop.svc", Authorities: trust}, "web.shop.svc"},
		{snapshot.UpstreamTLS{ServerName: "web.shop.svc", Authorities: trust, NoSNI: true}, ""},
		{snapshot.UpstreamTLS{ServerName: "10.0.0.1", AltNames: []string{"web.shop.svc"}, Authorities: trust}, ""},
	} {
		mustExchange(t, w.pool(&c.u, srv.addr))
		if got := <-sent; got != c.sent {
			t.Errorf("%s: SNI sent = %q, want %q", c.u.ServerName, got, c.sent)
		}
		o := w.last(t)
		if o.Result != outcome.Done || o.Reason != outcome.OK || !o.Verified || o.ServerName != c.sent || o.Version != tls.VersionTLS13 ||
			o.Endpoint != srv.addr || o.Origin.Name != "web" || len(o.CertificateDigest) != 64 || o.CertificateSubject != "CN=web.shop.svc" || o.Duration <= 0 {
			t.Errorf("handshake told = %+v", o)
		}
	}
	plain := newServer(t, nil)
	mustExchange(t, newPoolOf(t, w.Set, plain.addr))
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.handshakes) != 3 {
		t.Errorf("%d handshakes told, want 3: none of the pool in plain text", len(w.handshakes))
	}
}

// TestRow40: a certificate must chain to a trusted authority, be valid now and be
// for servers, unless the pool says that it need not.
func TestRow40CertificateIsVerified(t *testing.T) {
	root, other := newAuthority(t, "root", nil), newAuthority(t, "other", nil)
	middle := newAuthority(t, "middle", root)
	lower := newAuthority(t, "lower", middle)
	good := root.issue(t, "web", nil)
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	bare := middle.issue(t, "web", nil)
	bare.Certificate = bare.Certificate[:1]
	// An intermediate that is trusted by itself, and that its root has revoked.
	disowned, err := snapshot.ParseAuthorities(snapshot.Origin{}, slices.Concat(root.pem(), middle.pem()), nil)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := snapshot.ParseRevocationLists([]string{"crl"}, [][]byte{root.authorities(t, middle.cert).CRLs[0].Raw})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		config *tls.Config
		u      snapshot.UpstreamTLS
		fails  string
	}{
		{"good", with(good), snapshot.UpstreamTLS{Authorities: root.authorities(t)}, ""},
		{"good with intermediates", with(lower.issue(t, "web", nil)), snapshot.UpstreamTLS{Authorities: root.authorities(t)}, ""},
		{"of another authority", with(good), snapshot.UpstreamTLS{Authorities: other.authorities(t)}, "unknown authority: "},
		{"without its intermediate", with(bare), snapshot.UpstreamTLS{Authorities: root.authorities(t)}, "unknown authority: "},
		{"expired", with(root.issue(t, "web", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), snapshot.UpstreamTLS{Authorities: root.authorities(t)}, "expired: "},
		{"not yet valid", with(root.issue(t, "web", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })), snapshot.UpstreamTLS{Authorities: root.authorities(t)}, "not yet valid: "},
		{"for clients", with(root.issue(t, "web", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })), snapshot.UpstreamTLS{Authorities: root.authorities(t)}, "not for servers: "},
		{"revoked", with(good), snapshot.UpstreamTLS{Authorities: root.authorities(t, good.Leaf)}, "revoked: "},
		{"not revoked", with(good), snapshot.UpstreamTLS{Authorities: root.authorities(t, root.issue(t, "x", nil).Leaf)}, ""},
		{"of a revoked authority", with(bare), snapshot.UpstreamTLS{Authorities: disowned, RevocationLists: lists}, "revoked: "},
		{"as deep as may be", with(lower.issue(t, "web", nil)), snapshot.UpstreamTLS{Authorities: root.authorities(t), Depth: 3}, ""},
		{"too deep", with(lower.issue(t, "web", nil)), snapshot.UpstreamTLS{Authorities: root.authorities(t), Depth: 2}, "chain too long: 2 intermediates"},
		{"whatever it is", with(root.issue(t, "elsewhere", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), snapshot.UpstreamTLS{Insecure: true}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTLSWorld(t, nil)
			c.u.ServerName = "web"
			p := w.pool(&c.u, newTLSServer(t, c.config, nil).addr)
			if c.fails != "" {
				wantFailed(t, w, p, outcome.UpstreamTLSVerify, c.fails)
				if o := w.last(t); o.CertificateDigest == "" || o.CertificateSubject != "CN=web" {
					t.Errorf("handshake told = %+v, want the certificate that was refused", o)
				}
				return
			}
			mustExchange(t, p)
			if o := w.last(t); o.Verified == c.u.Insecure {
				t.Errorf("Verified = %v with Insecure %v", o.Verified, c.u.Insecure)
			}
		})
	}
}

// TestRow41: the name must be among the certificate's names; a common name is none.
// Without that check the chain is verified all the same.
func TestRow41Hostname(t *testing.T) {
	root, other := newAuthority(t, "root", nil), newAuthority(t, "other", nil)
	elsewhere := root.issue(t, "elsewhere", nil)
	legacy := root.issue(t, "web", func(c *x509.Certificate) { c.DNSNames = nil })
	nameless := root.issue(t, "web", func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "" })
	wildcard := root.issue(t, "*.shop.svc", nil)
	for _, c := range []struct {
		name  string
		leaf  tls.Certificate
		u     snapshot.UpstreamTLS
		fails string
	}{
		{"another name", elsewhere, snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}, "name mismatch: "},
		{"a common name only", legacy, snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}, `common name only: the certificate names its host in its common name ("web"), which is not looked at (RFC 9525 section 2); issue it with the subject alternative name DNS:web`},
		{"a common name only, and another", legacy, snapshot.UpstreamTLS{ServerName: "other", Authorities: root.authorities(t)}, "issue it with the subject alternative name DNS:other"},
		{"a common name only, for an address", legacy, snapshot.UpstreamTLS{ServerName: "192.0.2.1", Authorities: root.authorities(t)}, "issue it with the subject alternative name IP:192.0.2.1"},
		{"neither", nameless, snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}, "name mismatch: "},
		{"a common name that is not verified", legacy, snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t), SkipHostname: true}, ""},
		{"a wildcard", wildcard, snapshot.UpstreamTLS{ServerName: "web.shop.svc", Authorities: root.authorities(t)}, ""},
		{"a wildcard of two labels", wildcard, snapshot.UpstreamTLS{ServerName: "a.web.shop.svc", Authorities: root.authorities(t)}, "name mismatch: "},
		{"any name", elsewhere, snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t), SkipHostname: true}, ""},
		{"any name, another authority", elsewhere, snapshot.UpstreamTLS{ServerName: "web", Authorities: other.authorities(t), SkipHostname: true}, "unknown authority: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTLSWorld(t, nil)
			p := w.pool(&c.u, newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{c.leaf}}, nil).addr)
			if c.fails != "" {
				reason := outcome.UpstreamTLSVerify
				if strings.Contains(c.fails, "alternative name") {
					reason = outcome.UpstreamTLSCommonName
				}
				wantFailed(t, w, p, reason, c.fails)
				return
			}
			mustExchange(t, p)
		})
	}
}

// TestRow42: without authorities of its own a pool trusts the system's. The test runs
// itself in a process whose system trusts the authority of a test.
func TestRow42SystemTrust(t *testing.T) {
	if addr := os.Getenv("CARDEA_TEST_ROW42"); addr != "" {
		mustExchange(t, newTLSWorld(t, nil).pool(&snapshot.UpstreamTLS{ServerName: "web"}, netip.MustParseAddrPort(addr)))
		return
	}
	root := newAuthority(t, "root", nil)
	srv := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", nil)}}, nil)
	w := newTLSWorld(t, nil)
	wantFailed(t, w, w.pool(&snapshot.UpstreamTLS{ServerName: "web"}, srv.addr), outcome.UpstreamTLSVerify, "unknown authority: ")

	bundle := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(bundle, root.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRow42SystemTrust$")
	cmd.Env = append(os.Environ(), "CARDEA_TEST_ROW42="+srv.addr.String(), "SSL_CERT_FILE="+bundle, "SSL_CERT_DIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with the authority in the system's store: %v\n%s", err, out)
	}
}

// TestRow43: authorities of one's own replace the system's, and others are another
// pool: no connection and no session that was made under the old ones is used.
func TestRow43OtherAuthoritiesAreAnotherPool(t *testing.T) {
	root, other := newAuthority(t, "root", nil), newAuthority(t, "other", nil)
	srv := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", nil)}}, nil)
	w := newTLSWorld(t, nil)
	before := &snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}
	after := &snapshot.UpstreamTLS{ServerName: "web", Authorities: other.authorities(t)}
	held := get(t, w.pool(before, srv.addr))
	mustExchange(t, w.Pool(before.Digest()))
	if !mustExchange(t, w.Pool(before.Digest())) {
		t.Error("the kept connection was not reused under the same trust")
	}

	p := w.pool(after, srv.addr)
	w.Retain([]*snapshot.Pool{{ID: after.Digest()}})
	wantFailed(t, w, p, outcome.UpstreamTLSVerify, "unknown authority: ")
	if err := held.Head(nil); err != nil {
		t.Errorf("the exchange that was under way = %v, want it to end in peace", err)
	}
	if _, err := held.Response(nil); err != nil {
		t.Errorf("the exchange that was under way = %v, want it to end in peace", err)
	}
	held.Done()
	eventually(t, "connections of the old trust are closed", func() bool { return openConns.Load() == 0 })

	// The same ID with another trust is another pool as well.
	w.Prepare([]*snapshot.Pool{{ID: after.Digest(), TLS: before}}, nil)
	if w.Pool(after.Digest()) == p {
		t.Error("Prepare with another trust under the same ID kept the pool")
	}
}

// No session is resumed across trust, nor from one endpoint to another.
func TestRow43SessionsStayWithTheirTrust(t *testing.T) {
	root := newAuthority(t, "root", nil)
	srv := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", nil)}}, func(line []byte) string { return "bye\n" })
	w := newTLSWorld(t, nil)
	a := &snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}
	b := &snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t), Depth: 7}
	for i, c := range []struct {
		u       *snapshot.UpstreamTLS
		resumed bool
	}{{a, false}, {a, true}, {b, false}, {a, true}, {b, true}} {
		mustExchange(t, w.pool(c.u, srv.addr))
		if o := w.last(t); o.Resumed != c.resumed || !o.Verified || o.CertificateSubject != "CN=web" {
			t.Errorf("handshake %d: %+v, want Resumed %v", i, o, c.resumed)
		}
	}
}

// A session is resumed only if its certificate would be accepted now.
func TestRow43ResumptionIsVerified(t *testing.T) {
	root := newAuthority(t, "root", nil)
	leaf := root.issue(t, "web", nil)
	srv := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{leaf}}, func([]byte) string { return "bye\n" })
	w := newTLSWorld(t, nil)
	p := w.pool(&snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}, srv.addr)
	mustExchange(t, p)
	p.security.now = func() time.Time { return leaf.Leaf.NotAfter.Add(time.Minute) }
	wantFailed(t, w, p, outcome.UpstreamTLSVerify, "expired")
	if o := w.last(t); !o.Resumed {
		t.Errorf("handshake = %+v, want a resumed one", o)
	}
}

// TestRow44: any of the names will do.
func TestRow44AltNames(t *testing.T) {
	root := newAuthority(t, "root", nil)
	srv := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{root.issue(t, "c.internal", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} })}}, nil)
	for _, c := range []struct {
		names []string
		ok    bool
	}{
		{[]string{"b.internal", "c.internal"}, true},
		{[]string{"10.0.0.1"}, true},
		{[]string{"b.internal", "10.0.0.2"}, false},
		{nil, false},
	} {
		w := newTLSWorld(t, nil)
		p := w.pool(&snapshot.UpstreamTLS{ServerName: "a.internal", AltNames: c.names, Authorities: root.authorities(t)}, srv.addr)
		if !c.ok {
			wantFailed(t, w, p, outcome.UpstreamTLSVerify, "name mismatch")
			continue
		}
		mustExchange(t, p)
	}
}

// TestRow45: no name never means that any name will do. (That it cannot be published
// is in snapshot.) The address of an endpoint is not its name.
func TestRow45NoNameIsNoTrust(t *testing.T) {
	root := newAuthority(t, "root", nil)
	srv := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })}}, nil)
	w := newTLSWorld(t, nil)
	wantFailed(t, w, w.pool(&snapshot.UpstreamTLS{Authorities: root.authorities(t)}, srv.addr), outcome.UpstreamTLSVerify, "no name is known to verify")
	wantFailed(t, w, w.pool(&snapshot.UpstreamTLS{ServerName: "other", Authorities: root.authorities(t)}, srv.addr), outcome.UpstreamTLSVerify, "name mismatch")
	mustExchange(t, w.pool(&snapshot.UpstreamTLS{ServerName: "127.0.0.1", Authorities: root.authorities(t)}, srv.addr))
}

// TestRow46: a client certificate is shown to who asks, and what the endpoint thinks
// of it is known before a request is sent, in TLS 1.3 as well.
func TestRow46ClientCertificate(t *testing.T) {
	root, other := newAuthority(t, "root", nil), newAuthority(t, "other", nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, mode := range []tls.ClientAuthType{tls.RequestClientCert, tls.RequireAndVerifyClientCert} {
			require := mode == tls.RequireAndVerifyClientCert
			srv := newTLSServer(t, &tls.Config{
				Certificates: []tls.Certificate{root.issue(t, "web", nil)}, ClientAuth: mode, ClientCAs: root.authorities(t).Pool, MaxVersion: version,
			}, nil)
			for _, c := range []struct {
				name  string
				cert  *snapshot.Certificate
				fails bool
			}{
				{"accepted", certificate(t, root.issue(t, "client", nil)), false},
				{"of another authority", certificate(t, other.issue(t, "client", nil)), require},
				{"none", nil, require},
			} {
				t.Run(fmt.Sprintf("%s/%v/%s", tls.VersionName(version), mode, c.name), func(t *testing.T) {
					w := newTLSWorld(t, nil)
					p := w.pool(&snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t), Certificate: c.cert}, srv.addr)
					if c.fails {
						// Told in time as a rule; a slow endpoint's judgement comes later.
						_, err := exchange(t.Context(), p)
						oe, ok := err.(*outcome.Error)
						if !ok || oe.Reason != outcome.UpstreamTLSHandshake || oe.Retry != outcome.RetryYes || !strings.Contains(err.Error(), "the endpoint sent the alert") {
							t.Fatalf("exchange = %v, want %s, to be retried", err, outcome.UpstreamTLSHandshake)
						}
					} else {
						mustExchange(t, p)
						mustExchange(t, p)
					}
					if o := w.last(t); o.ClientCertificate != (c.cert != nil) {
						t.Errorf("ClientCertificate = %v, want %v", o.ClientCertificate, c.cert != nil)
					}
				})
			}
		}
	}
}

// TestRow47: a client certificate and authorities of one's own go together.
func TestRow47OwnAuthorityAndClientCertificate(t *testing.T) {
	servers, clients := newAuthority(t, "servers", nil), newAuthority(t, "clients", nil)
	srv := newTLSServer(t, &tls.Config{
		Certificates: []tls.Certificate{servers.issue(t, "web", nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.authorities(t).Pool,
	}, nil)
	w := newTLSWorld(t, nil)
	first := certificate(t, clients.issue(t, "client", nil))
	second := certificate(t, clients.issue(t, "client", nil))
	for i, cert := range []*snapshot.Certificate{first, second} {
		// A renewed certificate is another pool.
		if mustExchange(t, w.pool(&snapshot.UpstreamTLS{ServerName: "web", Authorities: servers.authorities(t), Certificate: cert}, srv.addr)) {
			t.Errorf("exchange with certificate %d reused a connection", i)
		}
	}
	if got := srv.accepted.Load(); got != 2 {
		t.Errorf("%d connections, want one for each certificate", got)
	}
}

// TestRow48: versions and suites towards backends are the pool's own.
func TestRow48VersionsAndSuites(t *testing.T) {
	root := newAuthority(t, "root", nil)
	leaf := root.issue(t, "web", nil)
	for _, c := range []struct {
		name            string
		server          *tls.Config
		u               snapshot.UpstreamTLS
		version, cipher uint16
		fails           string
	}{
		{"default", &tls.Config{}, snapshot.UpstreamTLS{}, tls.VersionTLS13, 0, ""},
		{"a server of 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, snapshot.UpstreamTLS{}, tls.VersionTLS12, 0, ""},
		{"a server of 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, snapshot.UpstreamTLS{}, 0, 0, `the endpoint sent the alert "protocol version not supported"`},
		{"a server of 1.1, wanted so", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, snapshot.UpstreamTLS{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, tls.VersionTLS11, 0, ""},
		{"one suite", &tls.Config{}, snapshot.UpstreamTLS{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, ""},
		{"no suite in common", &tls.Config{CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, snapshot.UpstreamTLS{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, 0, 0, `the endpoint sent the alert "handshake failure"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTLSWorld(t, nil)
			c.server.Certificates = []tls.Certificate{leaf}
			c.u.ServerName, c.u.Authorities = "web", root.authorities(t)
			p := w.pool(&c.u, newTLSServer(t, c.server, nil).addr)
			if c.fails != "" {
				wantFailed(t, w, p, outcome.UpstreamTLSHandshake, c.fails)
				return
			}
			mustExchange(t, p)
			if o := w.last(t); o.Version != c.version || c.cipher != 0 && o.CipherSuite != c.cipher {
				t.Errorf("handshake = %s with %s", tls.VersionName(o.Version), tls.CipherSuiteName(o.CipherSuite))
			}
		})
	}
}

// TestRow49: how a handshake failed is told apart, and the next endpoint is tried.
func TestRow49Failures(t *testing.T) {
	root := newAuthority(t, "root", nil)
	plain := newServer(t, func([]byte) string { return "HTTP/1.1 400 Bad Request\n" })
	mute := newServer(t, func([]byte) string { return "" })
	shut := startServer(t, nil, func(l net.Listener) net.Listener { return closingListener{l} })
	h2only := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", nil)}, NextProtos: []string{"example"}}, nil)
	u := &snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}
	for _, c := range []struct {
		name   string
		srv    *server
		reason outcome.Reason
		text   string
	}{
		{"no TLS", plain, outcome.UpstreamTLSHandshake, "the endpoint does not speak TLS"},
		{"closed", shut, outcome.UpstreamTLSHandshake, "the endpoint closed the connection"},
		{"another protocol", h2only, outcome.UpstreamTLSHandshake, `the endpoint sent the alert "no application protocol"`},
		{"silence", mute, outcome.UpstreamTLSTimeout, "did not finish it in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTLSWorld(t, nil)
			p := w.pool(u, c.srv.addr)
			e, _ := p.Pick(t.Context(), nil)
			timeout := 20 * time.Second
			if c.reason == outcome.UpstreamTLSTimeout {
				timeout = 50 * time.Millisecond
			}
			_, err := p.Get(t.Context(), e, timeout)
			wantReason(t, err, c.reason, outcome.RetryYes)
			if !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "TLS handshake with "+c.srv.addr.String()+" as web: ") {
				t.Errorf("error = %v, want the endpoint, the name and %q", err, c.text)
			}
			if o := w.last(t); o.Reason != c.reason || (o.Result == outcome.Timeout) != (c.reason == outcome.UpstreamTLSTimeout) {
				t.Errorf("handshake told = %+v", o)
			}
			if st := p.Stats(); st.DialErrors != 1 || st.Dials != 0 {
				t.Errorf("Stats() = %+v, want one dial error", st)
			}
		})
	}
	for reason, status := range map[outcome.Reason]int{outcome.UpstreamTLSHandshake: 502, outcome.UpstreamTLSVerify: 502, outcome.UpstreamTLSTimeout: 504} {
		if got := reason.Status(); got != status {
			t.Errorf("%s: status %d, want %d", reason, got, status)
		}
	}
}

// A client that leaves during the handshake is no fault of the endpoint.
func TestRow49ClientLeaves(t *testing.T) {
	w := newTLSWorld(t, nil)
	arrived := make(chan struct{})
	mute := startServer(t, nil, func(l net.Listener) net.Listener { return signalListener{l, arrived} })
	p := w.pool(&snapshot.UpstreamTLS{ServerName: "web"}, mute.addr)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	e, _ := p.Pick(ctx, nil)
	_, err := p.Get(ctx, e, time.Minute)
	wantReason(t, err, outcome.ClientClosed, outcome.RetryNo)
	if o := w.last(t); o.Reason != outcome.ClientClosed {
		t.Errorf("handshake told = %+v, want client_closed", o)
	}
}

// TestRow51: no endpoint is an answer of its own.
func TestRow51NoEndpoints(t *testing.T) {
	w := newTLSWorld(t, nil)
	_, err := w.pool(&snapshot.UpstreamTLS{ServerName: "web"}).Pick(t.Context(), nil)
	if err == nil || err.Reason != outcome.NoEndpoints || err.Reason.Status() != 503 {
		t.Errorf("Pick = %v, want no_endpoints with status 503", err)
	}
}

// closingListener closes what connects.
type closingListener struct{ net.Listener }

func (l closingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		c.(*net.TCPConn).CloseWrite()
	}
	return c, err
}

// signalListener says when the first bytes are there, and never answers.
type signalListener struct {
	net.Listener
	arrived chan struct{}
}

func (l signalListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &signalConn{c, l.arrived}, err
}

type signalConn struct {
	net.Conn
	arrived chan struct{}
}

func (c *signalConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.arrived != nil {
		close(c.arrived)
		c.arrived = nil
	}
	return 0, err
}

// The secrets go to the key log, and to nobody without one.
func TestKeyLog(t *testing.T) {
	root := newAuthority(t, "root", nil)
	srv := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", nil)}}, nil)
	var log bytes.Buffer
	w := newTLSWorld(t, func(c *Config) { c.KeyLog = &log })
	mustExchange(t, w.pool(&snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}, srv.addr))
	if !strings.Contains(log.String(), "CLIENT_TRAFFIC_SECRET_0 ") {
		t.Errorf("key log = %q, want the secrets of a connection", log.String())
	}
}

// HTTP/2 over TLS, by ALPN; what does not offer it is not spoken to.
func TestHTTP2OverTLS(t *testing.T) {
	root := newAuthority(t, "root", nil)
	serve := func(protocols []string, auth tls.ClientAuthType) netip.AddrPort {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
			Certificates: []tls.Certificate{root.issue(t, "web", nil)}, NextProtos: protocols,
			ClientAuth: auth, ClientCAs: newAuthority(t, "clients", nil).authorities(t).Pool,
		})
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, r.Proto, " ", r.TLS.ServerName)
		}), Protocols: new(http.Protocols), ErrorLog: discardLog()}
		s.Protocols.SetHTTP1(true)
		s.Protocols.SetHTTP2(true)
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close(); <-done })
		return netip.MustParseAddrPort(l.Addr().String())
	}
	u := &snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t), Certificate: certificate(t, root.issue(t, "client", nil))}
	for _, c := range []struct {
		name   string
		addr   netip.AddrPort
		reason outcome.Reason
		text   string
	}{
		{"h2", serve([]string{"h2", "http/1.1"}, tls.NoClientCert), "", ""},
		{"no ALPN", newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", nil)}}, nil).addr, outcome.UpstreamTLSHandshake, "does not offer h2"},
		{"another protocol", serve([]string{"http/1.1"}, tls.NoClientCert), outcome.UpstreamTLSHandshake, `alert "no application protocol"`},
		{"refuses our certificate", serve([]string{"h2"}, tls.RequireAndVerifyClientCert), outcome.UpstreamTLSHandshake, "the endpoint sent the alert"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTLSWorld(t, func(c *Config) { c.Stream = nil })
			w.Prepare([]*snapshot.Pool{{ID: "h2", Protocol: snapshot.H2C, TLS: u}}, map[string][]snapshot.Endpoint{"h2": list(c.addr)})
			p := w.Pool("h2")
			err := fetch(t.Context(), p, newRequest("shop.example"))
			if c.reason == "" {
				if o := w.last(t); err != nil || o.ALPN != "h2" || o.Result != outcome.Done {
					t.Fatalf("exchange = %v with handshake %+v", err, o)
				}
				if err := fetch(t.Context(), p, newRequest("shop.example")); err != nil || p.Stats().Reuses != 1 {
					t.Errorf("second exchange = %v with %+v, want the same connection", err, p.Stats())
				}
				return
			}
			oe, ok := err.(*outcome.Error)
			if !ok || oe.Reason != c.reason || oe.Retry != outcome.RetryYes || !strings.Contains(err.Error(), c.text) {
				t.Errorf("exchange = %v, want %s with %q", err, c.reason, c.text)
			}
			if o := w.last(t); len(w.handshakes) != 1 || o.Reason != c.reason {
				t.Errorf("%d handshakes told, the last %+v; want one, %s", len(w.handshakes), o, c.reason)
			}
		})
	}
}
