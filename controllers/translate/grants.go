package translate

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/api/gateway"
)

// This file is about Secrets and ConfigMaps of other namespaces, which an Ingress may
// name if a ReferenceGrant in that namespace says so.

// grants are the ReferenceGrants, by namespace and name.
type grants map[string]map[string]*gateway.ReferenceGrant

// abroad is what an Ingress is read with: who may use what of other namespaces, and,
// when it was read, of which it wants anything.
type abroad struct {
	grants grants
	// only is the namespace whose objects are there; "" is all.
	only  string
	named []string
}

// refuses says why an Ingress of a namespace may not name an object of that kind of
// another, and what to do; "" if it may.
func (a *abroad) refuses(from, kind string, object types.NamespacedName) string {
	if !slices.Contains(a.named, object.Namespace) {
		a.named = append(a.named, object.Namespace)
	}
	if a.only != "" && a.only != object.Namespace {
		return fmt.Sprintf("and no object outside of namespace %s is read (--watch-namespace): copy it into namespace %s", a.only, from)
	}
	for _, g := range a.grants[object.Namespace] {
		if g.Allows(from, kind, object.Name) {
			return ""
		}
	}
	return fmt.Sprintf("and no ReferenceGrant in namespace %s lets Ingresses of namespace %s use it: have its owner create one, or copy the %s into namespace %s", brief(object.Namespace), from, kind, from)
}

// SetGrant adds or replaces a ReferenceGrant. The Ingresses that name anything of its
// namespace are read again.
func (t *Translator) SetGrant(g *gateway.ReferenceGrant) {
	old := t.grants[g.Namespace][g.Name]
	if old != nil && sameVersion(old, g) {
		return
	}
	if t.grants[g.Namespace] == nil {
		t.grants[g.Namespace] = map[string]*gateway.ReferenceGrant{}
	}
	t.grants[g.Namespace][g.Name] = g
	t.grantsChanged(g.Namespace)
}

// DeleteGrant removes a ReferenceGrant.
func (t *Translator) DeleteGrant(name types.NamespacedName) {
	if t.grants[name.Namespace][name.Name] == nil {
		return
	}
	delete(t.grants[name.Namespace], name.Name)
	if len(t.grants[name.Namespace]) == 0 {
		delete(t.grants, name.Namespace)
	}
	t.grantsChanged(name.Namespace)
}

// grantAll is a grant of all Secrets and ConfigMaps of a namespace to the Ingresses of another.
func grantAll(ingresses, namespace string) *gateway.ReferenceGrant {
	g := &gateway.ReferenceGrant{}
	g.Namespace, g.Name = namespace, "(presumed)"
	g.Spec.From = []gateway.ReferenceGrantFrom{{Group: "networking.k8s.io", Kind: "Ingress", Namespace: ingresses}}
	g.Spec.To = []gateway.ReferenceGrantTo{{Kind: "Secret"}, {Kind: "ConfigMap"}}
	return g
}

func (t *Translator) grantsChanged(namespace string) {
	for name, wanted := range t.abroad {
		if slices.Contains(wanted, namespace) {
			t.read(name, t.ingresses[name])
		}
	}
}
