// Package gateway holds what Cardea reads of the Gateway API
// (gateway.networking.k8s.io): the ReferenceGrant, by which the owner of a namespace
// lets objects of other namespaces refer to objects of his. The types have the fields
// that are looked at and no others, so that the module of the Gateway API is not
// needed.
package gateway

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of ReferenceGrant.
var GroupVersion = schema.GroupVersion{Group: "gateway.networking.k8s.io", Version: "v1beta1"}

// Kind is the name of the kind.
const Kind = "ReferenceGrant"

// A ReferenceGrant lets the objects of From refer to the objects of To in its own
// namespace.
type ReferenceGrant struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ReferenceGrantSpec `json:"spec,omitempty"`
}

// ReferenceGrantSpec says who may refer to what.
type ReferenceGrantSpec struct {
	From []ReferenceGrantFrom `json:"from"`
	To   []ReferenceGrantTo   `json:"to"`
}

// ReferenceGrantFrom is a kind of objects in a namespace.
type ReferenceGrantFrom struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
}

// ReferenceGrantTo is a kind of objects, or one of them.
type ReferenceGrantTo struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	// Name is that of the object. Nil or empty means all of the kind.
	Name *string `json:"name,omitempty"`
}

// Allows reports whether g lets the Ingresses of a namespace name the object of that
// kind, of the core group, and of that name in the namespace of g.
func (g *ReferenceGrant) Allows(ingresses, kind, name string) bool {
	from := slices.Contains(g.Spec.From, ReferenceGrantFrom{"networking.k8s.io", "Ingress", ingresses})
	return from && slices.ContainsFunc(g.Spec.To, func(t ReferenceGrantTo) bool {
		return t.Group == "" && t.Kind == kind && (t.Name == nil || *t.Name == "" || *t.Name == name)
	})
}

// ReferenceGrantList is a list of them.
type ReferenceGrantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ReferenceGrant `json:"items"`
}

// AddToScheme adds the kind to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &ReferenceGrant{}, &ReferenceGrantList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// DeepCopyObject implements [runtime.Object].
func (g *ReferenceGrant) DeepCopyObject() runtime.Object { return g.deepCopy() }

func (g *ReferenceGrant) deepCopy() *ReferenceGrant {
	c := *g
	c.ObjectMeta = *g.ObjectMeta.DeepCopy()
	c.Spec.From = slices.Clone(g.Spec.From)
	c.Spec.To = slices.Clone(g.Spec.To)
	for i, t := range c.Spec.To {
		if t.Name != nil {
			c.Spec.To[i].Name = new(*t.Name)
		}
	}
	return &c
}

// DeepCopyObject implements [runtime.Object].
func (l *ReferenceGrantList) DeepCopyObject() runtime.Object {
	c := *l
	c.ListMeta = *l.ListMeta.DeepCopy()
	c.Items = make([]ReferenceGrant, len(l.Items))
	for i := range l.Items {
		c.Items[i] = *l.Items[i].deepCopy()
	}
	return &c
}
