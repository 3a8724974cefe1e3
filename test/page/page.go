// Package page holds pages of docs equal to the code that they are generated from.
package page

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Hold fails t if the page of docs is not want. With update, the flag -update of the
// package under test, it writes the page first. docs is found from a package two
// folders below the root, as all of them are that have a page.
func Hold(t *testing.T, name, want string, update bool) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", name)
	if update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/%s is not what the code says (-want +got); go test -update in this package writes it:\n%s", name, diff)
	}
}
