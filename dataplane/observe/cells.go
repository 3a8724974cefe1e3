package observe

import (
	"slices"
	"sync/atomic"
)

// cells finds values by key without a lock: a list that is copied when it grows.
// It is for a handful of keys, of which the usual ones come first because they
// were seen first. Its zero value is empty.
type cells[K comparable, V any] struct {
	list atomic.Pointer[[]cell[K, V]]
}

type cell[K comparable, V any] struct {
	key   K
	value V
}

// all returns the list, which nobody may change.
func (c *cells[K, V]) all() []cell[K, V] {
	if l := c.list.Load(); l != nil {
		return *l
	}
	return nil
}

// find returns the value of key.
func (c *cells[K, V]) find(key K) (v V, ok bool) {
	list := c.all()
	for i := range list {
		if list[i].key == key {
			return list[i].value, true
		}
	}
	return v, false
}

// add adds a key that is not there. The caller holds the lock that guards writes.
func (c *cells[K, V]) add(key K, value V) {
	list := append(slices.Clip(slices.Clone(c.all())), cell[K, V]{key, value})
	c.list.Store(&list)
}

// keep removes the keys for which f returns false. The caller holds the lock that
// guards writes.
func (c *cells[K, V]) keep(f func(K, V) bool) {
	list := slices.DeleteFunc(slices.Clone(c.all()), func(x cell[K, V]) bool { return !f(x.key, x.value) })
	c.list.Store(&list)
}
