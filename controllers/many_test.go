package controllers

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestRow75OneBadSecretAmongMany: garbage in one Secret of 1,000 touches no other
// host, keeps its own on the last good certificate, and is told by one Event on the
// Ingress and one on the Secret, however often it is written.
func TestRow75OneBadSecretAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &eventLog{}
		f := newFakeCluster(t, func(cfg *Config) { cfg.Events = runEvents(t, log, nil) })
		// Without it each Ingress would have a verdict, and the Events their budget.
		f.put(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u-web"},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		})
		const hosts = 1000
		one := shopSecret(t, "x", "good")
		for i := range hosts {
			s := one.DeepCopy()
			s.Name = fmt.Sprint("tls-", i)
			s.UID = types.UID("u-" + s.Name)
			f.put(s, shopIngressOf(fmt.Sprint("in-", i), fmt.Sprintf("h%d.example.com", i), s.Name))
		}
		f.finish()
		f.settle()
		before := f.spec()
		if len(before.Hosts) != hosts {
			t.Fatalf("%d hosts, want %d", len(before.Hosts), hosts)
		}
		ours := func() (n int) {
			for _, e := range log.list() {
				if e.Reason == string(translate.SecretInvalid) {
					n++
				}
			}
			return n
		}
		for range 3 {
			bad := one.DeepCopy()
			bad.Name, bad.UID = "tls-500", "u-tls-500"
			bad.Data[corev1.TLSCertKey] = []byte("garbage")
			f.put(bad)
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		f.want("h500.example.com", "good")
		same := 0
		for i, h := range f.spec().Hosts {
			if h == before.Hosts[i] {
				same++
			}
		}
		if same < hosts-1 {
			t.Errorf("%d hosts are what they were, want %d", same, hosts-1)
		}
		if n := ours(); n != 2 {
			t.Errorf("%d Events, want one on the Ingress and one on the Secret", n)
		}
	})
}

// TestRow81OneOfMany: a Secret that changes makes one new Host and one publish,
// and leaves the rest as it is.
func TestRow81OneOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		const hosts = 1000
		one, next := shopSecret(t, "x", "first"), shopSecret(t, "tls-7", "second")
		for i := range hosts {
			s := one.DeepCopy()
			s.Name = fmt.Sprint("tls-", i)
			f.put(s, shopIngressOf(fmt.Sprint("in-", i), fmt.Sprintf("h%d.example.com", i), s.Name))
		}
		f.finish()
		f.settle()
		before, published := f.spec(), f.published()
		f.put(next)
		f.settle()
		f.want("h7.example.com", "second")
		if n := f.published() - published; n != 1 {
			t.Errorf("%d publishes for one change, want 1", n)
		}
		changed := 0
		for i, h := range f.spec().Hosts {
			if h != before.Hosts[i] {
				changed++
			}
		}
		if changed != 1 {
			t.Errorf("%d hosts are new, want 1", changed)
		}
	})
}

// spec is what was published last.
func (f *fakeCluster) spec() *snapshot.Spec {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.updates) - 1; i >= 0; i-- {
		if f.updates[i].Spec != nil {
			return f.updates[i].Spec
		}
	}
	return nil
}
