package cli

import (
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/manifest"
	"github.com/cardea-dev/cardea/controllers/secrets"
	"github.com/cardea-dev/cardea/controllers/translate"
)

// A holding is the objects of one kind whose content counts, of which Ingresses name
// some: Secrets, or ConfigMaps with authorities. It is for one goroutine, but for
// lastGood.
type holding struct {
	// store knows those alone that are named.
	store *secrets.Store
	// all are those that exist.
	all map[types.NamespacedName]manifest.Object
	// named is what the translator said last of which are named, as it said it;
	// referenced are the same that were read.
	named      map[types.NamespacedName][]translate.Reference
	referenced map[types.NamespacedName]bool
	// content returns what the store reads of an object; nil if it cannot be had now.
	content func(manifest.Object) *corev1.Secret
	// release, if set, is called with each object of which the store has read.
	release func(manifest.Object)
	// collect collects garbage.
	collect func()
	// put and drop give the translator the state of an object.
	put  func(types.NamespacedName, translate.Secret)
	drop func(types.NamespacedName)
	// lastGoods are those of which an earlier content counts, and stale is what
	// lastGood returns of them, to any goroutine.
	lastGoods map[types.NamespacedName]struct{}
	stale     atomic.Pointer[[]string]
}

func newHolding(store *secrets.Store) *holding {
	return &holding{
		store:      store,
		collect:    collect,
		all:        make(map[types.NamespacedName]manifest.Object),
		referenced: make(map[types.NamespacedName]bool),
		lastGoods:  make(map[types.NamespacedName]struct{}),
	}
}

// set takes in an object; nil for one that is gone.
func (h *holding) set(name types.NamespacedName, o manifest.Object, now time.Time) {
	if o == nil {
		delete(h.all, name)
	} else {
		h.all[name] = o
	}
	if h.referenced[name] {
		h.read(now, name)
	}
}

// readTogether is how many objects are read without a collection in between, where
// there are more of them. Each Secret leaves some 7 KiB in small pieces, which what is
// kept of it lies between: of 10,000 at once that makes gaps of 10 MiB, for which no use
// comes later.
const readTogether = 2500

// read takes objects, or that there are none, into the store and from there into the
// translator.
func (h *holding) read(now time.Time, names ...types.NamespacedName) {
	for some := range slices.Chunk(names, readTogether) {
		if len(names) > readTogether {
			h.collect()
		}
		h.readSome(now, some)
	}
}

func (h *holding) readSome(now time.Time, names []types.NamespacedName) {
	there := make(map[types.NamespacedName]*corev1.Secret, len(names))
	for _, name := range names {
		held := h.all[name]
		if held == nil {
			h.store.Update(name, nil, now)
		} else if content := h.content(held); content != nil {
			there[name] = content
		} else {
			h.store.Unreadable(name, "its file is being changed", now)
		}
	}
	h.store.UpdateAll(there, now)
	for _, name := range names {
		if held := h.all[name]; held != nil && h.release != nil {
			h.release(held)
		}
		h.tell(name, now)
	}
}

// pass lets the time pass: what was kept ends.
func (h *holding) pass(now time.Time) {
	for _, name := range h.store.Due(now) {
		h.tell(name, now)
	}
}

// follow reads what is named and was not, and forgets what is not named any more.
func (h *holding) follow(named map[types.NamespacedName][]translate.Reference, now time.Time) {
	if translate.SameMap(h.named, named) {
		return
	}
	h.named = named
	var unread []types.NamespacedName
	for name, refs := range named {
		again := h.store.Want(name, translate.Purposes(refs))
		if again || !h.referenced[name] {
			h.referenced[name] = true
			unread = append(unread, name)
		}
	}
	h.read(now, unread...)
	for name := range h.referenced {
		if _, ok := named[name]; !ok {
			delete(h.referenced, name)
			h.drop(name)
			h.noteLastGood(name, false)
		}
	}
	h.store.Retain(func(name types.NamespacedName) bool { return h.referenced[name] })
}

// tell gives the translator the state of an object.
func (h *holding) tell(name types.NamespacedName, now time.Time) {
	state := h.store.State(name, now)
	h.noteLastGood(name, state.LastGood || state.Trust.LastGood)
	h.put(name, state)
}

// noteLastGood makes lastGood current.
func (h *holding) noteLastGood(name types.NamespacedName, is bool) {
	if _, was := h.lastGoods[name]; was == is {
		return
	}
	if is {
		h.lastGoods[name] = struct{}{}
	} else {
		delete(h.lastGoods, name)
	}
	stale := make([]string, 0, len(h.lastGoods))
	for name := range h.lastGoods {
		stale = append(stale, name.String())
	}
	slices.Sort(stale)
	h.stale.Store(&stale)
}

// lastGood returns the objects of which an earlier content counts.
func (h *holding) lastGood() []string { return namesIn(&h.stale) }
