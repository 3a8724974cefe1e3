// Package test holds the policies of the whole repository as tests, and the
// suites that run the program as a whole: features, end to end, benchmarks.
package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cardea-dev/cardea"

// mayImport states which packages of this module each package may import. It is
// a statement of the architecture: an edge is added here only together with the
// reason for it in ARCHITECTURE.md, never to make a build pass.
var mayImport = map[string][]string{
	"dataplane/snapshot": {},
	"dataplane/message":  {},
	"dataplane/socket":   {},
	"dataplane/ocsp":     {},
	"api/annotation":     {},
	"api/configmap":      {"api/annotation"},
	"api/v1alpha1":       {},
	"api/gateway":        {},

	"dataplane/outcome":  {"dataplane/snapshot"},
	"dataplane/http1":    {"dataplane/message", "dataplane/outcome"},
	"dataplane/http2":    {"dataplane/message", "dataplane/outcome"},
	"dataplane/listen":   {"dataplane/snapshot", "dataplane/outcome", "dataplane/socket"},
	"dataplane/observe":  {"dataplane/snapshot", "dataplane/outcome"},
	"dataplane/upstream": {"dataplane/snapshot", "dataplane/outcome", "dataplane/message", "dataplane/socket", "dataplane/http1", "dataplane/http2"},
	"dataplane/proxy":    {"dataplane/snapshot", "dataplane/outcome", "dataplane/message", "dataplane/upstream"},
	"dataplane/filter":   {"dataplane/snapshot", "dataplane/outcome", "dataplane/message", "dataplane/upstream", "dataplane/proxy"},
	"dataplane": {
		"dataplane/snapshot", "dataplane/outcome", "dataplane/message", "dataplane/http1", "dataplane/http2", "dataplane/listen", "dataplane/ocsp",
		"dataplane/upstream", "dataplane/proxy", "dataplane/filter",
	},

	"controllers/translate": {"api/annotation", "api/configmap", "api/gateway", "api/v1alpha1", "dataplane/snapshot"},
	"controllers/secrets":   {"controllers/translate", "dataplane/snapshot"},
	"controllers/manifest":  {"controllers/translate", "api/gateway", "api/v1alpha1", "dataplane/snapshot"},
	"controllers/files":     {},
	"controllers": {
		"controllers/translate", "controllers/secrets", "api/annotation", "api/gateway", "api/v1alpha1", "dataplane/snapshot", "dataplane/outcome",
	},

	"cmd/cli":    {"*"},
	"cmd/cardea": {"cmd/cli"},

	"hack/echkey":             {},
	"hack/image":              {},
	"hack/cluster/pause":      {},
	"hack/release/provenance": {},

	"test":                 {},
	"test/harness":         {"*"},
	"test/leak":            {},
	"test/page":            {},
	"test/process":         {},
	"test/soak":            {},
	"test/e2e":             {},
	"test/cluster":         {},
	"test/cluster/backend": {},
	"test/bench":           {},
	"test/fips":            {},
	"test/scan":            {},
	"test/scale":           {},
	"test/ech":             {},
	"test/responder":       {},
}

// forbidden dependencies, direct or not, by prefix of the importing package.
var forbidden = []struct{ from, dep, why string }{
	{"dataplane", "k8s.io/", "the data plane knows no Kubernetes"},
	{"dataplane", "sigs.k8s.io/", "the data plane knows no Kubernetes"},
	{"dataplane", "github.com/go-logr/", "the data plane logs through slog"},
	{"dataplane/listen", "net/http", "the TLS front knows nothing of HTTP"},
	{"dataplane/http1", "net/http", "the engine replaces net/http; only its tests use it, as the oracle"},
	{"dataplane/http2", "net/http", "the engine replaces net/http; only its tests use it, as the oracle"},
	{"dataplane/proxy", "net/http", "net/http stays off the hot path"},
	{"dataplane/upstream", "net/http", "net/http stays off the hot path"},
}

type listed struct {
	ImportPath, Dir        string
	Imports, Deps, GoFiles []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,Deps,GoFiles", module+"/...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
	return all
}

func local(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name := local(p.ImportPath)
		allowed, ok := mayImport[name]
		if !ok && len(p.GoFiles) > 0 {
			t.Errorf("package %q is not in the import table", name)
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module+"/") {
				continue
			}
			if !slices.Contains(allowed, local(imp)) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s, which the import table does not list", name, local(imp))
			}
		}
		for _, f := range forbidden {
			if name != f.from && !strings.HasPrefix(name, f.from+"/") {
				continue
			}
			for _, dep := range p.Deps {
				if dep == f.dep || strings.HasSuffix(f.dep, "/") && strings.HasPrefix(dep, f.dep) {
					t.Errorf("%s depends on %s: %s", name, dep, f.why)
				}
			}
		}
	}
}

// TestPackageComments holds that every package says what it is for, once.
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		var with []string
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil && !isGenerated(file) {
				with = append(with, f)
			}
		}
		if len(p.GoFiles) > 0 && len(with) != 1 {
			t.Errorf("package %s has %d package comments (%q), want 1", local(p.ImportPath), len(with), with)
		}
	}
}

func isGenerated(f *ast.File) bool { return ast.IsGenerated(f) }

// TestNoPrivateKeys holds that the repository contains no private key.
func TestNoPrivateKeys(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	marker := []byte("PRIVATE " + "KEY-----\n")
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			continue // deleted in the working tree
		}
		if i := bytes.Index(data, marker); i >= 0 && bytes.Contains(data[i:], []byte("-----END ")) && len(data[i:]) > 150 && looksBase64(data[i+len(marker):]) {
			t.Errorf("%s contains a private key", name)
		}
	}
}

func looksBase64(b []byte) bool {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return len(line) >= 40 && !bytes.ContainsAny(line, " \"{}();,")
}
