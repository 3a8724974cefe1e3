package manifest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestScanOfTheUnchanged: looking through a folder in which nothing has changed
// allocates no more for many files than for few.
func TestScanOfTheUnchanged(t *testing.T) {
	dir := t.TempDir()
	const many, most = 500, 40
	for i := range many {
		write(t, dir, fmt.Sprintf("h%d.yaml", i), service(fmt.Sprintf("a%d", i), 80))
		write(t, dir, fmt.Sprintf("below/h%d.example.com.yaml", i), service(fmt.Sprintf("b%d", i), 80))
		write(t, dir, fmt.Sprintf("..v1/l%d.yaml", i), service(fmt.Sprintf("c%d", i), 80))
		if err := os.Symlink(fmt.Sprintf("..v1/l%d.yaml", i), filepath.Join(dir, fmt.Sprintf("l%d.yaml", i))); err != nil {
			t.Fatal(err)
		}
	}
	f := NewFolder(dir)
	if set, err := f.Read(); err != nil || len(set.Objects) != 3*many {
		t.Fatalf("Read = %d objects, %v, want %d", len(set.Objects), err, 3*many)
	}
	now := time.Now().Add(time.Hour) // when modification times prove something
	scan := func() {
		if err := f.scan(now, false); err != nil || len(f.pending) > 0 {
			t.Fatalf("scan = %v, %d files pending, want none", err, len(f.pending))
		}
	}
	scan() // reads all again, as the times did not prove anything before
	if n := testing.AllocsPerRun(5, scan); n > most {
		t.Errorf("a scan of %d unchanged files makes %.0f allocations, want at most %d", 3*many, n, most)
	}
}

// TestScanFindsAll: whatever happens in a folder, a scan finds it without being told
// of anything: it ends with what reading the folder for the first time gives.
func TestScanFindsAll(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	modified := time.Now().Add(-time.Hour)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(name string) { // in place, with a size that nearly always stays the same
		do(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		write(t, dir, name, service(fmt.Sprintf("s%d", 100+random.IntN(900)), 80+random.IntN(9)))
		modified = modified.Add(time.Millisecond)
		do(os.Chtimes(filepath.Join(dir, name), modified, modified))
	}
	link := func(to, name string) {
		do(os.RemoveAll(filepath.Join(dir, name)))
		do(os.Symlink(to, filepath.Join(dir, name)))
	}
	for _, version := range []string{"..v1", "..v2"} {
		put(version + "/m.yaml")
		put(version + "/n.yaml")
	}
	link("..v1", "..data")
	link("..data/m.yaml", "m.yaml")
	link("..data/n.yaml", "n.yaml")

	f := NewFolder(dir)
	_, err := f.Read()
	do(err)
	for round := range 400 {
		name := fmt.Sprintf("%d.yaml", random.IntN(6))
		below := fmt.Sprintf("d%d", random.IntN(3))
		what := random.IntN(9)
		switch what {
		case 0:
			do(os.RemoveAll(filepath.Join(dir, name)))
			put(name)
		case 1:
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
				put(name)
			}
		case 2:
			do(os.RemoveAll(filepath.Join(dir, name)))
		case 3:
			if info, err := os.Stat(filepath.Join(dir, below)); err != nil || info.IsDir() {
				put(below + "/" + name)
			}
		case 4:
			do(os.RemoveAll(filepath.Join(dir, below)))
		case 5: // a swap above m.yaml and n.yaml, whose own entries stay as they are
			link([]string{"..v1", "..v2"}[random.IntN(2)], "..data")
		case 6: // a directory in the place of a file
			do(os.RemoveAll(filepath.Join(dir, name)))
			put(name + "/x.yaml")
		case 7:
			link("m.yaml", name)
		case 8: // not manifests
			put("notes.txt")
			put(".hidden.yaml")
			put(".hidden/y.yaml")
		}
		if err := f.scan(time.Now(), false); err != nil {
			t.Fatal(err)
		}
		got := f.assemble(f.acceptAll(slices.Collect(maps.Keys(f.pending))), time.Now())
		want, err := NewFolder(dir).Read()
		do(err)
		if diff := cmp.Diff(render(want), render(got)); diff != "" {
			t.Fatalf("round %d, change %d: the scan did not find all (-first reading +scan):\n%s", round, what, diff)
		}
	}
}

// TestScanOfTheSame: a file that has to be read and turns out to be the same leaves less
// behind than its content.
func TestScanOfTheSame(t *testing.T) {
	dir := t.TempDir()
	const many, size = 200, 16 << 10
	for i := range many {
		write(t, dir, fmt.Sprintf("h%d.yaml", i), service(fmt.Sprintf("a%d", i), 80)+"#"+strings.Repeat("-", size)+"\n")
	}
	f := NewFolder(dir)
	if set, err := f.Read(); err != nil || len(set.Objects) != many {
		t.Fatalf("Read = %d objects, %v, want %d", len(set.Objects), err, many)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := f.scan(time.Now(), true); err != nil || len(f.pending) > 0 {
		t.Fatalf("scan = %v, %d files pending, want none", err, len(f.pending))
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / many; n > size/4 {
		t.Errorf("reading a file of %d KiB again leaves %d bytes behind, want at most a quarter of it", size>>10, n)
	}
}
