package test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// TestLimitsPage holds docs/limits.md to what there is: each line names reasons of the
// closed list, metrics that are documented, and tests that exist.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := exec.Command("git", "ls-files", "--full-name", "../*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for name := range strings.FieldsSeq(string(files)) {
		b, err := os.ReadFile("../" + name)
		if err != nil {
			continue // it is being renamed
		}
		for _, m := range function.FindAllStringSubmatch(string(b), -1) {
			tests[m[1]] = true
		}
	}

	quoted := regexp.MustCompile("`([^`]+)`")
	lines := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || strings.HasPrefix(line, "|---") || strings.Contains(line, "| test |") {
			continue
		}
		lines++
		what := strings.TrimSpace(cells[0])
		check := func(cell, kind string, exists func(string) bool) {
			names := quoted.FindAllStringSubmatch(cell, -1)
			if len(names) == 0 {
				t.Errorf("%s: no %s", what, kind)
			}
			for _, n := range names {
				if !exists(n[1]) {
					t.Errorf("%s: there is no %s %q", what, kind, n[1])
				}
			}
		}
		check(cells[2], "reason", func(s string) bool { return outcome.Reason(s).Known() })
		check(cells[3], "metric", func(s string) bool { return strings.Contains(string(metrics), s+"`") })
		check(cells[4], "test", func(s string) bool { return tests[s] })
	}
	if lines < 40 {
		t.Errorf("%d lines, want 40 at least: has the table another form?", lines)
	}
}
