package files

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// gather is how long events wait for more of them: the directory may hold other
// files, which somebody writes all the time.
const gather = 10 * time.Millisecond

// Run follows the sets until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	if len(w.sets) == 0 {
		return
	}
	// Without notifications the interval does the work alone: nil channels never
	// deliver.
	var events <-chan fsnotify.Event
	var errs <-chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		events, errs = watcher.Events, watcher.Errors
	}
	timer := time.NewTimer(0) // something may have changed since Load
	defer timer.Stop()
	gathering := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			if !gathering {
				gathering = true
				timer.Reset(gather)
			}
			continue
		case <-errs: // an overflow: some notification was lost
		case <-timer.C:
		}
		gathering = false
		select {
		case <-ctx.Done():
			return
		case w.turn <- struct{}{}:
		}
		if watcher != nil {
			w.follow(watcher)
		}
		again := w.look(time.Now())
		<-w.turn
		if again == 0 {
			again = w.cfg.Interval
		}
		timer.Reset(again)
	}
}

// follow watches the directories, not the files: a file that is replaced is
// another one. A directory that was itself replaced is watched anew at the
// interval at the latest.
func (w *Watcher) follow(watcher *fsnotify.Watcher) {
	for _, d := range w.dirs() {
		_ = watcher.Add(d) // the interval is the fallback
	}
}
