package manifest

import (
	"fmt"
	"testing"
	"unsafe"

	networkingv1 "k8s.io/api/networking/v1"
)

// TestShareTexts: what two objects have in common is one text, and stays what it was.
func TestShareTexts(t *testing.T) {
	read := func(name string) *networkingv1.Ingress {
		objects, problems, _ := read("a.yaml", fmt.Appendf(nil, `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, namespace: shop}
spec:
  ingressClassName: cardea
  rules:
  - host: %[1]s.example.com
    http:
      paths:
      - {path: /cart, pathType: Exact, backend: {service: {name: web, port: {name: http}}}}
`, name), nil)
		if len(objects) != 1 || len(problems) > 0 {
			t.Fatalf("read = %d objects, %v, want one without problems", len(objects), problems)
		}
		return objects[0].Object.(*networkingv1.Ingress)
	}
	texts := func(in *networkingv1.Ingress) []string {
		p := in.Spec.Rules[0].HTTP.Paths[0]
		return []string{
			in.APIVersion, in.Kind, in.Namespace, *in.Spec.IngressClassName, p.Path, string(*p.PathType),
			p.Backend.Service.Name, p.Backend.Service.Port.Name,
		}
	}
	a, b := texts(read("a")), texts(read("b"))
	want := []string{"networking.k8s.io/v1", "Ingress", "shop", "cardea", "/cart", "Exact", "web", "http"}
	for i := range want {
		if a[i] != want[i] || b[i] != want[i] {
			t.Errorf("texts %q and %q, want %q", a[i], b[i], want[i])
		}
		if unsafe.StringData(a[i]) != unsafe.StringData(b[i]) {
			t.Errorf("%q is kept twice", want[i])
		}
	}
}
