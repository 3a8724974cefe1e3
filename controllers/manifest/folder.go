package manifest

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// settle is how long new content must stay the same before it counts, so that
	// a file is not read while an editor is writing it.
	settle = 20 * time.Millisecond
	// placed is the same for files that were renamed into place, which are whole:
	// just long enough that those of one deployment count together.
	placed = 2 * time.Millisecond
	// doubt is the same for content that loses something: an error, an empty file,
	// a file that is gone. Many editors write by emptying or renaming first.
	doubt = 100 * time.Millisecond
	// patience bounds how long changes wait for each other.
	patience = 10 * settle
	// fresh is the age up to which a modification time proves nothing: a second
	// write within the clock's step leaves it as it is.
	fresh = 2 * time.Second
	// maxFile is the largest file that is read, in bytes.
	maxFile = 64 << 20
)

// A Folder is a directory of manifests with what was last good in it: every
// *.yaml, *.yml and *.json file, in subdirectories too, other than hidden ones.
type Folder struct {
	dir   string
	files map[string]*file
	// pending are the files of files with content that does not count yet.
	pending map[string]*file
	// root is dir without links, and dirs the directories, as of the last scan.
	root string
	dirs []string
	// scans is the number of scans so far.
	scans uint64
	// last is the Set that the last read returned, and places the file of each of
	// its objects.
	last   Set
	places []string
	// doubled says that an object is in two places.
	doubled bool
}

// A place is where an object was found.
type place struct {
	file string
	line int
}

// A file is one file as it was accepted, and what is on disk if that differs.
type file struct {
	hash      [sha256.Size]byte
	objects   []found
	problems  []Problem
	documents documents

	// state is what the content was read under.
	state  fileState
	readAt time.Time
	// scan is the last one that saw the file in its directory.
	scan uint64
	// next is newer content that has yet to prove stable; nil if there is none.
	next *pending
}

// A pending is content that was read and does not count yet.
type pending struct {
	content
	since time.Time
	// placed says that the file was renamed into place.
	placed bool
}

// A content is what a path held.
type content struct {
	hash      [sha256.Size]byte
	gone      bool
	objects   []found
	problems  []Problem
	documents documents
}

// NewFolder returns the folder at dir. Nothing is read yet.
func NewFolder(dir string) *Folder {
	return &Folder{dir: dir, files: make(map[string]*file), pending: make(map[string]*file)}
}

// Read reads everything and takes it as it is. The error says that the directory
// cannot be read; what is wrong with a file is among the problems of the Set.
func (f *Folder) Read() (Set, error) {
	if err := f.scan(time.Now(), true); err != nil {
		return f.last, err
	}
	now := time.Now()
	moves := f.acceptAll(slices.Collect(maps.Keys(f.pending)))
	return f.assemble(moves, now), nil
}

// Secret reads a Secret of the last Set from its file again, for those who dropped
// its data. It returns nil if it is not in the file any more: the next Set will
// tell of that. It must not be called while another method runs; fn of
// [Folder.Watch] may.
func (f *Folder) Secret(namespace, name string) *corev1.Secret {
	k := key{"Secret", namespace, name}
	i, ok := find(f.last.Objects, k)
	if !ok {
		return nil
	}
	file := f.places[i]
	text, err := readFile(filepath.Join(f.root, file), new(bytes.Buffer))
	if err != nil {
		return nil
	}
	objects, _, _ := read(file, text, nil)
	for _, o := range objects {
		if s, ok := o.Object.(*corev1.Secret); ok && keyOf(s) == k {
			return s
		}
	}
	return nil
}

// news is what is known of what happened in the folder.
type news struct {
	// everything may have changed; content says that even what looks untouched may.
	everything, content bool
	// names are the files that something happened to, and placed those of them that
	// were renamed into place.
	names, placed map[string]struct{}
}

// poll looks for changes and takes those that have settled. It returns how long
// to wait before the next call if some have not, else 0.
func (f *Folder) poll(now time.Time, n news) (set Set, changed bool, again time.Duration, err error) {
	if n.everything || n.content {
		if err := f.scan(now, n.content); err != nil {
			return f.last, false, 0, err
		}
	} else {
		names := make(map[string]struct{}, len(n.names)+len(f.pending))
		maps.Copy(names, n.names)
		for name := range f.pending {
			names[name] = struct{}{}
		}
		f.look(slices.Collect(maps.Keys(names)), now, false)
	}
	for name := range n.placed {
		if x := f.pending[name]; x != nil {
			x.next.placed = true
		}
	}
	if len(f.pending) == 0 {
		return f.last, false, 0, nil
	}
	// Changes are taken together, so that a Service and the Ingress that names it
	// arrive as one.
	var oldest time.Time
	var wait time.Duration
	for _, x := range f.pending {
		wait = max(wait, x.settle()-now.Sub(x.next.since))
		if oldest.IsZero() || x.next.since.Before(oldest) {
			oldest = x.next.since
		}
	}
	if wait > 0 && now.Sub(oldest) < patience {
		return f.last, false, wait, nil
	}
	since := now
	var ready []string
	for name, x := range f.pending {
		if wait := x.wait() - now.Sub(x.next.since); wait > 0 {
			if again == 0 || wait < again {
				again = wait
			}
			continue
		}
		if x.next.since.Before(since) {
			since = x.next.since
		}
		ready = append(ready, name)
	}
	if len(ready) == 0 {
		return f.last, false, again, nil
	}
	return f.assemble(f.acceptAll(ready), since), true, again, nil
}

// settle is how long the pending content of x must stay the same if nothing
// about it is doubtful.
func (x *file) settle() time.Duration {
	if x.next.placed {
		return placed
	}
	return settle
}

// wait is how long the pending content of x must stay the same.
func (x *file) wait() time.Duration {
	n := x.next
	bad := func(p Problem) bool { return p.Level == Error }
	if n.gone || slices.ContainsFunc(n.problems, bad) || len(n.objects) == 0 && len(x.objects) > 0 {
		return doubt
	}
	return x.settle()
}

// A move is what a file held before it was accepted anew, and what it holds now.
type move struct {
	file              string
	before, now       []found
	troubled, trouble bool // whether there were, and are, problems
}

func (f *Folder) acceptAll(names []string) []move {
	moves := make([]move, 0, len(names))
	slices.Sort(names)
	for _, name := range names {
		x := f.pending[name]
		m := move{file: name, before: x.objects, troubled: len(x.problems) > 0}
		f.accept(name, x)
		if f.files[name] != nil {
			m.now, m.trouble = x.objects, len(x.problems) > 0
		}
		moves = append(moves, m)
	}
	return moves
}

// accept makes the pending content of x the one that counts. What it cannot say
// because of an error stays as it was.
func (f *Folder) accept(name string, x *file) {
	n := x.next
	delete(f.pending, name)
	if n.gone {
		delete(f.files, name)
		return
	}
	x.next = nil
	had := make(map[key]found, len(x.objects))
	for _, o := range x.objects {
		had[keyOf(o)] = o
	}
	broken := slices.ContainsFunc(n.problems, func(p Problem) bool { return p.Level == Error })
	for i, o := range n.objects {
		k := keyOf(o)
		if old, ok := had[k]; ok && old.GetResourceVersion() == o.GetResourceVersion() {
			n.objects[i].Object = old.Object
		}
		delete(had, k)
	}
	if broken {
		var kept []string
		for _, old := range x.objects {
			if _, left := had[keyOf(old)]; left {
				n.objects = append(n.objects, old)
				kept = append(kept, keyOf(old).String())
			}
		}
		if len(kept) > 0 {
			n.problems = append(n.problems, Problem{
				Level: Warning, File: name,
				Message: "what was here before stays in service: " + strings.Join(kept, ", "),
			})
		}
	}
	x.hash, x.objects, x.problems, x.documents = n.hash, n.objects, n.problems, n.documents
}
