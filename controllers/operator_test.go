package controllers

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestRow79FilesOfTheOperator: what the operator's files say is in force when
// SetFiles returns; before the cluster was read it waits no longer than it says.
func TestRow79FilesOfTheOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		first := &snapshot.Authorities{Origin: snapshot.Origin{Kind: "File", Name: "first"}, Digest: "1"}
		began := time.Now()
		f.c.SetFiles(translate.Files{BackendAuthorities: first})
		if waited := time.Since(began); waited != filesWait || f.published() != 0 {
			t.Errorf("before the cluster is read: waited %v and published %d times, want %v and none", waited, f.published(), filesWait)
		}
		in := shopIngressOf("web", "shop.example.com", "")
		in.Annotations = map[string]string{"cardea.dev/backend-protocol": "HTTPS"}
		in.Spec.Rules[0].HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
			Path: "/", PathType: new(networkingv1.PathTypePrefix),
			Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 443}}},
		}}}
		f.put(in, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: in.Namespace, Name: "web"},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}},
		})
		f.finish()
		f.settle()
		trusted := func() *snapshot.Authorities {
			t.Helper()
			spec := f.updates[len(f.updates)-1].Spec
			if spec == nil || len(spec.Pools) != 1 || spec.Pools[0].TLS == nil {
				t.Fatalf("the last update holds no table with one pool over TLS")
			}
			return spec.Pools[0].TLS.Authorities
		}
		if got := trusted(); got != first {
			t.Errorf("the first table trusts %v, want what was set before", got)
		}
		second := &snapshot.Authorities{Origin: first.Origin, Digest: "2"}
		began = time.Now()
		f.c.SetFiles(translate.Files{BackendAuthorities: second})
		if got := trusted(); got != second {
			t.Errorf("after SetFiles the table trusts %v, want what was set", got)
		}
		if waited := time.Since(began); waited > f.c.cfg.pause {
			t.Errorf("SetFiles took %v, want a pause at most", waited)
		}
		published := f.published()
		began = time.Now()
		f.c.SetFiles(translate.Files{BackendAuthorities: second})
		if waited := time.Since(began); f.published() != published || waited > f.c.cfg.pause {
			t.Errorf("setting the same: published %d times in %v, want nothing at once", f.published()-published, waited)
		}
	})
}
