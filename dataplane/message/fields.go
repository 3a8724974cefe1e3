package message

import "iter"

// A Field is one field line. Name and Value are views; Value has no leading or
// trailing white space.
type Field struct {
	Name, Value []byte
	// ID of Name, Other if it is not interned.
	ID ID
}

// Fields is an ordered list of field lines. The zero value is empty and ready
// to use.
type Fields struct {
	list []Field
	// arena holds the bytes of fields that were added by copy. Growing it leaves
	// earlier slices valid: they keep the old array.
	arena []byte
}

// Reset empties f and keeps its memory.
func (f *Fields) Reset() { f.list, f.arena = f.list[:0], f.arena[:0] }

// Len returns the number of field lines.
func (f *Fields) Len() int { return len(f.list) }

// Truncate removes the lines from n on.
func (f *Fields) Truncate(n int) { f.list = f.list[:n] }

// At returns field line i; the pointer is valid until the next change of f.
func (f *Fields) At(i int) *Field { return &f.list[i] }

// All ranges over the field lines in order.
func (f *Fields) All() iter.Seq[*Field] {
	return func(yield func(*Field) bool) {
		for i := range f.list {
			if !yield(&f.list[i]) {
				return
			}
		}
	}
}

// Append adds a line whose name and value are views that stay valid as long as f
// is used. id must be the ID of name.
func (f *Fields) Append(id ID, name, value []byte) {
	f.list = append(f.list, Field{Name: name, Value: value, ID: id})
}

// Add adds a line with an interned name; value is copied.
func (f *Fields) Add(id ID, value string) {
	f.list = append(f.list, Field{Name: id.Bytes(), Value: f.copyString(value), ID: id})
}

// AddBytes is Add for bytes.
func (f *Fields) AddBytes(id ID, value []byte) {
	f.list = append(f.list, Field{Name: id.Bytes(), Value: f.copyBytes(value), ID: id})
}

// AddName adds a line with any name; both parts are copied.
func (f *Fields) AddName(name, value string) {
	n := f.copyString(name)
	f.list = append(f.list, Field{Name: n, Value: f.copyString(value), ID: Lookup(n)})
}

// Set replaces the first line with id by value, removes the others, or adds one.
func (f *Fields) Set(id ID, value string) {
	f.set(id, f.copyString(value))
}

// SetBytes is Set for bytes.
func (f *Fields) SetBytes(id ID, value []byte) {
	f.set(id, f.copyBytes(value))
}

// AddCopy adds a line of which both parts are copied. id must be the ID of name.
func (f *Fields) AddCopy(id ID, name, value []byte) {
	n := f.copyBytes(name)
	f.Append(id, n, f.copyBytes(value))
}

func (f *Fields) set(id ID, value []byte) {
	for i := range f.list {
		if f.list[i].ID == id {
			f.list[i].Value = value
			f.drop(id, i+1)
			return
		}
	}
	f.Append(id, id.Bytes(), value)
}

// Del removes every line with id.
func (f *Fields) Del(id ID) { f.drop(id, 0) }

func (f *Fields) drop(id ID, from int) {
	keep := f.list[:from]
	for _, l := range f.list[from:] {
		if l.ID != id {
			keep = append(keep, l)
		}
	}
	f.list = keep
}

// Filter keeps the lines for which keep returns true.
func (f *Fields) Filter(keep func(*Field) bool) {
	list := f.list[:0]
	for i := range f.list {
		if keep(&f.list[i]) {
			list = append(list, f.list[i])
		}
	}
	f.list = list
}

// Get returns the value of the first line with id, nil if there is none.
func (f *Fields) Get(id ID) []byte {
	for i := range f.list {
		if f.list[i].ID == id {
			return f.list[i].Value
		}
	}
	return nil
}

// Has reports whether a line with id exists.
func (f *Fields) Has(id ID) bool { return f.Count(id) > 0 }

// Count returns the number of lines with id.
func (f *Fields) Count(id ID) int {
	n := 0
	for i := range f.list {
		if f.list[i].ID == id {
			n++
		}
	}
	return n
}

// Named returns the value of the first line with that name in any case, nil if
// there is none. For interned names Get is cheaper.
func (f *Fields) Named(name string) []byte {
	for i := range f.list {
		if EqualFold(f.list[i].Name, name) {
			return f.list[i].Value
		}
	}
	return nil
}

func (f *Fields) copyString(s string) []byte {
	n := len(f.arena)
	f.arena = append(f.arena, s...)
	return f.arena[n:len(f.arena):len(f.arena)]
}

func (f *Fields) copyBytes(s []byte) []byte {
	n := len(f.arena)
	f.arena = append(f.arena, s...)
	return f.arena[n:len(f.arena):len(f.arena)]
}

// EqualFold reports whether b is s but for the case of ASCII letters.
func EqualFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if b[i] != s[i] && lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
