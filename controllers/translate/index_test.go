package translate

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestIndex holds the index, with few and with many users of an object, equal to
// a map of sets.
func TestIndex(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	objects := []types.NamespacedName{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	x, want := index{}, map[types.NamespacedName]map[string]struct{}{}
	refers := map[string][]types.NamespacedName{}
	for range 2000 {
		user := fmt.Sprint(random.IntN(3 * maxFew))
		var now []types.NamespacedName
		for _, o := range objects {
			if random.IntN(3) == 0 {
				now = append(now, o)
			}
		}
		x.replace(user, refers[user], now)
		for _, o := range objects {
			delete(want[o], user)
		}
		for _, o := range now {
			if want[o] == nil {
				want[o] = map[string]struct{}{}
			}
			want[o][user] = struct{}{}
		}
		refers[user] = now
		for _, o := range objects {
			got := map[string]struct{}{}
			x.copyTo(got, o)
			if !maps.Equal(got, want[o]) {
				t.Fatalf("users of %s = %v, want %v", o.Name, got, want[o])
			}
		}
	}
	for user, old := range refers {
		x.replace(user, old, nil)
	}
	if len(x) != 0 {
		t.Errorf("%d objects without users are kept, want none", len(x))
	}
}

// TestReferences: what Ingresses name is told in the order of their names, and a
// map that was given out does not change.
func TestReferences(t *testing.T) {
	secret := types.NamespacedName{Namespace: "shop", Name: "tls"}
	naming := func(name string, fields ...string) *ingress {
		in := &ingress{name: types.NamespacedName{Namespace: "shop", Name: name}}
		for _, f := range fields {
			in.services = addUse(in.services, secret, snapshot.Origin{Name: name, Field: f})
		}
		return in
	}
	r := newReferences(func(in *ingress) []use[snapshot.Origin] { return in.services })
	var last map[types.NamespacedName][]snapshot.Origin
	check := func(what, want string) {
		t.Helper()
		before := last
		told := len(before[secret])
		last = r.apply(last)
		var got []string
		for _, o := range last[secret] {
			got = append(got, o.Name+"."+o.Field)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: fields %v, want %s", what, got, want)
		}
		if len(before[secret]) != told {
			t.Errorf("%s: the map given out before has changed", what)
		}
	}
	none := &ingress{}
	b, a, c := naming("b", "1", "2"), naming("a", "1"), naming("c")
	r.replace(none, b)
	check("one Ingress", "[b.1 b.2]")
	r.replace(none, a)
	r.replace(none, c)
	check("a second one", "[a.1 b.1 b.2]")
	again := naming("b", "1", "2")
	r.replace(b, again)
	if same := r.apply(last); len(r.touched) > 0 || fmt.Sprint(same) != fmt.Sprint(last) {
		t.Error("an Ingress read again with the same fields touches them")
	}
	if slices.Contains(r.users[secret], b) {
		t.Error("what was read before is kept")
	}
	r.replace(again, naming("b", "3"))
	check("another field", "[a.1 b.3]")
	r.replace(a, none)
	check("one is gone", "[b.3]")
	r.replace(r.users[secret][0], none)
	check("all are gone", "[]")
	if len(last)+len(r.users) != 0 {
		t.Errorf("after all are gone: %v and %v are kept", last, r.users)
	}
}
