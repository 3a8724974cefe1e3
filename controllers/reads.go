package controllers

import (
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// reads decides which objects of one kind are read when. It is a pure state machine of the
// loop; times are given.
//
// An object is resolved once something definite is known of it: its content, that
// it does not exist, or that it will not be had. Until then nobody can say what
// to serve for the hosts that need it.
type reads struct {
	entries map[types.NamespacedName]*reading
	// queued holds the names to read, also those that wait for another attempt.
	queued     map[types.NamespacedName]*reading
	running    int
	unresolved int
}

type reading struct {
	resolved bool
	running  bool
	// again says that the object changed while it was being read.
	again bool
	// version is the resourceVersion of the content last read.
	version  string
	failures int
	// notBefore is when the next attempt may be made.
	notBefore time.Time
	// since is when the oldest change was seen that was not yet read.
	since time.Time
}

func newReads() *reads {
	return &reads{
		entries: make(map[types.NamespacedName]*reading),
		queued:  make(map[types.NamespacedName]*reading),
	}
}

// add begins to keep a name; it reports whether it is new.
func (r *reads) add(name types.NamespacedName) bool {
	if _, ok := r.entries[name]; ok {
		return false
	}
	r.entries[name] = &reading{}
	r.unresolved++
	return true
}

// renew makes a name one of which nothing definite is known.
func (r *reads) renew(name types.NamespacedName) {
	e := r.entries[name]
	e.version = ""
	if e.resolved {
		e.resolved = false
		r.unresolved++
	}
}

// drop forgets a name. A read under way is ignored when it ends.
func (r *reads) drop(name types.NamespacedName) {
	e, ok := r.entries[name]
	if !ok {
		return
	}
	r.resolve(e)
	delete(r.entries, name)
	delete(r.queued, name)
}

// request asks for a read because of a change that was seen at the time since.
// version is what the object's metadata says; content of that version needs no
// second read.
func (r *reads) request(name types.NamespacedName, version string, since time.Time) {
	e, ok := r.entries[name]
	if !ok || version != "" && version == e.version {
		return
	}
	if e.since.IsZero() {
		e.since = since
	}
	if e.running {
		e.again = true
		return
	}
	e.failures, e.notBefore = 0, time.Time{}
	r.queued[name] = e
}

// absent says that the object does not exist: nothing is to be read.
func (r *reads) absent(name types.NamespacedName) {
	e, ok := r.entries[name]
	if !ok {
		return
	}
	e.version, e.since, e.failures = "", time.Time{}, 0
	e.again = e.running
	delete(r.queued, name)
	r.resolve(e)
}

// An attempt is a read under way of a name. It is void once the name was dropped,
// even if the name was added again since.
type attempt struct {
	name types.NamespacedName
	of   *reading
	// listed says that it is part of a listing.
	listed bool
}

// start returns what to read now, so much that no more than limit are being read
// at a time, and counts it as being read.
func (r *reads) start(limit int, now time.Time) []attempt {
	var attempts []attempt
	for name, e := range r.queued {
		if r.running >= limit {
			break
		}
		if e.notBefore.After(now) {
			continue
		}
		delete(r.queued, name)
		e.running = true
		r.running++
		attempts = append(attempts, attempt{name: name, of: e})
	}
	return attempts
}

// startListing returns all that may be read now, as parts of a listing.
func (r *reads) startListing(now time.Time) []attempt {
	var attempts []attempt
	for name, e := range r.queued {
		if e.notBefore.After(now) {
			continue
		}
		delete(r.queued, name)
		e.running = true
		attempts = append(attempts, attempt{name, e, true})
	}
	return attempts
}

// ended says that an attempt has ended; it reports whether the result is wanted.
// The caller judges it, then calls succeeded, failed or request.
func (r *reads) ended(a attempt) bool {
	if !a.listed {
		r.running--
	}
	if r.entries[a.name] != a.of {
		return false
	}
	a.of.running = false
	return true
}

// succeeded says that e was read in the given version and returns since when
// that was due.
func (r *reads) succeeded(e *reading, version string) (since time.Time) {
	since = e.since
	e.version, e.since, e.failures = version, time.Time{}, 0
	r.resolve(e)
	return since
}

const (
	readRetryMin = 500 * time.Millisecond
	readRetryMax = 30 * time.Second
	// readGiveUp is the number of failures after which an object that a working
	// API server does not give is not waited for any more.
	readGiveUp = 3
)

// failed says that e was not read. It is queued for another attempt. definite
// says that the API server is there and gave this answer.
func (r *reads) failed(name types.NamespacedName, e *reading, definite bool, now time.Time) {
	e.failures++
	pause := readRetryMax
	if e.failures < 7 {
		pause = min(readRetryMin<<(e.failures-1), readRetryMax)
	}
	// Spread the attempts, so that many objects do not come back all at once.
	e.notBefore = now.Add(pause/2 + rand.N(pause/2+1))
	r.queued[name] = e
	if definite && e.failures >= readGiveUp {
		r.resolve(e)
	}
}

func (r *reads) resolve(e *reading) {
	if !e.resolved {
		e.resolved = true
		r.unresolved--
	}
}

// next returns when start would return something again; zero if only the end of
// a read or a request can change that.
func (r *reads) next(limit int) time.Time {
	var next time.Time
	if r.running >= limit {
		return next
	}
	for _, e := range r.queued {
		if next.IsZero() || e.notBefore.Before(next) {
			next = e.notBefore
		}
	}
	return next
}

// trying reports whether a name is unresolved whose first attempt has not failed
// yet: an answer is a matter of milliseconds.
func (r *reads) trying() bool {
	if r.unresolved == 0 {
		return false
	}
	for _, e := range r.entries {
		if !e.resolved && e.failures == 0 {
			return true
		}
	}
	return false
}
