//go:build envtest

package controllers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// hook runs replicas whose webhook the API server asks about the Ingresses of p, with
// the rights of config and no others. The first replica's is asked.
func (p place) hook(t *testing.T, replicas int, times pairTimes) (decisions func() map[AdmissionDecision]int, serials func() int) {
	t.Helper()
	user := p.user(t, p.namespace, "rbac/role.yaml", "optional/webhook/role.yaml")
	var mu sync.Mutex
	told, expiries := map[AdmissionDecision]int{}, map[time.Time]bool{}
	var port int
	var running []*replica
	for i := range replicas {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			port = listener.Addr().(*net.TCPAddr).Port
		}
		running = append(running, p.start(t, func(c *Config) {
			c.REST = user.Config()
			c.Leader = p.quick(fmt.Sprint("replica-", i))
			c.Webhook = WebhookConfig{
				Listener: listener, Service: "hook", Configuration: "cardea-webhook", Secret: "cardea-webhook",
				interval: 100 * time.Millisecond, times: times, names: []string{"localhost"},
			}
			c.Metrics.Admission = func(d AdmissionDecision, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				told[d]++
			}
			c.Metrics.WebhookExpires = func(at time.Time) {
				mu.Lock()
				defer mu.Unlock()
				expiries[at] = true
			}
		}))
	}
	for _, r := range running {
		r.ready(t)
	}
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "cardea-webhook"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "ingress.cardea.dev",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: new(fmt.Sprintf("https://localhost:%d/validate", port))},
			FailurePolicy:           new(admissionregistrationv1.Fail),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": p.namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"networking.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"ingresses"}},
			}},
		}},
	}
	create(t, configuration)
	t.Cleanup(func() { _ = kube.Delete(context.Background(), configuration) })
	eventually(t, 20*time.Second, "the authority in the configuration", func() bool {
		return kube.Get(t.Context(), client.ObjectKeyFromObject(configuration), configuration) == nil && len(configuration.Webhooks[0].ClientConfig.CABundle) > 0
	})
	decisions = func() map[AdmissionDecision]int {
		mu.Lock()
		defer mu.Unlock()
		all := map[AdmissionDecision]int{}
		for d, n := range told {
			all[d] = n
		}
		return all
	}
	serials = func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(expiries)
	}
	return decisions, serials
}

// TestWebhookIsAsked has kubectl apply Ingresses to an API server that asks.
func TestWebhookIsAsked(t *testing.T) {
	p := newPlace(t)
	create(t, p.service("web"), p.secret(t, "tls", "shop", "shop.example.com"), p.ingress("shop", "shop.example.com", "tls"))
	decisions, _ := p.hook(t, 1, pairTimes{})

	kubectl := newKubectl(t)
	// The configuration reaches the API server's own cache a moment after it was taken.
	eventually(t, 10*time.Second, "the webhook is asked", func() bool {
		_, _ = kubectl.apply(p.ingress("fine", "fine.example.com", ""))
		return len(decisions()) > 0
	})

	// Of two of the same age, and the API server's clock ticks in seconds, the first by
	// name is served: this one comes after shop both ways.
	thief := p.ingress("thief", "10.0.0.1", "")
	thief.Spec.Rules[0].Host = "shop.example.com"
	out, err := kubectl.apply(thief)
	t.Log(out)
	for _, want := range []string{"ingress.cardea.dev", "nothing of Ingress " + p.namespace + "/thief would be served", "spec.rules[0].http.paths[0]: PathConflictLost", p.namespace + "/shop"} {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("kubectl apply of an Ingress of which nothing would be served: %v, %q, want an error with %q", err, out, want)
		}
	}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(thief), thief); err == nil {
		t.Error("the Ingress that was refused is there")
	}

	questionable := p.ingress("questionable", "new.example.com", "missing")
	questionable.Annotations = map[string]string{"cardea.dev/proxy-read-timeout": "soon"}
	out, err = kubectl.apply(questionable)
	t.Log(out)
	for _, want := range []string{"Warning: metadata.annotations[cardea.dev/proxy-read-timeout]: AnnotationInvalid", "Warning: spec.tls[0]: SecretNotFound", "questionable created"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("kubectl apply of a questionable Ingress: %v, %q, want %q", err, out, want)
		}
	}

	// A Secret that is there is not called missing because nobody has named it so far.
	create(t, p.secret(t, "unread", "other", "other.example.com"))
	if out, err = kubectl.apply(p.ingress("unread", "other.example.com", "unread")); err != nil || strings.Contains(out, "Warning") {
		t.Errorf("kubectl apply with a Secret that was not read: %v, %q, want no warning", err, out)
	}
	if d := decisions(); d[Denied] != 1 || d[Warned] != 1 || d[Admitted] < 2 || d[BadReview] != 0 {
		t.Errorf("decisions = %v, want one denied, one warned, two or more admitted", d)
	}
}

// TestWebhookRotatesWhileAsked renews the certificate every few seconds, with two
// replicas, while the API server asks all the time and takes no for an answer only from
// the webhook.
func TestWebhookRotatesWhileAsked(t *testing.T) {
	p := newPlace(t)
	create(t, p.service("web"), p.ingress("shop", "shop.example.com", ""))
	_, certificates := p.hook(t, 2, pairTimes{life: 8 * time.Second, ahead: 5 * time.Second, settles: 2 * time.Second})
	asked, refused := 0, 0
	eventually(t, time.Minute, "four certificates", func() bool {
		in := p.ingress(fmt.Sprint("thief-", asked), "shop.example.com", "")
		asked++
		err := kube.Create(t.Context(), in, client.DryRunAll)
		if err != nil && strings.Contains(err.Error(), "PathConflictLost") {
			refused++
		} else if refused > 0 {
			t.Fatalf("question %d: %v, want the webhook's refusal", asked, err)
		}
		return certificates() >= 4
	})
	if refused < 20 {
		t.Errorf("%d of %d questions were answered by the webhook, want 20 or more", refused, asked)
	}
	t.Logf("%d of %d questions answered while %d certificates took turns", refused, asked, certificates())
}

// A kubectl is the program, as a user who may do everything.
type kubectl struct {
	t                   *testing.T
	program, kubeconfig string
}

func newKubectl(t *testing.T) *kubectl {
	t.Helper()
	user, err := environment.AddUser(envtest.User{Name: "kubectl", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	k := &kubectl{t: t, program: filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), kubeconfig: filepath.Join(t.TempDir(), "config")}
	if err := os.WriteFile(k.kubeconfig, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// apply returns what kubectl apply says, on both of its outputs.
func (k *kubectl) apply(in *networkingv1.Ingress) (string, error) {
	k.t.Helper()
	in.TypeMeta = metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}
	text, err := yaml.Marshal(in)
	if err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.CommandContext(k.t.Context(), k.program, "--kubeconfig", k.kubeconfig, "apply", "-f", "-")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
