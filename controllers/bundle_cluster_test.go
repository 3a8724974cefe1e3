//go:build envtest

package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (p place) bundle(t *testing.T, name, cn string) *corev1.ConfigMap {
	t.Helper()
	cert, _ := certificate(t, cn, cn)
	return &corev1.ConfigMap{ObjectMeta: p.meta(name), Data: map[string]string{"ca.crt": string(cert)}}
}

// verified is an Ingress whose backend is verified with a ConfigMap.
func (p place) verified(name, configMap string) *networkingv1.Ingress {
	in := p.ingress(name, name+".example.com", "")
	in.Annotations = map[string]string{"cardea.dev/backend-protocol": "HTTPS", "cardea.dev/backend-tls-ca-configmap": configMap}
	return in
}

// authority returns the common name of what the backend of a host is verified with,
// and the pool; "closed" if the host is. Call it in a condition of wait only.
func (r *recorder) authority(host string) (cn, pool string) {
	h := r.host(host)
	if h == nil {
		return "", ""
	}
	if a := h.Routes[0].Answer; a != nil && a.Reason == "config_rejected" {
		return "closed", ""
	}
	for _, p := range r.spec.Pools {
		if p.ID == h.Routes[0].Pool && p.TLS != nil && p.TLS.Authorities != nil {
			return p.TLS.Authorities.Certificates[0].Subject.CommonName, p.ID
		}
	}
	return "", ""
}

// TestRow43AuthoritiesFromConfigMap: a controller with the rights of config/rbac alone
// verifies a backend with the ConfigMap that its Ingress names, follows what is
// published there, keeps the last good content, and tells both owners.
func TestRow43AuthoritiesFromConfigMap(t *testing.T) {
	p := newPlace(t)
	in, ca := p.verified("shop", "ca"), p.bundle(t, "ca", "first")
	create(t, p.service("web"), in, ca, p.bundle(t, "unrelated", "unrelated"))
	config := withClusterRole(t, p.namespace)
	requests := &tap{}
	r := p.start(t, func(c *Config) {
		c.REST = requests.wrap(config)
		c.Events = p.events(t, "one")
	})
	r.ready(t)
	trusts := func(want string) func() bool {
		return func() bool { cn, _ := r.authority("shop.example.com"); return cn == want }
	}
	r.wait(t, 5*time.Second, "the first authority", trusts("first"))
	var first, second string
	r.wait(t, time.Second, "its pool", func() bool { _, first = r.authority("shop.example.com"); return first != "" })

	ca.Data = p.bundle(t, "ca", "second").Data
	update(t, ca)
	r.wait(t, 5*time.Second, "the second authority", trusts("second"))
	r.wait(t, time.Second, "its pool", func() bool { _, second = r.authority("shop.example.com"); return second != "" })
	if first == second {
		t.Errorf("pool %s for both authorities, want two: no connection may cross", first)
	}

	ca.Data["ca.crt"] = "-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n"
	update(t, ca)
	eventually(t, 10*time.Second, "Events ConfigMapInvalid on both", func() bool {
		return hasEvent(t, in, "ConfigMapInvalid") && hasEvent(t, ca, "ConfigMapInvalid")
	})
	r.wait(t, time.Second, "the second authority is kept", trusts("second"))

	ca.Data = p.bundle(t, "ca", "third").Data
	update(t, ca)
	r.wait(t, 5*time.Second, "the third authority", trusts("third"))
	if err := kube.Delete(t.Context(), ca); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "Event ConfigMapNotFound", func() bool { return hasEvent(t, in, "ConfigMapNotFound") })
	r.wait(t, time.Second, "the third authority is kept for a while", trusts("third"))
	again := p.bundle(t, "ca", "fourth")
	create(t, again)
	r.wait(t, 5*time.Second, "the fourth authority", trusts("fourth"))

	late := p.verified("late", "later")
	create(t, late)
	r.wait(t, 5*time.Second, "what is not there closes", func() bool { cn, _ := r.authority("late.example.com"); return cn == "closed" })
	create(t, p.bundle(t, "later", "fifth"))
	r.wait(t, 5*time.Second, "and opens when it is", func() bool { cn, _ := r.authority("late.example.com"); return cn == "fifth" })

	if n := requests.count(func(request string) bool { return strings.Contains(request, "/configmaps/unrelated") }); n > 0 {
		t.Errorf("%d requests for a ConfigMap that nobody names, want none", n)
	}
}

// TestWithoutRightToConfigMaps: a controller whose role is older than this kind serves
// what needs none, tells the owner of what does, and serves that when it may.
func TestWithoutRightToConfigMaps(t *testing.T) {
	p := newPlace(t)
	in := p.verified("shop", "ca")
	create(t, p.service("web"), p.ingress("plain", "plain.example.com", ""), in, p.bundle(t, "ca", "authority"))
	config := withClusterRole(t, p.namespace)
	role := &rbacv1.ClusterRole{}
	if err := kube.Get(t.Context(), client.ObjectKey{Name: p.namespace}, role); err != nil {
		t.Fatal(err)
	}
	whole := role.Rules
	role.Rules = nil
	for _, rule := range whole {
		if rule.Resources[0] != "configmaps" {
			role.Rules = append(role.Rules, rule)
		}
	}
	if len(role.Rules) != len(whole)-1 {
		t.Fatalf("%d of %d rules are about other than ConfigMaps, want all but one", len(role.Rules), len(whole))
	}
	update(t, role)
	eventually(t, 10*time.Second, "the API server forbids it", func() bool {
		c, err := client.New(config, client.Options{})
		return err == nil && c.List(t.Context(), &corev1.ConfigMapList{}) != nil
	})
	r := p.start(t, func(c *Config) {
		c.REST = config
		c.Events = p.events(t, "one")
	})
	r.ready(t)
	r.wait(t, time.Second, "what needs no ConfigMap is served, and the other one closed", func() bool {
		plain := r.host("plain.example.com")
		cn, _ := r.authority("shop.example.com")
		return plain != nil && plain.Routes[0].Answer == nil && cn == "closed"
	})
	eventually(t, 10*time.Second, "Event ConfigMapUnreadable", func() bool { return hasEvent(t, in, "ConfigMapUnreadable") })

	role.Rules = whole
	update(t, role)
	// The informer tries again after a minute at the latest.
	r.wait(t, 90*time.Second, "with the right it is served", func() bool { cn, _ := r.authority("shop.example.com"); return cn == "authority" })
}
