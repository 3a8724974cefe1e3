package manifest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start reads dir, watches it, and returns the Sets as they come.
func start(t *testing.T, dir string) (Set, <-chan Set) {
	t.Helper()
	f := NewFolder(dir)
	first, err := f.Read()
	if err != nil {
		t.Fatal(err)
	}
	sets := make(chan Set, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Watch(ctx, nil, func(s Set) { sets <- s })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return first, sets
}

// until returns the first Set for which ok holds.
func until(t *testing.T, sets <-chan Set, what string, ok func(Set) bool) Set {
	t.Helper()
	deadline := time.After(10 * time.Second)
	var last Set
	for {
		select {
		case s := <-sets:
			if last = s; ok(s) {
				return s
			}
		case <-deadline:
			t.Fatalf("waited in vain for %s; the last set is\n%s", what, render(last))
		}
	}
}

func has(names ...string) func(Set) bool {
	return func(s Set) bool { return slices.Equal(objectNames(s), names) }
}

func objectNames(s Set) []string {
	var got []string
	for _, o := range s.Objects {
		got = append(got, o.GetName())
	}
	return got
}

func TestWatchSeesFilesComeChangeAndGo(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", service("a", 80))
	first, sets := start(t, dir)
	if !has("a")(first) {
		t.Fatalf("first = %v, want a", objectNames(first))
	}

	write(t, dir, "deep/down/b.yaml", service("b", 80))
	second := until(t, sets, "a file in a new subdirectory", has("a", "b"))
	if second.Objects[0] != first.Objects[0] {
		t.Error("an object that did not change is another pointer")
	}

	write(t, dir, "deep/down/b.yaml", service("b", 81))
	third := until(t, sets, "a change in that subdirectory", func(s Set) bool {
		return has("a", "b")(s) && s.Objects[1] != second.Objects[1]
	})
	changed, gone := Diff(second, third)
	if len(changed) != 1 || changed[0].GetName() != "b" || len(gone) != 0 {
		t.Errorf("Diff = %d changed, %d gone, want b changed", len(changed), len(gone))
	}

	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	fourth := until(t, sets, "the removal", has("b"))
	if changed, gone := Diff(third, fourth); len(changed) != 0 || len(gone) != 1 || gone[0].GetName() != "a" {
		t.Errorf("Diff = %d changed, %d gone, want a gone", len(changed), len(gone))
	}

	if err := os.RemoveAll(filepath.Join(dir, "deep")); err != nil {
		t.Fatal(err)
	}
	until(t, sets, "the removal of the subdirectory", has())
}

func TestMalformedFileKeepsItsLastGoodObjects(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", service("a", 80)+"---\n"+service("b", 80))
	write(t, dir, "c.yaml", service("c", 80))
	first, sets := start(t, dir)

	write(t, dir, "a.yaml", service("a", 81)+"---\nkind: [\n")
	bad := until(t, sets, "the error", func(s Set) bool { return len(s.Errors()) == 1 })
	if !has("a", "b", "c")(bad) {
		t.Errorf("objects = %v, want a, b and c", objectNames(bad))
	}
	changed, _ := Diff(first, bad)
	if len(changed) != 1 || changed[0].GetName() != "a" {
		t.Errorf("changed = %d objects, want a alone: its document is good", len(changed))
	}
	if p := bad.Errors()[0]; p.File != "a.yaml" || p.Line < 6 {
		t.Errorf("error = %s, want one in the second document of a.yaml", p)
	}

	// Good files go on changing, and the error is not told as a new one.
	write(t, dir, "c.yaml", service("c", 82))
	next := until(t, sets, "the other file's change", func(s Set) bool { return s.Objects[2] != first.Objects[2] })
	if diff := cmp.Diff(bad.Problems, next.Problems); diff != "" {
		t.Errorf("problems changed:\n%s", diff)
	}

	write(t, dir, "a.yaml", service("a", 81))
	until(t, sets, "the repair, without b", func(s Set) bool { return has("a", "c")(s) && len(s.Problems) == 0 })
}

// The kubelet swaps a link above all files of a volume at once.
func TestConfigMapVolume(t *testing.T) {
	dir := t.TempDir()
	link := func(old, name string) {
		t.Helper()
		tmp := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(old, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "..v1/a.yaml", service("a", 80))
	write(t, dir, "..v1/b.yaml", service("b", 80))
	link("..v1", "..data")
	link("..data/a.yaml", "a.yaml")
	link("..data/b.yaml", "b.yaml")
	first, sets := start(t, dir)
	if !has("a", "b")(first) {
		t.Fatalf("first = %v, want a and b, each once", objectNames(first))
	}
	write(t, dir, "..v2/a.yaml", service("a", 90))
	write(t, dir, "..v2/b.yaml", service("b", 90))
	link("..v2", "..data")
	until(t, sets, "both new files in one set", func(s Set) bool {
		changed, _ := Diff(first, s)
		if len(changed) == 1 {
			t.Error("one file of the volume changed without the other")
		}
		return len(changed) == 2
	})
}

func TestDirectoryGoesAndComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	write(t, dir, "a.yaml", service("a", 80))
	_, sets := start(t, dir)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	bad := until(t, sets, "the error", func(s Set) bool { return len(s.Errors()) == 1 })
	if !has("a")(bad) {
		t.Errorf("objects = %v, want a to stay", objectNames(bad))
	}
	write(t, dir, "b.yaml", service("b", 80))
	until(t, sets, "the new directory", func(s Set) bool { return has("b")(s) && len(s.Problems) == 0 })
	write(t, dir, "c.yaml", service("c", 80))
	until(t, sets, "a change in the new directory", has("b", "c"))
}

func TestReadOfNoDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file.yaml", "")
	for _, d := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "file.yaml")} {
		if _, err := NewFolder(d).Read(); err == nil || !strings.Contains(err.Error(), d) {
			t.Errorf("Read(%s) = %v, want an error that names it", d, err)
		}
	}
}

// The rules of settling, on a clock of the test's own.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", service("a", 80))
	f := NewFolder(dir)
	if _, err := f.Read(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	step := func(d time.Duration) (Set, bool, time.Duration) {
		t.Helper()
		now = now.Add(d)
		set, changed, again, err := f.poll(now, false)
		if err != nil {
			t.Fatal(err)
		}
		return set, changed, again
	}

	write(t, dir, "a.yaml", service("b", 80))
	if _, changed, again := step(0); changed || again != settle {
		t.Errorf("first sight of a change = %v, again in %v, want to wait %v", changed, again, settle)
	}
	if set, changed, _ := step(settle); !changed || !has("b")(set) {
		t.Errorf("after %v: changed = %v, objects %v, want b", settle, changed, objectNames(set))
	}

	// An editor that empties the file first: nothing is lost.
	write(t, dir, "a.yaml", "")
	step(0)
	if _, changed, again := step(settle); changed || again != doubt-settle {
		t.Errorf("an emptied file after %v: changed = %v, again in %v, want to wait until %v", settle, changed, again, doubt)
	}
	write(t, dir, "a.yaml", service("c", 80))
	step(settle)
	if set, changed, _ := step(settle); !changed || !has("c")(set) {
		t.Errorf("after the write: changed = %v, objects %v, want c", changed, objectNames(set))
	}

	// A file that never stays the same does not hold up the others for ever.
	write(t, dir, "other.yaml", service("other", 80))
	var seen time.Duration
	for i := 0; seen == 0 && i < 100; i++ {
		write(t, dir, "a.yaml", service("c", 1000+i))
		if set, changed, _ := step(settle / 2); changed && len(set.Objects) == 2 {
			seen = time.Duration(i) * settle / 2
		}
	}
	if seen == 0 || seen > patience+settle {
		t.Errorf("a change beside a restless file took %v, want at most %v", seen, patience+settle)
	}
}
