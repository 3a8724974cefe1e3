package upstream

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func pick(t testing.TB, p *Pool, tried ...netip.AddrPort) netip.AddrPort {
	t.Helper()
	e, err := p.Pick(t.Context(), tried)
	if err != nil {
		t.Fatalf("Pick(%v) = %v", tried, err)
	}
	return e.Addr
}

// However many goroutines pick, n endpoints get equal shares of a multiple of n.
func TestPickIsFair(t *testing.T) {
	const goroutines, rounds = 8, 300
	for _, n := range []int{1, 2, 3, 7, 64} {
		p := newPoolOf(t, newSet(t, nil), addrs(n)...)
		shares := make(map[netip.AddrPort]*atomic.Int64)
		for _, a := range addrs(n) {
			shares[a] = new(atomic.Int64)
		}
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for range rounds * n {
					e, _ := p.Pick(context.Background(), nil)
					shares[e.Addr].Add(1)
				}
			})
		}
		wg.Wait()
		for a, share := range shares {
			if got, want := share.Load(), int64(goroutines*rounds); got != want {
				t.Errorf("%d endpoints: share of %s = %d, want %d", n, a, got, want)
			}
		}
	}
}

// For random tables and histories: never an endpoint that was tried while there is
// one that was not; else the one that was tried longest ago.
func TestPickPassesOverTried(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		all := addrs(1 + rng.IntN(6))
		p := newPoolOf(t, newSet(t, nil), all...)
		var tried []netip.AddrPort
		for range rng.IntN(10) {
			// Some were tried and have left the table since.
			tried = append(tried, addrs(8)[rng.IntN(8)])
		}
		got := pick(t, p, tried...)
		if !slices.Contains(tried, got) {
			continue
		}
		for _, a := range all {
			if lastIndex(tried, a) < lastIndex(tried, got) {
				t.Fatalf("Pick(%v) of %v = %s, want one tried less recently, such as %s", tried, all, got, a)
			}
		}
	}
}

func TestPickSpreadsRetries(t *testing.T) {
	all := addrs(4)
	dead := all[0]
	p := newPoolOf(t, newSet(t, nil), all...)
	shares := make(map[netip.AddrPort]int)
	const requests = 3000
	for range requests {
		a := pick(t, p)
		if a == dead {
			a = pick(t, p, dead)
		}
		shares[a]++
	}
	for _, a := range all[1:] {
		if got := shares[a]; got < requests/3-2 || got > requests/3+2 {
			t.Errorf("share of %s = %d, want %d: %v", a, got, requests/3, shares)
		}
	}
}

func TestPickStartsAnywhere(t *testing.T) {
	first := make(map[netip.AddrPort]bool)
	for range 200 {
		first[pick(t, newPoolOf(t, newSet(t, nil), addrs(4)...))] = true
	}
	if len(first) != 4 {
		t.Errorf("200 new pools began with %d of 4 endpoints, want all", len(first))
	}
}

// Endpoints come and go while requests are made; each request is served.
func TestReplaceUnderLoad(t *testing.T) {
	servers := make([]*server, 4)
	for i := range servers {
		servers[i] = newServer(t, nil)
	}
	s := newSet(t, func(c *Config) { c.MaxIdlePerEndpoint = 3 })
	p := newPoolOf(t, s, servers[0].addr)
	var requests, failures atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				requests.Add(1)
				if _, err := exchange(context.Background(), p); err != nil {
					failures.Add(1)
					t.Error(err)
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		var l []snapshot.Endpoint
		for _, i := range rng.Perm(len(servers))[:1+rng.IntN(len(servers))] {
			l = append(l, snapshot.Endpoint{Addr: servers[i].addr})
		}
		s.Prepare(nil, map[string][]snapshot.Endpoint{"a": l})
		before := requests.Load()
		eventually(t, "requests go on", func() bool { return requests.Load() > before+8 || failures.Load() > 0 })
		if got := len(p.Endpoints()); got != len(l) {
			t.Fatalf("round %d: %d endpoints in force, want %d", round, got, len(l))
		}
	}
	close(stop)
	wg.Wait()
	st := p.Stats()
	if st.Busy != 0 || int64(st.Idle) != s.idle.Load() {
		t.Errorf("after load: Stats() = %+v, want none busy and %d idle", st, s.idle.Load())
	}
	if st.Dials+st.Reuses != uint64(requests.Load()) {
		t.Errorf("dials %d + reuses %d, want the %d requests", st.Dials, st.Reuses, requests.Load())
	}
	s.Prepare(nil, map[string][]snapshot.Endpoint{"a": nil})
	if got := s.idle.Load(); got != 0 {
		t.Errorf("idle connections of no endpoints = %d, want 0", got)
	}
	_, err := p.Pick(t.Context(), nil)
	wantReason(t, err, outcome.NoEndpoints, outcome.RetryNo)
}

// Pools come and go while requests that found them go on: none fails, a new pool
// has its endpoints from the start, and nothing is left open.
func TestPoolsUnderLoad(t *testing.T) {
	srv := newServer(t, nil)
	s := newSet(t, nil)
	ids := []string{"a", "b", "c"}
	endpoints := make(map[string][]snapshot.Endpoint)
	for _, id := range ids {
		endpoints[id] = list(srv.addr)
	}
	var requests, failures atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				p := s.Pool(ids[n%len(ids)])
				if p == nil {
					continue
				}
				if _, err := exchange(context.Background(), p); err != nil {
					failures.Add(1)
					t.Error(err)
					return
				}
				requests.Add(1)
			}
		})
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var specs []*snapshot.Pool
		for _, i := range rng.Perm(len(ids))[:1+rng.IntN(len(ids))] {
			specs = append(specs, &snapshot.Pool{ID: ids[i]})
		}
		s.Prepare(specs, endpoints)
		s.Retain(specs)
		if got := len(s.Stats()); got != len(specs) {
			t.Fatalf("%d pools in force, want %d", got, len(specs))
		}
		before := requests.Load()
		eventually(t, "requests go on", func() bool { return requests.Load() > before || failures.Load() > 0 })
	}
	close(stop)
	wg.Wait()
	s.Retain(nil)
	if got := s.idle.Load(); got != 0 {
		t.Errorf("idle connections of no pools = %d, want 0", got)
	}
}
