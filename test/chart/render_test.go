package chart

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// TestRender holds what the chart renders for the main values files. A golden has
// the values, then the manifest and the notes that helm makes of them. The
// definition of IngressClassParameters is left out; TestDefinition holds it.
func TestRender(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			golden := txtar.Parse(text)
			r := mustRender(t, section(golden, "values.yaml"))
			manifest := withoutDefinition(r.manifest)
			if *update {
				golden.Files = []txtar.File{
					{Name: "values.yaml", Data: []byte(section(golden, "values.yaml"))},
					{Name: "manifest.yaml", Data: []byte(manifest)},
					{Name: "notes", Data: []byte(r.notes)},
				}
				if out := txtar.Format(golden); !bytes.Equal(out, text) {
					if err := os.WriteFile(file, out, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				return
			}
			if diff := cmp.Diff(section(golden, "manifest.yaml"), manifest); diff != "" {
				t.Errorf("manifest (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(section(golden, "notes"), r.notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// separator is what helm puts between documents: none of them is empty.
var separator = regexp.MustCompile(`\n+(---\n+)+`)

func withoutDefinition(manifest string) string {
	var kept []string
	for _, document := range separator.Split("\n"+manifest, -1) {
		document = strings.TrimSpace(document)
		if document != "" && !strings.Contains(document, "\nkind: CustomResourceDefinition\n") {
			kept = append(kept, document)
		}
	}
	return strings.Join(kept, "\n---\n") + "\n"
}

// TestDefinition holds that the chart's definition of IngressClassParameters is
// that of config/crd (`make generate` copies it), and that it stays when the release goes.
func TestDefinition(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(root, "config/crd/cardea.dev_ingressclassparameters.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	source := objects(t, string(want))[0]
	rendered := find(t, objects(t, mustRender(t, "").manifest), "CustomResourceDefinition", "ingressclassparameters.cardea.dev")
	if diff := cmp.Diff(source["spec"], rendered["spec"]); diff != "" {
		t.Errorf("spec as rendered (-config/crd +chart):\n%s", diff)
	}
	annotations, _ := rendered.metadata()["annotations"].(map[string]any)
	if got := annotations["helm.sh/resource-policy"]; got != "keep" {
		t.Errorf("helm.sh/resource-policy = %v, want keep", got)
	}
	for _, o := range objects(t, mustRender(t, "crds: {enabled: false}").manifest) {
		if o.kind() == "CustomResourceDefinition" {
			t.Errorf("crds.enabled=false renders %v, want no definition", o)
		}
	}
}

// TestLint runs helm's own judgement.
func TestLint(t *testing.T) {
	out, err := run(t, "", "helm", "lint", "--strict", chartDir)
	if err != nil {
		t.Errorf("helm lint --strict: %v\n%s", err, out)
	}
}
