//go:build envtest

package controllers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// TestSecretsOfSomeNamespaces runs a controller that may read the Secrets of two
// namespaces and serves the Ingresses of all: what an Ingress of a third one names
// is told to be unreadable, and nobody asks the API server for it.
func TestSecretsOfSomeNamespaces(t *testing.T) {
	p := newPlace(t)
	second := place{p.namespace + "-second", p.class, p.controllerName}
	third := place{p.namespace + "-third", p.class, p.controllerName}
	const name = "cardea-some-namespaces"
	user, err := environment.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	subjects := []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: name}}
	meta := metav1.ObjectMeta{Name: name}
	create(t,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: second.namespace}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: third.namespace}},
		&rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses", "ingressclasses"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{"cardea.dev"}, Resources: []string{"ingressclassparameters"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"list", "watch"}},
		}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}})
	for _, in := range []place{p, second} {
		create(t,
			&rbacv1.Role{ObjectMeta: in.meta(name), Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch"}},
			}},
			&rbacv1.RoleBinding{ObjectMeta: in.meta(name), Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}})
	}
	refused := third.ingress("three", "three.example.com", "tls")
	create(t,
		p.service("web"), second.service("web"), third.service("web"),
		p.secret(t, "tls", "one", "one.example.com"), p.ingress("one", "one.example.com", "tls"),
		second.secret(t, "tls", "two", "two.example.com"), second.ingress("two", "two.example.com", "tls"),
		third.secret(t, "tls", "three", "three.example.com"), refused)

	var tapped tap
	r := p.start(t, func(c *Config) {
		c.REST = tapped.wrap(user.Config())
		c.SecretNamespaces = []string{p.namespace, second.namespace}
		c.Events = p.events(t, "one")
	})
	r.ready(t)
	for host, want := range map[string]string{"one.example.com": "one", "two.example.com": "two", "three.example.com": ""} {
		if got := r.certificate(host); got != want {
			t.Errorf("certificate of %s = %q, want %q", host, got, want)
		}
	}
	eventually(t, 3*time.Second, "Event SecretUnreadable", func() bool {
		for _, e := range eventsOf(t, refused) {
			if e.Reason == "SecretUnreadable" && strings.Contains(e.Message, "some namespaces alone") {
				return true
			}
		}
		return false
	})
	if n := tapped.count(func(request string) bool {
		return strings.HasPrefix(request, http.MethodGet+" ") && strings.Contains(request, "/namespaces/"+third.namespace+"/secrets")
	}); n != 0 {
		t.Errorf("%d requests for Secrets of the third namespace, want none", n)
	}

	renewed := second.secret(t, "tls", "renewed", "two.example.com")
	update(t, renewed)
	r.wait(t, 3*time.Second, "the renewed certificate of the second namespace", func() bool { return r.certificate("two.example.com") == "renewed" })
}
