package upstream

import (
	"net"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func TestSetKeepsConnection(t *testing.T) {
	srv := newServer(t, nil)
	p := newPoolOf(t, newSet(t, nil), srv.addr)
	if mustExchange(t, p) {
		t.Error("first exchange reused a connection")
	}
	for range 3 {
		if !mustExchange(t, p) {
			t.Error("later exchange did not reuse the connection")
		}
	}
	c := get(t, p)
	if got := c.nc.RemoteAddr().String(); got != c.Endpoint.Addr.String() {
		t.Errorf("connection is to %s, want %s", got, c.Endpoint.Addr)
	}
	c.Done()
	mustExchange(t, p)
	want := Stats{Pool: "a", Endpoints: 1, Idle: 1, Dials: 1, Reuses: 5}
	if got := p.Stats(); got != want {
		t.Errorf("Stats() = %+v, want %+v", got, want)
	}
}

func TestSetPrepareRetain(t *testing.T) {
	a, b, c := newServer(t, nil), newServer(t, nil), newServer(t, nil)
	s := newSet(t, nil)
	poolA, poolB := &snapshot.Pool{ID: "a"}, &snapshot.Pool{ID: "b"}
	s.Prepare([]*snapshot.Pool{poolA}, map[string][]snapshot.Endpoint{"a": list(a.addr), "b": list(b.addr)})
	if s.Pool("b") != nil {
		t.Error("endpoints of an unknown pool made a pool")
	}
	pa := s.Pool("a")
	mustExchange(t, pa)

	// Prepare adds, never removes, and leaves the pools alone that it does not name.
	s.Prepare([]*snapshot.Pool{poolA, poolB}, map[string][]snapshot.Endpoint{"b": list(b.addr)})
	pb := s.Pool("b")
	s.Prepare([]*snapshot.Pool{poolB}, nil)
	if s.Pool("a") != pa || s.Pool("b") != pb {
		t.Error("Prepare made new pools in place of those in force")
	}
	if !mustExchange(t, pa) {
		t.Error("idle connection lost by a Prepare of another pool")
	}
	mustExchange(t, pb)

	// An endpoint that stays keeps its connections.
	ea := pa.Endpoints()[0]
	s.Prepare(nil, map[string][]snapshot.Endpoint{"a": list(c.addr, a.addr, c.addr)})
	got := pa.Endpoints()
	if len(got) != 2 || got[1] != ea || ea.idleCount() != 1 {
		t.Errorf("after Prepare: endpoints %v with %d idle, want the new one and %p with 1", got, ea.idleCount(), ea)
	}

	// The idle connections of an endpoint that goes are closed at once.
	s.Prepare(nil, map[string][]snapshot.Endpoint{"a": list(c.addr)})
	eventually(t, "server a sees its connection closed", func() bool {
		n := 0
		a.each(func(net.Conn) { n++ })
		return n == 0
	})

	// A removed pool works for who holds it and keeps no connection.
	busy := get(t, pb)
	s.Retain([]*snapshot.Pool{poolA})
	if s.Pool("b") != nil || s.Pool("a") != pa {
		t.Error("Retain did not remove b alone")
	}
	if mustExchange(t, pb) {
		t.Error("removed pool reused a connection")
	}
	busy.Done()
	if st := pb.Stats(); st.Idle != 0 || st.Busy != 0 || st.Endpoints != 1 {
		t.Errorf("removed pool: Stats() = %+v, want 1 endpoint, no connections", st)
	}
	s.Prepare([]*snapshot.Pool{poolB}, nil)
	if s.Pool("b") == pb {
		t.Error("a pool that came back is the old one")
	}
	_, err := s.Pool("b").Pick(t.Context(), nil)
	wantReason(t, err, outcome.NoEndpoints, outcome.RetryNo)
	if got := s.idle.Load(); got != 0 {
		t.Errorf("idle connections = %d, want 0", got)
	}
}

func TestSetEmptyListEmptiesPool(t *testing.T) {
	s := newSet(t, nil)
	p := newPoolOf(t, s, addrs(2)...)
	s.Prepare(nil, map[string][]snapshot.Endpoint{"a": {}})
	_, err := p.Pick(t.Context(), nil)
	wantReason(t, err, outcome.NoEndpoints, outcome.RetryNo)
}

// The Pod behind an address may change with the address staying: then nothing of
// the old one is kept.
func TestSetTargetChange(t *testing.T) {
	srv := newServer(t, nil)
	s := newSet(t, nil)
	p := newPoolOf(t, s, srv.addr)
	mustExchange(t, p)
	s.Prepare(nil, map[string][]snapshot.Endpoint{"a": {{Addr: srv.addr, Target: "Pod shop/web-2"}}})
	if mustExchange(t, p) {
		t.Error("connection to the endpoint's former target reused")
	}
}

func TestSetClose(t *testing.T) {
	srv := newServer(t, nil)
	s := newSet(t, nil)
	p := newPoolOf(t, s, srv.addr)
	busy := get(t, p)
	mustExchange(t, p)
	s.Close()
	s.Close()
	busy.Done()
	s.Prepare([]*snapshot.Pool{{ID: "b"}}, nil)
	if s.Pool("b") != nil {
		t.Error("Prepare after Close made a pool")
	}
	if got := s.idle.Load(); got != 0 {
		t.Errorf("idle connections after Close = %d, want 0", got)
	}
}
