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
	"strings"
	"time"
)

// scan compares the directory with the files as accepted and notes what differs
// as pending. Files that look untouched are not opened unless all is set.
func (f *Folder) scan(now time.Time, all bool) error {
	root, err := filepath.EvalSymlinks(f.dir)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	seen := make(map[string]bool)
	var dirs []string
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if path == root {
				return err
			}
			return nil // it went away, or may not be read: as if it were not there
		}
		hidden := path != root && strings.HasPrefix(entry.Name(), ".")
		if entry.IsDir() {
			if hidden {
				return fs.SkipDir
			}
			dirs = append(dirs, path)
			return nil
		}
		if !hidden && isManifest(path) {
			name, _ := filepath.Rel(root, path)
			seen[name] = true
			f.look(name, path, now, all)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if len(dirs) == 0 {
		return fmt.Errorf("manifest: %s is not a directory", f.dir)
	}
	f.dirs = dirs
	for name, x := range f.files {
		if !seen[name] {
			f.note(x, content{gone: true}, now)
		}
	}
	return nil
}

func isManifest(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// look reads one file if it may have changed.
func (f *Folder) look(name, path string, now time.Time, all bool) {
	x := f.files[name]
	info, err := os.Stat(path) // follows links, as those of ConfigMap volumes
	if err != nil && errors.Is(err, fs.ErrNotExist) {
		if x != nil {
			f.note(x, content{gone: true}, now)
		}
		return
	}
	if err == nil && info.IsDir() {
		return
	}
	if x != nil && !all && err == nil && x.next == nil && x.untouched(info) {
		return
	}
	var text []byte
	if err == nil {
		text, err = readFile(path)
	}
	if x == nil {
		x = &file{}
		f.files[name] = x
	}
	x.info, x.readAt = info, now
	if err != nil {
		// The text of the error takes the place of the content's.
		_, reason, _ := strings.Cut(err.Error(), ": ")
		f.note(x, content{
			hash:     sha256.Sum256([]byte("\x00" + err.Error())),
			problems: []Problem{{Level: Error, File: name, Message: "cannot be read: " + cmp.Or(reason, err.Error())}},
		}, now)
		return
	}
	hash := sha256.Sum256(text)
	if hash == x.hash {
		x.next = nil // as accepted, or back to it
		return
	}
	if x.next != nil && !x.next.gone && x.next.hash == hash {
		return
	}
	c := content{hash: hash}
	c.objects, c.problems = read(name, text)
	f.note(x, c, now)
}

// note makes c pending for x unless it is already.
func (f *Folder) note(x *file, c content, now time.Time) {
	if n := x.next; n != nil && n.gone == c.gone && n.hash == c.hash {
		return
	}
	if !c.gone && c.hash == x.hash {
		x.next = nil
		return
	}
	x.next = &pending{content: c, since: now}
}

// untouched reports whether the file is the one that was read, by all that its
// directory entry tells.
func (x *file) untouched(info fs.FileInfo) bool {
	return x.info != nil && os.SameFile(x.info, info) && x.info.Size() == info.Size() &&
		x.info.ModTime().Equal(info.ModTime()) && x.readAt.Sub(info.ModTime()) > fresh
}

func readFile(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	if n, err := io.Copy(&b, io.LimitReader(r, maxFile+1)); err != nil {
		return nil, err
	} else if n > maxFile {
		return nil, fmt.Errorf("read: larger than %d MiB", maxFile>>20)
	}
	return b.Bytes(), nil
}
