package dataplane_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// clientCA makes an authority of clients and a certificate of one.
func clientCA(t *testing.T, name string) (*snapshot.Authorities, tls.Certificate) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	caKey, key := newKey(), newKey()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "al\r\nice \"é\"", Organization: []string{"Example, Inc."}},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"alice.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	a, err := snapshot.ParseAuthorities(snapshot.Origin{Kind: "Secret", Namespace: "shop", Name: name},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A guardedWorld serves open.example to everybody and shop.example by a demand.
type guardedWorld struct {
	*world
	spec *snapshot.Spec
	shop *snapshot.Host
}

func newGuardedWorld(t *testing.T, demand *snapshot.ClientAuth, policy snapshot.Policy, h http.HandlerFunc) *guardedWorld {
	w := &guardedWorld{world: newWorld(t, nil)}
	open, openPool := host("open.example", policy)
	shop, shopPool := host("shop.example", policy)
	w.secure(open)
	w.secure(shop)
	w.shop = shop
	w.spec = &snapshot.Spec{Hosts: []*snapshot.Host{open, shop}, Pools: []*snapshot.Pool{openPool, shopPool}}
	endpoint := []snapshot.Endpoint{serve(t, h)}
	w.publish(snapshot.Update{Spec: w.spec, Endpoints: map[string][]snapshot.Endpoint{openPool.ID: endpoint, shopPool.ID: endpoint}})
	w.demand(demand)
	return w
}

// demand publishes another demand for shop.example.
func (w *guardedWorld) demand(a *snapshot.ClientAuth) {
	w.t.Helper()
	shop, spec := *w.shop, *w.spec
	declared := *shop.TLS
	declared.ClientAuth = a
	shop.TLS = &declared
	spec.Hosts = []*snapshot.Host{spec.Hosts[0], &shop}
	w.publish(snapshot.Update{Spec: &spec})
}

// clientWith is a client of one protocol that presents cert, if any.
func (w *guardedWorld) clientWith(h2 bool, cert *tls.Certificate) *http.Client {
	c := w.client()
	tr := c.Transport.(*http.Transport)
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP2(h2)
	tr.Protocols.SetHTTP1(!h2)
	if cert != nil {
		tr.TLSClientConfig.Certificates = []tls.Certificate{*cert}
	}
	return c
}

func both(t *testing.T, f func(t *testing.T, h2 bool)) {
	t.Run("h1", func(t *testing.T) { f(t, false) })
	t.Run("h2", func(t *testing.T) { f(t, true) })
}

// TestRow57OtherHostOnTheConnection is a client that proves nothing for one host
// and asks for another on the same connection.
func TestRow57OtherHostOnTheConnection(t *testing.T) {
	ca, _ := clientCA(t, "clients")
	both(t, func(t *testing.T, h2 bool) {
		reached := false
		w := newGuardedWorld(t, &snapshot.ClientAuth{Authorities: ca}, snapshot.Policy{}, func(_ http.ResponseWriter, r *http.Request) {
			reached = reached || r.Host == "shop.example"
		})
		c := w.clientWith(h2, nil)
		ask := func(host string) *http.Response {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), "GET", "https://open.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res
		}
		if res := ask("open.example"); res.StatusCode != 200 {
			t.Errorf("open.example: %s, want 200", res.Status)
		}
		for _, name := range []string{"shop.example", "SHOP.example:443", "shop.example."} {
			if res := ask(name); res.StatusCode != 421 || !h2 && !res.Close {
				t.Errorf("%s: %s, close %v, want 421 and the end of the connection", name, res.Status, res.Close)
			}
		}
		// The client is asked to use another connection, which serves it.
		if res := ask("open.example"); res.StatusCode != 200 {
			t.Errorf("open.example afterwards: %s, want 200", res.Status)
		}
		w.ended()
		if reached || w.requests[outcome.Misdirected] != 3 {
			t.Errorf("backend reached: %v, outcomes %v, want never and three of misdirected", reached, w.requests)
		}
	})
}

// TestRow57DemandChanges is a publish under connections that are open: what they
// proved is no longer what is asked for.
func TestRow57DemandChanges(t *testing.T) {
	ca, alice := clientCA(t, "clients")
	other, _ := clientCA(t, "others")
	for name, change := range map[string]*snapshot.ClientAuth{
		"nothing more": nil,
		"another CA":   {Authorities: other},
		"optional":     {Authorities: ca, Mode: snapshot.ClientAuthOptional},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, h2 bool) {
				w := newGuardedWorld(t, &snapshot.ClientAuth{Authorities: ca}, snapshot.Policy{}, func(http.ResponseWriter, *http.Request) {})
				c := w.clientWith(h2, &alice)
				status := func() int {
					res, err := c.Get("https://shop.example/")
					if err != nil {
						return 0 // the handshake of a new connection was refused
					}
					res.Body.Close()
					return res.StatusCode
				}
				if got := status(); got != 200 {
					t.Fatalf("first request: %d, want 200", got)
				}
				w.demand(change)
				if got := status(); got != 421 {
					t.Errorf("request on the connection from before: %d, want 421", got)
				}
				want := 200
				if name == "another CA" {
					want = 0
				}
				if got := status(); got != want {
					t.Errorf("request on a new connection: %d, want %d", got, want)
				}
			})
		})
	}
}

// TestRow57Websocket is a handshake for a websocket on a connection that did not
// prove what its host demands: no tunnel begins.
func TestRow57Websocket(t *testing.T) {
	ca, _ := clientCA(t, "clients")
	w := newGuardedWorld(t, &snapshot.ClientAuth{Authorities: ca}, snapshot.Policy{}, func(_ http.ResponseWriter, _ *http.Request) {
		t.Error("the backend was reached")
	})
	c, err := tls.Dial("tcp", w.Addr("https").String(), &tls.Config{ServerName: "open.example", RootCAs: w.ca})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 421 {
		t.Errorf("upgrade: %v, %v, want 421", res, err)
	}
}

// TestRow55ErrorPage is the other style of refusal: an answer over HTTP.
func TestRow55ErrorPage(t *testing.T) {
	ca, alice := clientCA(t, "clients")
	_, mallory := clientCA(t, "others")
	page := func(redirect, cn string) *snapshot.ClientAuth {
		return &snapshot.ClientAuth{Authorities: ca, MatchCN: cn, ErrorPage: &snapshot.ClientAuthErrorPage{Redirect: redirect}}
	}
	for _, tt := range []struct {
		name   string
		demand *snapshot.ClientAuth
		cert   *tls.Certificate
		status int
		reason outcome.Reason
	}{
		{"good", page("", ""), &alice, 200, outcome.OK},
		{"none", page("", ""), nil, 400, outcome.ClientCertMissing},
		{"other authority", page("", ""), &mallory, 400, outcome.ClientCertUnknownCA},
		{"other name", page("", "bob"), &alice, 403, outcome.ClientCertDenied},
		{"redirect", page("https://help.example/certificates", ""), nil, 302, outcome.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, h2 bool) {
				w := newGuardedWorld(t, tt.demand, snapshot.Policy{}, func(http.ResponseWriter, *http.Request) {})
				c := w.clientWith(h2, nil)
				c.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if tt.cert == nil {
						return new(tls.Certificate), nil
					}
					return tt.cert, nil
				}
				res, err := c.Get("https://shop.example/")
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != tt.status || tt.status == 302 && res.Header.Get("Location") != tt.demand.ErrorPage.Redirect {
					t.Errorf("%s, Location %q, want %d", res.Status, res.Header.Get("Location"), tt.status)
				}
				w.ended()
				if w.requests[tt.reason] != 1 {
					t.Errorf("outcomes %v, want %s", w.requests, tt.reason)
				}
			})
		})
	}
}

// TestRow53PlainHTTP is a request to a guarded host that is not over TLS at all.
func TestRow53PlainHTTP(t *testing.T) {
	ca, _ := clientCA(t, "clients")
	for _, tt := range []struct {
		name   string
		policy snapshot.Policy
		mode   snapshot.ClientAuthMode
		status int
	}{
		{"required", snapshot.Policy{}, snapshot.ClientAuthRequire, 400},
		{"redirected", snapshot.Policy{RedirectHTTPS: true}, snapshot.ClientAuthRequire, 308},
		{"optional", snapshot.Policy{}, snapshot.ClientAuthOptional, 200},
		{"challenge", snapshot.Policy{ACME: true}, snapshot.ClientAuthRequire, 200},
	} {
		w := newGuardedWorld(t, &snapshot.ClientAuth{Authorities: ca, Mode: tt.mode}, tt.policy, func(http.ResponseWriter, *http.Request) {})
		if status, _ := get(t, w.client(), "http://shop.example/"); status != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, status, tt.status)
		}
	}
}

// TestRow56Identity is what the backend is told: by Cardea alone.
func TestRow56Identity(t *testing.T) {
	ca, alice := clientCA(t, "clients")
	both(t, func(t *testing.T, h2 bool) {
		var got http.Header
		w := newGuardedWorld(t, &snapshot.ClientAuth{Authorities: ca, Mode: snapshot.ClientAuthOptional, PassCertificate: true}, snapshot.Policy{},
			func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
		ask := func(host string, cert *tls.Certificate) http.Header {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+host+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"ssl-client-verify", "SSL-Client-Subject-DN", "ssl-client-cert", "ssl-client-whatever", "X-Forwarded-Client-Cert"} {
				req.Header.Set(name, "SUCCESS")
			}
			res, err := w.clientWith(h2, cert).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return got
		}
		for name := range ask("open.example", nil) {
			if strings.HasPrefix(name, "Ssl-Client") || name == "X-Forwarded-Client-Cert" {
				t.Errorf("a host that asks for no certificate passes on %s", name)
			}
		}
		if h := ask("shop.example", nil); h.Get("Ssl-Client-Verify") != "NONE" || h.Get("Ssl-Client-Subject-Dn") != "" || h.Get("Ssl-Client-Cert") != "" {
			t.Errorf("without a certificate: %v, want ssl-client-verify: NONE alone", h)
		}
		h := ask("shop.example", &alice)
		if h.Get("Ssl-Client-Verify") != "SUCCESS" || len(h.Values("Ssl-Client-Verify")) != 1 {
			t.Errorf("ssl-client-verify: %q, want SUCCESS once", h.Values("Ssl-Client-Verify"))
		}
		if want := `CN=al\0d\0aice \"\c3\a9\",O=Example\, Inc.`; h.Get("Ssl-Client-Subject-Dn") != want {
			t.Errorf("ssl-client-subject-dn: %s, want %s", h.Get("Ssl-Client-Subject-Dn"), want)
		}
		if h.Get("Ssl-Client-Issuer-Dn") != "CN=clients" || !strings.Contains(h.Get("X-Forwarded-Client-Cert"), `;DNS="alice.example"`) {
			t.Errorf("issuer %q, X-Forwarded-Client-Cert %q", h.Get("Ssl-Client-Issuer-Dn"), h.Get("X-Forwarded-Client-Cert"))
		}
		text, err := url.PathUnescape(h.Get("Ssl-Client-Cert"))
		block, _ := pem.Decode([]byte(text))
		if err != nil || block == nil || string(block.Bytes) != string(alice.Certificate[0]) {
			t.Errorf("ssl-client-cert: %q, want the URL-encoded PEM", h.Get("Ssl-Client-Cert"))
		}
	})
}
