// Package annotation is the one table of the annotations that Cardea knows: name,
// kind, default, parser, and whether the annotation protects or shapes. Reading an
// object's annotations is [Parse]; docs/annotations.md is generated from [All].
//
// An annotation is written with one of two prefixes, [Own] or [Nginx]; where an
// object has both, the own one counts and the other is not looked at.
//
// To add an annotation: add a field to [Settings] and a row to the table.
package annotation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The prefixes, in order of precedence.
const (
	Own   = "cardea.dev/"
	Nginx = "nginx.ingress.kubernetes.io/"
)

// An Annotation is a row of the table.
type Annotation struct {
	// Name follows one of the prefixes.
	Name string
	// Kind is the form of the value.
	Kind Kind
	// Effect decides what a value does that cannot be used.
	Effect Effect
	// Default is the value that counts where none is written, in the form in
	// which one would write it. Empty: none, the feature is off.
	Default string
	// Text says what the annotation does, in one or two sentences of Markdown.
	Text string

	// set writes the value into the Settings, or leaves them alone and says what
	// was wanted.
	set func(*Settings, string) error
	// unsupported marks a row whose set accepts only the values that switch the
	// feature off.
	unsupported bool
}

// Supported reports whether Cardea has the feature. What it does not have is in the
// table if ingress-nginx has it: one that protects closes paths, since to ignore it
// would open what its owner closed, and of one that shapes the owner is told that it
// has no effect.
func (a Annotation) Supported() bool { return !a.unsupported }

// Kind is the form of an annotation's value. The kinds that end in Ref name
// another object, and whoever indexes references goes by them alone.
type Kind uint8

const (
	Bool         Kind = iota // "true" or "false", as strconv.ParseBool reads it
	Seconds                  // whole seconds, from 1
	Size                     // bytes, or with one of the units k, m, g
	Count                    // a whole number, from 1
	Text                     // anything
	Word                     // one of the words that the row names, in either case
	SecretRef                // [namespace/]name of a Secret
	ConfigMapRef             // [namespace/]name of a ConfigMap
	ServiceRef               // name of a Service
)

// String returns the name that the documentation uses.
func (k Kind) String() string {
	return [...]string{"bool", "seconds", "size", "count", "text", "word", "secretRef", "configMapRef", "serviceRef"}[k]
}

// Effect is what is at stake when a value cannot be used.
type Effect uint8

const (
	// Shapes: the default applies instead.
	Shapes Effect = iota
	// Protects: the paths of the Ingress are closed (503), because any other
	// treatment would open what the owner wanted closed.
	Protects
)

// String returns "shapes" or "protects".
func (e Effect) String() string {
	if e == Shapes {
		return "shapes"
	}
	return "protects"
}

// A Problem is an annotation that has no effect as it is written.
type Problem struct {
	// Key is the annotation's key with its prefix.
	Key string
	// Annotation is its row. Nil: no annotation of that name is known.
	Annotation *Annotation
	// Err says, for the owner of the object, what was wanted and what was found.
	// Nil iff Annotation is.
	Err error
}

// Unsupported reports whether the value is a good one and Cardea does not have the
// feature.
func (p *Problem) Unsupported() bool { return errors.Is(p.Err, errUnsupported) }

// All returns the table, sorted by name.
func All() []Annotation { return slices.Clone(table) }

// Lookup returns the row of a key with one of the prefixes. ours reports whether
// the key has one; a nil row with ours is an unknown annotation.
func Lookup(key string) (row *Annotation, ours bool) {
	name, ok := strings.CutPrefix(key, Own)
	if !ok {
		if name, ok = strings.CutPrefix(key, Nginx); !ok {
			return nil, false
		}
	}
	i, found := slices.BinarySearchFunc(table, name, func(a Annotation, name string) int {
		return strings.Compare(a.Name, name)
	})
	if !found {
		return nil, true
	}
	a := table[i]
	return &a, true
}

// Parse reads the annotations of one object. What cannot be read has its default
// in the Settings and a Problem, in the order of the keys.
func Parse(annotations map[string]string) (Settings, []Problem) {
	return ParseOver(Defaults(), annotations)
}

// ParseOver is Parse with defaults of the operator's own.
func ParseOver(defaults Settings, annotations map[string]string) (Settings, []Problem) {
	if !anyOurs(annotations) {
		return defaults, nil
	}
	s := defaults
	var problems []Problem
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		row, ours := Lookup(key)
		if !ours || overruled(annotations, key) {
			continue
		}
		if row == nil {
			problems = append(problems, Problem{Key: key})
			continue
		}
		if err := row.set(&s, strings.TrimSpace(annotations[key])); err != nil {
			problems = append(problems, Problem{Key: key, Annotation: row, Err: err})
		}
	}
	return s, problems
}

// Set sets what the annotation of that name says to value; the name, without
// prefix, is that of a row. An error leaves s alone.
func Set(s *Settings, name, value string) error {
	row, _ := Lookup(Own + name)
	return row.set(s, strings.TrimSpace(value))
}

// anyOurs reports whether any key has one of our prefixes. Most objects carry none
// but those of others.
func anyOurs(annotations map[string]string) bool {
	for key := range annotations {
		if strings.HasPrefix(key, Own) || strings.HasPrefix(key, Nginx) {
			return true
		}
	}
	return false
}

// overruled reports whether key has the foreign prefix and the object has the
// same annotation with the own one.
func overruled(annotations map[string]string, key string) bool {
	name, foreign := strings.CutPrefix(key, Nginx)
	if !foreign {
		return false
	}
	_, own := annotations[Own+name]
	return own
}

// Quote renders a value for a message. An annotation may hold 256 KiB; a message
// quotes enough of it to be recognised.
func Quote(value string) string {
	const most = 40
	if len(value) > most {
		value = strings.ToValidUTF8(value[:most], "") + "…"
	}
	return fmt.Sprintf("%q", value)
}
