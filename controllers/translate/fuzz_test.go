package translate_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// FuzzTranslate holds that no text in an object, and no number, makes Translate
// fail or write a Spec that does not compile. A folder of manifests has passed no
// API server.
func FuzzTranslate(f *testing.F) {
	f.Add("shop.example.com", "*.example.com", "/a/", "/a", "Prefix", "tls", "http", int32(80), int32(8080), "api.example.net", "10.0.0.1", "8m")
	f.Add("", "Shop.Example.Com.", "/a//", "/%41/../b/", "ImplementationSpecific", "", "", int32(0), int32(-1), "", "::ffff:127.0.0.1", "")
	f.Add("a:80", "*", "/.well-known/acme-challenge/x", "/é?", "Exact", "other/tls", "", int32(70000), int32(1), "1.2.3.4", "fe80::1%eth0", "-1")
	f.Fuzz(func(t *testing.T, host, host2, path, path2, pathType, secret, portName string, port, target int32, external, address, annotation string) {
		kind := networkingv1.PathType(pathType)
		backend := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
			Name: "web", Port: networkingv1.ServiceBackendPort{Name: portName, Number: port},
		}}
		in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web",
			Annotations: map[string]string{"cardea.dev/proxy-body-size": annotation, "cardea.dev/" + annotation: "true"},
		}}
		in.Spec.DefaultBackend = &backend
		for _, h := range []string{host, host2} {
			rule := networkingv1.IngressRule{Host: h}
			rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
			for _, p := range []string{path, path2, path + "/", path2 + path} {
				rule.HTTP.Paths = append(rule.HTTP.Paths, networkingv1.HTTPIngressPath{Path: p, PathType: &kind, Backend: backend})
			}
			in.Spec.Rules = append(in.Spec.Rules, rule)
		}
		in.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{host2}, SecretName: secret}, {SecretName: secret}}
		service := &corev1.Service{ObjectMeta: in.ObjectMeta}
		service.Spec.Ports = []corev1.ServicePort{{Name: portName, Port: port, TargetPort: intstr.FromInt32(target)}}
		if external != "" {
			service.Spec.Type, service.Spec.ExternalName = corev1.ServiceTypeExternalName, external
		}
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}}
		slice.AddressType = discoveryv1.AddressTypeIPv4
		slice.Ports = []discoveryv1.EndpointPort{{Name: &portName, Port: &target}}
		slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{address}}}

		o := translate.Objects{
			Ingresses: []*networkingv1.Ingress{in},
			Services:  []*corev1.Service{service},
			Slices:    []*discoveryv1.EndpointSlice{slice},
		}
		before := clone(o)
		r := o.Translate(translate.Options{WithoutClass: true}, day("2026-06-01"))
		if _, err := snapshot.Compile(nil, r.Spec, func(*snapshot.Route) any { return nil }); err != nil {
			t.Errorf("Compile(spec) = %v\n%s", err, r.Spec.Text())
		}
		if diff := cmp.Diff(before, o); diff != "" {
			t.Errorf("Translate wrote to its input (-before +after):\n%s", diff)
		}
		for id, endpoints := range r.Endpoints {
			for _, e := range endpoints {
				if a := e.Addr.Addr(); !e.Addr.IsValid() || e.Addr.Port() == 0 || a.Is4In6() || a.Zone() != "" {
					t.Errorf("pool %s has the endpoint %v", id, e.Addr)
				}
			}
		}
	})
}
