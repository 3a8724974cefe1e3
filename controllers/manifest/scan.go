package manifest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// scan compares the whole directory with the files as accepted and notes what
// differs as pending. Files that look untouched are not opened unless all is set.
func (f *Folder) scan(now time.Time, all bool) error {
	root, err := filepath.EvalSymlinks(f.dir)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	f.scans++
	w := walk{folder: f, root: root, all: all}
	if err := w.walk(); err != nil {
		if errors.Is(err, unix.ENOTDIR) {
			return fmt.Errorf("manifest: %s is not a directory", f.dir)
		}
		return fmt.Errorf("manifest: %w", err)
	}
	f.root, f.dirs = root, w.dirs
	if w.known < len(f.files) {
		for name, x := range f.files {
			if x.scan != f.scans {
				f.note(name, content{gone: true}, now)
			}
		}
	}
	f.look(w.names, now, all)
	return nil
}

func isManifest(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// look reads the files that may have changed, several at a time.
func (f *Folder) look(names []string, now time.Time, all bool) {
	looks := make([]*sight, len(names)) // nil: nothing to see
	workers := min(runtime.GOMAXPROCS(0), len(names)/8+1)
	var next atomic.Int64
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			var text bytes.Buffer
			for i := int(next.Add(1)) - 1; i < len(names); i = int(next.Add(1)) - 1 {
				looks[i] = f.files[names[i]].look(names[i], filepath.Join(f.root, names[i]), all, &text)
			}
		})
	}
	working.Wait()
	for i, s := range looks {
		if s != nil {
			f.see(names[i], s, now)
		}
	}
}

// A sight is what a look at a file found.
type sight struct {
	kind  sightKind
	state fileState
	content
}

type sightKind uint8

const (
	// asAccepted: the file was read and is what counts already.
	asAccepted sightKind = iota
	// asPending: the file was read and is what is pending already.
	asPending
	// other content.
	other
)

// look reads the file if it may have changed; it returns nil for one that is
// untouched, and for a directory. It writes to nothing but the buffer, which it reads
// into; x may be nil.
func (x *file) look(name, path string, all bool, b *bytes.Buffer) *sight {
	state, directory, err := stat(path)
	if err != nil && errors.Is(err, fs.ErrNotExist) {
		if x == nil {
			return nil
		}
		return &sight{kind: other, content: content{gone: true}}
	}
	if err == nil && directory || x != nil && !all && err == nil && x.next == nil && x.untouched(state) {
		return nil
	}
	var text []byte
	if err == nil {
		text, err = readFile(path, b)
	}
	if err != nil {
		// The text of the error takes the place of the content's.
		_, reason, _ := strings.Cut(err.Error(), ": ")
		return &sight{other, state, content{
			hash:     sha256.Sum256([]byte("\x00" + err.Error())),
			problems: []Problem{{Level: Error, File: name, Message: "cannot be read: " + cmp.Or(reason, err.Error())}},
		}}
	}
	c := content{hash: sha256.Sum256(text)}
	var old documents
	if x != nil {
		if c.hash == x.hash {
			return &sight{kind: asAccepted, state: state}
		}
		if x.next != nil && !x.next.gone && x.next.hash == c.hash {
			return &sight{kind: asPending, state: state}
		}
		old = x.documents
	}
	c.objects, c.problems, c.documents = read(name, bytes.Clone(text), old)
	return &sight{other, state, c}
}

// see takes in what a look found.
func (f *Folder) see(name string, s *sight, now time.Time) {
	x := f.files[name]
	if x == nil {
		x = &file{}
		f.files[name] = x
	}
	x.state, x.readAt = s.state, now
	switch s.kind {
	case asAccepted: // or back to it
		x.next = nil
		delete(f.pending, name)
	case other:
		f.note(name, s.content, now)
	}
}

// note makes c pending for a file unless it is already.
func (f *Folder) note(name string, c content, now time.Time) {
	x := f.files[name]
	if n := x.next; n != nil && n.gone == c.gone && n.hash == c.hash {
		return
	}
	if !c.gone && c.hash == x.hash {
		x.next = nil
		delete(f.pending, name)
		return
	}
	x.next = &pending{content: c, since: now}
	f.pending[name] = x
}

// untouched reports whether the file is the one that was read, by all that its
// directory entry tells.
func (x *file) untouched(state fileState) bool {
	return x.state != fileState{} && x.state == state && x.readAt.Sub(time.Unix(0, state.modified)) > fresh
}

// A fileState is what a directory entry tells of a file's content; zero if it could
// not be read.
type fileState struct {
	device, inode  uint64
	size, modified int64
}

// stat follows links, as those of ConfigMap volumes.
func stat(path string) (state fileState, directory bool, err error) {
	var s unix.Stat_t
	for {
		if err = unix.Stat(path, &s); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return fileState{}, false, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return stateOf(&s), s.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

func stateOf(s *unix.Stat_t) fileState {
	return fileState{uint64(s.Dev), s.Ino, s.Size, s.Mtim.Nano()}
}

// readFile reads a file into b. What it returns is valid as long as that is.
func readFile(path string, b *bytes.Buffer) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b.Reset()
	if info, err := r.Stat(); err == nil {
		b.Grow(int(min(info.Size(), maxFile)) + bytes.MinRead)
	}
	if n, err := io.Copy(b, io.LimitReader(r, maxFile+1)); err != nil {
		return nil, err
	} else if n > maxFile {
		return nil, fmt.Errorf("read: larger than %d MiB", maxFile>>20)
	}
	return b.Bytes(), nil
}
