package controllers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// A webhookKeeper follows the Secret with the certificate of the webhook and, while
// this replica leads, keeps it and the authorities in the configuration.
type webhookKeeper struct {
	keeper
	cfg            WebhookConfig
	names          []string // in the certificate
	secrets        typedcorev1.SecretInterface
	configurations admissionclient.ValidatingWebhookConfigurationInterface
	expires        func(time.Time) // may be nil
	now            func() time.Time
	served         atomic.Pointer[tls.Certificate]
}

func newWebhookKeeper(cfg Config, client kubernetes.Interface, log logr.Logger) *webhookKeeper {
	w := cfg.Webhook
	w.interval = cmp.Or(w.interval, 10*time.Second)
	w.times = w.times.withDefaults()
	k := &webhookKeeper{
		cfg:            w,
		names:          append([]string{w.Service + "." + cfg.Leader.Namespace + ".svc"}, w.names...),
		secrets:        client.CoreV1().Secrets(cfg.Leader.Namespace),
		configurations: client.AdmissionregistrationV1().ValidatingWebhookConfigurations(),
		expires:        cfg.Metrics.WebhookExpires,
		now:            time.Now,
	}
	k.keeper = keeper{
		step:     k.step,
		interval: w.interval,
		trouble:  "the certificate of the webhook is in trouble; what is served is served on",
		log:      log,
		wake:     make(chan struct{}, 1),
	}
	return k
}

// certificate is what tls.Config asks.
func (k *webhookKeeper) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := k.served.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("controllers: the webhook has no certificate yet")
}

// step reads the Secret, serves what is in it and, as the leader, writes what it and
// the configuration should hold. A write that meets another's is left to the next step.
//
// The order makes that there is no gap: an authority is in the configuration before
// anything that it signed is served.
func (k *webhookKeeper) step(ctx context.Context) error {
	secret, err := k.secrets.Get(ctx, k.cfg.Secret, metav1.GetOptions{})
	absent := apierrors.IsNotFound(err)
	if err != nil && !absent {
		return err
	}
	var pairs webhookPairs
	var invalid error
	empty := absent || len(secret.Data) == 0 // an installation may have made it empty
	if !empty {
		pairs, invalid = parseWebhookPairs(secret.Data)
	}
	if !k.leading.Load() {
		switch {
		case empty:
			return nil // the leader fills it
		case invalid != nil:
			return fmt.Errorf("secret %q: %w", k.cfg.Secret, invalid)
		}
		k.serve(pairs)
		return nil
	}
	if invalid != nil {
		k.log.Info("the certificate of the webhook cannot be used and is replaced", "problem", invalid.Error())
	}
	if pairs.current != nil && pairs.current.good(k.names, k.now()) {
		k.serve(pairs)
		if err := k.configure(ctx, pairs.authorities); err != nil {
			return err // nothing is promoted of which the API server was not told
		}
	}
	pairs, changed, err := pairs.advance(k.names, k.now(), k.cfg.times)
	if err != nil || !changed {
		return err
	}
	if err := k.write(ctx, secret, absent, pairs); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}
	k.serve(pairs)
	return k.configure(ctx, pairs.authorities)
}

func (k *webhookKeeper) write(ctx context.Context, secret *corev1.Secret, absent bool, pairs webhookPairs) error {
	if absent {
		_, err := k.secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: k.cfg.Secret, Labels: map[string]string{"app.kubernetes.io/managed-by": "cardea"}},
			Type:       webhookType,
			Data:       pairs.data(),
		}, metav1.CreateOptions{})
		return err
	}
	secret = secret.DeepCopy()
	secret.Data = pairs.data()
	_, err := k.secrets.Update(ctx, secret, metav1.UpdateOptions{})
	return err
}

// configure puts the authorities into the configuration, wherever they are missing:
// an upgrade of the chart takes them out.
func (k *webhookKeeper) configure(ctx context.Context, authorities []byte) error {
	configuration, err := k.configurations.Get(ctx, k.cfg.Configuration, metav1.GetOptions{})
	if err != nil {
		return err
	}
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	var patch []operation
	for i, w := range configuration.Webhooks {
		if !bytes.Equal(w.ClientConfig.CABundle, authorities) {
			at := fmt.Sprintf("/webhooks/%d", i)
			patch = append(patch, operation{"test", at + "/name", w.Name}, operation{"add", at + "/clientConfig/caBundle", authorities})
		}
	}
	if len(patch) == 0 {
		return nil
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	if _, err = k.configurations.Patch(ctx, k.cfg.Configuration, types.JSONPatchType, body, metav1.PatchOptions{}); err != nil {
		return err
	}
	k.log.Info("the API server was told the authority of the webhook", "configuration", k.cfg.Configuration)
	return nil
}

func (k *webhookKeeper) serve(pairs webhookPairs) {
	before, now := k.served.Load(), pairs.current.pair
	if before != nil && before.Leaf.Equal(now.Leaf) {
		return
	}
	k.served.Store(now)
	k.log.Info("the webhook has a new certificate", "expires", now.Leaf.NotAfter, "serial", now.Leaf.SerialNumber.Text(16))
	if k.expires != nil {
		k.expires(now.Leaf.NotAfter)
	}
}
