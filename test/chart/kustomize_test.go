package chart

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kustomizations are what is made with kubectl alone, and the values with which the
// chart makes the same.
var kustomizations = []struct{ name, dir, values string }{
	{"base", filepath.Join(root, "config"), ""},
	{"webhook", filepath.Join(root, "examples", "webhook"), "controller: {admissionWebhooks: {enabled: true}}"},
}

// TestKustomize holds that kustomizations make what the chart makes. Helm's own
// labels and annotations are its alone, the namespace is the base's alone.
func TestKustomize(t *testing.T) {
	for _, c := range kustomizations {
		t.Run(c.name, func(t *testing.T) {
			got := byName(t, objects(t, kustomize(t, c.dir)))
			delete(got, "Namespace /cardea")
			want := byName(t, objects(t, mustRender(t, c.values).manifest))
			for name := range want {
				if _, ok := got[name]; !ok {
					t.Errorf("kustomize %s makes no %s, and the chart does", c.dir, name)
				} else if diff := cmp.Diff(want[name], got[name]); diff != "" {
					t.Errorf("%s (-chart +kustomize):\n%s", name, diff)
				}
			}
			for name := range got {
				if _, ok := want[name]; !ok {
					t.Errorf("the chart makes no %s, and kustomize %s does", name, c.dir)
				}
			}
		})
	}
}

// TestInstallYAML holds that config/install.yaml is config, built.
func TestInstallYAML(t *testing.T) {
	hold(t, filepath.Join(root, "config", "install.yaml"),
		"# Generated from config by make generate; do not edit.\n"+kustomize(t, filepath.Join(root, "config")))
}

func kustomize(t *testing.T, dir string) string {
	t.Helper()
	built, err := run(t, "", "kubectl", "kustomize", dir)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// byName indexes objects without what is Helm's own. The order of rules in a role
// means nothing.
func byName(t *testing.T, list []object) map[string]object {
	t.Helper()
	all := make(map[string]object, len(list))
	for _, o := range list {
		for _, key := range []string{"labels", "annotations"} {
			m, _ := o.metadata()[key].(map[string]any)
			for name := range m {
				if strings.HasPrefix(name, "helm.sh/") || name == "app.kubernetes.io/managed-by" {
					delete(m, name)
				}
			}
		}
		if rules, ok := o["rules"].([]any); ok {
			o["rules"] = sorted(t, rules)
		}
		all[o.String()] = o
	}
	return all
}

// sorted takes rules apart into one for each group and resource, in order.
func sorted(t *testing.T, rules []any) []any {
	t.Helper()
	var single []any
	for _, rule := range rules {
		rule := rule.(map[string]any)
		for _, resource := range rule["resources"].([]any) {
			one := map[string]any{"resources": []any{resource}}
			for key, value := range rule {
				if key != "resources" {
					one[key] = value
				}
			}
			single = append(single, one)
		}
	}
	slices.SortFunc(single, func(a, b any) int { return strings.Compare(yamlOf(t, a), yamlOf(t, b)) })
	return single
}
