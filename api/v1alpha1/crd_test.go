package v1alpha1_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/test/page"
)

var update = flag.Bool("update", false, "write docs/parameters.md")

// A schema is the part of a structural schema that the documentation shows.
type schema struct {
	Description string            `json:"description"`
	Type        string            `json:"type"`
	Default     any               `json:"default"`
	Enum        []any             `json:"enum"`
	Properties  map[string]schema `json:"properties"`
	Items       *schema           `json:"items"`
	Required    []string          `json:"required"`
	Rules       []struct {
		Rule    string `json:"rule"`
		Message string `json:"message"`
	} `json:"x-kubernetes-validations"`
}

type definition struct {
	Spec struct {
		Group string
		Names struct{ Kind, Plural string }
		Scope string
		// Versions has one element.
		Versions []struct {
			Name   string
			Schema struct{ OpenAPIV3Schema schema }
		}
	}
}

func readDefinition(t *testing.T) (d definition) {
	t.Helper()
	text, err := os.ReadFile("../../config/crd/cardea.dev_ingressclassparameters.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Spec.Versions) != 1 {
		t.Fatalf("the definition has %d versions, want 1", len(d.Spec.Versions))
	}
	return d
}

// TestDefinition holds what is generated from markers equal to what is written in
// Go: names and closed lists.
func TestDefinition(t *testing.T) {
	d := readDefinition(t)
	if d.Spec.Group != v1alpha1.GroupVersion.Group || d.Spec.Versions[0].Name != v1alpha1.GroupVersion.Version ||
		d.Spec.Names.Kind != v1alpha1.Kind || d.Spec.Names.Plural != v1alpha1.Resource || d.Spec.Scope != "Cluster" {
		t.Errorf("the definition is of %+v, want %s %s", d.Spec.Names, v1alpha1.GroupVersion, v1alpha1.Kind)
	}
	policy := d.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["tls"].Properties["custom"]
	for field, want := range map[string]string{
		"minVersion":   fmt.Sprint(v1alpha1.TLSVersions()),
		"maxVersion":   fmt.Sprint(v1alpha1.TLSVersions()),
		"cipherSuites": fmt.Sprint(v1alpha1.CipherSuites()),
		"curves":       fmt.Sprint(v1alpha1.Curves()),
	} {
		s := policy.Properties[field]
		if s.Items != nil {
			s = *s.Items
		}
		if got := fmt.Sprint(s.Enum); got != want {
			t.Errorf("the definition lists %s %s, want %s", field, got, want)
		}
	}
}

// TestEveryFieldIsDocumented: a field without a description is a field that nobody
// can use.
func TestEveryFieldIsDocumented(t *testing.T) {
	walk(readDefinition(t).Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"], "spec", func(path string, s schema) {
		if s.Description == "" {
			t.Errorf("%s has no description", path)
		}
	})
}

// walk calls f for every field below s, sorted.
func walk(s schema, path string, f func(path string, s schema)) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		at := path + "." + name
		f(at, p)
		if p.Items != nil && p.Items.Properties != nil {
			walk(*p.Items, at+"[]", f)
		}
		walk(p, at, f)
	}
}

// TestDocumentation holds docs/parameters.md equal to the definition.
func TestDocumentation(t *testing.T) {
	page.Hold(t, "parameters.md", definitionPage(readDefinition(t)), *update)
}

func definitionPage(d definition) string {
	var b strings.Builder
	s := d.Spec.Versions[0].Schema.OpenAPIV3Schema
	b.WriteString(`# IngressClassParameters

<!-- Generated from config/crd by "go test ./api/v1alpha1 -update". -->

`)
	b.WriteString(s.Description + "\n")
	b.WriteString(`
` + "```yaml" + `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: cardea}
spec:
  controller: cardea.dev/ingress-controller
  parameters: {apiGroup: cardea.dev, kind: IngressClassParameters, name: cardea, scope: Cluster}
---
apiVersion: cardea.dev/v1alpha1
kind: IngressClassParameters
metadata: {name: cardea}
spec:
  tls:
    policy: modern
    policies:
    - name: old-clients
      cipherSuites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]
` + "```" + `

The definition is in [config/crd](../config/crd); it needs Kubernetes 1.31 or later. Its rules keep parameters that contradict themselves
from being stored, and a folder of YAML is held to the same rules. Should some slip through all the same, they are refused as a whole: their
author is told by an Event, the hosts of the class have the policy ` + "`intermediate`" + `, and the strict defaults apply to the rest. A change is in force within a fraction of a second, and no connection is cut.

## What is left of bad parameters

A bad configuration never opens a door, so not everything of refused parameters is dropped:

| parameters | what counts |
| --- | --- |
| refused, ` + "`connections`" + ` can be read | ` + "`connections`" + `; of ` + "`proxyProtocol.trustedCIDRs`" + ` and ` + "`trustedCIDRs`" + ` the networks that can be read, and nobody if there is none; ` + "`tls.unknownSNI: reject`" + `. Flags fill in only what the parameters leave open. |
| refused, a network or a limit in ` + "`connections`" + ` cannot be read | nobody can know whom it was to keep out: all paths answer 503 (` + "`config_rejected`" + `), and nothing is passed through |
| named by a class and not there | the flags, and the strict defaults |

Nothing is remembered of parameters that are gone: a replica that begins after they went could not know it, and replicas would serve differently. To delete them is therefore to say that they no longer hold. Who wants
connections restricted whatever happens to objects writes it into the flags ` + "`--connections-…`" + ` as well; [config/optional/keep-parameters.yaml](../config/optional/keep-parameters.yaml), an admission policy, keeps
parameters from being deleted by accident. Every case has a [verdict](verdicts.md), an Event, and a count in ` + "`cardea_verdicts`" + `: ` + "`ParametersInvalid`" + `, ` + "`ParametersClosed`" + ` and ` + "`ParametersNotFound`" + `.

## Fields

| field | type | default | meaning |
| --- | --- | --- | --- |
`)
	rules := new(strings.Builder)
	first := make(map[string]string)
	walk(s.Properties["spec"], "spec", func(path string, s schema) {
		text := meaning(s)
		if other, told := first[text]; told {
			text = "As `" + other + "`."
		} else {
			first[text] = path
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", path, typeOf(s), defaultOf(s), text)
		of := s
		if s.Items != nil {
			of = *s.Items
			path += "[]"
		}
		for _, r := range of.Rules {
			fmt.Fprintf(rules, "- `%s`: %s.\n", path, strings.TrimSuffix(r.Message, "."))
		}
	})
	b.WriteString("\n## Rules\n\n" + rules.String())
	return b.String()
}

func typeOf(s schema) string {
	switch {
	case s.Items != nil && s.Items.Properties != nil:
		return "list of objects"
	case s.Items != nil:
		return "list of " + s.Items.Type + "s"
	}
	return s.Type
}

func defaultOf(s schema) string {
	if s.Default == nil || s.Type == "object" {
		return ""
	}
	return fmt.Sprintf("`%v`", s.Default)
}

func meaning(s schema) string {
	text := strings.Join(strings.Fields(s.Description), " ")
	of := s
	if s.Items != nil {
		of = *s.Items
	}
	var words []string
	for _, w := range of.Enum {
		words = append(words, fmt.Sprintf("`%v`", w))
	}
	switch {
	case len(words) > 0 && s.Items != nil:
		text += " Each one of " + strings.Join(words, ", ") + "."
	case len(words) > 0:
		text += " One of " + strings.Join(words, ", ") + "."
	}
	return text
}
