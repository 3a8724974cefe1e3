package listen

import (
	"crypto/tls"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
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

// serve is what a handshake of host with its first certificate is done with.
func serve(h *snapshot.Host) *served {
	return &served{
		host: h.Name, tls: h.TLS, policy: h.TLS.EffectivePolicy(nil), cert: h.TLS.Certificates[0], security: h.TLS.Security(nil),
	}
}

func TestConfigsAreSharedAndCollected(t *testing.T) {
	var cs configs
	cs.init(defaultNextProtos)
	size := func() (n int) {
		cs.made.Range(func(any, any) bool { n++; return true })
		return n
	}
	cert := certificate("ec", ecKey(), "ec.example.com")
	host := declare("ec.example.com", cert)
	cfg, _ := cs.of(serve(host), nil)
	if again, _ := cs.of(serve(host), []string{"h2", "http/1.1"}); again != cfg {
		t.Error("of() made a second Config for a certificate of a host, want the same")
	}
	if odd, _ := cs.of(serve(host), []string{"h2"}); odd == cfg || len(odd.NextProtos) > 0 || len(cfg.NextProtos) == 0 {
		t.Error("of() without common protocol: want a Config of its own without NextProtos")
	}
	other := declare("ec.example.com", cert)
	if second, _ := cs.of(serve(other), nil); second == cfg {
		t.Error("of() gives two hosts one Config, want one each")
	}
	if n := size(); n != 2 {
		t.Errorf("%d Configs are kept, want 2", n)
	}
	collected := func(left int, what string) {
		for i := 0; size() > left; i++ {
			if i == 1000 {
				t.Fatalf("%d Configs are kept after %s is gone, want %d", size(), what, left)
			}
			runtime.GC()
			runtime.Gosched()
		}
	}
	runtime.KeepAlive(other)
	other = nil
	collected(1, "a host")
	runtime.KeepAlive(cert)
	cert = nil
	host.TLS.Certificates = nil
	// The Config itself is still in use by a connection.
	collected(0, "the certificate")
	runtime.KeepAlive(host)
	runtime.KeepAlive(cfg)
}

func TestPolicyOfConfigs(t *testing.T) {
	var cs configs
	cs.init([]string{"h2", "http/1.1"})
	host := declare("ec.example.com", certificate("ec", ecKey(), "ec.example.com"))
	cfg, _ := cs.of(serve(host), nil)
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
	host.TLS.Policy = &snapshot.TLSPolicy{
		MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS12, NoTickets: true, RejectALPN: true,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, Curves: []tls.CurveID{tls.CurveP256},
	}
	host.TLS.NoHTTP2 = true
	cfg, _ = cs.of(serve(host), []string{"spdy/3"})
	got := []any{cfg.MinVersion, cfg.MaxVersion, cfg.CipherSuites, cfg.CurvePreferences, cfg.SessionTicketsDisabled, cfg.NextProtos}
	want := []any{
		uint16(tls.VersionTLS11), uint16(tls.VersionTLS12),
		[]uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA},
		[]tls.CurveID{tls.CurveP256},
		true,
		[]string{"http/1.1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Config of a custom policy (-want +got):\n%s", diff)
	}
}

// TestPolicyPerHost is that hosts of one listener have policies of their own.
func TestPolicyPerHost(t *testing.T) {
	ec := certificate("ec", ecKey(), "*.example.com", "*.wild.example.com")
	hosts := map[string]func(*snapshot.TLS){
		"default.example.com": func(*snapshot.TLS) {},
		"inter.example.com":   func(t *snapshot.TLS) { t.Policy = snapshot.Intermediate },
		"p384.example.com":    func(t *snapshot.TLS) { t.Policy = &snapshot.TLSPolicy{Curves: []tls.CurveID{tls.CurveP384}} },
		"alpn.example.com":    func(t *snapshot.TLS) { t.Policy = &snapshot.TLSPolicy{RejectALPN: true} },
	}
	spec := &snapshot.Spec{TLSPolicy: snapshot.Modern}
	for name, change := range hosts {
		h := declare(name, ec)
		change(h.TLS)
		spec.Hosts = append(spec.Hosts, h)
	}
	slices.SortFunc(spec.Hosts, func(a, b *snapshot.Host) int { return strings.Compare(a.Name, b.Name) })
	only12 := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	only256 := func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} }
	spdy := func(c *tls.Config) { c.NextProtos = []string{"spdy/3"} }
	for _, tt := range []struct {
		host   string
		client func(*tls.Config)
		want   outcome.Reason
	}{
		{"default.example.com", only12, outcome.Version},
		{"default.example.com", only256, outcome.OK},
		{"default.example.com", spdy, outcome.OK},
		{"inter.example.com", only12, outcome.OK},
		{"p384.example.com", only256, outcome.Curve},
		{"p384.example.com", only12, outcome.OK},
		{"alpn.example.com", spdy, outcome.ALPN},
	} {
		w := newWorld(t, nil)
		w.publish(spec)
		_, err := w.visit(client(tt.host, tt.client))
		if (err == nil) != (tt.want == outcome.OK) {
			t.Errorf("%s: error %v, want %s", tt.host, err, tt.want)
		}
		h := w.handshake()
		w.conn()
		if h.Reason != tt.want {
			t.Errorf("%s: reason %s (%s), want %s", tt.host, h.Reason, h.Err, tt.want)
		}
		if host := w.snap.Load().ServerName(tt.host); h.Policy != host.TLS.EffectivePolicy(spec.TLSPolicy) || h.Security != host.TLS.Security(spec.TLSPolicy) {
			t.Errorf("%s: policy %v, security %v, want those of the host", tt.host, h.Policy, h.Security)
		}
	}
}
