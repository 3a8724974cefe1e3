package listen

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func connections(t testing.TB, p snapshot.ConnectionPolicy) *snapshot.Connections {
	t.Helper()
	s, err := snapshot.Compile(nil, &snapshot.Spec{Connections: &p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.Connections
}

// idlePlaces returns the number of places, and of those in line.
func (l *Limits) idlePlaces() (all, idle int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		all += len(s.places)
		idle += s.line.Len()
		s.mu.Unlock()
	}
	return all, idle
}

func TestRow60ConcurrentConnectionsPerAddress(t *testing.T) {
	l, policy := NewLimits(), connections(t, snapshot.ConnectionPolicy{MaxPerAddress: 2})
	now := time.Now()
	take := func(addr string, want outcome.Reason) *place {
		t.Helper()
		reason, p := l.take(netip.MustParseAddr(addr), policy, now)
		if reason != want || (p != nil) != (want == outcome.OK) {
			t.Errorf("take(%s) = %s, %v, want %s", addr, reason, p, want)
		}
		return p
	}
	a := take("192.0.2.1", outcome.OK)
	take("::ffff:192.0.2.1", outcome.OK)
	take("192.0.2.1", outcome.FilteredConcurrent)
	take("192.0.2.2", outcome.OK)
	take("2001:db8::1", outcome.OK)
	take("2001:db8::ffff:1%eth0", outcome.OK)
	take("2001:db8:0:0:7::1", outcome.FilteredConcurrent) // of the same /64
	take("2001:db8:0:1::1", outcome.OK)
	a.give()
	b := take("192.0.2.1", outcome.OK)
	take("192.0.2.1", outcome.FilteredConcurrent)
	(*place)(nil).give()
	b.give()
}

// TestRow60RateOfConnectionsPerAddress compares with a model that forgets nothing.
func TestRow60RateOfConnectionsPerAddress(t *testing.T) {
	const rate, burst = 10, 4
	policy := connections(t, snapshot.ConnectionPolicy{NewPerSecondPerAddress: rate, Burst: burst})
	r := rand.New(rand.NewPCG(5, 6))
	l, now := NewLimits(), time.Now()
	begin := now
	type model struct {
		tokens float64
		at     time.Time
	}
	models, accepted := map[netip.Addr]*model{}, 0
	for range 50_000 {
		now = now.Add(time.Duration(r.IntN(4)) * time.Millisecond)
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(200))})
		if r.IntN(4) > 0 {
			addr = netip.AddrFrom4([4]byte{192, 0, 2, 1})
		}
		m := models[addr]
		if m == nil {
			m = &model{burst, now}
			models[addr] = m
		}
		m.tokens, m.at = min(burst, m.tokens+now.Sub(m.at).Seconds()*rate), now
		want := outcome.OK
		if m.tokens < 1-1e-9 {
			want = outcome.FilteredRate
		} else if m.tokens < 1 {
			continue // either will do: the sums differ by rounding
		} else {
			m.tokens--
		}
		reason, p := l.take(addr, policy, now)
		p.give()
		if reason != want {
			t.Fatalf("take(%v) after %v = %s, want %s: the model has %v tokens", addr, now.Sub(begin), reason, want, m.tokens)
		}
		if want == outcome.OK && addr.As4()[3] == 1 {
			accepted++
		}
	}
	most := burst + int(now.Sub(begin).Seconds()*rate) + 1
	if accepted > most || accepted < most*9/10 {
		t.Errorf("one address opened %d connections in %v, want about %d", accepted, now.Sub(begin), most)
	}
}

// TestRow60LimitsTakeBoundedMemory: whoever comes, no more is kept than is open
// and the line is long, and an address that is in use is never forgotten.
func TestRow60LimitsTakeBoundedMemory(t *testing.T) {
	policy := connections(t, snapshot.ConnectionPolicy{MaxPerAddress: 1, NewPerSecondPerAddress: 0.001, Burst: 1})
	l, now := NewLimits(), time.Now()
	held := netip.MustParseAddr("203.0.113.7")
	_, hold := l.take(held, policy, now)
	addr := netip.MustParseAddr("10.0.0.0")
	for range 3 * maxIdlePlaces {
		addr = addr.Next()
		reason, p := l.take(addr, policy, now)
		if reason != outcome.OK {
			t.Fatalf("take(%v) = %s, want ok", addr, reason)
		}
		p.give()
	}
	if reason, _ := l.take(addr, policy, now); reason != outcome.FilteredRate {
		t.Errorf("take of the last address again = %s, want filtered_rate", reason)
	}
	if all, idle := l.idlePlaces(); idle > maxIdlePlaces || all != idle+1 || idle < maxIdlePlaces/2 {
		t.Errorf("%d places, %d of them idle, want at most %d idle and the one in use", all, idle, maxIdlePlaces)
	}
	if reason, _ := l.take(held, policy, now); reason != outcome.FilteredConcurrent {
		t.Errorf("take of the address in use = %s, want filtered_concurrent", reason)
	}
	hold.give()

	// An address whose bucket is full again is like one that never came.
	for range 2 * maxIdlePlaces {
		addr = addr.Next()
		now = now.Add(time.Hour)
		_, p := l.take(addr, policy, now)
		p.give()
	}
	if all, _ := l.idlePlaces(); all > 3*limitShards {
		t.Errorf("%d places after all buckets were full again, want a handful a shard", all)
	}
}

func BenchmarkLimits(b *testing.B) {
	policy := connections(b, snapshot.ConnectionPolicy{MaxPerAddress: 100, NewPerSecondPerAddress: 1000})
	l, now := NewLimits(), time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := rand.New(rand.NewPCG(7, 8))
		for pb.Next() {
			n := r.Uint32()
			_, p := l.take(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), policy, now)
			p.give()
		}
	})
}
