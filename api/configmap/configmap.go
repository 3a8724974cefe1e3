// Package configmap is the one table of the keys of ingress-nginx's ConfigMap that
// Cardea knows: name, kind, default, parser, and whether the key protects or shapes.
// Reading a ConfigMap's data is [Parse]; docs/configmap.md is generated from [All].
//
// The table holds the keys about TLS, those of which Cardea has the feature, and
// those that protect: to ignore one of these would open what its owner closed. A
// key that is not in the table has no effect, and its owner is told.
//
// To add a key: add a row to the table and, if no annotation is of its name, a field
// to [Settings].
package configmap

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cardea-dev/cardea/api/annotation"
)

// A Key is a row of the table.
type Key struct {
	// Name is the key in the ConfigMap's data.
	Name string
	// Kind is the form of the value: bool, seconds, size and so on, as in
	// docs/annotations.md, or list (with commas between the elements).
	Kind string
	// Effect decides what a value does that cannot be used.
	Effect annotation.Effect
	// Default is what counts where neither the ConfigMap nor anything else says so,
	// in the form in which one would write it. Empty: none, the feature is off.
	Default string
	// Text says what becomes of the key, in sentences of Markdown; where that is not
	// what ingress-nginx does, it says so.
	Text string

	// set writes the value into the Settings, or leaves them alone and says what was
	// wanted.
	set func(*reading, string) error
}

// A Problem is a key that cannot be applied as it is written.
type Problem struct {
	// Name is the key.
	Name string
	// Key is its row. Nil: it is not in the table.
	Key *Key
	// Err says, for the owner of the ConfigMap, what was wanted and what was found.
	// Nil: the value can be read, and Note says how what it asks for is not what is
	// done.
	Err  error
	Note string
	// Loss says that somebody may miss what the Note is about.
	Loss bool
}

// All returns the table, sorted by name.
func All() []Key { return slices.Clone(table) }

// Lookup returns the row of a key, nil if it has none.
func Lookup(name string) *Key {
	i, found := slices.BinarySearchFunc(table, name, func(k Key, name string) int { return strings.Compare(k.Name, name) })
	if !found {
		return nil
	}
	k := table[i]
	return &k
}

// A reading is a ConfigMap while it is read.
type reading struct {
	Settings
	key      *Key
	problems []Problem
}

// note says that the key that is being read is not applied as ingress-nginx does.
func (r *reading) note(loss bool, format string, args ...any) {
	r.problems = append(r.problems, Problem{Name: r.key.Name, Key: r.key, Note: fmt.Sprintf(format, args...), Loss: loss})
}

// Parse reads the data of a ConfigMap. What cannot be read has its default in the
// Settings and a Problem, in the order of the keys. An empty value is none, as in
// ingress-nginx.
func Parse(data map[string]string) (Settings, []Problem) {
	r := &reading{Settings: Settings{Annotations: annotation.Defaults(), HSTSMaxAge: defaultHSTSAge}}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		r.key = Lookup(name)
		value := strings.TrimSpace(data[name])
		switch {
		case r.key == nil:
			r.problems = append(r.problems, Problem{Name: name})
		case value == "":
		default:
			if err := r.key.set(r, value); err != nil {
				r.problems = append(r.problems, Problem{Name: name, Key: r.key, Err: err})
			}
		}
	}
	r.finish(data)
	return r.Settings, r.problems
}
