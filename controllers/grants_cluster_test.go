//go:build envtest

package controllers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/cardea-dev/cardea/api/gateway"
)

// grantDefinition has the names and the fields of the Gateway API's definition.
const grantDefinition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: referencegrants.gateway.networking.k8s.io
  annotations: {api-approved.kubernetes.io: "unapproved, a part of it for a test"}
spec:
  group: gateway.networking.k8s.io
  names: {kind: ReferenceGrant, listKind: ReferenceGrantList, plural: referencegrants, singular: referencegrant}
  scope: Namespaced
  versions:
  - name: v1beta1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [from, to]
            properties:
              from:
                type: array
                items:
                  type: object
                  properties: {group: {type: string}, kind: {type: string}, namespace: {type: string}}
              to:
                type: array
                items:
                  type: object
                  properties: {group: {type: string}, kind: {type: string}, name: {type: string}}
`

// TestReferenceGrant: a Secret of another namespace is refused where there is no
// Gateway API, used as soon as a ReferenceGrant allows it, and refused again when that
// is gone. The controller has the rights of config/rbac alone.
func TestReferenceGrant(t *testing.T) {
	p := newPlace(t)
	pki := place{p.namespace + "-pki", p.class, p.controllerName}
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: pki.namespace}})
	authority := pki.secret(t, "clients", "authority", "authority")
	authority.Type, authority.Data = corev1.SecretTypeOpaque, map[string][]byte{"ca.crt": authority.Data[corev1.TLSCertKey]}
	in := p.ingress("shop", "shop.example.com", "tls")
	in.Annotations = map[string]string{"cardea.dev/auth-tls-secret": pki.namespace + "/clients"}
	create(t, p.service("web"), p.secret(t, "tls", "shop", "shop.example.com"), authority, in)

	config := withClusterRole(t, p.namespace)
	r := p.start(t, func(c *Config) {
		c.REST = config
		c.Events = p.events(t, "one")
	})
	r.ready(t)
	demands := func() bool {
		h := r.host("shop.example.com")
		return h != nil && h.TLS != nil && h.TLS.ClientAuth != nil && h.TLS.ClientAuth.Authorities != nil
	}
	closed := func() bool {
		h := r.host("shop.example.com")
		return h != nil && len(h.Routes) == 1 && h.Routes[0].Answer != nil && h.Routes[0].Answer.Reason == "config_rejected"
	}
	r.wait(t, time.Second, "the host is closed", closed)
	eventually(t, 5*time.Second, "Event SecretNotGranted", func() bool { return hasEvent(t, in, "SecretNotGranted") })

	definition := filepath.Join(t.TempDir(), "referencegrants.yaml")
	if err := os.WriteFile(definition, []byte(grantDefinition), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := envtest.InstallCRDs(cluster, envtest.CRDInstallOptions{Paths: []string{definition}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
	}
	grant := func(namespace string) *unstructured.Unstructured {
		g := &gateway.ReferenceGrant{
			TypeMeta:   metav1.TypeMeta{APIVersion: gateway.GroupVersion.String(), Kind: gateway.Kind},
			ObjectMeta: metav1.ObjectMeta{Namespace: pki.namespace, Name: "clients"},
		}
		g.Spec.From = []gateway.ReferenceGrantFrom{{Group: "networking.k8s.io", Kind: "Ingress", Namespace: namespace}}
		g.Spec.To = []gateway.ReferenceGrantTo{{Kind: "Secret", Name: new("clients")}}
		return &unstructured.Unstructured{Object: object(t, g)}
	}
	given := grant(p.namespace)
	eventually(t, 20*time.Second, "the API server takes the grant", func() bool { return kube.Create(t.Context(), given) == nil })
	// The informer tries again after half a minute at the latest.
	r.wait(t, time.Minute, "client certificates are demanded", demands)

	// From then on changes are published as any other.
	other := grant("elsewhere")
	other.SetResourceVersion(given.GetResourceVersion())
	update(t, other)
	r.wait(t, time.Second, "a grant to others closes the host", closed)
	again := grant(p.namespace)
	again.SetResourceVersion(other.GetResourceVersion())
	update(t, again)
	r.wait(t, time.Second, "granted again", demands)
	if err := kube.Delete(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	r.wait(t, time.Second, "without the grant the host is closed", closed)
}

// withClusterRole returns the config of a user with the rights of the ClusterRole in
// config/rbac and no others.
func withClusterRole(t *testing.T, name string) *rest.Config {
	t.Helper()
	user, err := environment.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	everywhere, _, _ := strings.Cut(string(text), "\n---\n")
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict([]byte(everywhere), &role); err != nil {
		t.Fatal(err)
	}
	role.Name = name
	create(t, &role, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: name}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	})
	return user.Config()
}
