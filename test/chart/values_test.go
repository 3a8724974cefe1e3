package chart

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// A value is one entry of values.yaml with a comment that begins with "# --".
type value struct {
	Path, Type, Default, Description string
}

// readValues reads values.yaml with its comments. Every leaf must have one, or be
// part of a value that has.
func readValues(t *testing.T) []value {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var all []value
	var walk func(path string, n *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, node := n.Content[i], n.Content[i+1]
			at := strings.TrimPrefix(path+"."+key.Value, ".")
			_, description, documented := strings.Cut(key.HeadComment, "# -- ")
			switch {
			case documented:
				all = append(all, value{at, typeOf(node), inline(t, node), strings.ReplaceAll(description, "\n# ", " ")})
			case node.Kind == yaml.MappingNode && len(node.Content) > 0:
				walk(at, node)
			default:
				t.Errorf("values.yaml: %s has no comment that begins with \"# --\"", at)
			}
		}
	}
	walk("", document.Content[0])
	return all
}

func typeOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "object"
	case yaml.SequenceNode:
		return "list"
	default:
		return map[string]string{"!!bool": "bool", "!!int": "int"}[n.Tag]
	}
}

func inline(t *testing.T, n *yaml.Node) string {
	t.Helper()
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

// TestReadme holds that README.md is README.md.gotmpl with the values of
// values.yaml, in the manner of helm-docs.
func TestReadme(t *testing.T) {
	var table strings.Builder
	table.WriteString("| Key | Type | Default | Description |\n|-----|------|---------|-------------|\n")
	for _, v := range readValues(t) {
		fmt.Fprintf(&table, "| %s | %s | `%s` | %s |\n", v.Path, cmp.Or(v.Type, "string"), strings.ReplaceAll(v.Default, "|", `\|`), v.Description)
	}
	page, err := template.ParseFiles(filepath.Join(chartDir, "README.md.gotmpl"))
	if err != nil {
		t.Fatal(err)
	}
	var chart struct {
		Version     string `yaml:"version"`
		AppVersion  string `yaml:"appVersion"`
		KubeVersion string `yaml:"kubeVersion"`
		Description string `yaml:"description"`
	}
	text, err := os.ReadFile(filepath.Join(chartDir, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := page.Execute(&out, map[string]any{"Chart": chart, "Values": table.String()}); err != nil {
		t.Fatal(err)
	}
	hold(t, filepath.Join(chartDir, "README.md"), out.String())
}

// A schema is the part of a JSON schema that the test reads.
type schema struct {
	Description string
	Ref         string `json:"$ref"`
	Properties  map[string]*schema
	AllOf       []*schema
	Defs        map[string]*schema `json:"$defs"`
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := new(schema)
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// property finds what the schema says of a path; nil if nothing.
func (s *schema) property(path string) *schema {
	at := s
	for name := range strings.SplitSeq(path, ".") {
		if at = s.resolve(at, name); at == nil {
			return nil
		}
	}
	return at
}

func (s *schema) resolve(at *schema, name string) *schema {
	if p, ok := at.Properties[name]; ok {
		return p
	}
	for _, part := range append(at.AllOf, s.Defs[strings.TrimPrefix(at.Ref, "#/$defs/")]) {
		if part == nil {
			continue
		}
		if p := s.resolve(part, name); p != nil {
			return p
		}
	}
	return nil
}

// TestSchemaKnowsValues holds that the schema describes every value, in the same
// words.
func TestSchemaKnowsValues(t *testing.T) {
	s := readSchema(t)
	for _, v := range readValues(t) {
		p := s.property(v.Path)
		if p == nil {
			t.Errorf("values.schema.json does not know %s", v.Path)
		} else if p.Description != v.Description {
			t.Errorf("values.schema.json says of %s %q, want what values.yaml says, %q", v.Path, p.Description, v.Description)
		}
	}
}

// TestSchemaRefuses holds that wrong values are refused with the place and what was
// wanted.
func TestSchemaRefuses(t *testing.T) {
	for _, c := range []struct{ values, want string }{
		{"controller: {kind: StatefulSet}", "at '/controller/kind': value must be one of 'Deployment', 'DaemonSet'"},
		{"controller: {replicas: 3}", "at '/controller': additional properties 'replicas' not allowed"},
		{"controler: {}", "additional properties 'controler' not allowed"},
		{"controller: {replicaCount: three}", "at '/controller/replicaCount': got string, want integer"},
		{"controller: {containerPort: {http: 70000}}", "at '/controller/containerPort/http': maximum: got 70,000, want 65,535"},
		{"controller: {service: {type: Loadbalancer}}", "at '/controller/service/type': value must be one of"},
		{"controller: {service: {tpye: NodePort}}", "at '/controller/service/tpye'"},
		{"controller: {service: {externalTrafficPolicy: local}}", "at '/controller/service/externalTrafficPolicy': value must be one of"},
		{"controller: {service: {internal: {enable: true}}}", "at '/controller/service/internal/enable'"},
		{"controller: {image: {digest: latest}}", "at '/controller/image/digest'"},
		{"controller: {ingressClassResource: {controllerValue: nginx}}", "at '/controller/ingressClassResource/controllerValue'"},
		{"controller: {publishService: {pathOverride: name}}", "at '/controller/publishService/pathOverride'"},
		{"controller: {resources: {limits: {memory: 512MB}}}", "at '/controller/resources/limits/memory'"},
		{"controller: {resources: {limit: {memory: 512Mi}}}", "at '/controller/resources': additional properties 'limit' not allowed"},
		{"controller: {extraArgs: {--log-level: debug}}", "at '/controller/extraArgs'"},
		{"controller: {extraArgs: [--log-level=debug]}", "at '/controller/extraArgs': got array, want object"},
		{"controller: {config: {add-headers: {X-A: b}}}", "at '/controller/config/add-headers'"},
		{"rbac: {secrets: namespace}", "at '/rbac/secrets': value must be one of 'cluster', 'namespaces'"},
		// What a schema cannot say.
		{"rbac: {secrets: namespaces}", "rbac.secrets: namespaces: want rbac.secretNamespaces"},
		{"rbac: {scope: true}", "rbac.scope: want controller.scope.enabled"},
		{"controller: {terminationGracePeriodSeconds: 20}", "want at least controller.shutdownDelaySeconds (10) and 11 more"},
		{"controller: {admissionWebhooks: {enabled: true, port: 8443}}", "controller.admissionWebhooks.port 8443: want a port of its own"},
		{"controller: {admissionWebhooks: {failurePolicy: Maybe}}", "failurePolicy"},
	} {
		_, err := render(t, c.values)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("values %s: error = %v, want one that says %q", c.values, err, c.want)
		}
	}
}

// TestIgnoredValues sets each value of ingress-nginx that has no effect: the schema
// takes it, the notes name it with the reason, and the manifest is the same.
func TestIgnoredValues(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chartDir, "templates", "_ignored.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(text), `define "cardea.ignoredValues" -}}`)
	list, _, ok2 := strings.Cut(list, "{{- end }}")
	if !ok || !ok2 {
		t.Fatal("_ignored.tpl has no list of ignored values")
	}
	values := make(map[string]any)
	reasons := make(map[string]string)
	for line := range strings.SplitSeq(strings.TrimSpace(list), "\n") {
		path, reason, _ := strings.Cut(line, "|")
		reasons[path] = reason
		at := values
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = make(map[string]any)
				at[name] = next
			}
			at = next
		}
		at[names[len(names)-1]] = ignoredExample(path)
	}
	set, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	plain, r := mustRender(t, ""), mustRender(t, string(set))
	if plain.manifest != r.manifest {
		t.Errorf("values that are said to have no effect change the manifest")
	}
	for path, reason := range reasons {
		if line := "\n  - " + path + ": " + reason + "\n"; !strings.Contains(r.notes+"\n", line) {
			t.Errorf("the notes do not say %q", strings.TrimSpace(line))
		}
	}
	if strings.Contains(plain.notes, "no effect") {
		t.Errorf("notes without values = %q, want no warning", plain.notes)
	}
}

// ignoredExample is a value as ingress-nginx has it at a path.
func ignoredExample(path string) any {
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "addHeaders", "proxySetHeaders", "lifecycle", "tcp", "udp":
		return map[string]any{"x": map[string]any{}}
	case "extraModules":
		return []any{map[string]any{"name": "x"}}
	case "existingPsp", "healthCheckPath", "maxmindLicenseKey", "configMapName", "configMapNamespace", "namespaceSelector", "dhParam", "portNamePrefix":
		return "x"
	default:
		return true
	}
}

// TestChartYAML holds what Artifact Hub is told to what there is: the image that
// runs, the definition, and an example of it that an API server takes.
func TestChartYAML(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chartDir, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var chart struct {
		Annotations map[string]string
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	var images []struct{ Name, Image string }
	var definitions []struct{ Kind, Version, Name string }
	var links []struct{ URL string }
	var examples []map[string]any
	for key, to := range map[string]any{"images": &images, "crds": &definitions, "crdsExamples": &examples, "links": &links} {
		if err := yaml.Unmarshal([]byte(chart.Annotations["artifacthub.io/"+key]), to); err != nil {
			t.Fatalf("artifacthub.io/%s: %v", key, err)
		}
	}
	list := objects(t, mustRender(t, "").manifest)
	pod := find(t, list, "Deployment", "cardea")["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	if image := pod["containers"].([]any)[0].(map[string]any)["image"]; len(images) != 1 || images[0].Image != image {
		t.Errorf("images = %v, want the one that runs, %v", images, image)
	}
	for _, d := range definitions {
		find(t, list, "CustomResourceDefinition", d.Name)
	}
	for _, l := range links {
		if _, path, ok := strings.Cut(l.URL, "/blob/main/"); ok {
			readText(t, path)
		}
	}
	mustKubectl(t, "", "apply", "-f", filepath.Join(root, "config", "crd"))
	t.Cleanup(func() { mustKubectlAfter(t, "delete", "-f", filepath.Join(root, "config", "crd")) })
	mustKubectl(t, "", "wait", "--for=condition=Established", "crd/ingressclassparameters.cardea.dev", "--timeout=20s")
	for _, e := range examples {
		mustKubectl(t, yamlOf(t, e), "apply", "--dry-run=server", "--validate=strict", "-f", "-")
	}
}
