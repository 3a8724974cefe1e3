package translate_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// largeCluster has n Ingresses with a host, a Service, a slice and a Secret each.
func largeCluster(tb testing.TB, n int) translate.Objects {
	o := translate.Objects{Secrets: map[types.NamespacedName]translate.Secret{}}
	cert := (&testCertificate{Hosts: []string{"*.example.com"}}).issue(tb, snapshot.Origin{Kind: "Secret", Namespace: "shop", Name: "tls"})
	for i := range n {
		meta := metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("web-%d", i), UID: types.UID(fmt.Sprint(i)), ResourceVersion: "1"}
		host := fmt.Sprintf("h%d.example.com", i)
		class, kind, name, port := "cardea", networkingv1.PathTypePrefix, "", int32(8080)
		in := &networkingv1.Ingress{ObjectMeta: meta}
		in.Spec.IngressClassName = &class
		in.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{host}, SecretName: meta.Name}}
		in.Spec.Rules = []networkingv1.IngressRule{{Host: host}}
		in.Spec.Rules[0].HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
			Path: "/", PathType: &kind,
			Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
				Name: meta.Name, Port: networkingv1.ServiceBackendPort{Number: 80},
			}},
		}}}
		o.Ingresses = append(o.Ingresses, in)
		o.Services = append(o.Services, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
		slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: meta.Name}
		slice.Ports = []discoveryv1.EndpointPort{{Name: &name, Port: &port}}
		slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{fmt.Sprintf("10.0.%d.%d", i>>8&255, i&255)}}}
		o.Slices = append(o.Slices, slice)
		o.Secrets[types.NamespacedName{Namespace: "shop", Name: meta.Name}] = translate.Secret{Origin: cert.Origin, Certificate: cert}
	}
	return o
}

func BenchmarkFromScratch(b *testing.B) {
	o, now := largeCluster(b, 10_000), day("2026-06-01")
	b.ReportAllocs()
	for b.Loop() {
		o.Translate(translate.Options{}, now)
	}
}

// BenchmarkChange is one change in a cluster of 10,000 Ingresses.
func BenchmarkChange(b *testing.B) {
	o, now := largeCluster(b, 10_000), day("2026-06-01")
	tr := translate.New(translate.Options{})
	for i := range o.Ingresses {
		tr.SetIngress(o.Ingresses[i])
		tr.SetService(o.Services[i])
		tr.SetSlice(o.Slices[i])
	}
	for name, s := range o.Secrets {
		tr.SetSecret(name, s)
	}
	tr.Translate(now)
	run := func(name string, change func(i int)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				change(i)
				tr.Translate(now)
			}
		})
	}
	run("nothing", func(int) {})
	run("path", func(i int) {
		in := o.Ingresses[i%100].DeepCopy()
		in.ResourceVersion, in.Spec.Rules[0].HTTP.Paths[0].Path = fmt.Sprint("p", i), fmt.Sprint("/", i)
		tr.SetIngress(in)
	})
	run("endpoint", func(i int) {
		s := o.Slices[i%100].DeepCopy()
		s.ResourceVersion, s.Endpoints[0].Addresses[0] = fmt.Sprint("e", i), fmt.Sprint("10.1.0.", i%250)
		tr.SetSlice(s)
	})
	cert := (&testCertificate{Hosts: []string{"*.example.com"}, Key: "ecdsa"}).issue(b, snapshot.Origin{Kind: "Secret", Namespace: "shop", Name: "tls"})
	run("secret", func(i int) {
		name := types.NamespacedName{Namespace: "shop", Name: "web-7"}
		s := o.Secrets[name]
		if i%2 == 0 {
			s.Certificate = cert
		}
		tr.SetSecret(name, s)
	})
}
