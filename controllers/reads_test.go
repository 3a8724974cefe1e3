package controllers

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestReads(t *testing.T) {
	now := time.Unix(1000, 0)
	name := func(s string) types.NamespacedName { return types.NamespacedName{Namespace: "shop", Name: s} }
	tls := name("tls")

	t.Run("a read of a name that was dropped and added again is void", func(t *testing.T) {
		r := newReads()
		r.add(tls)
		r.request(tls, "1", now)
		old := r.start(1, now)[0]
		r.drop(tls)
		r.add(tls)
		r.request(tls, "2", now)
		if got := r.start(1, now); len(got) != 0 {
			t.Errorf("start beyond the limit = %v, want none", got)
		}
		if r.ended(old) {
			t.Error("the old read is wanted")
		}
		attempts := r.start(1, now)
		if len(attempts) != 1 || !r.ended(attempts[0]) {
			t.Errorf("start = %v, want the new read", attempts)
		}
	})
	t.Run("content of the version that was read is not read again", func(t *testing.T) {
		r := newReads()
		r.add(tls)
		r.request(tls, "1", now)
		a := r.start(1, now)[0]
		r.ended(a)
		if since := r.succeeded(a.of, "2"); !since.Equal(now) {
			t.Errorf("succeeded = %v, want %v", since, now)
		}
		r.request(tls, "2", now)
		if got := r.start(1, now); len(got) != 0 {
			t.Errorf("start = %v, want none", got)
		}
	})
	t.Run("what is wanted for something else is waited for and read again", func(t *testing.T) {
		r := newReads()
		r.add(tls)
		r.request(tls, "1", now)
		a := r.start(1, now)[0]
		r.ended(a)
		r.succeeded(a.of, "1")
		for range 2 {
			r.renew(tls)
		}
		if r.unresolved != 1 {
			t.Errorf("unresolved after renew = %d, want 1", r.unresolved)
		}
		r.request(tls, "1", now)
		if got := r.start(1, now); len(got) != 1 {
			t.Errorf("start after renew = %v, want a read of the same version", got)
		}
	})
	t.Run("failures back off, and a definite one is given up", func(t *testing.T) {
		r := newReads()
		r.add(tls)
		r.request(tls, "1", now)
		at := now
		for i := range 10 {
			attempts := r.start(1, at)
			if len(attempts) != 1 {
				t.Fatalf("attempt %d is not due at %v", i, at.Sub(now))
			}
			r.ended(attempts[0])
			r.failed(tls, attempts[0].of, i > 5, at)
			next := r.next(1)
			if pause := next.Sub(at); pause < readRetryMin/2 || pause > readRetryMax {
				t.Errorf("pause after failure %d = %v", i, pause)
			}
			if wantResolved := i > 5; (r.unresolved == 0) != wantResolved {
				t.Errorf("after failure %d: unresolved = %d", i, r.unresolved)
			}
			at = next
		}
		if pause := at.Sub(now); pause < time.Minute {
			t.Errorf("10 attempts in %v, want them to back off", pause)
		}
		// A change is worth an attempt at once.
		r.request(tls, "2", at)
		if got := r.start(1, at); len(got) != 1 {
			t.Error("a change waits for the pause")
		}
	})
	t.Run("the first attempts are a matter of milliseconds", func(t *testing.T) {
		r := newReads()
		if r.trying() {
			t.Error("trying with nothing to read")
		}
		r.add(tls)
		r.request(tls, "1", now)
		if !r.trying() {
			t.Error("not trying before the first attempt")
		}
		a := r.start(1, now)[0]
		r.ended(a)
		r.failed(tls, a.of, false, now)
		if r.trying() {
			t.Error("trying after a failure")
		}
		r.absent(tls)
		if r.unresolved != 0 {
			t.Error("absent does not resolve")
		}
		r.drop(tls)
		r.drop(tls)
		if r.unresolved != 0 || len(r.entries) != 0 || len(r.queued) != 0 {
			t.Errorf("after drop: %+v", r)
		}
	})
}
