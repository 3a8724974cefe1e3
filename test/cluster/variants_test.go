//go:build cluster

package cluster

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/harness"
)

// TestVariants installs the chart in the other ways that it offers and asks each
// for an Ingress over HTTP and HTTPS.
func TestVariants(t *testing.T) {
	haveCRD(t) // once, for those below run at once
	for _, v := range []struct {
		name, level string
		set         []string
		// http and https are ports of the node, 0 the Service's NodePorts.
		http, https int
		// class, if set, is that of the Ingress, and not the release's name.
		class string
		// also holds what is particular to the variant.
		also func(t *testing.T, r *release, host string)
	}{
		{
			name: "ports-of-the-node", level: "privileged", http: 18080, https: 18443,
			set: []string{
				"controller.kind=DaemonSet", "controller.service.enabled=false", "controller.publishService.enabled=false",
				"controller.hostPort.enabled=true", "controller.hostPort.ports.http=18080", "controller.hostPort.ports.https=18443",
			},
		},
		{
			name: "network-of-the-node", level: "privileged", http: 18081, https: 18444, also: seesClients,
			set: []string{
				"controller.replicaCount=1", "controller.hostNetwork=true", "controller.service.enabled=false", "controller.publishService.enabled=false",
				"controller.containerPort.http=18081", "controller.containerPort.https=18444",
			},
		},
		{
			name: "secrets-of-namespaces", level: "restricted",
			set: []string{"controller.replicaCount=1", "rbac.secrets=namespaces", "rbac.secretNamespaces={secrets-of-namespaces}"},
		},
		{
			name: "one-namespace", level: "restricted", also: servesNoOther,
			set: []string{"controller.replicaCount=1", "controller.scope.enabled=true"},
		},
		{
			name: "as-ingress-nginx", level: "restricted", class: "nginx",
			set: []string{
				"controller.replicaCount=1", "controller.ingressClassResource.name=nginx", "controller.ingressClass=nginx",
				"controller.ingressClassResource.controllerValue=k8s.io/ingress-nginx",
			},
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			var set []string
			for _, s := range v.set {
				set = append(set, "--set", s)
			}
			r := installAt(t, v.level, v.name, set...)
			if v.class != "" {
				r.class = v.class
			}
			if v.http == 0 {
				r.front = r.ports(t)
			} else {
				r.front = front{http: fmt.Sprintf("%s:%d", world.node, v.http), https: fmt.Sprintf("%s:%d", world.node, v.https)}
			}
			host := v.name + ".example.com"
			authority := harness.NewAuthority(t)
			deployBackend(t, r.namespace, "web", 1, "web")
			apply(t, authority.Secret(r.namespace, "tls", harness.Leaf{Names: []string{host}})+"---"+r.tlsIngress(host)+"---\n"+plainIngress(r, "plain."+host))
			r.front.roots = authority.Pool()
			for _, url := range []string{"https://" + host + "/", "http://plain." + host + "/"} {
				eventually(t, 30*time.Second, url, func() error { return r.front.ok(url) })
			}
			if v.also != nil {
				v.also(t, r, host)
			}
		})
	}
}

// seesClients: in the node's network, the address that a client has is the one
// that the application is told.
func seesClients(t *testing.T, r *release, host string) {
	a, err := r.front.get("https://" + host + "/")
	if err != nil {
		t.Fatal(err)
	}
	if got := net.ParseIP(a.seen.Header.Get("X-Forwarded-For")); got == nil || got.String() != world.node {
		t.Errorf("X-Forwarded-For = %q, want %s", a.seen.Header.Get("X-Forwarded-For"), world.node)
	}
}

// servesNoOther: an Ingress of another namespace is not served.
func servesNoOther(t *testing.T, r *release, host string) {
	other := *r
	other.namespace = namespace(t, "one-namespace-other")
	deployBackend(t, other.namespace, "web", 1, "web")
	apply(t, plainIngress(&other, "other."+host))
	// What is applied later in its own namespace tells that time has passed.
	apply(t, "---\n"+plainIngress(r, "later."+host))
	eventually(t, 30*time.Second, "a later Ingress is served", func() error { return r.front.ok("http://later." + host + "/") })
	if err := r.front.status("http://other."+host+"/", http.StatusNotFound); err != nil {
		t.Error(err)
	}
}
