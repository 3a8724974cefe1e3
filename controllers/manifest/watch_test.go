package manifest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
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
		set, changed, again, err := f.poll(now, news{everything: true})
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

// A file of many documents is read by document: those that did not change are the
// same objects, wherever they moved to, and the lines of problems are right.
func TestUnchangedDocumentsAreNotParsedAgain(t *testing.T) {
	dir := t.TempDir()
	bad := "apiVersion: v1\nkind: Service\nmetadata: {name: BAD}\nspec: {ports: [{port: 80}]}\n"
	write(t, dir, "all.yaml", service("a", 80)+"---\n"+service("b", 80)+"---\n"+bad)
	f := NewFolder(dir)
	first, err := f.Read()
	if err != nil || len(first.Objects) != 2 || len(first.Problems) != 1 || first.Problems[0].Line != 13 {
		t.Fatalf("Read = %v, %v, want a, b and a problem in line 13", render(first), err)
	}
	write(t, dir, "all.yaml", "# A comment\n---\n"+service("b", 80)+"---\n"+service("a", 81)+"---\n"+bad)
	second, err := f.Read()
	if err != nil || len(second.Objects) != 2 || len(second.Problems) != 1 || second.Problems[0].Line != 15 {
		t.Fatalf("Read = %v, %v, want a, b and a problem in line 15", render(second), err)
	}
	if second.Objects[1] != first.Objects[1] {
		t.Error("the Service b was parsed again")
	}
	if len(second.Changed) != 1 || second.Changed[0].GetName() != "a" || len(second.Gone) != 0 {
		t.Errorf("Changed = %d objects, Gone = %d, want a changed", len(second.Changed), len(second.Gone))
	}
	for _, text := range []string{service("b", 80), bad} {
		if _, ok := f.files["all.yaml"].documents.find(sha256.Sum256([]byte("---\n" + text))); !ok {
			t.Errorf("the document is not remembered:\n%s", text)
		}
	}
}

// TestPatchIsRebuild: making a Set from the one before gives what making it from
// all files gives, whatever happens.
func TestPatchIsRebuild(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	f := NewFolder(dir)
	last, err := f.Read()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 300 {
		for range 1 + random.IntN(2) {
			name := fmt.Sprintf("%d.yaml", random.IntN(30))
			var text string
			for range random.IntN(3) {
				// Names that several files use are rare but happen.
				text += "---\n" + service(fmt.Sprintf("s%d", random.IntN(400)), 80+random.IntN(3))
			}
			switch random.IntN(20) {
			case 0:
				_ = os.Remove(filepath.Join(dir, name))
				continue
			case 1:
				text += "---\nkind: [\n"
			}
			write(t, dir, name, text)
		}
		got, err := f.Read()
		if err != nil {
			t.Fatal(err)
		}
		want := f.rebuild()
		if diff := cmp.Diff(render(want), render(got)); diff != "" {
			t.Fatalf("round %d: patched and rebuilt sets differ (-rebuilt +patched):\n%s", round, diff)
		}
		changed, gone := Diff(last, got)
		if !sameNames(changed, got.Changed) || !sameNames(gone, got.Gone) {
			t.Fatalf("round %d: Changed, Gone = %v, %v, want %v, %v", round,
				names(got.Changed), names(got.Gone), names(changed), names(gone))
		}
		last = got
	}
}

func names(objects []Object) (all []string) {
	for _, o := range objects {
		all = append(all, keyOf(o).String())
	}
	slices.Sort(all)
	return all
}

func sameNames(a, b []Object) bool { return slices.Equal(names(a), names(b)) }

// A file that is renamed into place counts at once, one that is written does not.
func TestRenamedIntoPlace(t *testing.T) {
	dir := t.TempDir()
	f := NewFolder(dir)
	if _, err := f.Read(); err != nil {
		t.Fatal(err)
	}
	create, rename := fsnotify.Create, fsnotify.Rename
	event := func(op fsnotify.Op, name string) fsnotify.Event {
		return fsnotify.Event{Op: op, Name: filepath.Join(f.root, name)}
	}
	for _, c := range []struct {
		name   string
		events []fsnotify.Event
		placed bool
	}{
		{"written", []fsnotify.Event{event(create, "a.yaml"), event(fsnotify.Write, "a.yaml")}, false},
		{"moved within the folder", []fsnotify.Event{event(rename, ".a.tmp"), event(create, "a.yaml")}, true},
		{"moved and written to", []fsnotify.Event{event(rename, ".a.tmp"), event(create, "a.yaml"), event(fsnotify.Write, "a.yaml")}, false},
		{"a backup was made and the file written anew", []fsnotify.Event{event(rename, "a.yaml"), event(create, "a.yaml~"), event(create, "a.yaml")}, false},
		{"moved away and created anew", []fsnotify.Event{event(rename, "a.yaml"), event(create, "a.yaml")}, false},
	} {
		more := make(chan fsnotify.Event, len(c.events))
		for _, e := range c.events[1:] {
			more <- e
		}
		var n news
		f.heard(&n, c.events[0], more)
		_, named := n.names["a.yaml"]
		_, placed := n.placed["a.yaml"]
		if !named || placed != c.placed || n.everything {
			t.Errorf("%s: named = %v, placed = %v, everything = %v, want true, %v, false", c.name, named, placed, n.everything, c.placed)
		}
	}

	write(t, dir, "a.yaml", service("a", 80))
	one := map[string]struct{}{"a.yaml": {}}
	now := time.Now()
	if _, changed, again, _ := f.poll(now, news{names: one, placed: one}); changed || again != placed {
		t.Errorf("first sight = %v, again in %v, want to wait %v", changed, again, placed)
	}
	if set, changed, _, _ := f.poll(now.Add(placed), news{}); !changed || !has("a")(set) {
		t.Errorf("after %v: changed = %v, want a", placed, changed)
	}
}
