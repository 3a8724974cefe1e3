package listen

import (
	"crypto/tls"
	"runtime"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// anyHost is a session cache that offers the last session to every server, as a
// client that wants to resume across hosts would.
type anyHost struct{ tls.ClientSessionCache }

func (c anyHost) Get(string) (*tls.ClientSessionState, bool) { return c.ClientSessionCache.Get("") }
func (c anyHost) Put(_ string, s *tls.ClientSessionState)    { c.ClientSessionCache.Put("", s) }

func TestResumption(t *testing.T) {
	replaced := func(w *world) {
		spec := testSpec()
		w.publish(spec)
	}
	tests := []struct {
		name          string
		first, second string
		between       func(*world)
		want          bool
	}{
		{"same host", "ec.example.com", "ec.example.com", nil, true},
		{"same host in other case", "ec.example.com", "EC.example.com", nil, true},
		{"same certificate, other host", "twin-a.example.com", "twin-b.example.com", nil, false},
		{"other certificate, other host", "ec.example.com", "both.example.com", nil, false},
		{"other name under a wildcard", "a.wild.example.com", "b.wild.example.com", nil, false},
		{"certificate replaced", "ec.example.com", "ec.example.com", replaced, false},
		{"new table, same certificate", "ec.example.com", "ec.example.com", func(w *world) {
			spec := *w.snap.Load().Spec
			w.publish(&spec)
		}, true},
	}
	for _, tt := range tests {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				w := newWorld(t, nil)
				cache := anyHost{tls.NewLRUClientSessionCache(1)}
				visit := func(host string) (tls.ConnectionState, outcome.Handshake) {
					state, err := w.visit(client(host, func(cfg *tls.Config) {
						cfg.MaxVersion, cfg.ClientSessionCache = version, cache
						// A client that checks nothing is the one to be stopped.
						cfg.InsecureSkipVerify = true
					}))
					if err != nil {
						t.Fatal(err)
					}
					return state, w.want(outcome.Done, outcome.OK)
				}
				if state, h := visit(tt.first); state.DidResume || h.Resumed {
					t.Fatal("the first connection was resumed")
				}
				if tt.between != nil {
					tt.between(w)
				}
				state, h := visit(tt.second)
				if state.DidResume != tt.want || h.Resumed != tt.want {
					t.Errorf("resumed: client %v, outcome %v, want %v", state.DidResume, h.Resumed, tt.want)
				}
				if h.Certificate == nil || h.Certificate.Digest != digestOf(state) {
					t.Errorf("Certificate = %v, want %s as the client has it", h.Certificate, digestOf(state))
				}
			})
		}
	}
}

// TestResumptionKeepsToTheKeyType is a client that has a session authenticated
// with ECDSA and now offers RSA only.
func TestResumptionKeepsToTheKeyType(t *testing.T) {
	w := newWorld(t, nil)
	cache := anyHost{tls.NewLRUClientSessionCache(1)}
	for i, suites := range [][]uint16{
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	} {
		_, err := w.visit(client("both.example.com", func(cfg *tls.Config) {
			cfg.MaxVersion, cfg.CipherSuites, cfg.ClientSessionCache = tls.VersionTLS12, suites, cache
		}))
		if err != nil {
			t.Fatal(err)
		}
		if h := w.want(outcome.Done, outcome.OK); h.Resumed || h.Certificate.Origin.Name != []string{"both-ec", "both-rsa"}[i] {
			t.Errorf("visit %d: resumed=%v with %v, want a full handshake", i, h.Resumed, h.Certificate)
		}
	}
}

func TestConfigsAreSharedAndCollected(t *testing.T) {
	var cs configs
	cs.init(defaultNextProtos)
	size := func() (n int) {
		cs.byCert.Range(func(any, any) bool { n++; return true })
		return n
	}
	cert := certificate("ec", ecKey(), "ec.example.com")
	cfg := cs.of(cert, nil)
	if again := cs.of(cert, []string{"h2", "http/1.1"}); again != cfg {
		t.Error("of() made a second Config for a certificate, want the same")
	}
	if odd := cs.of(cert, []string{"h2"}); odd == cfg || len(odd.NextProtos) > 0 || len(cfg.NextProtos) == 0 {
		t.Error("of() without common protocol: want a Config of its own without NextProtos")
	}
	if n := size(); n != 1 {
		t.Errorf("%d Configs are kept, want 1", n)
	}
	runtime.KeepAlive(cert)
	cert = nil
	// The Config itself is still in use by a connection.
	for i := 0; size() > 0; i++ {
		if i == 1000 {
			t.Fatal("the Config of a certificate that is gone is still kept")
		}
		runtime.GC()
		runtime.Gosched()
	}
	runtime.KeepAlive(cfg)
}

func TestPolicyOfConfigs(t *testing.T) {
	var cs configs
	cs.init(defaultNextProtos)
	cfg := cs.of(certificate("ec", ecKey(), "ec.example.com"), nil)
	if cfg.MinVersion != tls.VersionTLS12 || !cfg.DynamicRecordSizingDisabled || cfg.CurvePreferences != nil || cfg.SessionTicketsDisabled {
		t.Errorf("Config = min %x, dynamic records off %v, curves %v, want TLS 1.2, true, the default",
			cfg.MinVersion, cfg.DynamicRecordSizingDisabled, cfg.CurvePreferences)
	}
	secure := map[uint16]bool{}
	for _, s := range tls.CipherSuites() {
		secure[s.ID] = true
	}
	for _, id := range cfg.CipherSuites {
		if !secure[id] {
			t.Errorf("suite %s is not one of crypto/tls's secure ones", tls.CipherSuiteName(id))
		}
	}
}
