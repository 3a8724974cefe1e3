package snapshot

import (
	"crypto/sha256"
	"runtime"
	"testing"
	"time"
)

// Chains share their intermediates, and nothing is left of one that no chain has.
func TestIntermediatesAreShared(t *testing.T) {
	der := func() []byte { return []byte("certificate of an intermediate authority") }
	key := sha256.Sum256(der())
	first, second := intern(der()), intern(der())
	if first != second || &first.der[0] != &second.der[0] {
		t.Error("two chains with the same intermediate do not share it")
	}
	if other := intern([]byte("certificate of another one")); other == first {
		t.Error("different intermediates are one")
	}
	runtime.KeepAlive(first)
	runtime.KeepAlive(second)
	deadline := time.Now().Add(10 * time.Second)
	for {
		runtime.GC()
		if _, left := intermediates.Load(key); !left {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the entry of an intermediate that nobody has is still there")
		}
		runtime.Gosched()
	}
}
