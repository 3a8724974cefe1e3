package controllers

import (
	"time"

	"github.com/cardea-dev/cardea/controllers/translate"
)

// filesWait is the longest that SetFiles waits for its effect.
const filesWait = 5 * time.Second

// operatorFiles is a change of what files of the operator say. done is closed when
// it is in force.
type operatorFiles struct {
	translate.Files
	done chan struct{}
}

// SetFiles replaces Config.Translate.Files. It returns when what follows from it is
// in force, or after 5 s: a cluster that has not been read yet has no table. It may
// be called by one goroutine at a time.
func (c *Controller) SetFiles(f translate.Files) {
	change := &operatorFiles{f, make(chan struct{})}
	c.changes.setFiles(change)
	select {
	case <-change.done:
	case <-time.After(filesWait):
	}
}

// setFiles takes in a change, which comes before one that nobody has taken yet.
func (c *changes) setFiles(f *operatorFiles) {
	c.mu.Lock()
	c.files = f
	c.mu.Unlock()
	c.notify()
}

// takeFiles returns the last change, nil if there is none.
func (c *changes) takeFiles() *operatorFiles {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files
	c.files = nil
	return f
}

// takeFiles gives the translator what files of the operator say now.
func (l *loop) takeFiles(now time.Time) {
	if f := l.c.changes.takeFiles(); f != nil {
		l.translator.SetFiles(f.Files)
		l.filesTaken = append(l.filesTaken, f.done)
		l.touch(now)
	}
}

// filesInForce tells those who wait for what was taken, if everything is published.
func (l *loop) filesInForce() {
	if l.dirty || l.pending.Spec != nil || len(l.pending.Endpoints) > 0 {
		return
	}
	for _, done := range l.filesTaken {
		close(done)
	}
	l.filesTaken = nil
}
