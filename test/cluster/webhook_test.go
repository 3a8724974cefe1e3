//go:build cluster

package cluster

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/harness"
)

// TestWebhook: the API server reaches the webhook by its Service and trusts the
// certificate that the leader made, an owner hears what is wrong with his Ingress
// when he applies it, and with failurePolicy Fail no change is refused while the
// pods are replaced.
func TestWebhook(t *testing.T) {
	r := install(t, "webhook", "--set", "controller.admissionWebhooks.enabled=true", "--set", "controller.admissionWebhooks.failurePolicy=Fail")
	const host = "webhook.example.com"
	authority := harness.NewAuthority(t)
	deployBackend(t, r.namespace, "web", 1, "web")
	apply(t, authority.Secret(r.namespace, "tls", harness.Leaf{Names: []string{host}}))
	eventually(t, 30*time.Second, "the API server gets an answer", func() error {
		_, err := command(t.Context(), []byte(r.tlsIngress(host)), "kubectl", "apply", "-f", "-")
		return err
	})
	f := r.front.trusting(authority.Pool())
	eventually(t, 20*time.Second, "the Ingress is served", func() error { return f.ok("https://" + host + "/") })

	thief := *r
	thief.namespace = namespace(t, "webhook-thief")
	if said, err := applied(t, plainIngress(&thief, host)); err == nil || !strings.Contains(said, "denied the request") || !strings.Contains(said, "HostConflictLost") {
		t.Errorf("kubectl apply of a host of another namespace = %v, %q; want it denied for HostConflictLost", err, said)
	}
	if said, err := applied(t, strings.ReplaceAll(r.tlsIngress("new."+host), "secretName: tls", "secretName: missing")); err != nil || !strings.Contains(said, "Warning: ") || !strings.Contains(said, "SecretNotFound") {
		t.Errorf("kubectl apply with a Secret that is missing = %v, %q; want a warning of SecretNotFound", err, said)
	}

	ended := make(chan error, 1)
	go func() {
		_, err := command(t.Context(), nil, "kubectl", "-n", r.namespace, "rollout", "restart", "deployment", "-l", "app.kubernetes.io/instance="+r.name)
		if err == nil {
			_, err = command(t.Context(), nil, "kubectl", "-n", r.namespace, "rollout", "status", "deployment", "-l", "app.kubernetes.io/instance="+r.name, "--timeout=2m")
		}
		ended <- err
	}()
	changes := 0
	// Until a while after the rollout, since the old pods are still ending then.
	var stop time.Time
	for ; stop.IsZero() || time.Now().Before(stop); changes++ {
		if _, err := command(t.Context(), nil, "kubectl", "-n", r.namespace, "annotate", "ingress", "web", "--overwrite", fmt.Sprintf("example.com/change=%d", changes)); err != nil {
			t.Errorf("change %d during the rollout: %v", changes, err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			stop = time.Now().Add(6 * time.Second)
		default:
		}
	}
	t.Logf("%d changes of the Ingress while the pods were replaced", changes)
}

// applied is apply that returns all that kubectl says, warnings included.
func applied(t *testing.T, manifest string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kubectl", "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
