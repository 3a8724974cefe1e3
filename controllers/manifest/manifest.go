// Package manifest reads the objects that Cardea serves from a folder of YAML or
// JSON instead of from an API server: for standalone mode, for `cardea check` and
// for tests.
//
// A [Folder] stands for what an API server would do with the same files: it
// decodes strictly, sets defaults, validates, gives every object a UID, and says
// what it did not like with file and line. It does not give up what it has:
//
//   - An object that parses is taken, whatever else is in its file.
//   - As long as anything in a file is in error, the objects that the file had
//     before and that are not among those that parse now stay as they were.
//   - Of two objects with one name the first counts: first by file name, then by
//     position in the file. The other one is an error.
//
// Objects are never written again once they are in a [Set]; an object whose text
// did not change is the same pointer in the next Set, so that the reader can tell
// what changed by comparing pointers ([Diff]).
//
// A Folder is for one goroutine.
package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// An Object is one of *networkingv1.Ingress, *networkingv1.IngressClass,
// *v1alpha1.IngressClassParameters, *gateway.ReferenceGrant, *corev1.Service, *discoveryv1.EndpointSlice and
// *corev1.Secret. Its TypeMeta is set.
type Object interface {
	metav1.Object
	runtime.Object
}

// A Set is what a folder holds at one time.
type Set struct {
	// Objects sorted by kind, namespace and name; no two have the same.
	Objects []Object
	// Problems sorted by file and line.
	Problems []Problem
	// Changed are the objects that are new or not what they were in the Set before;
	// Gone are those of the Set before that are not in this one.
	Changed, Gone []Object
	// Since is when the oldest of the changes in it was first seen.
	Since time.Time
}

// Errors returns the problems that keep something from being served.
func (s Set) Errors() []Problem {
	var errs []Problem
	for _, p := range s.Problems {
		if p.Level == Error {
			errs = append(errs, p)
		}
	}
	return errs
}

// A Level says what a problem costs.
type Level uint8

const (
	// Info: nothing is lost, for example an object of a kind that is not read.
	Info Level = iota
	// Warning: the object counts, without the part that was not understood.
	Warning
	// Error: the object does not count; its last good version does, if there is
	// one.
	Error
)

// String returns "info", "warning" or "error".
func (l Level) String() string { return [...]string{"info", "warning", "error"}[l] }

// A Problem is a judgement on a place in a file. It is comparable and holds no
// content of any Secret.
type Problem struct {
	Level Level
	// File is the path below the folder.
	File string
	// Line counts from 1; 0 means the whole file.
	Line int
	// Object is "Ingress shop/web", or "" where it did not become known.
	Object string
	// Field is "spec.rules[0].host", or "".
	Field   string
	Message string
}

// String returns "shop.yaml:12: Ingress shop/web: spec.rules[0].host: message".
func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	for _, part := range []string{p.Object, p.Field, p.Message} {
		if part != "" {
			s += ": " + part
		}
	}
	return s
}

// Diff returns the objects that are new or changed in next, and those of prev
// that are not in it.
func Diff(prev, next Set) (changed, gone []Object) {
	had := make(map[key]Object, len(prev.Objects))
	for _, o := range prev.Objects {
		had[keyOf(o)] = o
	}
	for _, o := range next.Objects {
		k := keyOf(o)
		if had[k] != o {
			changed = append(changed, o)
		}
		delete(had, k)
	}
	for _, o := range prev.Objects {
		if _, left := had[keyOf(o)]; left {
			gone = append(gone, o)
		}
	}
	return changed, gone
}

// A key is the identity of an object.
type key struct{ kind, namespace, name string }

func keyOf(o Object) key {
	return key{o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName()}
}

// String returns "Ingress shop/web", for objects without namespace "IngressClass
// cardea".
func (k key) String() string {
	if k.namespace == "" {
		return k.kind + " " + k.name
	}
	return k.kind + " " + k.namespace + "/" + k.name
}

func (k key) compare(other key) int {
	return cmp.Or(cmp.Compare(k.kind, other.kind), cmp.Compare(k.namespace, other.namespace),
		cmp.Compare(k.name, other.name))
}

func sortProblems(list []Problem) {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}
