// A table is a hash map that is never written after it was built: a new version
// shares with the one before it everything that is equal. Keys fall by hash into
// shards of a handful of slots; an edit copies the array of shards (one pointer
// and two lengths a shard) and the shards that it touches, so that one change of
// a table of 100,000 entries copies some hundred KiB without looking at them and
// allocates two objects. The array doubles and halves with the number of
// entries; only then every entry is moved, which is constant over many edits.

package snapshot

import (
	"hash/maphash"
	"math/bits"
)

// hashSeed is one for all tables, so that versions of a table share shards.
var hashSeed = maphash.MakeSeed()

// table maps strings to values. The zero value is empty. It is immutable.
type table[V any] struct {
	// shards has a length that is a power of two, or is empty. The low bits of
	// the hash choose the shard.
	shards [][]slot[V]
	len    int
}

type slot[V any] struct {
	hash  uint64
	key   string
	value V
}

// shardLoad is how many entries a shard holds when the array is made: few enough
// to compare one after the other, many enough that the array stays small.
const shardLoad = 4

// find returns the value of key, or the zero value.
func (t *table[V]) find(key []byte) (v V, ok bool) {
	if t.len == 0 {
		return v, false
	}
	hash := maphash.Bytes(hashSeed, key)
	shard := t.shards[hash&uint64(len(t.shards)-1)]
	for i := range shard {
		if s := &shard[i]; s.hash == hash && s.key == string(key) {
			return s.value, true
		}
	}
	return v, false
}

// findString is find for a string.
func (t *table[V]) findString(key string) (v V, ok bool) {
	if t.len == 0 {
		return v, false
	}
	hash := maphash.String(hashSeed, key)
	shard := t.shards[hash&uint64(len(t.shards)-1)]
	for i := range shard {
		if s := &shard[i]; s.hash == hash && s.key == key {
			return s.value, true
		}
	}
	return v, false
}

// An edit is a new version of a table in the making. It belongs to one goroutine.
type edit[V any] struct {
	t table[V]
	// owned has a bit for each shard that is a copy already.
	owned []uint64
	begun bool
}

// edit begins a new version of t; it costs nothing until the first change.
func (t *table[V]) edit() edit[V] { return edit[V]{t: *t} }

// find returns the value of key as changed so far.
func (e *edit[V]) find(key string) (V, bool) { return e.t.findString(key) }

// set puts or replaces the value of key.
func (e *edit[V]) set(key string, value V) {
	e.reserve(e.t.len + 1)
	hash := maphash.String(hashSeed, key)
	shard := e.own(hash)
	for i := range *shard {
		if s := &(*shard)[i]; s.hash == hash && s.key == key {
			s.value = value
			return
		}
	}
	*shard = append(*shard, slot[V]{hash, key, value})
	e.t.len++
}

// delete removes key if it is there.
func (e *edit[V]) delete(key string) {
	if _, ok := e.t.findString(key); !ok {
		return
	}
	hash := maphash.String(hashSeed, key)
	shard := e.own(hash)
	for i := range *shard {
		if s := &(*shard)[i]; s.hash == hash && s.key == key {
			last := len(*shard) - 1
			(*shard)[i] = (*shard)[last]
			(*shard)[last] = slot[V]{}
			*shard = (*shard)[:last]
			e.t.len--
			return
		}
	}
}

// done returns the new version. The edit must not be used after it.
func (e *edit[V]) done() table[V] {
	if e.t.len*8 < len(e.t.shards)*shardLoad {
		e.resize(e.t.len)
	}
	return e.t
}

// reserve makes room for n entries.
func (e *edit[V]) reserve(n int) {
	if n > 2*shardLoad*len(e.t.shards) {
		e.resize(n)
	}
}

// resize moves every entry to an array of shards that suits n entries.
func (e *edit[V]) resize(n int) {
	count := 1
	if n > shardLoad {
		count = 1 << bits.Len(uint((n-1)/shardLoad))
	}
	old := e.t.shards
	e.t.shards = make([][]slot[V], count)
	for _, shard := range old {
		for _, s := range shard {
			to := &e.t.shards[s.hash&uint64(count-1)]
			*to = append(*to, s)
		}
	}
	e.begun = true
	e.owned = make([]uint64, (count+63)/64)
	for i := range e.owned {
		e.owned[i] = ^uint64(0)
	}
}

// own returns the shard of hash, copied if this edit has not yet copied it.
func (e *edit[V]) own(hash uint64) *[]slot[V] {
	if !e.begun {
		e.begun = true
		e.t.shards = append([][]slot[V](nil), e.t.shards...)
		e.owned = make([]uint64, (len(e.t.shards)+63)/64)
	}
	i := hash & uint64(len(e.t.shards)-1)
	shard := &e.t.shards[i]
	if e.owned[i/64]&(1<<(i%64)) == 0 {
		e.owned[i/64] |= 1 << (i % 64)
		*shard = append(make([]slot[V], 0, len(*shard)+1), *shard...)
	}
	return shard
}
