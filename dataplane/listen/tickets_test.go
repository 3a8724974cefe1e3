package listen

import (
	"crypto/tls"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func ticketKey(b byte) *snapshot.TicketKey { return snapshot.NewTicketKey([32]byte{b}) }

// TestTicketsAcrossReplicas is that a session resumes at another replica with the
// same secrets, also while a rotation has reached one of them only.
func TestTicketsAcrossReplicas(t *testing.T) {
	keys := func(current byte, others ...byte) *snapshot.TicketKeys {
		k := &snapshot.TicketKeys{Current: ticketKey(current)}
		for _, o := range others {
			k.Others = append(k.Others, ticketKey(o))
		}
		return k
	}
	for _, tt := range []struct {
		name          string
		first, second *snapshot.TicketKeys
		want          bool
	}{
		{"the same keys", keys(1, 2), keys(1, 2), true},
		{"the second has rotated", keys(1, 2), keys(2, 3, 1), true},
		{"the first has rotated", keys(2, 3, 1), keys(1, 2), true},
		{"the key is gone", keys(1, 2), keys(3, 4, 2), false},
		{"other keys", keys(1), keys(5), false},
		{"no keys", &snapshot.TicketKeys{}, &snapshot.TicketKeys{}, false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				cache := anyHost{tls.NewLRUClientSessionCache(1)}
				spec := testSpec()
				for i, keys := range []*snapshot.TicketKeys{tt.first, tt.second} {
					w := newWorld(t, nil)
					w.publish(spec)
					w.l.SetTicketKeys(keys)
					_, err := w.visit(client("ec.example.com", func(cfg *tls.Config) {
						cfg.MaxVersion, cfg.ClientSessionCache = version, cache
					}))
					if err != nil {
						t.Fatal(err)
					}
					if h := w.want(outcome.Done, outcome.OK); h.Resumed != (i == 1 && tt.want) {
						t.Errorf("visit %d: resumed = %v, want %v", i+1, h.Resumed, i == 1 && tt.want)
					}
				}
			})
		}
	}
}

// TestTicketKeysReachConfigsInUse is a rotation while the server runs: sessions
// from before it resume as long as their key is among the others.
func TestTicketKeysReachConfigsInUse(t *testing.T) {
	w := newWorld(t, nil)
	cache := anyHost{tls.NewLRUClientSessionCache(1)}
	for _, step := range []struct {
		keys *snapshot.TicketKeys
		want bool
	}{
		{&snapshot.TicketKeys{Current: ticketKey(1)}, false},
		{&snapshot.TicketKeys{Current: ticketKey(2), Others: []*snapshot.TicketKey{ticketKey(1)}}, true},
		{&snapshot.TicketKeys{Current: ticketKey(3), Others: []*snapshot.TicketKey{ticketKey(2)}}, true},
		{&snapshot.TicketKeys{Current: ticketKey(9)}, false},
	} {
		w.l.SetTicketKeys(step.keys)
		if _, err := w.visit(client("ec.example.com", func(cfg *tls.Config) { cfg.ClientSessionCache = cache })); err != nil {
			t.Fatal(err)
		}
		if h := w.want(outcome.Done, outcome.OK); h.Resumed != step.want {
			t.Errorf("with key %v: resumed = %v, want %v", step.keys.Current.Secret()[0], h.Resumed, step.want)
		}
	}
}

// TestBoundary is that whatever separates two hosts separates their ticket keys,
// though the secret is the same.
func TestBoundary(t *testing.T) {
	cert := certificate("ec", ecKey(), "*.example.com")
	base := func() *served { return serve(declare("a.example.com", cert)) }
	same := base().boundary()
	if again := base().boundary(); string(again) != string(same) {
		t.Fatal("boundary() differs for equal hosts")
	}
	renewed := *cert
	renewed.Digest = "another"
	for name, change := range map[string]func(*served){
		"policy":    func(s *served) { s.policy = snapshot.Modern },
		"client CA": func(s *served) { s.security[0]++ },
		"host":      func(s *served) { s.host = "b.example.com" },
		"owner": func(s *served) {
			other := *cert
			other.Origin.Namespace = "other"
			s.cert = &other
		},
	} {
		s := base()
		change(s)
		if string(s.boundary()) == string(same) {
			t.Errorf("boundary() is the same for another %s", name)
		}
	}
	s := base()
	s.cert = &renewed
	if string(s.boundary()) != string(same) {
		t.Error("boundary() changes when the certificate is renewed")
	}
}
