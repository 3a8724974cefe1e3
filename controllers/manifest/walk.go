package manifest

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A walk goes through a folder's directories, in search of files that may have
// changed. It goes through thousands every few seconds, nearly always in vain, so
// what it allocates for a file that has not changed is nothing: garbage of an idle
// process stays until there is as much of it as of everything else.
type walk struct {
	folder *Folder
	root   string
	all    bool // files that look untouched may have changed, too

	// dirs are the directories; those that still have to be read are at the end.
	dirs []string
	// names are the files that may have changed, or are new.
	names []string
	// known is the number of files that were seen and that the folder has already.
	known int

	entries [8 << 10]byte
	path    []byte // of a file, below root
	stat    unix.Stat_t
}

// walk fails if root cannot be read. A directory below it that went away, or may not
// be read, is as if it were not there.
func (w *walk) walk() error {
	w.dirs = append(w.dirs, w.root)
	for i := 0; i < len(w.dirs); i++ {
		if err := w.directory(w.dirs[i]); err != nil && i == 0 {
			return err
		}
	}
	return nil
}

func (w *walk) directory(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	below := 0
	if dir != w.root {
		rel, err := filepath.Rel(w.root, dir)
		if err != nil {
			return err
		}
		w.path = append(append(w.path[:0], rel...), filepath.Separator)
		below = len(w.path)
	}
	fd := int(d.Fd())
	for {
		n, err := unix.ReadDirent(fd, w.entries[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return &os.PathError{Op: "readdirent", Path: dir, Err: err}
		case n == 0:
			return nil
		}
		for rest := w.entries[:n]; len(rest) > 0; {
			var e entry
			e, rest = nextEntry(rest)
			w.path = append(w.path[:below], e.name()...)
			w.entry(fd, dir, e)
		}
	}
}

// entry takes in e, whose path is w.path, of the directory dir that is open as fd.
func (w *walk) entry(fd int, dir string, e entry) {
	name := e.name()
	if e.absent || name[0] == '.' {
		return
	}
	if e.kind == unix.DT_UNKNOWN { // some file systems do not tell
		if info, err := os.Lstat(filepath.Join(dir, string(name))); err == nil && info.IsDir() {
			e.kind = unix.DT_DIR
		}
	}
	x := w.folder.files[string(w.path)]
	switch {
	case e.kind == unix.DT_DIR:
		w.dirs = append(w.dirs, filepath.Join(dir, string(name)))
	case x == nil:
		if isManifest(string(name)) {
			w.names = append(w.names, string(w.path))
		}
	default:
		w.known++
		x.scan = w.folder.scans
		if w.all || x.next != nil || statAt(fd, e.text, &w.stat) != nil || !x.untouched(stateOf(&w.stat)) {
			w.names = append(w.names, string(w.path))
		}
	}
}

// An entry is one of a directory, within what the system has written of it
// (getdents64(2)).
type entry struct {
	absent bool
	kind   byte   // unix.DT_DIR and others
	text   []byte // its name, with a zero behind it
}

// name is valid as long as the buffer is.
func (e entry) name() []byte { return e.text[:len(e.text)-1] }

// nextEntry returns the first entry of b, and what is behind it.
func nextEntry(b []byte) (e entry, rest []byte) {
	const length, kind, name = 16, 18, 19 // where they are in an entry
	size := binary.NativeEndian.Uint16(b[length:])
	text := b[name:size]
	return entry{
		absent: binary.NativeEndian.Uint64(b) == 0,
		kind:   b[kind],
		text:   text[:bytes.IndexByte(text, 0)+1],
	}, b[size:]
}
