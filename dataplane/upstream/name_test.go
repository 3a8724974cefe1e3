package upstream

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A dns answers after delay with what set told it last; the outcomes that its Set
// reports are kept.
type dns struct {
	delay time.Duration

	mu       sync.Mutex
	ips      []netip.Addr
	err      error
	asked    []time.Duration
	start    time.Time
	outcomes []outcome.Health
}

func (d *dns) set(err error, ips ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.ips = err, nil
	for _, ip := range ips {
		d.ips = append(d.ips, netip.MustParseAddr(ip))
	}
}

func (d *dns) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	d.mu.Lock()
	d.asked = append(d.asked, time.Since(d.start))
	d.mu.Unlock()
	select {
	case <-time.After(d.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ips, d.err
}

func (d *dns) health(h *outcome.Health) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.outcomes = append(d.outcomes, *h)
}

// pool returns a pool for db.example.com:5432 within a bubble.
func (d *dns) pool(t *testing.T) (*Set, *Pool) {
	t.Helper()
	d.start = time.Now()
	s := newSet(t, func(c *Config) {
		c.Resolve = d.resolve
		c.Sink.Health = d.health
	})
	s.Prepare([]*snapshot.Pool{{ID: "n", ExternalName: "db.example.com", ExternalPort: 5432}}, nil)
	return s, s.Pool("n")
}

func addrsOf(p *Pool) (l []string) {
	for _, e := range p.Endpoints() {
		l = append(l, e.Addr.String())
	}
	return l
}

func TestNameResolves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		// Both families; mapped and repeated addresses are one endpoint.
		d.set(nil, "2001:db8::1", "10.0.0.2", "::ffff:10.0.0.2", "10.0.0.1")
		s, p := d.pool(t)
		synctest.Wait()
		want := []string{"10.0.0.1:5432", "10.0.0.2:5432", "[2001:db8::1]:5432"}
		if diff := cmp.Diff(want, addrsOf(p)); diff != "" {
			t.Errorf("endpoints (-want +got):\n%s", diff)
		}
		// Endpoints from elsewhere do not apply to it.
		s.Prepare(nil, map[string][]snapshot.Endpoint{"n": list(addrs(1)...)})
		if diff := cmp.Diff(want, addrsOf(p)); diff != "" {
			t.Errorf("endpoints after Prepare (-want +got):\n%s", diff)
		}

		kept := p.Endpoints()[1]
		d.set(nil, "10.0.0.2")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := p.Endpoints(); len(got) != 1 || got[0] != kept {
			t.Errorf("endpoints after 30 s = %v, want the one that stayed, %v", got, kept)
		}
	})
}

func TestNameKeepsLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		d.set(nil, "10.0.0.1")
		_, p := d.pool(t)
		synctest.Wait()
		d.set(errors.New("server misbehaving"))
		time.Sleep(95 * time.Second)
		if diff := cmp.Diff([]string{"10.0.0.1:5432"}, addrsOf(p)); diff != "" {
			t.Errorf("endpoints while the name fails (-want +got):\n%s", diff)
		}
		d.set(nil) // no error and no address is a failure, too
		time.Sleep(30 * time.Second)
		d.set(nil, "10.0.0.9", "10.0.0.8")
		time.Sleep(30 * time.Second)
		synctest.Wait()

		health := func(h outcome.Health) outcome.Health {
			h.Pool, h.Name = "n", "db.example.com"
			return h
		}
		want := []outcome.Health{
			health(outcome.Health{Healthy: true, Reason: outcome.OK, Endpoints: 1}),
			health(outcome.Health{Reason: outcome.NameUnresolved, Err: `upstream: resolve "db.example.com": server misbehaving`, Endpoints: 1}),
			health(outcome.Health{Healthy: true, Reason: outcome.OK, Endpoints: 2}),
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if diff := cmp.Diff(want, d.outcomes, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		var asked []time.Duration
		for i := range 6 {
			asked = append(asked, time.Duration(i)*30*time.Second)
		}
		if !slices.Equal(d.asked, asked) {
			t.Errorf("asked at %v, want %v", d.asked, asked)
		}
	})
}

// A name that has never resolved is asked for again soon, then ever less often.
func TestNameUnresolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		cause := errors.New("no such host")
		d.set(cause)
		_, p := d.pool(t)
		_, err := p.Pick(t.Context(), nil)
		wantReason(t, err, outcome.NameUnresolved, outcome.RetryNo)
		if !errors.Is(err, cause) {
			t.Errorf("error %v does not wrap its cause", err)
		}
		time.Sleep(2 * time.Minute)
		d.mu.Lock()
		want := []time.Duration{0, 1, 3, 7, 15, 31, 61, 91}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(d.asked[:len(want)], want) {
			t.Errorf("asked at %v, want %v", d.asked, want)
		}
		if got := len(d.outcomes); got != 1 {
			t.Errorf("%d outcomes of a name that never resolved, want 1", got)
		}
		d.mu.Unlock()

		d.set(nil, "10.0.0.1")
		time.Sleep(30 * time.Second)
		if _, err := p.Pick(t.Context(), nil); err != nil {
			t.Errorf("Pick() after the name resolved = %v", err)
		}
	})
}

// Only the first resolution is waited for, and not longer than a connect.
func TestNameFirstAnswerIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dns{delay: 2 * time.Second}
		d.set(nil, "10.0.0.1")
		_, p := d.pool(t)
		e, err := p.Pick(t.Context(), nil)
		if err != nil || e.Addr.String() != "10.0.0.1:5432" {
			t.Fatalf("Pick() = %v, %v, want the first answer", e, err)
		}
		if got := time.Since(d.start); got != d.delay {
			t.Errorf("Pick() returned after %v, want %v", got, d.delay)
		}
		time.Sleep(31 * time.Second) // within the second resolution
		start := time.Now()
		if _, err := p.Pick(t.Context(), nil); err != nil || time.Since(start) != 0 {
			t.Errorf("Pick() while a later resolution runs = %v after %v, want at once", err, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := dns{delay: 8 * time.Second}
		d.set(nil, "10.0.0.1")
		_, p := d.pool(t)
		_, err := p.Pick(t.Context(), nil)
		wantReason(t, err, outcome.NameUnresolved, outcome.RetryNo)
		if got := time.Since(d.start); got != defaultConnectTimeout {
			t.Errorf("Pick() returned after %v, want %v", got, defaultConnectTimeout)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := dns{delay: 8 * time.Second}
		_, p := d.pool(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := p.Pick(ctx, nil)
		wantReason(t, err, outcome.ClientClosed, outcome.RetryNo)
	})
}

// The goroutine of a name ends with its pool, also in the middle of a lookup, and
// who waits for the first answer is let go.
func TestNameStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dns{delay: 4 * time.Second}
		s, p := d.pool(t)
		time.AfterFunc(time.Second, func() { s.Retain(nil) })
		_, err := p.Pick(t.Context(), nil)
		wantReason(t, err, outcome.NameUnresolved, outcome.RetryNo)
		time.Sleep(time.Hour)
		if got := len(d.asked); got != 1 {
			t.Errorf("resolver asked %d times, want once", got)
		}
		if got := len(d.outcomes); got != 0 {
			t.Errorf("%d outcomes of a pool that was removed, want 0", got)
		}
	})
}

// The same ID with another name, or with none, is another pool.
func TestNameChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		d.set(nil, "10.0.0.1")
		s, p := d.pool(t)
		synctest.Wait()
		s.Prepare([]*snapshot.Pool{{ID: "n"}}, map[string][]snapshot.Endpoint{"n": list(addrs(2)...)})
		if s.Pool("n") == p || len(s.Pool("n").Endpoints()) != 2 {
			t.Error("a pool that lost its name is the same pool")
		}
		time.Sleep(time.Hour)
		if got := len(d.asked); got != 1 {
			t.Errorf("resolver asked %d times, want once", got)
		}
		if diff := cmp.Diff([]string{"10.0.0.1:5432"}, addrsOf(p)); diff != "" {
			t.Errorf("endpoints of the former pool (-want +got):\n%s", diff)
		}
	})
}

func TestNameManyAddresses(t *testing.T) {
	n := newName("big.example.com", 80)
	cfg := Config{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		var ips []netip.Addr
		for _, a := range addrs(1000) {
			ips = append(ips, a.Addr())
		}
		return ips, nil
	}}
	l, err := n.lookup(t.Context(), &cfg)
	if err != nil || len(l) != maxAddrs {
		t.Errorf("lookup() = %d endpoints, %v, want %d", len(l), err, maxAddrs)
	}
}

func TestResolveDNS(t *testing.T) {
	cfg := Config{}.withDefaults()
	for _, host := range []string{"localhost", "127.0.0.1"} {
		l, err := newName(host, 80).lookup(t.Context(), &cfg)
		want := snapshot.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:80"), Target: host}
		if err != nil || !slices.Contains(l, want) {
			t.Errorf("lookup of %q = %v, %v, want %v", host, l, err, want)
		}
	}
}
