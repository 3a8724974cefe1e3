package manifest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

const (
	// settle is how long new content must stay the same before it counts, so that
	// a file is not read while an editor is writing it.
	settle = 20 * time.Millisecond
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
	// dirs are the directories that the last read walked.
	dirs []string
	// last is the Set that the last read returned.
	last Set
}

// A file is one file as it was accepted, and what is on disk if that differs.
type file struct {
	hash     [sha256.Size]byte
	objects  []found
	problems []Problem

	// info is what the content was read under.
	info   fs.FileInfo
	readAt time.Time
	// next is newer content that has yet to prove stable; nil if there is none.
	next *pending
}

// A pending is content that was read and does not count yet.
type pending struct {
	content
	since time.Time
}

// A content is what a path held.
type content struct {
	hash     [sha256.Size]byte
	gone     bool
	objects  []found
	problems []Problem
}

// NewFolder returns the folder at dir. Nothing is read yet.
func NewFolder(dir string) *Folder {
	return &Folder{dir: dir, files: make(map[string]*file)}
}

// Read reads everything and takes it as it is. The error says that the directory
// cannot be read; what is wrong with a file is among the problems of the Set.
func (f *Folder) Read() (Set, error) {
	if err := f.scan(time.Now(), true); err != nil {
		return f.last, err
	}
	now := time.Now()
	for name, x := range f.files {
		if x.next != nil {
			f.accept(name, x)
		}
	}
	return f.assemble(now), nil
}

// poll looks for changes and takes those that have settled. It returns how long
// to wait before the next call if some have not, else 0.
func (f *Folder) poll(now time.Time, all bool) (set Set, changed bool, again time.Duration, err error) {
	if err := f.scan(now, all); err != nil {
		return f.last, false, 0, err
	}
	var newest, oldest time.Time
	for _, x := range f.files {
		if n := x.next; n != nil {
			if n.since.After(newest) {
				newest = n.since
			}
			if oldest.IsZero() || n.since.Before(oldest) {
				oldest = n.since
			}
		}
	}
	if newest.IsZero() {
		return f.last, false, 0, nil
	}
	// Changes are taken together, so that a Service and the Ingress that names it
	// arrive as one.
	if wait := settle - now.Sub(newest); wait > 0 && now.Sub(oldest) < patience {
		return f.last, false, wait, nil
	}
	since := now
	for name, x := range f.files {
		if x.next == nil {
			continue
		}
		if wait := x.wait() - now.Sub(x.next.since); wait > 0 {
			if again == 0 || wait < again {
				again = wait
			}
			continue
		}
		if x.next.since.Before(since) {
			since = x.next.since
		}
		f.accept(name, x)
		changed = true
	}
	if !changed {
		return f.last, false, again, nil
	}
	return f.assemble(since), true, again, nil
}

// wait is how long the pending content of x must stay the same.
func (x *file) wait() time.Duration {
	n := x.next
	bad := func(p Problem) bool { return p.Level == Error }
	if n.gone || slices.ContainsFunc(n.problems, bad) || len(n.objects) == 0 && len(x.objects) > 0 {
		return doubt
	}
	return settle
}

// accept makes the pending content of x the one that counts. What it cannot say
// because of an error stays as it was.
func (f *Folder) accept(name string, x *file) {
	n := x.next
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
	x.hash, x.objects, x.problems = n.hash, n.objects, n.problems
}

// assemble makes a Set of the files as accepted; since is when their oldest change
// was seen.
func (f *Folder) assemble(since time.Time) Set {
	set := Set{Since: since}
	type place struct {
		file string
		line int
	}
	first := make(map[key]place)
	names := make([]string, 0, len(f.files))
	for name := range f.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		x := f.files[name]
		set.Problems = append(set.Problems, x.problems...)
		for _, o := range x.objects {
			k := keyOf(o)
			if p, ok := first[k]; ok {
				set.Problems = append(set.Problems, Problem{
					Level: Error, File: name, Line: o.line, Object: k.String(),
					Message: fmt.Sprintf("this object is already in %s:%d; the first one counts", p.file, p.line),
				})
				continue
			}
			first[k] = place{name, o.line}
			set.Objects = append(set.Objects, o.Object)
		}
	}
	slices.SortFunc(set.Objects, func(a, b Object) int { return keyOf(a).compare(keyOf(b)) })
	sortProblems(set.Problems)
	f.last = set
	return set
}
