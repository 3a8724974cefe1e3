package chart

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// operatorKinds are of the Prometheus operator, whose definitions an API server
// does not bring along. Their content is parsed by TestRules.
var operatorKinds = []string{"ServiceMonitor", "PrometheusRule"}

// TestServerTakesIt has a real API server judge all that the goldens render and
// kubectl makes without helm: validation, defaults and the rules of the definition of
// IngressClassParameters.
func TestServerTakesIt(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	definition := filepath.Join(root, "config", "crd")
	mustKubectl(t, "", "apply", "-f", definition)
	mustKubectl(t, "", "wait", "--for=condition=Established", "crd/ingressclassparameters.cardea.dev", "--timeout=20s")
	t.Cleanup(func() { mustKubectlAfter(t, "delete", "-f", definition) })
	namespaces(t, "cardea", "edge", "shop", "blog")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var stream strings.Builder
			for _, o := range objects(t, section(txtar.Parse(text), "manifest.yaml")) {
				if !slices.Contains(operatorKinds, o.kind()) {
					stream.WriteString("---\n" + yamlOf(t, o))
				}
			}
			if out, err := kubectl(t, stream.String(), "apply", "--dry-run=server", "--validate=strict", "-f", "-"); err != nil {
				t.Errorf("the API server refuses it: %v\n%s", err, out)
			}
		})
	}
	for _, c := range kustomizations {
		t.Run("kustomize "+c.name, func(t *testing.T) {
			if out, err := kubectl(t, "", "apply", "--dry-run=server", "--validate=strict", "-k", c.dir); err != nil {
				t.Errorf("the API server refuses it: %v\n%s", err, out)
			}
		})
	}
}

// TestPodSecurity has the API server judge the pods in a namespace that enforces
// the standard restricted. Ports of the node are what it forbids.
func TestPodSecurity(t *testing.T) {
	namespaces(t, "cardea")
	for _, c := range []struct {
		name, values string
		refused      string
	}{
		{"default", "", ""},
		{"ports below 1024", "controller: {containerPort: {http: 80, https: 443}}", ""},
		{"as a DaemonSet", "controller: {kind: DaemonSet}", ""},
		{"ports of the node", "controller: {hostPort: {enabled: true}}", "hostPort"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var workload object
			for _, o := range objects(t, mustRender(t, c.values).manifest) {
				if o.kind() == "Deployment" || o.kind() == "DaemonSet" {
					workload = o
				}
			}
			template := workload["spec"].(map[string]any)["template"].(map[string]any)
			pod := object{"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]}
			pod.metadata()["namespace"], pod.metadata()["name"] = "cardea", "judged"
			delete(pod["spec"].(map[string]any), "serviceAccountName") // it does not exist here
			delete(pod["spec"].(map[string]any), "topologySpreadConstraints")
			pod["spec"].(map[string]any)["automountServiceAccountToken"] = false
			mustKubectl(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {namespace: cardea, name: default}\n", "apply", "-f", "-")
			out, err := kubectl(t, yamlOf(t, pod), "create", "--dry-run=server", "-f", "-")
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("the pod is refused: %v\n%s", err, out)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("error = %v, want one that names %q", err, c.refused)
			}
		})
	}
}

// TestInstallAndUninstall runs helm against an API server: with parameters at the
// first installation, an upgrade, a rollback, and the end, which leaves the
// definition and nothing else.
func TestInstallAndUninstall(t *testing.T) {
	const namespace = "lifecycle"
	namespaces(t, namespace)
	t.Cleanup(func() {
		mustKubectlAfter(t, "delete", "crd", "ingressclassparameters.cardea.dev", "--ignore-not-found")
	})
	values := writeFile(t, "values.yaml", "controller: {ingressClassParameters: {tls: {policy: modern}}}")
	do := func(args ...string) {
		t.Helper()
		if out, err := helm(t, append(args, "--namespace", namespace)...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	policy := func(want string) {
		t.Helper()
		got := mustKubectl(t, "", "get", "ingressclassparameters", "cardea", "-o", "jsonpath={.spec.tls.policy}")
		if got != want {
			t.Errorf("policy = %q, want %q", got, want)
		}
	}
	do("install", "cardea", chartDir, "--values", values)
	policy("modern")
	do("upgrade", "cardea", chartDir, "--values", values, "--set", "controller.ingressClassParameters.tls.policy=intermediate")
	policy("intermediate")
	do("rollback", "cardea", "1")
	do("upgrade", "cardea", chartDir, "--values", values)
	policy("modern")
	do("uninstall", "cardea")
	left := mustKubectl(t, "", "get", "deployment,service,serviceaccount,role,rolebinding,poddisruptionbudget,clusterrole,clusterrolebinding,ingressclass,ingressclassparameters",
		"--all-namespaces", "--selector", "app.kubernetes.io/instance=cardea", "-o", "name")
	if left != "" {
		t.Errorf("helm uninstall leaves\n%s", left)
	}
	mustKubectl(t, "", "get", "crd", "ingressclassparameters.cardea.dev")
	do("install", "cardea", chartDir, "--values", values) // takes over what it left
	policy("modern")
	do("uninstall", "cardea")
}
