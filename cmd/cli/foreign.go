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
	// controllers are those of the IngressClasses that there are, by class.
	controllers map[string]string
	changed     map[types.NamespacedName]struct{}
	served      []types.NamespacedName
	verdicts    map[types.NamespacedName]translate.Verdict
	list        []translate.Verdict
}

func newForeigners() foreigners {
	return foreigners{
		ingresses:   make(map[types.NamespacedName]*networkingv1.Ingress),
		controllers: make(map[string]string),
		changed:     make(map[types.NamespacedName]struct{}),
		verdicts:    make(map[types.NamespacedName]translate.Verdict),
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

// setClass takes in the controller of an IngressClass; "" if the class is gone.
func (f *foreigners) setClass(class, controller string) {
	if f.controllers[class] == controller {
		return
	}
	if f.controllers[class] = controller; controller == "" {
		delete(f.controllers, class)
	}
	for name, in := range f.ingresses {
		if classOf(in) == class {
			f.changed[name] = struct{}{}
		}
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
		v := f.verdict(in)
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

func (f *foreigners) verdict(in *networkingv1.Ingress) translate.Verdict {
	class := classOf(in)
	why := fmt.Sprintf("its class is %q, and there is no IngressClass of that name; --class says which class is served without one", class)
	if controller := f.controllers[class]; controller != "" {
		why = fmt.Sprintf("its class is %q, whose controller is %s; --controller-name says whose classes are served", class, controller)
	}
	if class == "" {
		why = "it names no class, and no IngressClass is the default; --watch-ingress-without-class serves it nevertheless"
	}
	return translate.Verdict{
		Level: translate.Info, Reason: "ClassNotServed",
		Origin:  snapshot.Origin{Kind: "Ingress", Namespace: in.Namespace, Name: in.Name, UID: string(in.UID)},
		Message: "The Ingress is not served: " + why + ".",
	}
}

// classOf returns the class that an Ingress names, "" if none.
func classOf(in *networkingv1.Ingress) string {
	if in.Spec.IngressClassName != nil {
		return *in.Spec.IngressClassName
	}
	return in.Annotations[annotationClass]
}

const annotationClass = "kubernetes.io/ingress.class"

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
