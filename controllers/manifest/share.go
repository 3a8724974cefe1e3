package manifest

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shareTexts replaces the texts of an object that are the same in thousands of others by
// one copy of them: a tenth of what an Ingress and its Secret take, and most of
// their small pieces.
func shareTexts(o Object, k kind) {
	if t, ok := o.GetObjectKind().(*metav1.TypeMeta); ok {
		t.APIVersion, t.Kind = k.apiVersion, k.name // which it was read as
	}
	o.SetNamespace(shared(o.GetNamespace()))
	switch o := o.(type) {
	case *corev1.Secret:
		o.Type = corev1.SecretType(shared(string(o.Type)))
	case *networkingv1.Ingress:
		if class := o.Spec.IngressClassName; class != nil {
			*class = shared(*class)
		}
		for i := range o.Spec.Rules {
			if http := o.Spec.Rules[i].HTTP; http != nil {
				for j := range http.Paths {
					sharePath(&http.Paths[j])
				}
			}
		}
	}
}

func sharePath(p *networkingv1.HTTPIngressPath) {
	for i := range pathTypes {
		if p.PathType != nil && *p.PathType == pathTypes[i] {
			p.PathType = &pathTypes[i]
		}
	}
	p.Path = shared(p.Path)
	if s := p.Backend.Service; s != nil {
		s.Name, s.Port.Name = shared(s.Name), shared(s.Port.Name)
	}
}

// pathTypes are pointed to by Ingresses, which nobody writes to.
var pathTypes = [...]networkingv1.PathType{
	networkingv1.PathTypePrefix, networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific,
}

func shared(s string) string { return unique.Make(s).Value() }
