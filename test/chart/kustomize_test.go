package chart

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKustomize holds that the kustomize base makes what the chart makes by
// default. Helm's own labels and annotations are its alone, the namespace is the
// base's alone.
func TestKustomize(t *testing.T) {
	built, err := run(t, "", "kubectl", "kustomize", filepath.Join(root, "config"))
	if err != nil {
		t.Fatal(err)
	}
	hold(t, filepath.Join(root, "config", "install.yaml"),
		"# Generated from config by make generate; do not edit.\n"+built)

	base := byName(t, objects(t, built))
	delete(base, "Namespace /cardea")
	chart := byName(t, objects(t, mustRender(t, "").manifest))
	for name, want := range chart {
		got, ok := base[name]
		if !ok {
			t.Errorf("config has no %s", name)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-chart +config):\n%s", name, diff)
		}
	}
	for name := range base {
		if _, ok := chart[name]; !ok {
			t.Errorf("the chart has no %s", name)
		}
	}
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
