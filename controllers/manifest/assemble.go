package manifest

import (
	"fmt"
	"slices"
	"time"
)

// assemble makes a Set of the files as accepted; since is when the oldest of the
// moves was seen. Its cost grows with the moves, but for copying a list, as long as
// nothing is in two places and no file has problems.
func (f *Folder) assemble(moves []move, since time.Time) Set {
	set, ok := f.patch(moves)
	if !ok {
		set = f.rebuild()
		set.Changed, set.Gone = Diff(f.last, set)
	}
	set.Since = since
	f.last = set
	return set
}

// patch makes the next Set from the last one. It reports false where that takes a
// look at all files.
func (f *Folder) patch(moves []move) (Set, bool) {
	objects := len(f.last.Objects)
	if f.doubled || len(moves)*8 > objects {
		return Set{}, false
	}
	set := Set{
		Objects:  slices.Grow(slices.Clone(f.last.Objects), len(moves)),
		Problems: f.last.Problems,
	}
	places := slices.Grow(slices.Clone(f.places), len(moves))
	for _, m := range moves {
		if m.trouble || m.troubled {
			return Set{}, false
		}
		left := make(map[key]Object, len(m.before))
		for _, o := range m.before {
			left[keyOf(o)] = o.Object
		}
		for _, o := range m.now {
			k := keyOf(o)
			old, had := left[k]
			delete(left, k)
			i, found := find(set.Objects, k)
			switch {
			case found != had:
				return Set{}, false // another file has it, or this one twice
			case found:
				set.Objects[i], places[i] = o.Object, m.file
			default:
				set.Objects = slices.Insert(set.Objects, i, o.Object)
				places = slices.Insert(places, i, m.file)
			}
			if old != o.Object {
				set.Changed = append(set.Changed, o.Object)
			}
		}
		for k, o := range left {
			i, found := find(set.Objects, k)
			if !found {
				return Set{}, false
			}
			set.Objects = slices.Delete(set.Objects, i, i+1)
			places = slices.Delete(places, i, i+1)
			set.Gone = append(set.Gone, o)
		}
	}
	f.places = places
	return set, true
}

func find(objects []Object, k key) (int, bool) {
	return slices.BinarySearchFunc(objects, k, func(o Object, k key) int { return keyOf(o).compare(k) })
}

// rebuild makes a Set of all files.
func (f *Folder) rebuild() Set {
	set := Set{}
	f.doubled = false
	type entry struct {
		key
		Object
		place
	}
	first := make(map[key]place)
	names := make([]string, 0, len(f.files))
	for name := range f.files {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []entry
	for _, name := range names {
		x := f.files[name]
		set.Problems = append(set.Problems, x.problems...)
		for _, o := range x.objects {
			k := keyOf(o)
			if p, ok := first[k]; ok {
				f.doubled = true
				set.Problems = append(set.Problems, Problem{
					Level: Error, File: name, Line: o.line, Object: k.String(),
					Message: fmt.Sprintf("this object is already in %s:%d; the first one counts", p.file, p.line),
				})
				continue
			}
			first[k] = place{name, o.line}
			all = append(all, entry{k, o.Object, place{name, o.line}})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return a.key.compare(b.key) })
	f.places = make([]string, len(all))
	set.Objects = make([]Object, len(all))
	for i, e := range all {
		set.Objects[i], f.places[i] = e.Object, e.file
	}
	sortProblems(set.Problems)
	return set
}
