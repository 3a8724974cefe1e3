package controllers

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestNothingIsPublishedBeforeEverythingIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.delay = 3 * time.Second
		f.put(shopIngressOf("web", "shop.example.com", "tls"), shopSecret(t, "tls", "first"))
		f.settle()
		if f.published() != 0 || f.c.NotReady() == "" {
			t.Errorf("published %d times before the session is in step; NotReady = %q", f.published(), f.c.NotReady())
		}
		f.finish()
		f.settle()
		if f.published() != 0 || f.c.NotReady() == "" {
			t.Errorf("published %d times before the Secret is read; NotReady = %q", f.published(), f.c.NotReady())
		}
		time.Sleep(3 * time.Second)
		f.settle()
		f.want("shop.example.com", "first")
		if why := f.c.NotReady(); why != "" {
			t.Errorf("NotReady = %q, want ready", why)
		}
	})
}

func TestEmptyClusterBecomesReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.finish()
		if f.published() != 1 || f.c.NotReady() != "" {
			t.Errorf("published %d times, NotReady = %q, want one empty table", f.published(), f.c.NotReady())
		}
	})
}

func TestAbsentAndForbiddenSecretsDoNotKeepFromReady(t *testing.T) {
	for name, err := range map[string]error{
		"absent":    nil,
		"forbidden": apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "tls", nil),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t)
				if f.err = err; err != nil {
					f.put(shopSecret(t, "tls", "first"))
				}
				f.put(shopIngressOf("web", "shop.example.com", "tls"))
				f.finish()
				f.settle()
				f.want("shop.example.com", "none")
				if why := f.c.NotReady(); why != "" {
					t.Errorf("NotReady = %q, want ready", why)
				}
			})
		})
	}
}

// An API server that is in trouble while the first table is made is waited for:
// a table without certificates would refuse every client.
func TestTroubleAtFirstKeepsFromReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.err = errors.New("connection refused")
		f.put(shopIngressOf("web", "shop.example.com", "tls"), shopSecret(t, "tls", "first"))
		f.finish()
		time.Sleep(10 * time.Minute)
		if f.published() != 0 || f.c.NotReady() == "" {
			t.Errorf("published %d times without the Secret; NotReady = %q", f.published(), f.c.NotReady())
		}
		if f.gets > 40 {
			t.Errorf("%d GETs in 10 minutes, want them to back off", f.gets)
		}
		f.mu.Lock()
		f.err = nil
		f.mu.Unlock()
		time.Sleep(readRetryMax)
		f.settle()
		f.want("shop.example.com", "first")
	})
}

// One Secret that a working API server cannot give must not close all hosts.
func TestBrokenSecretIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.err = apierrors.NewInternalError(errors.New("unable to transform key"))
		f.put(shopIngressOf("web", "shop.example.com", "tls"), shopSecret(t, "tls", "first"))
		f.finish()
		time.Sleep(10 * time.Second)
		f.settle()
		f.want("shop.example.com", "none")
	})
}

func TestFirstChangeAtOnceThenOnePublishAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.put(shopSecret(t, "tls", "first"))
		f.finish()
		f.settle()
		first := f.published()
		began := time.Now()
		for i := range 1000 {
			f.put(shopIngressOf(fmt.Sprint("in-", i), fmt.Sprintf("h%d.example.com", i), "tls"))
			time.Sleep(time.Millisecond)
		}
		f.settle()
		if got := f.at[first].Sub(began); got > 5*time.Millisecond {
			t.Errorf("the first change was published after %v, want at once", got)
		}
		for i := first + 1; i < len(f.at); i++ {
			if pause := f.at[i].Sub(f.at[i-1]); pause < 50*time.Millisecond {
				t.Errorf("publish %d comes %v after the one before, want at least 50ms", i, pause)
			}
		}
		if got := f.published() - first; got < 15 || got > 23 {
			t.Errorf("%d publishes for 1000 changes in a second, want about 20", got)
		}
		f.want("h999.example.com", "first")
	})
}

func TestSinceIsTheOldestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.put(shopIngressOf("web", "shop.example.com", "tls"), shopSecret(t, "tls", "first"))
		f.finish()
		f.settle()

		f.delay = 30 * time.Millisecond
		changed := time.Now()
		f.put(shopSecret(t, "tls", "second"))
		f.settle()
		f.want("shop.example.com", "second")
		last := f.updates[len(f.updates)-1]
		if !last.Since.Equal(changed) {
			t.Errorf("Since = %v after the change, want the change itself", last.Since.Sub(changed))
		}
	})
}

// A host that changes its Secret must not be without certificate while the new
// one is being read.
func TestTableWaitsForTheSecretsOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.put(shopIngressOf("web", "shop.example.com", "old"), shopSecret(t, "old", "old"), shopSecret(t, "new", "new"))
		f.finish()
		f.settle()
		f.want("shop.example.com", "old")

		f.delay = 300 * time.Millisecond
		f.put(shopIngressOf("web", "shop.example.com", "new"))
		f.settle()
		f.want("shop.example.com", "old")
		f.settle()
		f.want("shop.example.com", "new")

		// But not for long.
		f.delay = time.Minute
		f.put(shopSecret(t, "slow", "slow"), shopIngressOf("slow", "slow.example.com", "slow"))
		time.Sleep(holdSpec)
		f.settle()
		f.want("slow.example.com", "none")
		f.want("shop.example.com", "new")
	})
}

func TestSecretThatChangesWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.put(shopIngressOf("web", "shop.example.com", "tls"), shopSecret(t, "tls", "first"))
		f.finish()
		f.settle()

		f.delay = 100 * time.Millisecond
		f.put(shopSecret(t, "tls", "second"))
		time.Sleep(50 * time.Millisecond)
		f.put(shopSecret(t, "tls", "third"))
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		f.want("shop.example.com", "third")

		// Deleted while it is read: the content must not come back.
		f.put(shopSecret(t, "tls", "fourth"))
		time.Sleep(50 * time.Millisecond)
		f.remove(secretKind, "tls")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		f.want("shop.example.com", "none")
	})
}

func TestUnnamedSecretIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.put(shopIngressOf("web", "shop.example.com", "tls"), shopSecret(t, "tls", "first"))
		f.finish()
		f.settle()
		f.remove(ingressKind, "web")
		f.settle()
		f.want("shop.example.com", "")
		gets := f.gets
		f.put(shopSecret(t, "tls", "second"))
		f.settle()
		if f.gets != gets {
			t.Error("a Secret that no Ingress names was read")
		}
		// Named again, it is read anew; nothing of the old content is kept.
		f.remove(secretKind, "tls")
		f.put(shopIngressOf("web", "shop.example.com", "tls"))
		f.settle()
		f.want("shop.example.com", "none")
	})
}

// What happened between two sessions is found out at the beginning of the second.
func TestNewSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.put(shopIngressOf("stays", "stays.example.com", "tls"), shopIngressOf("goes", "goes.example.com", "tls"),
			shopSecret(t, "tls", "first"), shopSecret(t, "same", "same"), shopIngressOf("same", "same.example.com", "same"))
		f.finish()
		f.settle()
		f.want("goes.example.com", "first")
		gets, published := f.gets, f.published()

		old := f.session
		f.begin()
		class := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "cardea"}, Spec: networkingv1.IngressClassSpec{Controller: "cardea.dev/ingress-controller"}}
		f.put(class, shopIngressOf("stays", "stays.example.com", "tls"), shopIngressOf("same", "same.example.com", "same"))
		changed := shopSecret(t, "tls", "second")
		f.stamp(changed)
		f.secrets[client.ObjectKeyFromObject(changed)] = changed
		// The old session is not listened to any more.
		f.c.changes.put(old, objectKey{ingressKind, types.NamespacedName{Namespace: "shop", Name: "stays"}}, nil, time.Now())
		f.settle()
		f.want("goes.example.com", "first")
		f.finish()
		f.settle()
		f.want("goes.example.com", "")
		f.want("stays.example.com", "second")
		f.want("same.example.com", "same")
		if f.gets != gets+1 {
			t.Errorf("%d GETs, want one for the Secret that changed", f.gets-gets)
		}
		if f.published() == published {
			t.Error("nothing was published")
		}
	})
}

func TestRefusedUpdateIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.refuse = errors.New("inconsistent")
		f.put(shopIngressOf("web", "shop.example.com", "tls"), shopSecret(t, "tls", "first"))
		f.finish()
		f.settle()
		if f.c.NotReady() == "" {
			t.Error("ready although nothing was published")
		}
		f.mu.Lock()
		f.refuse = nil
		f.mu.Unlock()
		time.Sleep(publishRetry)
		f.settle()
		f.want("shop.example.com", "first")
	})
}

func TestTimeAloneChangesTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		f.put(shopIngressOf("web", "shop.example.com", "tls"), shopSecret(t, "tls", "first"))
		f.finish()
		f.settle()
		f.remove(secretKind, "tls")
		time.Sleep(59 * time.Minute)
		f.want("shop.example.com", "first")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.want("shop.example.com", "none")
	})
}

func TestManySecretsAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		one := shopSecret(t, "x", "x")
		for i := range 300 {
			s := one.DeepCopy()
			s.Name = fmt.Sprint("tls-", i)
			if i%100 == 0 {
				s.Type = corev1.SecretTypeOpaque // not in the listing
			}
			f.put(s, shopIngressOf(fmt.Sprint("in-", i), fmt.Sprintf("h%d.example.com", i), s.Name))
		}
		f.finish()
		f.settle()
		for i := range 300 {
			f.want(fmt.Sprintf("h%d.example.com", i), "x")
		}
		if f.lists != 1 || f.gets != 3 {
			t.Errorf("%d listings and %d GETs, want 1 and 3", f.lists, f.gets)
		}
	})
}

func TestFewOfManySecretsAreNotListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t)
		one := shopSecret(t, "x", "x")
		for i := range 1000 {
			s := one.DeepCopy()
			s.Name = fmt.Sprint("tls-", i)
			f.put(s)
			if i%8 == 0 {
				f.put(shopIngressOf(fmt.Sprint("in-", i), fmt.Sprintf("h%d.example.com", i), s.Name))
			}
		}
		f.finish()
		f.settle()
		f.want("h992.example.com", "x")
		if f.lists != 0 || f.gets != 125 {
			t.Errorf("%d listings and %d GETs, want 0 and 125", f.lists, f.gets)
		}
	})
}
