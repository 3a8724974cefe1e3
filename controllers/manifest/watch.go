package manifest

import (
	"context"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// interval is how often the folder is looked at when nothing is heard of it:
// notifications are lost on some file systems, and when a link above the folder
// changes.
const interval = time.Second

// share bounds the part of one core that looking takes: a hundredth.
const share = 100

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
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if e.Op == fsnotify.Chmod {
				continue
			}
		case <-errs: // an overflow: some notification was lost
		case done := <-reread:
			waiting = append(waiting, done)
			all = true
		case <-timer.C:
		}
		start := time.Now()
		set, changed, again, err := f.poll(start, all)
		switch {
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			bad := Set{Objects: set.Objects, Problems: slices.Clone(set.Problems), Since: time.Now()}
			bad.Problems = append(bad.Problems, Problem{Level: Error, File: f.dir, Message: trouble})
			fn(bad)
		case err == nil && (changed || trouble != ""):
			trouble = ""
			fn(set)
		}
		if watcher != nil {
			f.follow(watcher)
		}
		if again <= 0 {
			for _, done := range waiting {
				done()
			}
			waiting = nil
			again = max(interval, share*time.Since(start))
		}
		timer.Reset(again)
	}
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
