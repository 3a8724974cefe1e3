package controllers

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

// A hookWorld is an API server, and replicas whose clock the test moves.
type hookWorld struct {
	t      *testing.T
	client *fake.Clientset
	now    time.Time
}

func newHookWorld(t *testing.T) *hookWorld {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "cardea"}}
	for _, name := range []string{"a.cardea.dev", "b.cardea.dev"} {
		configuration.Webhooks = append(configuration.Webhooks, admissionregistrationv1.ValidatingWebhook{Name: name})
	}
	return &hookWorld{t: t, client: fake.NewClientset(configuration), now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
}

func (w *hookWorld) replica(leading bool) *webhookKeeper {
	k := newWebhookKeeper(Config{
		Leader:  LeaderConfig{Namespace: "cardea"},
		Webhook: WebhookConfig{Service: "hook", Configuration: "cardea", Secret: "hook-tls"},
	}, w.client, logr.Discard())
	k.now = func() time.Time { return w.now }
	k.leading.Store(leading)
	return k
}

func (w *hookWorld) step(k *webhookKeeper) {
	w.t.Helper()
	if err := k.step(w.t.Context()); err != nil {
		w.t.Fatalf("step() at %v = %v", w.now, err)
	}
}

// told returns what the API server is told, which must be the same for each webhook.
func (w *hookWorld) told() []byte {
	w.t.Helper()
	c, err := w.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(w.t.Context(), "cardea", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, webhook := range c.Webhooks[1:] {
		if string(webhook.ClientConfig.CABundle) != string(c.Webhooks[0].ClientConfig.CABundle) {
			w.t.Error("two webhooks of the configuration have different authorities")
		}
	}
	return c.Webhooks[0].ClientConfig.CABundle
}

// trusted returns an error if an API server that was told the authorities does not
// trust what k serves.
func (w *hookWorld) trusted(k *webhookKeeper, authorities []byte) error {
	c, err := k.certificate(nil)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return errors.New("no authority")
	}
	_, err = c.Leaf.Verify(x509.VerifyOptions{DNSName: "hook.cardea.svc", Roots: roots, CurrentTime: w.now})
	return err
}

// TestWebhookRotatesWithoutAGap runs a leader and a replica that lags behind through
// 200 days. An API server that is late by a minute trusts both at all times.
func TestWebhookRotatesWithoutAGap(t *testing.T) {
	w := newHookWorld(t)
	leader, other := w.replica(true), w.replica(false)
	w.step(other)
	if _, err := other.certificate(nil); err == nil {
		t.Error("a replica has a certificate before the leader made one")
	}
	w.step(leader)
	w.step(other)
	serials := map[string]bool{}
	late := w.told()
	var reads int
	for day := 0; day < 200; day++ {
		for range 6 { // a day of six steps: five of a minute, and the rest
			w.step(leader)
			if reads++; reads%3 == 0 {
				w.step(other)
			}
			for name, k := range map[string]*webhookKeeper{"leader": leader, "other": other} {
				for _, authorities := range [][]byte{late, w.told()} {
					if err := w.trusted(k, authorities); err != nil {
						t.Fatalf("day %d: what the %s serves is not trusted: %v", day, name, err)
					}
				}
			}
			late = w.told()
			serials[leader.served.Load().Leaf.SerialNumber.Text(16)] = true
			w.now = w.now.Add(time.Minute)
		}
		w.now = w.now.Add(24*time.Hour - 6*time.Minute)
	}
	// 90 days each, renewed 30 days ahead.
	if n := len(serials); n != 4 {
		t.Errorf("%d certificates in 200 days, want 4", n)
	}
	secret, err := w.client.CoreV1().Secrets("cardea").Get(t.Context(), "hook-tls", metav1.GetOptions{})
	if err != nil || secret.Type != webhookType || len(secret.Data[corev1.TLSPrivateKeyKey]) == 0 {
		t.Errorf("Secret = %v, %v, want one of type %s", secret, err, webhookType)
	}
	if _, ok := secret.Data["ca.key"]; ok {
		t.Error("the Secret holds the key of an authority")
	}
}

// TestWebhookMends holds what the leader makes good: a Secret that was deleted, spoiled
// or has expired, and a configuration without authorities.
func TestWebhookMends(t *testing.T) {
	w := newHookWorld(t)
	leader := w.replica(true)
	w.step(leader)
	secrets := w.client.CoreV1().Secrets("cardea")
	for _, damage := range []struct {
		name string
		do   func() error
	}{
		{"a Secret that was deleted", func() error { return secrets.Delete(t.Context(), "hook-tls", metav1.DeleteOptions{}) }},
		{"a Secret that an installation made empty", func() error {
			s, err := secrets.Get(t.Context(), "hook-tls", metav1.GetOptions{})
			if err != nil {
				return err
			}
			s.Data = nil
			if _, err = secrets.Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
				return err
			}
			w.step(w.replica(false)) // which is no trouble to one that does not lead
			return nil
		}},
		{"a Secret that holds nothing of use", func() error {
			s, err := secrets.Get(t.Context(), "hook-tls", metav1.GetOptions{})
			if err != nil {
				return err
			}
			s.Data[corev1.TLSPrivateKeyKey] = []byte("spoiled")
			_, err = secrets.Update(t.Context(), s, metav1.UpdateOptions{})
			return err
		}},
		{"a Secret with another authority", func() error {
			s, err := secrets.Get(t.Context(), "hook-tls", metav1.GetOptions{})
			if err != nil {
				return err
			}
			stranger, err := newWebhookPair([]string{"hook.cardea.svc"}, w.now, time.Hour)
			if err != nil {
				return err
			}
			s.Data[pairAuthorities] = stranger.authority
			_, err = secrets.Update(t.Context(), s, metav1.UpdateOptions{})
			return err
		}},
		{"a certificate that has expired", func() error { w.now = w.now.Add(pairLife + time.Hour); return nil }},
		{"a configuration that was applied anew", func() error {
			configurations := w.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
			c, err := configurations.Get(t.Context(), "cardea", metav1.GetOptions{})
			if err != nil {
				return err
			}
			for i := range c.Webhooks {
				c.Webhooks[i].ClientConfig.CABundle = nil
			}
			_, err = configurations.Update(t.Context(), c, metav1.UpdateOptions{})
			return err
		}},
	} {
		if err := damage.do(); err != nil {
			t.Fatal(err)
		}
		w.step(leader)
		fresh := w.replica(false)
		w.step(fresh)
		for name, k := range map[string]*webhookKeeper{"the leader": leader, "a replica that starts": fresh} {
			if err := w.trusted(k, w.told()); err != nil {
				t.Errorf("%s: what %s serves is not trusted: %v", damage.name, name, err)
			}
		}
	}
}

// TestWebhookWaitsForTheConfiguration holds that nothing is promoted of which the API
// server could not be told, and that what is served is served on.
func TestWebhookWaitsForTheConfiguration(t *testing.T) {
	w := newHookWorld(t)
	leader := w.replica(true)
	w.step(leader)
	first := leader.served.Load()
	forbidden := apierrors.NewForbidden(admissionregistrationv1.Resource("validatingwebhookconfigurations"), "cardea", errors.New("no right"))
	w.client.PrependReactor("patch", "validatingwebhookconfigurations", func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, forbidden })
	w.now = w.now.Add(pairLife - pairAhead + time.Hour)
	for range 10 {
		if err := leader.step(t.Context()); err == nil {
			t.Error("step() = nil although the configuration cannot be patched, want an error")
		}
		w.now = w.now.Add(time.Hour)
	}
	if leader.served.Load() != first {
		t.Error("a certificate is served that the API server does not trust")
	}
	w.client.ReactionChain = w.client.ReactionChain[1:]
	w.step(leader)
	w.now = w.now.Add(time.Hour)
	w.step(leader)
	if leader.served.Load() == first {
		t.Error("the next certificate is not served when the configuration can be patched again")
	}
	if err := w.trusted(leader, w.told()); err != nil {
		t.Error(err)
	}
}
