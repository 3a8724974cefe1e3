//go:build envtest

package controllers

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestConfigMap: the one ConfigMap that is named is followed, even outside of the
// watched namespace, and its owner is told by Events.
func TestConfigMap(t *testing.T) {
	p := newPlace(t)
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace + "-infra"}})
	meta := metav1.ObjectMeta{Namespace: p.namespace + "-infra", Name: "nginx"}
	create(t, p.service("web"), p.secret(t, "tls", "shop", "shop.example.com"), p.ingress("shop", "shop.example.com", "tls"))
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: meta.Namespace, Name: "other"}, Data: map[string]string{"ssl-protocols": "TLSv1.3"}}
	create(t, other)
	r := p.start(t, func(c *Config) {
		c.Events = p.events(t, "one")
		c.WatchNamespace = p.namespace
		c.Translate.ConfigMap = types.NamespacedName{Namespace: meta.Namespace, Name: meta.Name}
	})
	r.ready(t)
	if r.spec.TLSPolicy != nil {
		t.Errorf("policy %q of another ConfigMap, want none", r.spec.TLSPolicy.Name)
	}

	c := &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"ssl-protocols": "TLSv1.3", "ssl-dh-param": "x/y"}}
	create(t, c)
	r.wait(t, 5*time.Second, "the policy of the ConfigMap", func() bool { return r.spec.TLSPolicy != nil && r.spec.TLSPolicy.Name == "configmap" })
	eventually(t, 5*time.Second, "an Event about ssl-dh-param", func() bool { return hasEvent(t, c, "ConfigMapDiffers") })

	c.Data = map[string]string{"ssl-redirect": "false"}
	update(t, c)
	r.wait(t, 5*time.Second, "no policy and no redirect", func() bool {
		return r.spec.TLSPolicy == nil && !r.spec.Hosts[0].Routes[0].Policy.RedirectHTTPS
	})
	if err := kube.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	r.wait(t, 5*time.Second, "the defaults", func() bool { return r.spec.Hosts[0].Routes[0].Policy.RedirectHTTPS })
}
