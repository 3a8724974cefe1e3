package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 20 * time.Second

// A world is a watcher over two files whose content must be equal, as that of a
// certificate and its key must fit.
type world struct {
	*testing.T
	dir  string
	w    *Watcher
	told chan Result

	mu     sync.Mutex
	loaded []string
}

func newWorld(t *testing.T, interval time.Duration) *world {
	x := &world{T: t, dir: t.TempDir(), told: make(chan Result, 100)}
	x.w = New(Config{
		Interval: interval,
		Sets: []Set{{
			Name: "pair", Paths: []string{filepath.Join(x.dir, "a"), filepath.Join(x.dir, "b")},
			Load: x.load,
		}},
		Tell: func(r Result) { x.told <- r },
	})
	return x
}

func (x *world) load(content [][]byte) error {
	a, b := string(content[0]), string(content[1])
	if a != b {
		return errors.New("a and b do not fit")
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.loaded = append(x.loaded, a)
	return nil
}

// all returns everything that was taken in so far.
func (x *world) all() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.loaded)
}

func (x *world) write(name, content string) {
	x.Helper()
	if err := os.WriteFile(filepath.Join(x.dir, name), []byte(content), 0o600); err != nil {
		x.Fatal(err)
	}
}

func (x *world) run() {
	ctx, stop := context.WithCancel(x.Context())
	var running sync.WaitGroup
	running.Go(func() { x.w.Run(ctx) })
	x.Cleanup(func() { stop(); running.Wait() })
}

// wants waits for the next change that is told.
func (x *world) wants(reason Reason) Result {
	x.Helper()
	select {
	case r := <-x.told:
		if r.Reason != reason {
			x.Fatalf("told %+v, want %s", r, reason)
		}
		return r
	case <-time.After(patience):
		x.Fatalf("nothing was told in %v, want %s", patience, reason)
		return Result{}
	}
}

// started loads "1" and follows the files.
func started(t *testing.T, interval time.Duration) *world {
	x := newWorld(t, interval)
	x.write("a", "1")
	x.write("b", "1")
	if err := x.w.Load(); err != nil {
		t.Fatal(err)
	}
	x.run()
	return x
}

// TestRow73PairIsReadAsOne: of two files that are replaced one after the other,
// no mixture is ever taken in, and nothing is told of the time between.
func TestRow73PairIsReadAsOne(t *testing.T) {
	x := started(t, time.Hour)
	x.write("a", "2")
	x.write("b", "2")
	x.wants(Changed)
	if got := x.all(); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("taken in %q, want 1 and 2 alone", got)
	}
}

// TestRow75BadContent: content that is refused is told once and leaves the last
// good one; the repair is taken in.
func TestRow75BadContent(t *testing.T) {
	x := started(t, time.Hour)
	x.write("b", "half")
	if r := x.wants(Invalid); !strings.Contains(r.Err.Error(), "do not fit") {
		t.Errorf("Err = %v, want that of Load", r.Err)
	}
	// A later look at the same content says so to whoever asks, and to nobody else.
	if r := x.w.Reload(t.Context()); len(r) != 1 || r[0].Reason != Invalid {
		t.Errorf("Reload = %+v, want invalid", r)
	}
	x.write("a", "half")
	x.wants(Changed) // and not Invalid once more
	if got := x.all(); !slices.Equal(got, []string{"1", "half"}) {
		t.Errorf("taken in %q, want 1, then half", got)
	}
	x.write("a", "other")
	x.wants(Invalid)
	x.write("a", "half") // back to what is in service: nothing to do
	x.write("b", "half")
	if r := x.w.Reload(t.Context()); len(r) != 1 || r[0].Reason != Unchanged {
		t.Errorf("Reload = %+v, want unchanged", r)
	}
}

// TestRow75MissingFile: a file that goes away leaves its content in service; that
// is told, and so is its return with other content.
func TestRow75MissingFile(t *testing.T) {
	x := started(t, time.Hour)
	if err := os.Remove(filepath.Join(x.dir, "a")); err != nil {
		t.Fatal(err)
	}
	if r := x.wants(Unreadable); !errors.Is(r.Err, os.ErrNotExist) {
		t.Errorf("Err = %v, want that the file does not exist", r.Err)
	}
	x.write("b", "2")
	x.write("a", "2")
	// The time between may be told or not; the end is what counts.
	for r := range x.told {
		if r.Reason == Changed {
			break
		}
	}
	if got := x.all(); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("taken in %q, want 1, then 2", got)
	}
}

// TestRow75Permissions: what may not be read is told as unreadable, with the old
// content in service.
func TestRow75Permissions(t *testing.T) {
	x := started(t, time.Hour)
	// A directory in the place of the file cannot be read by anybody, root included.
	if err := os.Remove(filepath.Join(x.dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(x.dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	x.wants(Unreadable)
	if got := x.all(); !slices.Equal(got, []string{"1"}) {
		t.Errorf("taken in %q, want 1 alone", got)
	}
}

// TestRow70LinkSwap: a volume of Kubernetes replaces all its files at once by
// renaming a link, and their modification times say nothing.
func TestRow70LinkSwap(t *testing.T) {
	x := newWorld(t, time.Hour)
	old := time.Now().Add(-time.Hour)
	for _, v := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(x.dir, "..v"+v), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			path := filepath.Join("..v"+v, name)
			x.write(path, v)
			if err := os.Chtimes(filepath.Join(x.dir, path), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(x.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1", "..data")
	link(filepath.Join("..data", "a"), "a")
	link(filepath.Join("..data", "b"), "b")
	if err := x.w.Load(); err != nil {
		t.Fatal(err)
	}
	x.run()
	link("..v2", "..data_tmp")
	if err := os.Rename(filepath.Join(x.dir, "..data_tmp"), filepath.Join(x.dir, "..data")); err != nil {
		t.Fatal(err)
	}
	x.wants(Changed)
	if got := x.all(); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("taken in %q, want 1, then 2", got)
	}
}

// TestRow71Polling: where nothing is heard of a directory, the interval finds the
// change. The link is above the directory that is watched.
func TestRow71Polling(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, v), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, v, "f"), []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("1", filepath.Join(dir, "now")); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	w := New(Config{Interval: 20 * time.Millisecond, Sets: []Set{{
		Name: "f", Paths: []string{filepath.Join(dir, "now", "f")},
		Load: func(content [][]byte) error { got <- string(content[0]); return nil },
	}}})
	if err := w.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	defer running.Wait()
	defer stop()
	if err := os.Symlink("2", filepath.Join(dir, "next")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "now")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1", "2"} {
		select {
		case v := <-got:
			if v != want {
				t.Fatalf("taken in %q, want %q", v, want)
			}
		case <-time.After(patience):
			t.Fatalf("nothing was taken in, want %q", want)
		}
	}
}

// TestRow28FirstLoad: without anything to serve in its place, bad content is an
// error that names the set and the cause.
func TestRow28FirstLoad(t *testing.T) {
	x := newWorld(t, time.Hour)
	x.write("a", "1")
	if err := x.w.Load(); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "pair: ") {
		t.Errorf("Load without a file = %v, want that the pair's file does not exist", err)
	}
	x.write("b", "2")
	if err := x.w.Load(); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("Load = %v, want the error of the set", err)
	}
}

// TestRow72State: content is tried once it has settled, and not again once it was
// refused.
func TestRow72State(t *testing.T) {
	start := time.Now()
	good, bad := sum{1}, sum{2}
	s := &state{}
	s.took(good)
	for _, c := range []struct {
		name string
		now  sum
		at   time.Duration
		try  bool
		wait time.Duration
	}{
		{"nothing new", good, 0, false, 0},
		{"new content has to settle", bad, time.Second, false, settle},
		{"and settles", bad, time.Second + settle/2, false, settle / 2},
		{"settled", bad, time.Second + settle, true, 0},
		{"back before it was refused", good, 2 * time.Second, false, 0},
		{"the same again", bad, 3 * time.Second, false, settle},
		{"settled again", bad, 4 * time.Second, true, 0},
	} {
		if try, wait := s.see(c.now, start.Add(c.at)); try != c.try || wait != c.wait {
			t.Errorf("%s: see = %v, %v, want %v, %v", c.name, try, wait, c.try, c.wait)
		}
	}
	s.refused = bad
	if try, wait := s.see(bad, start.Add(time.Hour)); try || wait != 0 {
		t.Errorf("refused content: see = %v, %v, want no further try", try, wait)
	}
	s.see(good, start.Add(2*time.Hour))
	if try, _ := s.see(bad, start.Add(3*time.Hour)); try || s.refused == bad {
		t.Error("content that is back after a good one is not tried anew")
	}
}
