// A table is a hash map that is never written after it was built: a new version
// shares with the one before it everything that is equal. Keys fall by hash into
// shards of a handful of slots, and 64 shards make a chunk; an edit copies the
// array of chunks (a pointer for some 256 entries) and the chunks and shards that
// it touches. One change of a table of 100,000 entries copies 5 KiB and allocates
// three objects. The array doubles and halves with the number of entries; only
// then every entry is moved, which is constant when spread over many edits.

package snapshot

import (
	"hash/maphash"
	"slices"
)

// hashSeed is one for all tables, so that versions of a table share shards.
var hashSeed = maphash.MakeSeed()

// table maps strings to values. The zero value is empty. It is immutable.
type table[V any] struct {
	// chunks has a length that is a power of two, or is empty.
	chunks []*chunk[V]
	len    int
}

type chunk[V any] [chunkLen]shard[V]

type shard[V any] []slot[V]

type slot[V any] struct {
	hash  uint64
	key   string
	value V
}

const (
	// chunkLen is the number of shards in a chunk: the bits of a word in edit.
	chunkLen = 64
	// shardLoad is how many entries a shard holds on average when the array is
	// made: few enough to compare one after the other.
	shardLoad = 4
)

// shard returns the shard for a hash: its low bits choose the place in the chunk,
// the next ones the chunk.
func (t *table[V]) shard(hash uint64) *shard[V] {
	return &t.chunks[hash/chunkLen&uint64(len(t.chunks)-1)][hash%chunkLen]
}

// find returns the value of key, or the zero value.
func (t *table[V]) find(key []byte) (v V, ok bool) {
	if t.len == 0 {
		return v, false
	}
	hash := maphash.Bytes(hashSeed, key)
	shard := *t.shard(hash)
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
	shard := *t.shard(hash)
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
	// owned has a word for each chunk and in it a bit for each shard that is a
	// copy of this edit already; a chunk is one if any of its shards is. It is nil
	// as long as nothing was changed.
	owned []uint64
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
	shard := e.own(maphash.String(hashSeed, key))
	*shard = slices.DeleteFunc(*shard, func(s slot[V]) bool { return s.key == key })
	e.t.len--
}

// done returns the new version. The edit must not be used after it.
func (e *edit[V]) done() table[V] {
	if len(e.t.chunks) > 1 && e.t.len*8 < len(e.t.chunks)*chunkLen*shardLoad {
		e.resize(e.t.len)
	}
	return e.t
}

// reserve makes room for n entries.
func (e *edit[V]) reserve(n int) {
	if n > 2*shardLoad*chunkLen*len(e.t.chunks) {
		e.resize(n)
	}
}

// resize moves every entry to an array of chunks that suits n entries.
func (e *edit[V]) resize(n int) {
	count := 1
	for count*chunkLen*shardLoad < n {
		count *= 2
	}
	old := e.t.chunks
	e.t.chunks = make([]*chunk[V], count)
	e.owned = make([]uint64, count)
	for i := range e.t.chunks {
		e.t.chunks[i] = new(chunk[V])
		e.owned[i] = ^uint64(0)
	}
	for _, c := range old {
		for _, shard := range c {
			for _, s := range shard {
				to := e.t.shard(s.hash)
				*to = append(*to, s)
			}
		}
	}
}

// own returns the shard for a hash, copied if this edit has not yet done so.
func (e *edit[V]) own(hash uint64) *shard[V] {
	if e.owned == nil {
		e.owned = make([]uint64, len(e.t.chunks))
		e.t.chunks = slices.Clone(e.t.chunks)
	}
	i, bit := hash/chunkLen&uint64(len(e.t.chunks)-1), uint64(1)<<(hash%chunkLen)
	if e.owned[i] == 0 {
		copied := *e.t.chunks[i]
		e.t.chunks[i] = &copied
	}
	shard := e.t.shard(hash)
	if e.owned[i]&bit == 0 {
		e.owned[i] |= bit
		*shard = append(make([]slot[V], 0, len(*shard)+1), *shard...)
	}
	return shard
}
