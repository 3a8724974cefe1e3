// Package chart tests the chart: what it renders, whether an API server takes it,
// and whether its alerts and dashboard ask for metrics that there are. It has a
// go.mod of its own because of Prometheus' parser. `make chart` runs it.
package chart

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the goldens, charts/cardea/README.md, docs/rbac.md and config/install.yaml")

// root is the checkout.
const root = "../.."

var chartDir = filepath.Join(root, "charts", "cardea")

// tool returns the path of a program that hack/tools builds.
func tool(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("CARDEA_TOOLS")
	if dir == "" {
		t.Fatal("CARDEA_TOOLS is not set; run `make chart`")
	}
	return filepath.Join(dir, name)
}

// run runs a program and returns what it wrote to the standard output.
func run(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, name), args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %q: %w: %s", name, args, err, &stderr)
	}
	return string(out), nil
}

// A rendering is what helm makes of the chart.
type rendering struct {
	hooks, manifest, notes string
}

// render renders the chart as the release cardea in the namespace cardea, without
// a cluster.
func render(t *testing.T, values string, flags ...string) (rendering, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"install", "cardea", chartDir, "--namespace", "cardea", "--dry-run=client", "--values", file}, flags...)
	out, err := run(t, "", "helm", args...)
	if err != nil {
		return rendering{}, err
	}
	_, rest, ok := strings.Cut(out, "\nHOOKS:\n")
	hooks, rest, ok2 := strings.Cut(rest, "MANIFEST:\n")
	manifest, notes, ok3 := strings.Cut(rest, "\nNOTES:\n")
	if !ok || !ok2 || !ok3 {
		return rendering{}, fmt.Errorf("helm install --dry-run printed no hooks, manifest and notes:\n%s", out)
	}
	return rendering{hooks, manifest, notes}, nil
}

func mustRender(t *testing.T, values string, flags ...string) rendering {
	t.Helper()
	r, err := render(t, values, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An object is one of Kubernetes, as its YAML says it.
type object map[string]any

func (o object) kind() string { s, _ := o["kind"].(string); return s }

func (o object) metadata() map[string]any { m, _ := o["metadata"].(map[string]any); return m }

func (o object) String() string {
	namespace, _ := o.metadata()["namespace"].(string)
	name, _ := o.metadata()["name"].(string)
	return strings.TrimPrefix(fmt.Sprintf("%s %s/%s", o.kind(), namespace, name), "/")
}

// objects takes a stream of YAML documents apart.
func objects(t *testing.T, stream string) (list []object) {
	t.Helper()
	for document := range strings.SplitSeq("\n"+stream, "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatalf("a document is not YAML: %v\n%s", err, document)
		}
		if o != nil {
			list = append(list, o)
		}
	}
	return list
}

// find returns the one object of a kind and name.
func find(t *testing.T, list []object, kind, name string) object {
	t.Helper()
	var found object
	for _, o := range list {
		if o.kind() == kind && o.metadata()["name"] == name {
			if found != nil {
				t.Fatalf("there are several %s %q, want one", kind, name)
			}
			found = o
		}
	}
	if found == nil {
		t.Fatalf("there is no %s %q", kind, name)
	}
	return found
}

func yamlOf(t *testing.T, o any) string {
	t.Helper()
	out, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// hold compares a generated file with what it should be, or writes it.
func hold(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what its source says; run `make chart ARGS=-update` and look at the diff", path)
	}
}
