package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const migrants = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: shop
  annotations: {nginx.ingress.kubernetes.io/rewrite-target: /$2, nginx.ingress.kubernetes.io/auth-url: "https://auth.example.com"}
spec:
  ingressClassName: nginx
  rules: [{host: shop.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: stray, namespace: shop, annotations: {kubernetes.io/ingress.class: other}}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: none, namespace: shop}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
`

// TestCheckOfMigrants: who checks the Ingresses of ingress-nginx is told which flag
// has them served, what is not supported, and how much there is to look at.
func TestCheckOfMigrants(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(migrants), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		code int
		want []string
	}{
		{nil, 0, []string{
			`its class is "nginx", whose controller is k8s.io/ingress-nginx; --controller-name says whose classes are served`,
			`its class is "other", and there is no IngressClass of that name; --class says which class is served without one`,
			"it names no class, and no IngressClass is the default; --watch-ingress-without-class serves it nevertheless",
			"\nVerdicts: 0 refused, 0 warning, 3 info\n",
		}},
		{[]string{"--class", "nginx", "--controller-name", "k8s.io/ingress-nginx"}, 1, []string{
			"503 config_rejected",
			"AnnotationUnsupported: Cardea does not support auth-url. To ignore it could let in what it keeps out",
			"AnnotationUnsupported: Cardea does not support rewrite-target; the Ingress is served without it.",
			"\nVerdicts: 1 refused, 1 warning, 2 info\n",
		}},
	} {
		code, out, errs := call(t, append([]string{"check", "--manifests", dir}, tc.args...)...)
		if code != tc.code || errs != "" {
			t.Errorf("check %v = %d, %q, want %d", tc.args, code, errs, tc.code)
		}
		for _, want := range tc.want {
			if !strings.Contains(out, want) {
				t.Errorf("check %v: want %q in\n%s", tc.args, want, out)
			}
		}
	}
}
