//go:build cluster

package cluster

import (
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/harness"
)

// TestRollouts: pods of Cardea and of the application come and go under constant
// load of every kind, with kept and with new connections, and no request fails.
func TestRollouts(t *testing.T) {
	r := install(t, "rollouts")
	const host = "rollouts.example.com"
	authority := harness.NewAuthority(t)
	deployBackend(t, r.namespace, "web", 2, "web")
	apply(t, authority.Secret(r.namespace, "tls", harness.Leaf{Names: []string{host}})+"---"+r.tlsIngress(host))
	f := r.front.trusting(authority.Pool())
	eventually(t, 20*time.Second, "the Ingress is served", func() error { return f.ok("https://" + host + "/") })

	cardea := r.deployment(t)
	cardeas := "app.kubernetes.io/instance=" + r.name
	for _, change := range []struct {
		name, deployment, selector string
		args                       []string
	}{
		{"restart of Cardea", cardea, cardeas, []string{"rollout", "restart"}},
		{"Cardea from 2 to 4", cardea, cardeas, []string{"scale", "--replicas=4"}},
		{"Cardea from 4 to 1", cardea, cardeas, []string{"scale", "--replicas=1"}},
		{"restart of the application", "deployment/web", "app=web", []string{"rollout", "restart"}},
		{"the application from 2 to 4", "deployment/web", "app=web", []string{"scale", "--replicas=4"}},
		{"the application from 4 to 1", "deployment/web", "app=web", []string{"scale", "--replicas=1"}},
	} {
		t.Run(change.name, func(t *testing.T) {
			l := startLoad(t, f, host)
			must(t, "kubectl", append([]string{"-n", r.namespace}, append(change.args, change.deployment)...)...)
			settled(t, r.namespace, change.deployment, change.selector)
			pause(t, 2*time.Second) // of load on those that have come
			l.judge(t)
		})
	}
}
