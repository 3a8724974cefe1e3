package snapshot

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompileRefuses(t *testing.T) {
	pool := &Pool{ID: "p"}
	web := Origin{Kind: "Ingress", Namespace: "shop", Name: "web", Field: "spec.rules[0]"}
	host := func(name string, routes ...*Route) *Host { return &Host{Name: name, Origin: web, Routes: routes} }
	one := func(h *Host) *Spec { return &Spec{Hosts: []*Host{h}, Pools: []*Pool{pool}} }
	at := func(path string) *Route { return &Route{Path: path, Kind: Prefix, Pool: "p", Origin: web} }
	tests := []struct {
		rule string
		spec *Spec
		want []string
	}{
		{"nothing at all", nil, []string{"no spec"}},
		{"hosts out of order", &Spec{Hosts: []*Host{host("b"), host("a")}}, []string{`"a" after "b"`, "not sorted"}},
		{"a host twice", &Spec{Hosts: []*Host{host("a"), host("a")}}, []string{`"a" is there twice`}},
		{"a nil host", &Spec{Hosts: []*Host{nil}}, []string{"nil"}},
		{"a host in upper case", one(host("A")), []string{`"A"`, "not normal", "shop/web"}},
		{"a host with a port", one(host("a:80")), []string{"not normal"}},
		{"a wildcard within a label", one(host("*a.b")), []string{"one whole label"}},
		{"a wildcard of everything", one(host("*")), []string{"one whole label"}},
		{"a second wildcard", one(host("*.*.b")), []string{"first label"}},
		{"an empty label", one(host(".b")), []string{"label is empty"}},
		{"TLS without a name", one(&Host{TLS: &TLS{}, Origin: web}), []string{"cannot have TLS", "shop/web"}},
		{"a certificate that was not parsed", one(&Host{Name: "a", TLS: &TLS{Certificates: []*Certificate{{}}, Origin: web}}), []string{"certificate 0", "shop/web"}},
		{"a nil route", one(host("a", nil)), []string{"route 0 is nil"}},
		{"a path without a slash", one(host("a", at("x"))), []string{`"a"`, `"x"`, "begin with a slash", "shop/web spec.rules[0]"}},
		{"a path that is not normal", one(host("a", at("/%61"))), []string{`want "/a"`, "shop/web spec.rules[0]"}},
		{"a path twice", one(host("a", at("/x"), at("/x"))), []string{"Prefix /x", "also a route of", "shop/web"}},
		{"an exact path twice", one(host("a", &Route{Path: "/x", Pool: "p"}, &Route{Path: "/x", Pool: "p"})), []string{"Exact /x", "also a route of"}},
		{"an unknown kind", one(host("a", &Route{Path: "/x", Kind: 9, Pool: "p"})), []string{"unknown kind"}},
		{"neither pool nor answer", one(host("a", &Route{Path: "/x", Origin: web})), []string{"neither", "shop/web spec.rules[0]"}},
		{"both pool and answer", one(host("a", &Route{Path: "/x", Pool: "p", Answer: &Answer{Status: 503}})), []string{"both"}},
		{"an answer that is no final status", one(host("a", &Route{Path: "/x", Answer: &Answer{Status: 100}})), []string{"100"}},
		{"a pool that does not exist", one(host("a", &Route{Path: "/x", Pool: "q", Origin: web})), []string{`pool "q"`, "does not exist", "shop/web spec.rules[0]"}},
		{"pools out of order", &Spec{Pools: []*Pool{{ID: "b"}, {ID: "a"}}}, []string{"not sorted"}},
		{"a pool without ID", &Spec{Pools: []*Pool{{Origin: web}}}, []string{"no ID", "shop/web"}},
		{"an external name without a port", &Spec{Pools: []*Pool{{ID: "p", ExternalName: "x"}}}, []string{"without a port"}},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			_, err := Compile(nil, test.spec, nil)
			if err == nil {
				t.Fatalf("Compile succeeded, want an error with %q", test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Compile = %v, want an error with %q", err, want)
				}
			}
		})
	}
}

// TestCompileBindsWhatIsNew: a plan is made once for each route, whatever happens
// to the hosts around it.
func TestCompileBindsWhatIsNew(t *testing.T) {
	var calls []string
	bind := func(r *Route) any { calls = append(calls, r.Path); return r }
	a, b, c, d := route("Prefix /a"), route("Prefix /b"), route("Prefix /c"), route("Prefix /d")
	pools := []*Pool{{ID: "p"}}
	kept := &Host{Name: "kept", Routes: []*Route{a}}
	first := &Spec{Hosts: []*Host{kept, {Name: "x", Routes: []*Route{b, c}}}, Pools: pools}
	second := &Spec{Hosts: []*Host{kept, {Name: "x", Routes: []*Route{c, d}}}, Pools: pools}

	snap, err := Compile(nil, first, bind)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/a", "/b", "/c"}, calls); diff != "" {
		t.Errorf("routes bound by the first Compile (-want +got):\n%s", diff)
	}
	calls = nil
	if snap, err = Compile(snap, second, bind); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/d"}, calls); diff != "" {
		t.Errorf("routes bound by the second Compile (-want +got):\n%s", diff)
	}
	if snap.Generation != 2 {
		t.Errorf("Generation = %d, want 2", snap.Generation)
	}
	for _, r := range []*Route{c, d} {
		if m, _ := snap.Match([]byte("x"), []byte(r.Path)); m.Plan != any(r) {
			t.Errorf("Match(x, %s).Plan = %v, want the plan of that route", r.Path, m.Plan)
		}
	}
}

// TestCompileIncrementally: whatever the edits, what Compile makes of a snapshot
// and a new Spec is what it makes of the Spec alone, errors included, and the
// snapshot before it stays as it was.
func TestCompileIncrementally(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &world{rand: rand.New(rand.NewPCG(seed, 0)), hosts: map[string]*Host{}, pools: map[string]*Pool{}}
			var prev *Snapshot
			for range 60 {
				for range 1 + w.rand.IntN(1+w.rand.IntN(40)) {
					w.change()
				}
				next := w.spec()
				want, wantErr := Compile(nil, next, planOf)
				var before view
				if prev != nil {
					before = viewOf(prev)
				}
				got, err := Compile(prev, next, planOf)
				if (err == nil) != (wantErr == nil) {
					t.Fatalf("Compile(prev) = %v, Compile(nil) = %v; want both or neither", err, wantErr)
				}
				if prev != nil {
					if diff := cmp.Diff(before, viewOf(prev)); diff != "" {
						t.Fatalf("Compile changed the snapshot before it (-before +after):\n%s", diff)
					}
				}
				if err != nil {
					continue
				}
				if diff := cmp.Diff(viewOf(want), viewOf(got)); diff != "" {
					t.Fatalf("Compile(prev) differs from Compile(nil) (-want +got):\n%s", diff)
				}
				prev = got
			}
		})
	}
}

func planOf(r *Route) any { return fmt.Sprintf("plan of %p", r) }

// view is everything that a snapshot answers from.
type view struct {
	Hosts        map[string]string
	CatchAll     string
	Pools        map[string]poolView
	Certificates map[string]int
	Counts       Counts
}

type poolView struct {
	Pool string
	Refs int
}

func viewOf(s *Snapshot) view {
	v := view{Hosts: map[string]string{}, Pools: map[string]poolView{}, Certificates: map[string]int{}, Counts: s.Counts()}
	text := func(h *host) string {
		if h == nil {
			return ""
		}
		out := fmt.Sprintf("%p", h.spec)
		for _, b := range h.bound {
			out += fmt.Sprintf(" %p=%v", b.route, b.plan)
		}
		return out
	}
	for key, h := range s.hosts.all() {
		v.Hosts[key] = text(h)
	}
	v.CatchAll = text(s.catchAll)
	for key, ref := range s.pools.all() {
		v.Pools[key] = poolView{fmt.Sprintf("%p", ref.pool), ref.refs}
	}
	maps.Insert(v.Certificates, s.certificates.all())
	return v
}

// all ranges over a table, which only tests have to.
func (t *table[V]) all() func(func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, c := range t.chunks {
			for _, s := range slices.Concat(c[:]...) {
				if !yield(s.key, s.value) {
					return
				}
			}
		}
	}
}

// world is a Spec in the hands of somebody who changes it at random, now and then
// for the worse.
type world struct {
	rand  *rand.Rand
	hosts map[string]*Host
	pools map[string]*Pool
}

func (w *world) change() {
	name := fmt.Sprintf("h%d.test", w.rand.IntN(60))
	switch w.rand.IntN(30) {
	case 0:
		name = ""
	case 1:
		name = "*.test"
	}
	pool := fmt.Sprintf("p%d", w.rand.IntN(10))
	switch w.rand.IntN(10) {
	case 0, 1:
		delete(w.hosts, name)
	case 2:
		if w.rand.IntN(10) == 0 {
			delete(w.pools, pool)
		}
	case 3:
		w.pools[pool] = &Pool{ID: pool}
	default:
		w.hosts[name] = w.host(name, w.hosts[name])
	}
}

// host makes a host that shares some routes with old.
func (w *world) host(name string, old *Host) *Host {
	h := &Host{Name: name}
	paths := map[string]bool{}
	if old != nil {
		for _, r := range old.Routes {
			if w.rand.IntN(2) == 0 && w.pools[r.Pool] != nil {
				h.Routes = append(h.Routes, r)
				paths[r.Path] = true
			}
		}
	}
	for range w.rand.IntN(3) {
		path := fmt.Sprintf("/%d", w.rand.IntN(20))
		pool := fmt.Sprintf("p%d", w.rand.IntN(10))
		if !paths[path] && w.pools[pool] != nil {
			paths[path] = true
			h.Routes = append(h.Routes, &Route{Path: path, Kind: PathKind(w.rand.IntN(2)), Pool: pool})
		}
	}
	w.rand.Shuffle(len(h.Routes), func(i, j int) { h.Routes[i], h.Routes[j] = h.Routes[j], h.Routes[i] })
	if name != "" && w.rand.IntN(2) == 0 {
		h.TLS = &TLS{}
		if w.rand.IntN(2) == 0 {
			h.TLS.Certificates = []*Certificate{someCertificates()[w.rand.IntN(3)]}
		}
	}
	return h
}

func (w *world) spec() *Spec {
	s := &Spec{}
	for _, name := range slices.Sorted(maps.Keys(w.hosts)) {
		s.Hosts = append(s.Hosts, w.hosts[name])
	}
	for _, id := range slices.Sorted(maps.Keys(w.pools)) {
		s.Pools = append(s.Pools, w.pools[id])
	}
	if n := len(s.Hosts); n > 2 && w.rand.IntN(20) == 0 {
		i := w.rand.IntN(n - 1)
		s.Hosts[i], s.Hosts[i+1] = s.Hosts[i+1], s.Hosts[i]
	}
	return s
}

func TestChanges(t *testing.T) {
	a, b, b2, c, d := &Host{Name: "a"}, &Host{Name: "b"}, &Host{Name: "b"}, &Host{Name: "c"}, &Host{Name: "d"}
	old, new := &Spec{Hosts: []*Host{a, b, c}}, &Spec{Hosts: []*Host{a, b2, d}}
	type pair struct{ Old, New *Host }
	list := func(old, new *Spec) (pairs []pair) {
		for o, n := range Changes(old, new) {
			pairs = append(pairs, pair{o, n})
		}
		return pairs
	}
	if got, want := list(old, new), []pair{{b, b2}, {c, nil}, {nil, d}}; !slices.Equal(got, want) {
		t.Errorf("Changes(old, new) = %v, want %v", got, want)
	}
	if got, want := list(nil, old), []pair{{nil, a}, {nil, b}, {nil, c}}; !slices.Equal(got, want) {
		t.Errorf("Changes(nil, old) = %v, want %v", got, want)
	}
	if got := list(old, old); got != nil {
		t.Errorf("Changes(old, old) = %v, want none", got)
	}
	for range Changes(old, new) {
		break
	}
}
