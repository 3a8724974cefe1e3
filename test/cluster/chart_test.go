//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/harness"
)

const crdName = "ingressclassparameters.cardea.dev"

// TestChart is the life of an installation, in a namespace that enforces Pod
// Security "restricted": install, serve, upgrade, roll back, uninstall. What is
// left at the end is the CRD alone, which is kept by design: deleting it would
// delete the parameters of every class.
func TestChart(t *testing.T) {
	// The chart brings the CRD itself here.
	must(t, "kubectl", "delete", "crd", crdName, "--ignore-not-found")
	before := clusterObjects(t)
	r := &release{namespace: namespace(t, "chart"), name: "cardea", class: "chart"}
	helm := func(args ...string) {
		t.Helper()
		if _, err := command(t.Context(), nil, "helm", append(args, "-n", r.namespace, "--wait", "--timeout", "2m")...); err != nil {
			t.Fatalf("%v\n%s", err, r.state())
		}
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := command(ctx, nil, "helm", "uninstall", r.name, "-n", r.namespace, "--ignore-not-found"); err != nil {
			t.Error(err)
		}
	})
	// With everything that makes objects and needs no other operator.
	set := append(values(r.class), "--set", "controller.admissionWebhooks.enabled=true", "--set", "controller.metrics.enabled=true",
		"--set", "controller.metrics.dashboard.enabled=true", "--set", "controller.networkPolicy.enabled=true", "--set", "controller.autoscaling.enabled=true")
	helm(append([]string{"install", r.name, chart()}, set...)...)
	if got := must(t, "kubectl", "get", "namespace", r.namespace, "-o", "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}"); got != "restricted" {
		t.Fatalf("the namespace enforces Pod Security %q, want restricted", got)
	}

	// An Ingress and its Secret, applied with kubectl, answer through the NodePorts.
	const host = "chart.example.com"
	authority := harness.NewAuthority(t)
	deployBackend(t, r.namespace, "web", 1, "web")
	apply(t, authority.Secret(r.namespace, "tls", harness.Leaf{Names: []string{host}})+"---"+r.tlsIngress(host)+"---\n"+plainIngress(r, "plain."+host))
	serves := func(when string) {
		t.Helper()
		f := r.ports(t).trusting(authority.Pool())
		for _, url := range []string{"https://" + host + "/", "http://plain." + host + "/"} {
			took := eventually(t, 20*time.Second, when+": "+url, func() error { return f.ok(url) })
			t.Logf("%s: %s answers after %v", when, url, took.Round(time.Millisecond))
		}
	}
	serves("after the installation")

	// The next version has a field more in the CRD and an argument more, the
	// previous one a field less: an upgrade brings it, a rollback takes it away
	// again, and traffic minds neither.
	next := changedChart(t, "99.0.0", func(crd string) string {
		changed := strings.Replace(crd, "            properties:\n", "            properties:\n              addedByTheNextVersion:\n                type: string\n", 1)
		if changed == crd {
			t.Fatal("the CRD has no properties where a field could be added")
		}
		return changed
	})
	l := startLoad(t, r.ports(t).trusting(authority.Pool()), host)
	helm(append(append([]string{"upgrade", r.name, next}, set...), "--set", "controller.extraArgs.log-level=warn", "--set", "controller.podAnnotations.version=next")...)
	wantField(t, true)
	helm("rollback", r.name, "1")
	wantField(t, false)
	settled(t, r.namespace, r.deployment(t), "app.kubernetes.io/instance="+r.name)
	l.judge(t)
	serves("after the rollback")

	must(t, "kubectl", "-n", r.namespace, "delete", "ingress,deployment,service", "--selector=app.kubernetes.io/instance!="+r.name)
	must(t, "kubectl", "-n", r.namespace, "delete", "secret", "tls")
	helm("uninstall", r.name)
	var left []string
	for _, name := range clusterObjects(t) {
		if !slices.Contains(before, name) {
			left = append(left, name)
		}
	}
	if want := []string{"customresourcedefinition.apiextensions.k8s.io/" + crdName}; !slices.Equal(left, want) {
		t.Errorf("uninstalling left %q outside the namespace, want %q", left, want)
	}
	eventually(t, time.Minute, "nothing of the release is left in its namespace", func() error {
		if left := namespaceObjects(t, r.namespace); len(left) > 0 {
			return fmt.Errorf("%q are left", left)
		}
		return nil
	})
}

// plainIngress is an Ingress "plain" without TLS.
func plainIngress(r *release, host string) string {
	return fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {namespace: %s, name: plain}\nspec:\n  ingressClassName: %s\n  rules:\n%s",
		r.namespace, r.class, rule(host, path{"/", "Prefix", "web", "name: http"}))
}

// changedChart copies the chart, gives the copy a version and changes its CRD.
func changedChart(t *testing.T, version string, crd func(string) string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cardea")
	must(t, "cp", "-rL", chart(), dir) // -L: the CRD in it is a link to config/crd
	edit := func(name string, change func(string) string) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(change(string(data))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	edit("Chart.yaml", func(s string) string {
		lines := strings.Split(s, "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "version:") {
				lines[i] = "version: " + version
			}
		}
		return strings.Join(lines, "\n")
	})
	edit("files/cardea.dev_ingressclassparameters.yaml", crd)
	return dir
}

// wantField holds whether the CRD has the field of the next version.
func wantField(t *testing.T, want bool) {
	t.Helper()
	crd := must(t, "kubectl", "get", "crd", crdName, "-o", "json")
	if got := strings.Contains(crd, "addedByTheNextVersion"); got != want {
		t.Errorf("the CRD has the field of the next version: %v, want %v", got, want)
	}
}

// clusterObjects lists what a chart could leave outside its namespace.
func clusterObjects(t *testing.T) []string {
	t.Helper()
	all := must(t, "kubectl", "get", "customresourcedefinitions,ingressclasses,clusterroles,clusterrolebindings,validatingwebhookconfigurations,mutatingwebhookconfigurations,priorityclasses", "-o", "name")
	var found []string
	for name := range strings.FieldsSeq(all) {
		if !strings.Contains(name, "/system:") {
			found = append(found, name)
		}
	}
	return slices.Sorted(slices.Values(found))
}

// namespaceObjects lists what a namespace has beside what every one has, of every
// kind that the API server knows.
func namespaceObjects(t *testing.T, ns string) []string {
	t.Helper()
	kinds := strings.Fields(must(t, "kubectl", "api-resources", "--namespaced", "--verbs=list", "-o", "name"))
	kinds = slices.DeleteFunc(kinds, func(kind string) bool { return strings.HasPrefix(kind, "events") })
	found := map[string]bool{}
	for name := range strings.FieldsSeq(must(t, "kubectl", "-n", ns, "get", strings.Join(kinds, ","), "-o", "name", "--ignore-not-found")) {
		if name != "configmap/kube-root-ca.crt" && name != "serviceaccount/default" {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
