package controllers

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func bundleIngress(name, configMap string) *networkingv1.Ingress {
	in := shopIngressOf(name, name+".example.com", "")
	in.Spec.TLS = nil
	in.Annotations = map[string]string{"cardea.dev/backend-protocol": "HTTPS", "cardea.dev/backend-tls-ca-configmap": configMap}
	return in
}

// bundle is a ConfigMap with an authority of that common name.
func bundle(t *testing.T, name, cn string) *corev1.ConfigMap {
	t.Helper()
	cert := shopSecret(t, name, cn).Data[corev1.TLSCertKey]
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("u-" + name)},
		Data:       map[string]string{"ca.crt": string(cert)},
	}
}

// trusts compares the common name of the authority with which the backend of a host
// is verified; "closed" for a host that answers 503.
func (f *fakeCluster) trusts(host, want string) {
	f.t.Helper()
	if got := f.trusted(host); got != want {
		f.t.Errorf("authority in force for %s = %q, want %q", host, got, want)
	}
}

func (f *fakeCluster) trusted(host string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.updates) - 1; i >= 0; i-- {
		spec := f.updates[i].Spec
		if spec == nil {
			continue
		}
		for _, h := range spec.Hosts {
			if h.Name != host {
				continue
			}
			if a := h.Routes[0].Answer; a != nil {
				if a.Status == 503 && a.Reason == "config_rejected" {
					return "closed"
				}
				return a.Reason
			}
			for _, p := range spec.Pools {
				if p.ID == h.Routes[0].Pool {
					return p.TLS.Authorities.Certificates[0].Subject.CommonName
				}
			}
		}
		return ""
	}
	return ""
}

func shopService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u-web"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

// TestRow43ConfigMapIsFollowed: the ConfigMap that is named is read, followed and held
// as a Secret is; others are not read, and a Secret of its name is not it.
func TestRow43ConfigMapIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lastGood []string
		f := newFakeCluster(t, func(c *Config) {
			c.Metrics.ConfigMaps = func(_ int, names []string) { lastGood = names }
		})
		secret := shopSecret(t, "ca", "secret")
		secret.Data["ca.crt"] = secret.Data[corev1.TLSCertKey]
		f.put(shopService(), bundleIngress("own", "ca"), secret, bundle(t, "ca", "first"), bundle(t, "other", "other"))
		f.finish()
		f.settle()
		f.trusts("own.example.com", "first")
		if f.gets != 1 {
			t.Errorf("%d GETs, want one of the ConfigMap that is named", f.gets)
		}

		f.put(bundle(t, "ca", "second"), bundle(t, "other", "changed"))
		f.settle()
		f.trusts("own.example.com", "second")
		if f.gets != 2 {
			t.Errorf("%d GETs, want another one of the ConfigMap that is named", f.gets)
		}

		broken := bundle(t, "ca", "")
		broken.Data["ca.crt"] = ""
		f.put(broken)
		f.settle()
		f.trusts("own.example.com", "second")
		if !slices.Equal(lastGood, []string{"shop/ca"}) {
			t.Errorf("Metrics.ConfigMaps was told %q, want that an earlier content of shop/ca counts", lastGood)
		}

		f.remove(bundleKind, "ca")
		time.Sleep(59 * time.Minute)
		f.trusts("own.example.com", "second")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.trusts("own.example.com", "closed")

		f.put(bundle(t, "ca", "third"))
		f.settle()
		f.trusts("own.example.com", "third")
		if len(lastGood) > 0 {
			t.Errorf("Metrics.ConfigMaps was told %q, want nothing", lastGood)
		}
	})
}

// A controller whose role does not allow to watch ConfigMaps serves all that needs
// none.
func TestConfigMapsThatCannotBeWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.forbidden = true
		f.put(shopService(), bundleIngress("own", "ca"), bundle(t, "ca", "first"), shopIngressOf("web", "shop.example.com", "tls"), shopSecret(t, "tls", "served"))
		f.finish()
		f.settle()
		f.want("shop.example.com", "served")
		f.trusts("own.example.com", "closed")
		if why := f.c.NotReady(); why != "" {
			t.Errorf("NotReady = %q, want ready", why)
		}
		if f.gets != 1 {
			t.Errorf("%d GETs, want that of the Secret alone", f.gets)
		}

		// The informer tries again and, once it may, puts what there is.
		f.mu.Lock()
		f.forbidden = false
		f.mu.Unlock()
		f.put(bundle(t, "ca", "second"))
		f.settle()
		f.trusts("own.example.com", "second")
	})
}

// What happened between two sessions is found out.
func TestConfigMapsBetweenSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		class := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "cardea"}, Spec: networkingv1.IngressClassSpec{Controller: "cardea.dev/ingress-controller"}}
		same := bundle(t, "same", "same")
		f.put(shopService(), bundleIngress("own", "ca"), bundle(t, "ca", "first"), bundleIngress("same", "same"), same)
		f.finish()
		f.settle()
		gets := f.gets
		f.begin()
		changed := bundle(t, "ca", "second")
		f.stamp(changed)
		f.mu.Lock()
		f.bundles[types.NamespacedName{Namespace: "shop", Name: "ca"}] = changed
		f.mu.Unlock()
		f.put(class, shopService(), bundleIngress("own", "ca"), bundleIngress("same", "same"))
		f.finish()
		f.settle()
		f.trusts("own.example.com", "second")
		f.trusts("same.example.com", "same")
		if f.gets != gets+1 {
			t.Errorf("%d GETs, want one for the ConfigMap that changed", f.gets-gets)
		}
	})
}
