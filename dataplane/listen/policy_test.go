package listen

import (
	"crypto/tls"
	"slices"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Row 21: which group of those that both have is used: with TLS 1.2
// the one that is cheaper to compute, with TLS 1.3 the one that crypto/tls takes.
func TestRow21GroupOfTheHandshake(t *testing.T) {
	only12 := &snapshot.TLSPolicy{Name: "old", MaxVersion: tls.VersionTLS12}
	custom := func(ids ...tls.CurveID) *snapshot.TLSPolicy { return &snapshot.TLSPolicy{Name: "custom", Curves: ids} }
	for _, tt := range []struct {
		name   string
		policy *snapshot.TLSPolicy
		newest uint16
		offer  []tls.CurveID
		want   tls.CurveID
	}{
		{"TLS 1.2", nil, tls.VersionTLS12, []tls.CurveID{tls.X25519, tls.CurveP256}, tls.CurveP256},
		{"TLS 1.2, the client's defaults", nil, tls.VersionTLS12, nil, tls.CurveP256},
		{"TLS 1.2, no P-256 offered", nil, tls.VersionTLS12, []tls.CurveID{tls.X25519, tls.CurveP384}, tls.X25519},
		{"TLS 1.2, no X25519 offered", nil, tls.VersionTLS12, []tls.CurveID{tls.CurveP384, tls.CurveP256}, tls.CurveP256},
		{"TLS 1.2, no P-256 in the policy", custom(tls.X25519, tls.CurveP384), tls.VersionTLS12, nil, tls.X25519},
		{"TLS 1.2, no X25519 in the policy", custom(tls.CurveP384), tls.VersionTLS12, nil, tls.CurveP384},
		{"TLS 1.2, both in the policy", custom(tls.X25519, tls.CurveP384, tls.CurveP256), tls.VersionTLS12, nil, tls.CurveP256},
		{"policy of TLS 1.2", only12, tls.VersionTLS13, []tls.CurveID{tls.X25519, tls.CurveP256}, tls.CurveP256},
		{"TLS 1.3", nil, tls.VersionTLS13, []tls.CurveID{tls.X25519, tls.CurveP256}, tls.X25519},
		{"TLS 1.3, the client's defaults", nil, tls.VersionTLS13, nil, tls.X25519MLKEM768},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			host := declare("rsa.example.com", certificate("rsa", rsaKey(), "rsa.example.com"))
			host.TLS.Policy = tt.policy
			w.publish(&snapshot.Spec{Hosts: []*snapshot.Host{host}})
			state, err := w.visit(client("rsa.example.com", func(cfg *tls.Config) {
				cfg.MaxVersion, cfg.CurvePreferences = tt.newest, tt.offer
			}))
			if err != nil {
				t.Fatal(err)
			}
			h := w.want(outcome.Done, outcome.OK)
			if state.CurveID != tt.want || h.Curve != uint16(tt.want) {
				t.Errorf("group %s for the client, %s in the outcome, want %s", state.CurveID, tls.CurveID(h.Curve), tt.want)
			}
			if h.HelloRetried {
				t.Error("the client was asked for another hello")
			}
		})
	}
}

// TestTicketsAcrossGroups is that a session of TLS 1.2 resumes, at its own host alone,
// whichever group the client offers the next time.
func TestTicketsAcrossGroups(t *testing.T) {
	both, one := []tls.CurveID{tls.X25519, tls.CurveP256}, []tls.CurveID{tls.X25519}
	for _, offers := range [][][]tls.CurveID{{both, one, both, both}, {one, both, one}} {
		w := newWorld(t, nil)
		w.l.SetTicketKeys(&snapshot.TicketKeys{Current: ticketKey(1)})
		cache := anyHost{tls.NewLRUClientSessionCache(1)}
		visit := func(host string, offer []tls.CurveID) outcome.Handshake {
			t.Helper()
			_, err := w.visit(client(host, func(cfg *tls.Config) {
				cfg.MaxVersion, cfg.CurvePreferences, cfg.ClientSessionCache = tls.VersionTLS12, offer, cache
				cfg.InsecureSkipVerify = true
			}))
			if err != nil {
				t.Fatal(err)
			}
			return w.want(outcome.Done, outcome.OK)
		}
		for i, offer := range offers {
			if h := visit("rsa.example.com", offer); h.Resumed != (i > 0) {
				t.Errorf("visit %d with %v: resumed = %v, want %v", i+1, offer, h.Resumed, i > 0)
			}
		}
		if h := visit("both.example.com", offers[0]); h.Resumed {
			t.Errorf("a session of another host was resumed with %v", offers[0])
		}
	}
}

// TestNoConfigIsKeptForAGroup is that a client served from fewer groups changes nothing
// for the others.
func TestNoConfigIsKeptForAGroup(t *testing.T) {
	var cs configs
	cs.init(defaultNextProtos)
	s := serve(declare("ec.example.com", certificate("ec", ecKey(), "ec.example.com")))
	shared, _ := cs.of(s, nil)
	s.groups = []tls.CurveID{tls.CurveP256}
	own, _ := cs.of(s, nil)
	if own == shared || !slices.Equal(own.CurvePreferences, s.groups) || shared.CurvePreferences != nil {
		t.Errorf("groups %v of its own, %v shared, want %v and the defaults", own.CurvePreferences, shared.CurvePreferences, s.groups)
	}
	n := 0
	cs.made.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d Configs are kept, want 1", n)
	}
}
