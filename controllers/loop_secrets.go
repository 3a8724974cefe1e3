package controllers

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// This file is the part of the loop that is about Secrets.

// look asks for a read of a Secret if its metadata says that there is something
// new.
func (l *loop) look(name types.NamespacedName, now time.Time) {
	version, exists := l.view.secret(name)
	if !l.current {
		version = "" // asking the API server is the only way to know
	}
	if exists || !l.current {
		l.reads.request(name, version, now)
		return
	}
	l.reads.absent(name)
	l.store.Update(name, nil, now)
	l.setSecret(name, now)
	l.touch(now)
}

func (l *loop) secretChanged(name types.NamespacedName, change change, now time.Time) {
	if _, wanted := l.reads.entries[name]; !wanted {
		return
	}
	if change.object != nil {
		l.reads.request(name, change.object.GetResourceVersion(), change.seen)
		return
	}
	l.reads.absent(name)
	l.store.Update(name, nil, now)
	l.setSecret(name, now)
	l.touch(change.seen)
}

// setSecret gives the translator the state of a Secret.
func (l *loop) setSecret(name types.NamespacedName, now time.Time) {
	state := l.store.State(name, now)
	if state.LastGood || state.Trust.LastGood {
		l.lastGood[name] = struct{}{}
	} else {
		delete(l.lastGood, name)
	}
	l.translator.SetSecret(name, state)
}

// forgetSecrets drops the Secrets that no Ingress names any more.
func (l *loop) forgetSecrets() {
	for name := range l.reads.entries {
		if _, named := l.result.Secrets[name]; named {
			continue
		}
		l.c.changes.listen(name, false)
		l.reads.drop(name)
		l.translator.DeleteSecret(name)
		delete(l.lastGood, name)
	}
	l.store.Retain(func(name types.NamespacedName) bool {
		_, named := l.result.Secrets[name]
		return named
	})
}

// startReads starts the reads that are due: many by listing, few one by one.
func (l *loop) startReads(ctx context.Context, now time.Time) {
	if n := len(l.reads.queued); n >= listFrom && !l.listing && n*listShare >= l.allSecrets(now) {
		l.list(ctx, l.reads.startListing(now))
		return
	}
	l.readEach(ctx, l.reads.start(readsAtATime, now))
}

// allSecrets is about how many Secrets there are. Counting walks them all, so it
// is not done at every turn.
func (l *loop) allSecrets(now time.Time) int {
	if now.Sub(l.countedAt) > time.Second {
		l.countedAt, l.secrets = now, l.view.countSecrets()
	}
	return l.secrets
}

func (l *loop) readEach(ctx context.Context, attempts []attempt) {
	for _, a := range attempts {
		l.reading.Go(func() { l.end(ctx, []read{readOne(ctx, l.reader, a)}) })
	}
}

// list reads many Secrets with a few requests. What the listing does not have is
// read one by one.
func (l *loop) list(ctx context.Context, attempts []attempt) {
	l.listing = true
	l.reading.Go(func() {
		var batch []read
		readMany(ctx, l.reader, attempts, func(r read) {
			if batch = append(batch, r); len(batch) == listPage {
				l.end(ctx, batch)
				batch = nil
			}
		})
		l.end(ctx, append(batch, read{})) // a read of nothing ends the listing
	})
}

func (l *loop) end(ctx context.Context, batch []read) {
	select {
	case l.results <- batch:
	case <-ctx.Done():
	}
}

// takeReads takes in what was read.
func (l *loop) takeReads(batch []read, now time.Time) {
	for _, r := range batch {
		switch {
		case r.of == nil:
			l.listing = false
		case l.reads.ended(r.attempt):
			l.takeRead(r, r.of, now)
		}
	}
}

func (l *loop) takeRead(r read, e *reading, now time.Time) {
	again := e.again
	e.again = false
	if r.missed || again && r.secret == nil {
		l.look(r.name, now)
		return
	}
	switch {
	case r.err != nil:
		l.readFailed(r, e, now)
		return
	case r.secret == nil:
		l.count("absent")
		l.touch(l.reads.succeeded(e, ""))
		l.store.Update(r.name, nil, now)
	default:
		l.count("read")
		if again {
			// The content may be older than what is known: of a Secret that is gone
			// since, it must not come back.
			if _, exists := l.view.secret(r.name); !exists {
				l.look(r.name, now)
				return
			}
		}
		since := l.reads.succeeded(e, r.secret.ResourceVersion)
		l.touch(since)
		l.store.Update(r.name, r.secret, now)
		if again {
			version, _ := l.view.secret(r.name)
			l.reads.request(r.name, version, since)
		}
	}
	l.setSecret(r.name, now)
}

func (l *loop) readFailed(r read, e *reading, now time.Time) {
	problem := "it could not be read: " + r.err.Error()
	switch {
	case apierrors.IsForbidden(r.err):
		l.count("forbidden")
		problem = "the API server forbids Cardea to read it"
		if names := l.c.secretNamespaces(); len(names) > 0 && !slices.Contains(names, r.name.Namespace) {
			problem = "Cardea reads the Secrets of some namespaces alone, and its is none of them"
		}
		e.failures = max(e.failures, readGiveUp) // asking again will not help soon
	default:
		l.count("error")
	}
	l.reads.failed(r.name, e, definite(r.err), now)
	if e.failures == 1 || e.resolved {
		l.log.V(1).Info("a secret could not be read", "secret", r.name.String(), "error", r.err.Error(), "attempt", e.failures)
	}
	l.store.Unreadable(r.name, problem, now)
	l.setSecret(r.name, now)
	l.touch(now)
}

func (l *loop) count(result string) {
	if l.c.cfg.Metrics.SecretRead != nil {
		l.c.cfg.Metrics.SecretRead(result)
	}
}

// countSecrets tells the metrics about the Secrets, if something changed.
func (l *loop) countSecrets() {
	if l.c.cfg.Metrics.Secrets == nil {
		return
	}
	stale := make([]string, 0, len(l.lastGood))
	for name := range l.lastGood {
		stale = append(stale, name.String())
	}
	slices.Sort(stale)
	referenced := len(l.reads.entries)
	if referenced != l.toldReferenced || !slices.Equal(stale, l.toldLastGood) {
		l.toldReferenced, l.toldLastGood = referenced, stale
		l.c.cfg.Metrics.Secrets(referenced, stale)
	}
}
