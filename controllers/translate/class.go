package translate

import (
	"cmp"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// annotationIngressClass is the older way to name a class; it counts where
// spec.ingressClassName is absent.
const annotationIngressClass = "kubernetes.io/ingress.class"

// ours reports whether in is of a class that this controller serves, and of
// which; "" is none.
func (t *Translator) ours(in *networkingv1.Ingress) (class string, ours bool) {
	if name := in.Spec.IngressClassName; name != nil {
		if len(t.classes) == 0 {
			return *name, *name == t.opts.Class
		}
		return *name, t.classIsOurs(*name)
	}
	if name, ok := in.Annotations[annotationIngressClass]; ok {
		// The annotation is older than IngressClass objects and needs none.
		if t.classes[name] == nil {
			return name, name == t.opts.Class
		}
		return name, t.classIsOurs(name)
	}
	if c := t.defaultClass(); c != nil {
		return c.Name, c.Spec.Controller == t.opts.ControllerName
	}
	return "", t.opts.WithoutClass
}

func (t *Translator) classIsOurs(name string) bool {
	c := t.classes[name]
	return c != nil && c.Spec.Controller == t.opts.ControllerName
}

// defaultClass returns the class of Ingresses that name none. Of several it is
// the one that the API server's admission would set: the newest, then the first
// by name.
func (t *Translator) defaultClass() *networkingv1.IngressClass {
	var defaults []*networkingv1.IngressClass
	for _, c := range t.classes {
		if c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
			defaults = append(defaults, c)
		}
	}
	if len(defaults) == 0 {
		return nil
	}
	return slices.MinFunc(defaults, func(a, b *networkingv1.IngressClass) int {
		return cmp.Or(
			b.CreationTimestamp.Compare(a.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
}
