package controllers

import (
	"net/http"
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
)

// notHelm keeps the release history of Helm out, often the most and always the
// largest Secrets of a cluster. Nothing that an Ingress names is of that type.
var notHelm = fields.OneTermNotEqualSelector("type", "helm.sh/release.v1")

func kindOfType(description string) kind {
	for _, k := range append(slices.Clone(watchedKinds), configKind) {
		if strings.HasSuffix(description, "."+string(k)) || strings.HasSuffix(description, "="+string(k)) {
			return k
		}
	}
	if strings.Contains(description, "PartialObjectMetadata") {
		return secretKind
	}
	return kind(description)
}

// scheme holds the kinds that are read.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, networkingv1.AddToScheme, discoveryv1.AddToScheme, v1alpha1.AddToScheme, gateway.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	return s
}()

// staticMapper knows the few resources that are read, so that nothing has to be
// discovered: starting needs no API server.
func staticMapper(*rest.Config, *http.Client) (meta.RESTMapper, error) {
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(networkingv1.SchemeGroupVersion.WithKind("Ingress"), meta.RESTScopeNamespace)
	m.Add(networkingv1.SchemeGroupVersion.WithKind("IngressClass"), meta.RESTScopeRoot)
	// Its plural is its singular.
	resource := v1alpha1.GroupVersion.WithResource(v1alpha1.Resource)
	m.AddSpecific(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind), resource, resource, meta.RESTScopeRoot)
	m.Add(gateway.GroupVersion.WithKind(gateway.Kind), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Service"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	m.Add(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), meta.RESTScopeNamespace)
	return m, nil
}

func prototype(k kind) client.Object {
	switch k {
	case ingressKind:
		return &networkingv1.Ingress{}
	case classKind:
		return &networkingv1.IngressClass{}
	case paramsKind:
		return &v1alpha1.IngressClassParameters{}
	case grantKind:
		return &gateway.ReferenceGrant{}
	case serviceKind:
		return &corev1.Service{}
	case sliceKind:
		return &discoveryv1.EndpointSlice{}
	case configKind:
		return &corev1.ConfigMap{}
	case bundleKind:
		return metadataOf("ConfigMap")
	default:
		return secretMetadata()
	}
}

func secretMetadata() *metav1.PartialObjectMetadata { return metadataOf("Secret") }

// metadataOf returns the prototype of the metadata of a kind of the core group.
func metadataOf(kind string) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return o
}

// slim drops what nobody reads and what is often larger than the rest.
func slim(o any) (any, error) {
	if object, ok := o.(client.Object); ok {
		object.SetManagedFields(nil)
		if annotations := object.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
			delete(annotations, corev1.LastAppliedConfigAnnotation)
			object.SetAnnotations(annotations)
		}
	}
	return o, nil
}

// slimMetadata keeps of a Secret or ConfigMap what tells that it changed. The
// annotation last-applied-configuration in particular holds the data.
func slimMetadata(o any) (any, error) {
	if m, ok := o.(*metav1.PartialObjectMetadata); ok {
		m.TypeMeta = metav1.TypeMeta{}
		m.ObjectMeta = metav1.ObjectMeta{
			Namespace:       unique.Make(m.Namespace).Value(), // one copy for all
			Name:            m.Name,
			ResourceVersion: m.ResourceVersion,
		}
	}
	return o, nil
}
