package manifest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the results into testdata")

// TestRead runs testdata/*.txtar: the files of a folder, and under "want" the
// objects and problems that they give.
func TestRead(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("testdata: %d files, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var want string
			for _, f := range a.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				write(t, dir, f.Name, string(f.Data))
			}
			set, err := NewFolder(dir).Read()
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				a.Files[len(a.Files)-1].Data = []byte(render(set))
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, render(set)); diff != "" {
				t.Errorf("Read(%s) (-want +got):\n%s", name, diff)
			}
		})
	}
}

func render(set Set) string {
	var b strings.Builder
	for _, o := range set.Objects {
		fmt.Fprintln(&b, keyOf(o))
	}
	for _, p := range set.Problems {
		fmt.Fprintf(&b, "%s %s\n", p.Level, p)
	}
	return b.String()
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Two runs, and two replicas, agree on what is older and on what is the same.
func TestIdentityIsStable(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", service("web", 80))
	read := func() Object {
		set, err := NewFolder(dir).Read()
		if err != nil || len(set.Objects) != 1 {
			t.Fatalf("Read() = %d objects, %v, want 1", len(set.Objects), err)
		}
		return set.Objects[0]
	}
	a, b := read(), read()
	if a.GetUID() == "" || a.GetUID() != b.GetUID() || a.GetResourceVersion() != b.GetResourceVersion() {
		t.Errorf("identity = %s@%s, then %s@%s, want the same", a.GetUID(), a.GetResourceVersion(), b.GetUID(), b.GetResourceVersion())
	}
	write(t, dir, "a.yaml", service("web", 81))
	if c := read(); c.GetUID() != a.GetUID() || c.GetResourceVersion() == a.GetResourceVersion() {
		t.Errorf("after an edit: identity = %s@%s, want UID %s and another version", c.GetUID(), c.GetResourceVersion(), a.GetUID())
	}
	if ts := a.GetCreationTimestamp(); !ts.IsZero() {
		t.Errorf("creationTimestamp = %v, want none", ts)
	}
}

// A problem with a Secret must not tell what is in it.
func TestProblemsQuoteNoSecret(t *testing.T) {
	const word = "hunter2hunter2"
	for _, text := range []string{
		"data: {tls.key: '" + word + "!'}",
		"data: {tls.key: {a: " + word + "}}",
		"data: [" + word + "]",
		"data: " + word,
		"stringData: {tls.key: [" + word + "]}",
		"stringData: {tls.key: {" + word + ": x}}",
		"type: kubernetes.io/tls\nstringData: {other: " + word + "}",
		"stringData:\n  tls.key: |\n    a\n  " + word,
		"stringData:\n  tls.key: \"" + word,
		"data:\n  tls.key: " + word + "\n  tls.key: " + word,
		"data: {tls.key: 12345678901234}",
	} {
		dir := t.TempDir()
		write(t, dir, "s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"+text+"\n")
		set, err := NewFolder(dir).Read()
		if err != nil {
			t.Fatal(err)
		}
		if len(set.Errors()) == 0 {
			t.Errorf("Read(%q): no error, want one", text)
		}
		if got := render(set); strings.Contains(got, word) || strings.Contains(got, "1234567") {
			t.Errorf("Read(%q) tells the value: %s", text, got)
		}
	}
}

func service(name string, port int) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: %d}]}\n", name, port)
}

func FuzzRead(f *testing.F) {
	f.Add("a.yaml", service("web", 80)+"---\n"+service("api", 81))
	f.Add("a.json", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret"}]}`)
	f.Add("b.yaml", "kind: IngressList\napiVersion: networking.k8s.io/v1\nitems: [{spec: {rules: [{}]}}]")
	f.Fuzz(func(t *testing.T, name, text string) {
		objects, problems, _ := read(name, []byte(text), nil)
		for _, o := range objects {
			if o.GetName() == "" || o.GetUID() == "" {
				t.Errorf("an object without name or UID: %v", keyOf(o))
			}
		}
		last := 2 + yamlBreaks(text)
		for _, p := range problems {
			if p.Line < 0 || p.Line > last || p.Message == "" {
				t.Errorf("problem %q (line %d) of a text of %d lines", p, p.Line, last)
			}
		}
	})
}

// yamlBreaks counts the line breaks of YAML (1.1, §4.1.4): a lone carriage return
// and some of Unicode are breaks as well.
func yamlBreaks(text string) int {
	n := 0
	for _, b := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		n += strings.Count(text, b)
	}
	return n
}
