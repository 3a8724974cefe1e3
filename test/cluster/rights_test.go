//go:build cluster

package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// rules are RBAC rules as the API server and manifests have them.
type rules []struct {
	APIGroups, Resources, ResourceNames, NonResourceURLs, Verbs []string
}

// TestRights: the ServiceAccount can do what the roles of the chart say and
// nothing more, as the API server sees it, in its own namespace and in others.
func TestRights(t *testing.T) {
	r := install(t, "rights", "--set", "controller.admissionWebhooks.enabled=true")
	other := namespace(t, "rights-other")
	account := must(t, "kubectl", "-n", r.namespace, "get", "pods", "-l", "app.kubernetes.io/instance="+r.name, "-o", "jsonpath={.items[0].spec.serviceAccountName}")

	type roles struct {
		Items []struct{ Rules rules }
	}
	expect := map[string]map[string]bool{r.namespace: {}, other: {}}
	for _, role := range objects[roles](t, "clusterroles", "-l", "app.kubernetes.io/instance="+r.name).Items {
		for ns := range expect {
			maps.Copy(expect[ns], single(role.Rules))
		}
	}
	for _, role := range objects[roles](t, "roles", "-n", r.namespace, "-l", "app.kubernetes.io/instance="+r.name).Items {
		maps.Copy(expect[r.namespace], single(role.Rules))
	}
	if len(expect[other]) == 0 || len(expect[r.namespace]) <= len(expect[other]) {
		t.Fatalf("the chart has %d rights in its namespace and %d in others, want some of both", len(expect[r.namespace]), len(expect[other]))
	}

	for ns, want := range expect {
		got := can(t, fmt.Sprintf("system:serviceaccount:%s:%s", r.namespace, account), ns)
		// What everybody may, such as asking for one's own rights.
		for right := range can(t, fmt.Sprintf("system:serviceaccount:%s:default", other), ns) {
			delete(got, right)
		}
		for _, right := range slices.Sorted(maps.Keys(got)) {
			if !want[right] {
				t.Errorf("in %q it may %s, which no role of the chart says", ns, right)
			}
		}
		for _, right := range slices.Sorted(maps.Keys(want)) {
			if !got[right] {
				t.Errorf("in %q it may not %s, which a role of the chart says", ns, right)
			}
		}
		t.Logf("%q: %d rights", ns, len(got))
	}
}

// can asks the API server for all rights of a user in a namespace, as
// `kubectl auth can-i --list` does.
func can(t *testing.T, user, ns string) map[string]bool {
	t.Helper()
	review := fmt.Sprintf(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":%q}}`, ns)
	out, err := command(t.Context(), []byte(review), "kubectl", "create", "--validate=false", "-f", "-", "-o", "json", "--as", user)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Status struct {
			Incomplete                      bool
			ResourceRules, NonResourceRules rules
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Status.Incomplete {
		t.Fatalf("the API server does not know all rights of %s", user)
	}
	all := single(answer.Status.ResourceRules)
	maps.Copy(all, single(answer.Status.NonResourceRules))
	return all
}

// single takes rules apart into rights of one verb on one resource each.
func single(all rules) map[string]bool {
	rights := map[string]bool{}
	for _, r := range all {
		names := r.ResourceNames
		if len(names) == 0 {
			names = []string{"any name"}
		}
		for _, verb := range r.Verbs {
			for _, url := range r.NonResourceURLs {
				rights[verb+" "+url] = true
			}
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					for _, name := range names {
						rights[fmt.Sprintf("%s %s.%s %s", verb, resource, group, name)] = true
					}
				}
			}
		}
	}
	return rights
}
