package translate

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// An index says which hosts or pools refer to an object.
type index map[types.NamespacedName]map[string]struct{}

func (x index) add(object types.NamespacedName, user string) {
	if x[object] == nil {
		x[object] = map[string]struct{}{}
	}
	x[object][user] = struct{}{}
}

func (x index) remove(object types.NamespacedName, user string) {
	delete(x[object], user)
	if len(x[object]) == 0 {
		delete(x, object)
	}
}

// copyTo adds the users of object to set.
func (x index) copyTo(set map[string]struct{}, object types.NamespacedName) {
	for user := range x[object] {
		set[user] = struct{}{}
	}
}

// replace makes user refer to now and no more to old.
func (x index) replace(user string, old, now map[types.NamespacedName]struct{}) {
	for name := range old {
		if _, ok := now[name]; !ok {
			x.remove(name, user)
		}
	}
	for name := range now {
		x.add(name, user)
	}
}

// references says which fields of which Ingresses name an object, and what of it
// changed since it was last asked. A field is a [Reference], or its Origin alone.
type references[F comparable] struct {
	fields  map[types.NamespacedName]map[types.NamespacedName][]F
	touched map[types.NamespacedName]struct{}
}

func newReferences[F comparable]() references[F] {
	return references[F]{
		fields:  map[types.NamespacedName]map[types.NamespacedName][]F{},
		touched: map[types.NamespacedName]struct{}{},
	}
}

// replace makes the Ingress name what now holds and no more what old does.
func (r references[F]) replace(ingress types.NamespacedName, old, now map[types.NamespacedName][]F) {
	for object := range old {
		if _, ok := now[object]; ok {
			continue
		}
		r.touched[object] = struct{}{}
		delete(r.fields[object], ingress)
		if len(r.fields[object]) == 0 {
			delete(r.fields, object)
		}
	}
	for object, fields := range now {
		if slices.Equal(old[object], fields) {
			continue
		}
		r.touched[object] = struct{}{}
		if r.fields[object] == nil {
			r.fields[object] = map[types.NamespacedName][]F{}
		}
		r.fields[object][ingress] = fields
	}
}

// apply returns last with what changed, or last itself if nothing did.
func (r references[F]) apply(last map[types.NamespacedName][]F) map[types.NamespacedName][]F {
	if last != nil && len(r.touched) == 0 {
		return last
	}
	out := maps.Clone(last)
	if out == nil {
		out = map[types.NamespacedName][]F{}
	}
	for object := range r.touched {
		var fields []F
		for _, ingress := range slices.SortedFunc(maps.Keys(r.fields[object]), compareNames) {
			fields = append(fields, r.fields[object][ingress]...)
		}
		if out[object] = fields; fields == nil {
			delete(out, object)
		}
	}
	clear(r.touched)
	return out
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
	if len(changes) == 0 {
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
