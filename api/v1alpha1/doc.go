// Package v1alpha1 holds Cardea's own Kubernetes API, group cardea.dev: the
// parameters of an IngressClass.
//
// The CustomResourceDefinition in config/crd and the DeepCopy methods are
// generated from the types here (make generate). What the API server refuses by
// that definition, [IngressClassParameters.Validate] refuses as well, so that a
// folder of YAML is held to the same rules; testdata/invalid.yaml is the list that
// both are tested with.
//
// +kubebuilder:object:generate=true
// +groupName=cardea.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "cardea.dev", Version: "v1alpha1"}

// Kind is the kind of [IngressClassParameters], Resource its plural in paths.
const (
	Kind     = "IngressClassParameters"
	Resource = "ingressclassparameters"
)

// AddToScheme adds the kinds of this package to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &IngressClassParameters{}, &IngressClassParametersList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
