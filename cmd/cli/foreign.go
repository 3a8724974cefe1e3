package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// foreigners finds the Ingresses of classes that are not served: the first thing
// to look at when nothing is. It looks at those that changed alone, as long as the
// list of those that are served is the same.
type foreigners struct {
	ingresses map[types.NamespacedName]*networkingv1.Ingress
	changed   map[types.NamespacedName]struct{}
	served    []types.NamespacedName
	verdicts  map[types.NamespacedName]translate.Verdict
	list      []translate.Verdict
}

func newForeigners() foreigners {
	return foreigners{
		ingresses: make(map[types.NamespacedName]*networkingv1.Ingress),
		changed:   make(map[types.NamespacedName]struct{}),
		verdicts:  make(map[types.NamespacedName]translate.Verdict),
	}
}

// set takes in the state of an Ingress; nil if it is gone.
func (f *foreigners) set(name types.NamespacedName, in *networkingv1.Ingress) {
	if f.changed[name] = struct{}{}; in == nil {
		delete(f.ingresses, name)
	} else {
		f.ingresses[name] = in
	}
}

// judge returns an info on every Ingress that is not among those that are served,
// which are sorted. The caller must not change it.
func (f *foreigners) judge(served []types.NamespacedName) []translate.Verdict {
	look := f.changed
	if !sameSlice(f.served, served) {
		look = make(map[types.NamespacedName]struct{}, len(f.ingresses))
		for name := range f.ingresses {
			look[name] = struct{}{}
		}
		maps.Copy(look, f.changed)
	}
	f.served = served
	before := len(f.verdicts)
	touched := false
	for name := range look {
		in := f.ingresses[name]
		if _, ours := slices.BinarySearchFunc(served, name, compareNames); in == nil || ours {
			delete(f.verdicts, name)
			continue
		}
		v := foreignVerdict(in)
		touched = touched || f.verdicts[name] != v
		f.verdicts[name] = v
	}
	clear(f.changed)
	if touched || len(f.verdicts) != before {
		f.list = nil
		for _, name := range slices.SortedFunc(maps.Keys(f.verdicts), compareNames) {
			f.list = append(f.list, f.verdicts[name])
		}
	}
	return f.list
}

func sameSlice[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func foreignVerdict(in *networkingv1.Ingress) translate.Verdict {
	class := "it names no class"
	if in.Spec.IngressClassName != nil {
		class = fmt.Sprintf("its class is %q", *in.Spec.IngressClassName)
	} else if c, ok := in.Annotations[annotationClass]; ok {
		class = fmt.Sprintf("its class is %q", c)
	}
	return translate.Verdict{
		Level: translate.Info, Reason: "ClassNotServed",
		Origin:  snapshot.Origin{Kind: "Ingress", Namespace: in.Namespace, Name: in.Name, UID: string(in.UID)},
		Message: "The Ingress is not served: " + class + ", and that is not one of those of --class and --controller-name.",
	}
}

const annotationClass = "kubernetes.io/ingress.class"

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
