package test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Row 20: nothing but the standard library has code in another language than Go.
func TestRow20NoNativeCode(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		"{{if and (not .Standard) (or .CgoFiles .CFiles .CXXFiles)}}{{.ImportPath}}{{end}}", "./cmd/cardea")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if native := strings.Fields(string(out)); len(native) > 0 {
		t.Errorf("packages with native code: %q, want none", native)
	}
}

// Row 38: the map of the repository names every package with the concern it has.
func TestRow38SourceMap(t *testing.T) {
	page, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range mayImport {
		if !strings.HasPrefix(name, "dataplane") && !strings.HasPrefix(name, "controllers") && !strings.HasPrefix(name, "api/") {
			continue
		}
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("ARCHITECTURE.md has no row for %s", name)
		}
	}
}
