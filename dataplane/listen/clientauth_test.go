package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// authorities is ca as a Secret would hold it, with a list that revokes the
// serial numbers given; without any it has no list.
func (ca *authority) authorities(revoked ...*big.Int) *snapshot.Authorities {
	var crl []byte
	if revoked != nil {
		list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
		for _, n := range revoked {
			list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: time.Now()})
		}
		der := must(x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key))
		crl = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	}
	return must(snapshot.ParseAuthorities(
		snapshot.Origin{Kind: "Secret", Namespace: "shop", Name: "clients"},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), crl))
}

// newClientCA is an authority that may sign revocation lists.
func newClientCA(name string, parent *authority) *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: validFrom, NotAfter: validTo,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	signer, by := key, tmpl
	if parent != nil {
		signer, by = parent.key.(*ecdsa.PrivateKey), parent.cert
	}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, by, key.Public(), signer))
	return &authority{cert: must(x509.ParseCertificate(der)), key: key}
}

func (ca *authority) client(change func(*x509.Certificate), intermediates ...*authority) tls.Certificate {
	c := must(tls.X509KeyPair(ca.issue(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), change)))
	for _, i := range intermediates {
		c.Certificate = append(c.Certificate, i.cert.Raw)
	}
	return c
}

func guarded(a *snapshot.ClientAuth) *snapshot.Spec {
	h := declare("ec.example.com", certificate("ec", ecKey(), "ec.example.com"))
	h.TLS.ClientAuth = a
	return &snapshot.Spec{Hosts: []*snapshot.Host{h}}
}

// presenting is a client that sends its certificate whatever the server asks for,
// or none.
func presenting(version uint16, cert *tls.Certificate) func(*tls.Config) {
	return func(cfg *tls.Config) {
		cfg.MaxVersion = version
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert == nil {
				return new(tls.Certificate), nil
			}
			return cert, nil
		}
	}
}

func TestRow53ClientCertificates(t *testing.T) {
	root := newClientCA("root", nil)
	middle := newClientCA("middle", root)
	good := root.client(func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames = "alice", []string{"alice.example.org"}
	})
	deep := middle.client(nil, middle)
	stranger := newClientCA("other", nil).client(nil)
	expired := root.client(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	server := root.client(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	revoked := root.client(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(666) })

	demand := func(change func(*snapshot.ClientAuth)) *snapshot.ClientAuth {
		a := &snapshot.ClientAuth{Authorities: root.authorities()}
		if change != nil {
			change(a)
		}
		return a
	}
	require := demand(nil)
	optional := demand(func(a *snapshot.ClientAuth) { a.Mode = snapshot.ClientAuthOptional })
	page := demand(func(a *snapshot.ClientAuth) { a.ErrorPage = &snapshot.ClientAuthErrorPage{} })
	noCA := demand(func(a *snapshot.ClientAuth) { a.Mode, a.Authorities = snapshot.ClientAuthOptionalNoCA, nil })
	crl := demand(func(a *snapshot.ClientAuth) { a.Authorities = root.authorities(big.NewInt(666)) })
	crlPage := demand(func(a *snapshot.ClientAuth) { a.Authorities, a.ErrorPage = crl.Authorities, page.ErrorPage })
	cn := func(expr string) *snapshot.ClientAuth {
		return demand(func(a *snapshot.ClientAuth) { a.MatchCN = expr })
	}
	san := func(names ...string) *snapshot.ClientAuth {
		return demand(func(a *snapshot.ClientAuth) { a.MatchSANs = names })
	}

	for _, tt := range []struct {
		name   string
		demand *snapshot.ClientAuth
		client *tls.Certificate
		// reason is that of the handshake, verdict what is known after a good one.
		reason, verdict outcome.Reason
	}{
		{"require, good", require, &good, outcome.OK, outcome.OK},
		{"require, none", require, nil, outcome.ClientCertMissing, ""},
		{"require, other authority", require, &stranger, outcome.ClientCertUnknownCA, ""},
		{"require, expired", require, &expired, outcome.ClientCertExpired, ""},
		{"require, for servers", require, &server, outcome.ClientCertUsage, ""},
		{"require, chain too long", require, &deep, outcome.ClientCertDenied, ""},
		{"require, longer chain", demand(func(a *snapshot.ClientAuth) { a.Depth = 2 }), &deep, outcome.OK, outcome.OK},
		{"require, revoked", crl, &revoked, outcome.ClientCertRevoked, ""},
		{"require, not revoked", crl, &good, outcome.OK, outcome.OK},
		{"require, common name", cn("al.*|bob"), &good, outcome.OK, outcome.OK},
		{"require, part of the common name", cn("lic"), &good, outcome.ClientCertDenied, ""},
		{"require, DNS name", san("bob.example.org", "ALICE.example.org"), &good, outcome.OK, outcome.OK},
		{"require, wildcard", san("*.example.org"), &good, outcome.OK, outcome.OK},
		{"require, wildcard of two labels", san("*.org"), &good, outcome.ClientCertDenied, ""},
		{"optional, none", optional, nil, outcome.OK, outcome.ClientCertMissing},
		{"optional, good", optional, &good, outcome.OK, outcome.OK},
		{"optional, other authority", optional, &stranger, outcome.ClientCertUnknownCA, ""},
		{"page, none", page, nil, outcome.OK, outcome.ClientCertMissing},
		{"page, good", page, &good, outcome.OK, outcome.OK},
		{"page, other authority", page, &stranger, outcome.OK, outcome.ClientCertUnknownCA},
		{"page, expired", page, &expired, outcome.OK, outcome.ClientCertExpired},
		{"page, for servers", page, &server, outcome.OK, outcome.ClientCertUsage},
		{"page, chain too long", page, &deep, outcome.OK, outcome.ClientCertDenied},
		{"page, revoked", crlPage, &revoked, outcome.OK, outcome.ClientCertRevoked},
		{"no CA, none", noCA, nil, outcome.OK, outcome.ClientCertMissing},
		{"no CA, any", noCA, &stranger, outcome.OK, outcome.ClientCertUnknownCA},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				w := newWorld(t, nil)
				w.publish(guarded(tt.demand))
				_, err := w.visit(client("ec.example.com", presenting(version, tt.client)))
				if (err == nil) != (tt.reason == outcome.OK) {
					t.Errorf("client: %v, want reason %s", err, tt.reason)
				}
				h := w.handshake()
				w.conn()
				if h.Reason != tt.reason || h.ClientVerdict != tt.verdict {
					t.Errorf("reason %s (%s), verdict %s, want %s, %s", h.Reason, h.Err, h.ClientVerdict, tt.reason, tt.verdict)
				}
				// Row 6: who was rejected is known as well.
				if (h.ClientCertificate != nil) != (tt.client != nil) {
					t.Fatalf("ClientCertificate = %v, want what the client sent", h.ClientCertificate)
				}
				if c := h.ClientCertificate; c != nil {
					verified := tt.reason == outcome.OK && tt.verdict == outcome.OK
					if c.Verified != verified || (c.VerifyErr == "") != verified {
						t.Errorf("verified %v, %q, want %v", c.Verified, c.VerifyErr, verified)
					}
				}
			})
		}
	}
}

// A session is resumed only as long as the demand is the same, and its certificate
// is looked up in the revocation list of now.
func TestRow54ResumedClientCertificates(t *testing.T) {
	root := newClientCA("root", nil)
	leaf := root.client(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(42) })
	demand := func(a *snapshot.Authorities, page bool) *snapshot.ClientAuth {
		d := &snapshot.ClientAuth{Authorities: a}
		if page {
			d.ErrorPage = &snapshot.ClientAuthErrorPage{}
		}
		return d
	}
	none, clean, listed := root.authorities(), root.authorities(big.NewInt(1)), root.authorities(big.NewInt(42))
	for _, tt := range []struct {
		name          string
		first, second *snapshot.ClientAuth
		resumed       bool
		reason        outcome.Reason
	}{
		{"the same", demand(none, false), demand(none, false), true, outcome.OK},
		{"the same, page", demand(none, true), demand(none, true), true, outcome.OK},
		{"nothing before", nil, demand(none, false), false, outcome.OK},
		{"nothing after", demand(none, false), nil, false, outcome.OK},
		{"another CA", demand(none, false), demand(newClientCA("other", nil).authorities(), false), false, outcome.ClientCertUnknownCA},
		{"a list that does not name it", demand(none, false), demand(clean, false), false, outcome.OK},
		{"a list that names it", demand(clean, false), demand(listed, false), false, outcome.ClientCertRevoked},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				w := newWorld(t, nil)
				w.l.SetTicketKeys(&snapshot.TicketKeys{Current: ticketKey(1)})
				cache := anyHost{tls.NewLRUClientSessionCache(1)}
				spec := guarded(tt.first)
				cert := spec.Hosts[0].TLS.Certificates
				visit := func() outcome.Handshake {
					// The outcome tells; what the client sees depends on the version.
					_, _ = w.visit(client("ec.example.com", presenting(version, &leaf), func(cfg *tls.Config) { cfg.ClientSessionCache = cache }))
					h := w.handshake()
					w.conn()
					return h
				}
				w.publish(spec)
				if h := visit(); h.Reason != outcome.OK {
					t.Fatalf("first visit: %s (%s)", h.Reason, h.Err)
				}
				again := guarded(tt.second)
				again.Hosts[0].TLS.Certificates = cert
				w.publish(again)
				h := visit()
				if h.Reason != tt.reason || h.Resumed != tt.resumed {
					t.Errorf("second visit: %s (%s), resumed %v, want %s, %v", h.Reason, h.Err, h.Resumed, tt.reason, tt.resumed)
				}
				if tt.second != nil && h.Reason == outcome.OK && h.ClientVerdict != outcome.OK {
					t.Errorf("verdict %s of a client that is good, want ok", h.ClientVerdict)
				}
			})
		}
	}
}

// A list can grow older than its NextUpdate while sessions live: the check is made
// anew when one is resumed.
func TestRow54ListIsCheckedOnResumption(t *testing.T) {
	root := newClientCA("root", nil)
	leaf := must(x509.ParseCertificate(root.client(nil).Certificate[0]))
	a := newClientAuth(&snapshot.ClientAuth{Authorities: root.authorities(big.NewInt(1))})
	chains := [][]*x509.Certificate{{leaf, root.cert}}
	if no := a.check(leaf, chains, time.Now()); no != nil {
		t.Errorf("check() = %v, want nil", no)
	}
	if no := a.check(leaf, chains, time.Now().Add(2*time.Hour)); no == nil || no.reason != outcome.ClientCertUnchecked {
		t.Errorf("check() with a list that is too old = %v, want %s", no, outcome.ClientCertUnchecked)
	}
}

// TestRow58SPIFFE is a workload that names itself by a SPIFFE ID.
func TestRow58SPIFFE(t *testing.T) {
	root := newClientCA("mesh", nil)
	const id = "spiffe://example.org/web"
	leaf := root.client(func(c *x509.Certificate) { c.URIs = []*url.URL{must(url.Parse(id))} })
	for name, want := range map[string]outcome.Reason{
		id:                          outcome.OK,
		"spiffe://example.org/we":   outcome.ClientCertDenied,
		"spiffe://example.org/web2": outcome.ClientCertDenied,
		"spiffe://other.org/web":    outcome.ClientCertDenied,
	} {
		w := newWorld(t, nil)
		w.publish(guarded(&snapshot.ClientAuth{Authorities: root.authorities(), MatchSANs: []string{name}}))
		// The outcome tells; what the client sees depends on the version.
		_, _ = w.visit(client("ec.example.com", presenting(tls.VersionTLS13, &leaf)))
		h := w.handshake()
		w.conn()
		if h.Reason != want || h.ClientCertificate == nil || !slices.Equal(h.ClientCertificate.URINames, []string{id}) {
			t.Errorf("demand for %s: %s, certificate %+v, want %s and the ID", name, h.Reason, h.ClientCertificate, want)
		}
	}
}
