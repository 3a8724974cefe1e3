package snapshot

import (
	"crypto/sha256"
	"runtime"
	"sync"
	"weak"
)

// An intermediate is a certificate of an authority that is part of a chain.
// Thousands of chains have the same few, so those that have one share it.
type intermediate struct{ der []byte }

// intermediates maps the hash of each, a [sha256.Size]byte, to its
// weak.Pointer[intermediate]. An entry goes when no chain has it any more.
var intermediates sync.Map

// intern returns the intermediate with these bytes. Nobody may write to them.
func intern(der []byte) *intermediate {
	key := sha256.Sum256(der)
	fresh := &intermediate{der}
	for {
		v, loaded := intermediates.LoadOrStore(key, weak.Make(fresh))
		if !loaded {
			break
		}
		if known := v.(weak.Pointer[intermediate]).Value(); known != nil {
			return known
		}
		intermediates.CompareAndDelete(key, v) // its cleanup is still to come
	}
	entry := weak.Make(fresh)
	runtime.AddCleanup(fresh, func(key [sha256.Size]byte) { intermediates.CompareAndDelete(key, entry) }, key)
	return fresh
}
