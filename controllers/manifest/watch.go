package manifest

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// interval is how often the folder is looked at when nothing is heard of it:
// notifications are lost on some file systems, and when a link above the folder
// changes.
const interval = time.Second

// share bounds the part of one core that looking at everything takes, a thousandth,
// as far as that does not make it rarer than seldom.
const (
	share  = 1000
	seldom = 10 * time.Second
)

// Watch keeps reading the folder and calls fn with every Set that differs from
// the one before, until ctx is done. It reports changes since the last Read; it
// does not report the first state. A func on reread makes it look into every file
// at once, and is called when what it found was given to fn; the channel may be
// nil.
//
// While the directory itself cannot be read, everything stays as it was and fn is
// called once with the last Set and a problem that says so.
func (f *Folder) Watch(ctx context.Context, reread <-chan func(), fn func(Set)) {
	// Without notifications (no inotify instances left, say) the timer does the
	// work alone: nil channels never deliver.
	var events <-chan fsnotify.Event
	var errs <-chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		f.follow(watcher)
		events, errs = watcher.Events, watcher.Errors
	}
	timer := time.NewTimer(0) // something may have changed since Read
	defer timer.Stop()
	var trouble string
	var waiting []func()
	var scanned time.Time // when everything was looked at last
	pause := interval
	for {
		var n news
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			f.heard(&n, e, events)
			if n.nothing() {
				continue
			}
		case <-errs: // an overflow: some notification was lost
			n.everything = true
		case done := <-reread:
			waiting = append(waiting, done)
			n.content = true
		case <-timer.C:
		}
		start := time.Now()
		if start.Sub(scanned) >= pause {
			n.everything = true
		}
		set, changed, again, err := f.poll(start, n)
		switch {
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			bad := Set{Objects: set.Objects, Problems: slices.Clone(set.Problems), Since: time.Now()}
			bad.Problems = append(bad.Problems, Problem{Level: Error, File: f.dir, Message: trouble})
			fn(bad)
		case err == nil && (changed || trouble != ""):
			if trouble = ""; !changed {
				set.Changed, set.Gone = nil, nil
			}
			fn(set)
		}
		if n.everything || n.content {
			scanned = time.Now()
			pause = min(max(interval, share*scanned.Sub(start)), seldom)
			if watcher != nil {
				f.follow(watcher)
			}
		}
		if again <= 0 {
			for _, done := range waiting {
				done()
			}
			waiting = nil
			again = pause - time.Since(scanned)
		}
		timer.Reset(again)
	}
}

// heard takes in an event and all others that are there already.
//
// A file that is moved within the folder's directories makes two events one after
// the other: its old name goes (Rename), its new one comes (Create). That is how a
// file is put in place as a whole; one that is created by opening it is still to be
// written.
func (f *Folder) heard(n *news, e fsnotify.Event, more <-chan fsnotify.Event) {
	n.names, n.placed = map[string]struct{}{}, map[string]struct{}{}
	moved := ""
	for {
		name, known := f.name(e.Name)
		switch {
		case e.Op == fsnotify.Chmod:
		case known:
			n.names[name] = struct{}{}
			if moved != "" && moved != e.Name && e.Has(fsnotify.Create) {
				n.placed[name] = struct{}{}
			} else {
				delete(n.placed, name)
			}
		default:
			n.everything = n.everything || f.matters(e.Name)
		}
		moved = ""
		if e.Has(fsnotify.Rename) {
			moved = e.Name
		}
		select {
		case e = <-more:
			continue
		default:
		}
		if moved == "" {
			return
		}
		// The other half is on its way, unless the file left the folder.
		select {
		case e = <-more:
		case <-time.After(time.Millisecond):
			return
		}
	}
}

func (n *news) nothing() bool { return !n.everything && !n.content && len(n.names) == 0 }

// name returns the name of the manifest at path, as files has it.
func (f *Folder) name(path string) (string, bool) {
	base := filepath.Base(path)
	if strings.HasPrefix(base, ".") || !isManifest(path) || !slices.Contains(f.dirs, filepath.Dir(path)) {
		return "", false
	}
	name, err := filepath.Rel(f.root, path)
	return name, err == nil
}

// matters reports whether something that is no manifest can change what the folder
// holds: a directory, or a link, which others may lead through.
func (f *Folder) matters(path string) bool {
	if slices.Contains(f.dirs, path) {
		return true
	}
	info, err := os.Lstat(path)
	return err == nil && (info.IsDir() || info.Mode()&fs.ModeSymlink != 0)
}

// follow watches the directories of the last scan and no others.
func (f *Folder) follow(w *fsnotify.Watcher) {
	watched := w.WatchList()
	for _, d := range f.dirs {
		if !slices.Contains(watched, d) {
			_ = w.Add(d) // the timer is the fallback
		}
	}
	for _, d := range watched {
		if !slices.Contains(f.dirs, d) {
			_ = w.Remove(d)
		}
	}
}
