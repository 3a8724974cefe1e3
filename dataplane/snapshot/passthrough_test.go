package snapshot

import (
	"strings"
	"testing"
)

func passed(name, pool string) *Host {
	return &Host{Name: name, TLS: &TLS{Passthrough: pool}}
}

// TestRow64PassthroughHosts: the pool must be there as long as a host names it, the
// hosts are counted over any sequence of publishes, and the exact one comes before
// the wildcard.
func TestRow64PassthroughHosts(t *testing.T) {
	pool := &Pool{ID: "db"}
	wild, exact := passed("*.db.test", "db"), passed("a.db.test", "db")
	s, err := Compile(nil, &Spec{Hosts: []*Host{wild, exact}, Pools: []*Pool{pool}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Passthroughs(); n != 2 {
		t.Errorf("Passthroughs() = %d, want 2", n)
	}
	for name, want := range map[string]*Host{"a.db.test": exact, "b.db.test": wild, "db.test": nil, "b.a.db.test": nil} {
		if got := s.ServerName(name); got != want {
			t.Errorf("ServerName(%q) = %v, want %v", name, got, want)
		}
	}
	if _, err := Compile(s, &Spec{Hosts: []*Host{wild}}, nil); err == nil || !strings.Contains(err.Error(), `"db"`) {
		t.Errorf("Compile without the pool = %v, want an error that names it", err)
	}
	if _, err := Compile(nil, &Spec{Hosts: []*Host{passed("x.test", "none")}}, nil); err == nil {
		t.Error("Compile with a pool that never was = nil, want an error")
	}
	secure := &Spec{Hosts: []*Host{passed("x.test", "db")}, Pools: []*Pool{{ID: "db", TLS: &UpstreamTLS{Insecure: true}}}}
	if _, err := Compile(nil, secure, nil); err == nil {
		t.Error("Compile with a pool that has TLS = nil, want an error")
	}
	cert := certificate(t, ed25519Key(1), "x.test")
	both := passed("x.test", "db")
	both.TLS.Certificates = []*Certificate{cert}
	if _, err := Compile(nil, &Spec{Hosts: []*Host{both}, Pools: []*Pool{pool}}, nil); err == nil {
		t.Error("Compile with passthrough and certificate = nil, want an error")
	}
	terminated := &Host{Name: "a.db.test", TLS: &TLS{Certificates: []*Certificate{cert}}}
	s, err = Compile(s, &Spec{Hosts: []*Host{wild, terminated}, Pools: []*Pool{pool}}, nil)
	if err != nil || s.Passthroughs() != 1 {
		t.Errorf("Passthroughs() = %d, %v after one host changed, want 1", s.Passthroughs(), err)
	}
	s, err = Compile(s, &Spec{Hosts: []*Host{terminated}}, nil)
	if err != nil || s.Passthroughs() != 0 {
		t.Errorf("Passthroughs() = %d, %v after both are gone, want 0, and no need for the pool", s.Passthroughs(), err)
	}
	wild.TLS.PassthroughProxyHeader = true
	if text := (&Spec{Hosts: []*Host{wild}}).Text(); !strings.Contains(text, "*.db.test  TLS  passthrough -> pool db  proxy-protocol=v2\n") {
		t.Errorf("Text() = %s, want the passthrough in it", text)
	}
}
