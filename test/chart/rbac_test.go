package chart

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// why says what each right is for. The key is the resource, and where it is given
// if that matters: in Cardea's own namespace some rights mean something else.
var why = map[string]string{
	"ingresses":                       "what to serve",
	"ingressclasses":                  "which Ingresses are Cardea's",
	"ingressclassparameters":          "how classes are served",
	"referencegrants":                 "which Secrets and ConfigMaps Ingresses of other namespaces may name, where the Gateway API is installed",
	"services":                        "ports, ExternalName, the address to publish",
	"endpointslices":                  "endpoints",
	"ingresses/status":                "`status.loadBalancer`, written by the leader",
	"events":                          "Events on Ingresses, Secrets and classes; get and update so that the replicas share one",
	"secrets":                         "`get` reads a Secret that an Ingress names; `list` and `watch` carry metadata, to see that one changed, and the content at the start if many are named. Kubernetes knows no right to the metadata alone: **whoever may list Secrets can read them**",
	"configmaps":                      "`get` reads a ConfigMap that an Ingress names for the authority of its backends; `list` and `watch` carry metadata, to see that one changed. Without this right such Ingresses are closed (`ConfigMapUnreadable`), and all else is served",
	"leases own":                      "which replica is the leader",
	"secrets own":                     "the secrets of TLS session tickets, which the leader makes and rotates and all replicas read",
	"nodes":                           "addresses of the nodes, for `status.loadBalancer`",
	"validatingwebhookconfigurations": "the authority of the webhook's certificate, in its own configuration",
	"pods own":                        "on which nodes pods of Cardea are ready",
}

// TestRoles holds docs/rbac.md to the roles that the chart renders.
func TestRoles(t *testing.T) {
	var page strings.Builder
	page.WriteString(`# What Cardea may do in a cluster

<!-- Generated from what charts/cardea renders by "make chart ARGS=-update"; do not edit. -->

These are all rights of Cardea's ServiceAccount besides those that every account has. A test runs the controller with those of the first table and nothing else (` + "`TestRoleIsEnough`" + `); in a whole cluster another compares them with
what ` + "`kubectl auth can-i --list`" + ` says. Of users' objects Cardea writes the status of Ingresses alone, and Events about them; it reads no pods but its own and no namespace. Each table after the
first lists what a setting adds and takes away.
`)
	restricted := "rbac: {secrets: namespaces, secretNamespaces: [shop]}\n"
	for _, c := range []struct{ title, text, values string }{
		{"By default", "The Ingresses and Secrets of all namespaces.", ""},
		{
			"Secrets of some namespaces", "With `rbac.secrets: namespaces` and `rbac.secretNamespaces: [shop, blog]`. The Ingresses of all namespaces are served; an Ingress elsewhere that names a Secret has the Event `SecretUnreadable`, and Cardea does not ask the API server for it. " +
				"So the list decides which Secrets can be used, and not who can write an Ingress.",
			"rbac: {secrets: namespaces, secretNamespaces: [shop, blog]}",
		},
		{"One namespace", "With `controller.scope: {enabled: true, namespace: shop}`. Classes and their parameters have no namespace, and neither have Events on them, which are in `default`.", "controller: {scope: {enabled: true, namespace: shop}}"},
		{"Addresses of nodes", "With `controller.publishService.enabled: false`, or without a Service: the addresses of the nodes are written into the status of Ingresses, and these rights come along.", "controller: {publishService: {enabled: false}}"},
		{"Settings for all Ingresses", "With `controller.config` or `controller.extraArgs: {configmap: …}`: that one ConfigMap.", "controller: {config: {use-http2: \"false\"}}"},
		{"The webhook", "With `controller.admissionWebhooks.enabled`.", "controller: {admissionWebhooks: {enabled: true}}"},
		{"The Secret of a flag", "With `controller.extraArgs: {default-ssl-certificate: edge/default-tls}` and `rbac.secrets: namespaces`: the right to read that one.", restricted + "controller: {extraArgs: {default-ssl-certificate: edge/default-tls}}"},
	} {
		all := rightsOf(t, c.values)
		if c.values == "" {
			fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| where | resource | verbs | names | why |\n| --- | --- | --- | --- | --- |\n%s\n", c.title, c.text, strings.Join(all, "\n"))
			continue
		}
		than := ""
		if strings.HasPrefix(c.values, restricted) {
			than = restricted
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| | where | resource | verbs | names | why |\n| --- | --- | --- | --- | --- | --- |\n%s\n", c.title, c.text,
			strings.Join(differences(rightsOf(t, than), all), "\n"))
	}
	page.WriteString("\n## Without the chart\n\n[config/rbac](../config/rbac) has the same roles as files, and [config/optional/webhook](../config/optional/webhook) those of the webhook; a test compares them with these tables. `rbac.create: false` makes none, and you bind your own.\n")
	hold(t, filepath.Join(root, "docs", "rbac.md"), page.String())
}

// differences returns the lines of after that are not in before, then those that are
// gone.
func differences(before, after []string) (lines []string) {
	for _, line := range after {
		if !slices.Contains(before, line) {
			lines = append(lines, "| added "+line)
		}
	}
	for _, line := range before {
		if !slices.Contains(after, line) {
			lines = append(lines, "| gone "+line)
		}
	}
	return lines
}

// rightsOf returns what the chart gives with the values, a line each.
func rightsOf(t *testing.T, values string) []string {
	t.Helper()
	return rights(t, objects(t, mustRender(t, values).manifest))
}

// rights returns the lines of the table.
func rights(t *testing.T, list []object) (lines []string) {
	t.Helper()
	for _, o := range list {
		if o.kind() != "ClusterRole" && o.kind() != "Role" {
			continue
		}
		namespace, _ := o.metadata()["namespace"].(string)
		where := "cluster"
		if namespace != "" {
			where = "namespace `" + namespace + "`"
		}
		for _, rule := range sorted(t, o["rules"].([]any)) {
			rule := rule.(map[string]any)
			resource := rule["resources"].([]any)[0].(string)
			reason, ok := why[resource+" own"]
			if !ok || namespace != "cardea" {
				reason, ok = why[resource]
			}
			if resource == "secrets" && strings.HasSuffix(o.metadata()["name"].(string), "-certificate") {
				reason = "the Secret of `--default-ssl-certificate`"
			}
			if resource == "secrets" && strings.HasSuffix(o.metadata()["name"].(string), "-webhook") {
				reason = "the certificate of the webhook, which the leader makes and all replicas serve"
			}
			if resource == "configmaps" && strings.HasSuffix(o.metadata()["name"].(string), "-configmap") {
				reason = "settings for all Ingresses"
			}
			if !ok {
				t.Errorf("%v: nothing is said about %s", o, resource)
			}
			if group := rule["apiGroups"].([]any)[0].(string); group != "" {
				resource += " (" + group + ")"
			}
			lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s | %s |", where, resource, words(rule["verbs"]), words(rule["resourceNames"]), reason))
		}
	}
	slices.Sort(lines)
	return lines
}

func words(list any) string {
	var all []string
	items, _ := list.([]any)
	for _, item := range items {
		all = append(all, item.(string))
	}
	return strings.Join(all, ", ")
}

// TestRolesAreAsNarrowAsTheySay holds for each kind of installation that no role
// reaches farther than it should.
func TestRolesAreAsNarrowAsTheySay(t *testing.T) {
	for _, c := range []struct {
		name, values string
		secretsIn    []string // namespaces in which Secrets may be listed; "" is the cluster
	}{
		{"cluster", "", []string{""}},
		{"namespaces", "rbac: {secrets: namespaces, secretNamespaces: [shop, blog, shop]}", []string{"blog", "shop"}},
		{"scope", "controller: {scope: {enabled: true}}", []string{"cardea"}},
		{"scope elsewhere", "controller: {scope: {enabled: true, namespace: shop}}", []string{"shop"}},
		{"none", "rbac: {create: false}", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var secretsIn []string
			for _, o := range objects(t, mustRender(t, c.values).manifest) {
				if o.kind() != "ClusterRole" && o.kind() != "Role" {
					continue
				}
				namespace, _ := o.metadata()["namespace"].(string)
				for _, rule := range sorted(t, o["rules"].([]any)) {
					rule := rule.(map[string]any)
					verbs, resource := words(rule["verbs"]), words(rule["resources"])
					if strings.Contains(verbs+resource+words(rule["apiGroups"]), "*") || strings.Contains(verbs, "delete") {
						t.Errorf("%v: %s on %s, want neither * nor delete", o, verbs, resource)
					}
					if resource == "secrets" && strings.Contains(verbs, "list") {
						secretsIn = append(secretsIn, namespace)
					}
				}
			}
			slices.Sort(secretsIn)
			if !slices.Equal(secretsIn, c.secretsIn) {
				t.Errorf("Secrets may be listed in %q, want %q", secretsIn, c.secretsIn)
			}
		})
	}
}
