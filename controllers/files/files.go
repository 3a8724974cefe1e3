// Package files follows the files that an operator names by flags, such as the
// default certificate and its key, and holds the last good content of each.
//
// Files that belong together are one [Set]: they are read as a unit and taken in
// as a unit, or not at all. What counts is content: a set is looked at whenever
// something happens in a directory of its files, and at an interval for where
// notifications are lost, and it has changed when a hash of its bytes has, not
// when a modification time has. So it does not matter how files are replaced: by
// writing, by renaming, or by swapping a link above them, as Kubernetes does with
// mounted volumes.
//
// New content counts once it has stood still for a moment, so that a half-written
// file or a certificate whose key is still to come is not taken. Content that
// cannot be read or is refused leaves what was there before in service; that is
// told once, and tried again when the content changes.
package files

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// settle is how long new content must stay the same before it is taken in.
	settle = 50 * time.Millisecond
	// doubt is the same for content that is refused: another file of the set may
	// still be on its way.
	doubt = time.Second
	// maxFile is the largest file that is read, in bytes.
	maxFile = 16 << 20
	// DefaultInterval is how often sets are looked at by default.
	DefaultInterval = 10 * time.Second
)

// A Set is one or more files that are read as a unit.
type Set struct {
	// Name says what the set is for, in logs and metrics: "default-certificate".
	Name string
	// Paths are its files.
	Paths []string
	// Load takes in the content of the files, in the order of Paths. An error
	// refuses it; it must quote no secret content. It is called by one goroutine at
	// a time.
	Load func(content [][]byte) error
}

// Config configures a [Watcher].
type Config struct {
	Sets []Set
	// Interval is how often every set is looked at when nothing is heard of it.
	// Default [DefaultInterval].
	Interval time.Duration
	// Tell, if set, is called with every change: content that was taken in, or that
	// began to be refused. It is called by one goroutine at a time.
	Tell func(Result)
}

// A Reason says what became of the content of a set.
type Reason string

// The values of Reason.
const (
	// Changed: new content was taken in.
	Changed Reason = "changed"
	// Unchanged: the content is the one in service.
	Unchanged Reason = "unchanged"
	// Unreadable: a file does not exist or may not be read.
	Unreadable Reason = "unreadable"
	// Invalid: the content was refused.
	Invalid Reason = "invalid"
	// Unsettled: the content kept changing while it was read.
	Unsettled Reason = "unsettled"
)

// A Result is what became of one look at a set.
type Result struct {
	Set    string
	Reason Reason
	// Err is why the content is not in service; nil for Changed and Unchanged.
	Err error
}

// A Watcher follows sets. Its methods may be called from any goroutine.
type Watcher struct {
	cfg Config
	// turn is held by whoever looks at files: Run or Reload.
	turn chan struct{}
	sets []*watched
}

// A watched is a set with what is known of it.
type watched struct {
	Set
	state
}

// New returns a watcher that has not looked at anything yet.
func New(cfg Config) *Watcher {
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Tell == nil {
		cfg.Tell = func(Result) {}
	}
	w := &Watcher{cfg: cfg, turn: make(chan struct{}, 1)}
	for _, s := range cfg.Sets {
		w.sets = append(w.sets, &watched{Set: s})
	}
	return w
}

// Load takes in every set for the first time. The error says which set cannot be
// read or was refused, and why; then there is nothing to serve in its place, and
// the program should not start.
func (w *Watcher) Load() error {
	for _, s := range w.sets {
		sum, content, err := s.read()
		if err == nil {
			err = s.Load(content)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		s.took(sum)
	}
	return nil
}

// Reload looks at every set at once and says what became of each. Content that was
// refused before is tried again.
func (w *Watcher) Reload(ctx context.Context) []Result {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-w.turn }()
	var results []Result
	for _, s := range w.sets {
		results = append(results, w.reload(ctx, s))
	}
	return results
}

func (w *Watcher) reload(ctx context.Context, s *watched) Result {
	r := Result{Set: s.Name, Reason: Unsettled, Err: errors.New("the files keep changing")}
	deadline := time.Now().Add(doubt)
	sum, _, _ := s.read()
	for time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return r
		case <-time.After(settle):
		}
		again, content, err := s.read()
		if again != sum {
			sum = again
			continue
		}
		if sum == s.loaded {
			s.back(sum)
			return Result{Set: s.Name, Reason: Unchanged}
		}
		return w.try(s, sum, content, err, true)
	}
	return r
}

// look looks at every set and returns when to look again because one has not
// settled; 0 if all have.
func (w *Watcher) look(now time.Time) (again time.Duration) {
	for _, s := range w.sets {
		sum, content, err := s.read()
		do, wait := s.see(sum, now)
		if do {
			r := w.try(s, sum, content, err, now.Sub(s.since) >= doubt)
			if r.Err != nil && s.refused != sum {
				wait = settle // it may become complete
			}
		}
		if wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
	}
	return again
}

// try takes in content that has settled. If it is refused and last is set, that is
// told, and it is not tried again before it changes.
func (w *Watcher) try(s *watched, sum sum, content [][]byte, err error, last bool) Result {
	r := Result{Set: s.Name, Reason: Changed}
	if err != nil {
		r.Reason, r.Err = Unreadable, err
	} else if err := s.Load(content); err != nil {
		r.Reason, r.Err = Invalid, err
	}
	switch {
	case r.Err == nil:
		s.took(sum)
		w.cfg.Tell(r)
	case last && s.refused != sum:
		s.refused = sum
		w.cfg.Tell(r)
	}
	return r
}

type sum = [sha256.Size]byte

// read reads all files. An error is content, too: sum tells one from another.
func (s *watched) read() (sum, [][]byte, error) {
	h := sha256.New()
	var content [][]byte
	var errs []error
	for _, path := range s.Paths {
		b, err := readFile(path)
		if err != nil {
			errs = append(errs, err)
			b = []byte(err.Error())
		}
		part := sha256.Sum256(b)
		h.Write(part[:])
		content = append(content, b)
	}
	return sum(h.Sum(nil)), content, errors.Join(errs...)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("read %s: larger than %d MiB", path, maxFile>>20)
	}
	return b, err
}

// dirs are the directories of all files.
func (w *Watcher) dirs() []string {
	var dirs []string
	for _, s := range w.sets {
		for _, path := range s.Paths {
			if d := filepath.Dir(path); !slices.Contains(dirs, d) {
				dirs = append(dirs, d)
			}
		}
	}
	return dirs
}
