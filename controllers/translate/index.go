package translate

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// An index says which hosts or pools refer to an object.
type index map[types.NamespacedName]users

// users are the hosts or pools that refer to one object, each once. Most objects
// have one or two, for which a set costs many times a list.
type users struct {
	few  []string // at most maxFew
	many map[string]struct{}
}

const maxFew = 8

func (x index) add(object types.NamespacedName, user string) {
	u := x[object]
	switch {
	case u.many != nil:
		u.many[user] = struct{}{}
		return
	case slices.Contains(u.few, user):
		return
	case len(u.few) < maxFew:
		u.few = append(u.few, user)
	default:
		u.many = map[string]struct{}{user: {}}
		for _, other := range u.few {
			u.many[other] = struct{}{}
		}
		u.few = nil
	}
	x[object] = u
}

func (x index) remove(object types.NamespacedName, user string) {
	u := x[object]
	delete(u.many, user)
	u.few = slices.DeleteFunc(u.few, func(other string) bool { return other == user })
	if x[object] = u; len(u.few)+len(u.many) == 0 {
		delete(x, object)
	}
}

// copyTo adds the users of object to set.
func (x index) copyTo(set map[string]struct{}, object types.NamespacedName) {
	u := x[object]
	for _, user := range u.few {
		set[user] = struct{}{}
	}
	for user := range u.many {
		set[user] = struct{}{}
	}
}

// replace makes user refer to now and no more to old, which are both sorted.
func (x index) replace(user string, old, now []types.NamespacedName) {
	for _, name := range old {
		if _, ok := slices.BinarySearchFunc(now, name, compareNames); !ok {
			x.remove(name, user)
		}
	}
	for _, name := range now {
		x.add(name, user)
	}
}

// references says which fields of which Ingresses name an object, and what of it
// changed since it was last asked. A field is a [Reference], or its Origin alone.
type references[F comparable] struct {
	// of returns what an Ingress names.
	of      func(*ingress) []use[F]
	users   map[types.NamespacedName][]*ingress
	touched map[types.NamespacedName]struct{}
}

func newReferences[F comparable](of func(*ingress) []use[F]) references[F] {
	return references[F]{
		of:      of,
		users:   map[types.NamespacedName][]*ingress{},
		touched: map[types.NamespacedName]struct{}{},
	}
}

// replace makes an Ingress name what now holds and no more what old does. Either
// may be one that names nothing.
func (r references[F]) replace(old, now *ingress) {
	for _, u := range r.of(old) {
		list := r.users[u.object]
		i := slices.Index(list, old)
		fields := fieldsOf(r.of(now), u.object)
		switch {
		case fields == nil:
			list = slices.Delete(list, i, i+1)
		default:
			list[i] = now
		}
		if r.users[u.object] = list; len(list) == 0 {
			delete(r.users, u.object)
		}
		if !slices.Equal(fields, u.fields) {
			r.touched[u.object] = struct{}{}
		}
	}
	for _, u := range r.of(now) {
		if fieldsOf(r.of(old), u.object) == nil {
			r.users[u.object] = append(r.users[u.object], now)
			r.touched[u.object] = struct{}{}
		}
	}
}

// fieldsOf returns the fields that name object, nil if none does.
func fieldsOf[F any](uses []use[F], object types.NamespacedName) []F {
	for i := range uses {
		if uses[i].object == object {
			return uses[i].fields
		}
	}
	return nil
}

// apply returns last with what changed, or last itself if nothing did.
func (r references[F]) apply(last map[types.NamespacedName][]F) map[types.NamespacedName][]F {
	if last != nil && len(r.touched) == 0 {
		return last
	}
	out := maps.Clone(last)
	if out == nil {
		out = make(map[types.NamespacedName][]F, len(r.touched))
	}
	for object := range r.touched {
		if list := r.users[object]; len(list) == 0 {
			delete(out, object)
		} else {
			out[object] = r.fields(object, list)
		}
	}
	clear(r.touched)
	return out
}

// fields returns the fields in which the Ingresses of list name object, in the
// order of the names of the Ingresses, into which it brings list.
func (r references[F]) fields(object types.NamespacedName, list []*ingress) []F {
	if len(list) == 1 {
		return fieldsOf(r.of(list[0]), object)
	}
	byName := func(a, b *ingress) int { return compareNames(a.name, b.name) }
	if !slices.IsSortedFunc(list, byName) {
		slices.SortFunc(list, byName)
	}
	var fields []F
	for _, in := range list {
		fields = append(fields, fieldsOf(r.of(in), object)...)
	}
	return fields
}

// deadlines holds times, each as often as hosts have it.
type deadlines struct {
	hosts map[time.Time]int
	first time.Time // zero if there is none
}

// replace takes one host from old to now; zero is no time.
func (d *deadlines) replace(old, now time.Time) {
	if !now.IsZero() {
		d.hosts[now]++
		if d.first.IsZero() || now.Before(d.first) {
			d.first = now
		}
	}
	if old.IsZero() {
		return
	}
	if d.hosts[old]--; d.hosts[old] > 0 {
		return
	}
	delete(d.hosts, old)
	if !old.Equal(d.first) {
		return
	}
	d.first = time.Time{}
	for t := range d.hosts {
		if d.first.IsZero() || t.Before(d.first) {
			d.first = t
		}
	}
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// mergeNames returns last, which is sorted, with the names that came and without
// those that went.
func mergeNames(last []types.NamespacedName, changes map[types.NamespacedName]bool) []types.NamespacedName {
	same := true
	for name, in := range changes {
		if _, was := slices.BinarySearchFunc(last, name, compareNames); in != was {
			same = false
			break
		}
	}
	if same {
		return last
	}
	out := make([]types.NamespacedName, 0, len(last)+len(changes))
	for _, name := range last {
		if _, ok := changes[name]; !ok {
			out = append(out, name)
		}
	}
	for name, in := range changes {
		if in {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, compareNames)
	return out
}
