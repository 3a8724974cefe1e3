package snapshot

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestTable grows and shrinks a table through many versions and holds each equal
// to a map; the version before it never changes.
func TestTable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var current table[int]
	want := map[string]int{}
	most := 0
	for round := range 120 {
		before, kept := current, maps.Clone(want)
		e := current.edit()
		for range r.IntN(300) {
			key := fmt.Sprint(r.IntN(8000))
			if grow := round < 60; r.IntN(10) == 0 == grow {
				e.delete(key)
				delete(want, key)
			} else {
				e.set(key, round)
				want[key] = round
			}
		}
		if round >= 60 {
			for key := range want {
				if r.IntN(20) == 0 {
					e.delete(key)
					delete(want, key)
				}
			}
		}
		current = e.done()
		most = max(most, len(current.chunks))
		if got := maps.Collect(current.all()); !maps.Equal(got, want) || current.len != len(want) {
			t.Fatalf("round %d: table has %d entries (len %d), want the %d of the map", round, len(got), current.len, len(want))
		}
		if got := maps.Collect(before.all()); !maps.Equal(got, kept) {
			t.Fatalf("round %d: the version before the edit changed", round)
		}
		for key, value := range want {
			if got, ok := current.find([]byte(key)); !ok || got != value {
				t.Fatalf("find(%q) = %d, %v, want %d", key, got, ok, value)
			}
		}
	}
	if most < 8 || len(current.chunks) > most/2 {
		t.Errorf("chunks grew to %d and are %d now, want growth and shrinking", most, len(current.chunks))
	}
}
