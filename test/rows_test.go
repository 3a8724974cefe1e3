package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rows is how many requirements docs/tls.md has a row for at its end.
const rows = 81

// TestRows holds docs/tls.md and the tests to each other: every row names tests
// that carry its number, every test that carries the number of a row is named
// there.
func TestRows(t *testing.T) {
	tests := rowTests(t)
	page, err := os.ReadFile("../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	written := map[int]bool{}
	line := regexp.MustCompile(`(?m)^\| (\d+) \|.*$`)
	name := regexp.MustCompile("`(TestRow(\\d+)[A-Za-z]\\w*)`")
	for _, m := range line.FindAllStringSubmatch(string(page), -1) {
		n, _ := strconv.Atoi(m[1])
		if n < 1 || n > rows || written[n] {
			t.Errorf("docs/tls.md: row %d is there twice, or is none of the %d", n, rows)
		}
		written[n] = true
		named := map[string]bool{}
		for _, test := range name.FindAllStringSubmatch(m[0], -1) {
			named[test[1]] = true
			if test[2] != m[1] || !tests[n][test[1]] {
				t.Errorf("docs/tls.md: row %d names %s, which is no test of it", n, test[1])
			}
		}
		for test := range tests[n] {
			if !named[test] {
				t.Errorf("docs/tls.md: row %d does not name %s", n, test)
			}
		}
		if len(named) == 0 {
			t.Errorf("docs/tls.md: row %d names no test", n)
		}
	}
	for n := 1; n <= rows; n++ {
		if !written[n] {
			t.Errorf("docs/tls.md has no row %d, which %v test", n, slices.Sorted(maps.Keys(tests[n])))
		}
	}
}

// rowTests returns the names of the tests that carry a row's number, by number.
// It reads the files that are in the repository, whatever their build tags.
func rowTests(t *testing.T) map[int]map[string]bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "-c", "-o", "--exclude-standard", "*_test.go")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	name := regexp.MustCompile(`^TestRow(\d+)`)
	tests := map[int]map[string]bool{}
	for path := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		source, err := os.ReadFile(filepath.Join("..", path))
		if err != nil || !strings.Contains(string(source), "func TestRow") {
			continue // deleted in the working tree, or none of them
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			m := name.FindStringSubmatch(f.Name.Name)
			if m == nil {
				continue
			}
			n, _ := strconv.Atoi(m[1])
			if n > rows {
				continue // of another page
			}
			if tests[n] == nil {
				tests[n] = map[string]bool{}
			}
			tests[n][f.Name.Name] = true
		}
	}
	return tests
}

// TestRow9HandshakesKnowNoHTTP: what accepts connections and authenticates them
// reaches neither net/http nor an engine of ours.
func TestRow9HandshakesKnowNoHTTP(t *testing.T) {
	p := packageOf(t, "dataplane/listen")
	for _, dep := range p.Deps {
		if dep == "net/http" || strings.HasPrefix(dep, "golang.org/x/net/http") || slices.Contains(
			[]string{"dataplane/http1", "dataplane/http2", "dataplane/proxy", "dataplane/message"}, local(dep)) {
			t.Errorf("dataplane/listen depends on %s", dep)
		}
	}
}

// TestRow14NothingIsReadOutOfALog: the data plane serves by no net/http server, so
// that nobody has to make sense of the text in its ErrorLog.
func TestRow14NothingIsReadOutOfALog(t *testing.T) {
	for _, p := range packages(t) {
		if !strings.HasPrefix(local(p.ImportPath), "dataplane") {
			continue
		}
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "http" && s.Sel.Name == "Server" || s.Sel.Name == "ErrorLog" {
					t.Errorf("%s/%s uses %s", local(p.ImportPath), f, s.Sel.Name)
				}
				return true
			})
		}
	}
}

func packageOf(t *testing.T, name string) listed {
	t.Helper()
	for _, p := range packages(t) {
		if local(p.ImportPath) == name {
			return p
		}
	}
	t.Fatalf("there is no package %s", name)
	return listed{}
}
