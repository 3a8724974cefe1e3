package controllers

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/secrets"
	"github.com/cardea-dev/cardea/controllers/translate"
)

// contents are the objects of one kind whose content counts and is not watched: their
// metadata are, and the content of those that are named is read. They are the part of
// the loop that is about Secrets, and the same for ConfigMaps with authorities.
type contents struct {
	loop   *loop
	kind   kind
	reader contentReader
	store  *secrets.Store
	reads  *reads
	// following is what was named when that was last looked at.
	following map[types.NamespacedName][]translate.Reference
	listing   bool
	// total is how many there were in the cluster at countedAt.
	total     int
	countedAt time.Time
	// lastGood holds those of which an earlier content counts.
	lastGood map[types.NamespacedName]struct{}
	// toldReferenced and toldLastGood are what tell was told last.
	toldReferenced int
	toldLastGood   []string

	// named returns those that a result names, put and drop give the translator what is
	// known of one.
	named func(*translate.Result) map[types.NamespacedName][]translate.Reference
	put   func(types.NamespacedName, translate.Secret)
	drop  func(types.NamespacedName)
	// tell and counted are Metrics; nil if nobody is told.
	tell    func(referenced int, lastGood []string)
	counted func(result string)
}

func newContents(l *loop, kind kind, reader contentReader, store *secrets.Store) *contents {
	return &contents{
		loop: l, kind: kind, reader: reader, store: store,
		reads:    newReads(),
		lastGood: make(map[types.NamespacedName]struct{}),
	}
}

// newContentsOf returns the contents of Secrets and of ConfigMaps.
func newContentsOf(l *loop, secretReader, configMapReader contentReader) (ofSecrets, ofConfigMaps *contents) {
	after, metrics := *l.c.cfg.LastGoodAfterDelete, l.c.cfg.Metrics
	s := newContents(l, secretKind, secretReader, secrets.New(after))
	s.named = func(r *translate.Result) map[types.NamespacedName][]translate.Reference { return r.Secrets }
	s.put, s.drop = l.translator.SetSecret, l.translator.DeleteSecret
	s.tell, s.counted = metrics.Secrets, metrics.SecretRead

	m := newContents(l, bundleKind, configMapReader, secrets.NewConfigMaps(after))
	m.named = func(r *translate.Result) map[types.NamespacedName][]translate.Reference { return r.Bundles }
	m.put = func(name types.NamespacedName, state translate.Secret) {
		l.translator.SetBundle(name, translate.Bundle{Origin: state.Origin, Trust: state.Trust})
	}
	m.drop = l.translator.DeleteBundle
	m.tell, m.counted = metrics.ConfigMaps, metrics.ConfigMapRead
	return s, m
}

// follow has those read that the result names, and forgets the others.
func (c *contents) follow(now time.Time) {
	named := c.named(&c.loop.result)
	if translate.SameMap(c.following, named) {
		return
	}
	c.following = named
	for name, refs := range named {
		again := c.store.Want(name, translate.Purposes(refs))
		switch {
		case c.reads.add(name):
			c.loop.c.changes.listen(objectKey{c.kind, name}, true)
			c.look(name, now)
		case again:
			c.reads.renew(name)
			c.look(name, now)
		}
	}
	if len(c.reads.entries) > len(named) {
		c.forgetOthers()
	}
}

// forgetOthers drops those that no Ingress names any more.
func (c *contents) forgetOthers() {
	for name := range c.reads.entries {
		if _, named := c.following[name]; named {
			continue
		}
		c.loop.c.changes.listen(objectKey{c.kind, name}, false)
		c.reads.drop(name)
		c.drop(name)
		delete(c.lastGood, name)
	}
	c.store.Retain(func(name types.NamespacedName) bool {
		_, named := c.following[name]
		return named
	})
}

// look asks for a read of an object if its metadata says that there is something new.
func (c *contents) look(name types.NamespacedName, now time.Time) {
	if c.loop.current && c.loop.view.blind(c.kind) {
		// Changes would not be seen, so that nothing is read.
		c.reads.absent(name)
		c.store.Unreadable(name, "the API server forbids Cardea to watch those of its kind", now)
		c.set(name, now)
		c.loop.touch(now)
		return
	}
	version, exists := c.loop.view.version(c.kind, name)
	if !c.loop.current {
		version = "" // asking the API server is the only way to know
	}
	if exists || !c.loop.current {
		c.reads.request(name, version, now)
		return
	}
	c.reads.absent(name)
	c.store.Update(name, nil, now)
	c.set(name, now)
	c.loop.touch(now)
}

// changed takes in that the metadata of an object changed.
func (c *contents) changed(name types.NamespacedName, change change, now time.Time) {
	if _, wanted := c.reads.entries[name]; !wanted {
		return
	}
	if change.object != nil {
		c.reads.request(name, change.object.GetResourceVersion(), change.seen)
		return
	}
	c.reads.absent(name)
	c.store.Update(name, nil, now)
	c.set(name, now)
	c.loop.touch(change.seen)
}

// set gives the translator the state of an object.
func (c *contents) set(name types.NamespacedName, now time.Time) {
	state := c.store.State(name, now)
	if state.LastGood || state.Trust.LastGood {
		c.lastGood[name] = struct{}{}
	} else {
		delete(c.lastGood, name)
	}
	c.put(name, state)
}

// startReads starts the reads that are due: many by listing, few one by one.
func (c *contents) startReads(ctx context.Context, now time.Time) {
	lister, ok := c.reader.(contentLister)
	if n := len(c.reads.queued); ok && n >= listFrom && !c.listing && n*listShare >= c.all(now) {
		c.list(ctx, lister, c.reads.startListing(now))
		return
	}
	c.readEach(ctx, c.reads.start(readsAtATime, now))
}

// all is about how many there are in the cluster. Counting walks them all, so it is
// not done at every turn.
func (c *contents) all(now time.Time) int {
	if now.Sub(c.countedAt) > time.Second {
		c.countedAt, c.total = now, c.loop.view.count(c.kind)
	}
	return c.total
}

func (c *contents) readEach(ctx context.Context, attempts []attempt) {
	for _, a := range attempts {
		c.loop.reading.Go(func() { c.end(ctx, []read{readOne(ctx, c.reader, a)}) })
	}
}

// list reads many objects with a few requests. What the listing does not have is
// read one by one.
func (c *contents) list(ctx context.Context, lister contentLister, attempts []attempt) {
	c.listing = true
	c.loop.reading.Go(func() {
		var page []read
		readMany(ctx, lister, attempts, func(r read) {
			if page = append(page, r); len(page) == listPage {
				c.end(ctx, page)
				page = nil
			}
		})
		c.end(ctx, append(page, read{})) // a read of nothing ends the listing
	})
}

func (c *contents) end(ctx context.Context, reads []read) {
	select {
	case c.loop.results <- batch{c, reads}:
	case <-ctx.Done():
	}
}

// A batch is what was read of one kind.
type batch struct {
	of    *contents
	reads []read
}

// take takes in what was read.
func (c *contents) take(list []read, now time.Time) {
	for _, r := range list {
		switch {
		case r.of == nil:
			c.listing = false
		case c.reads.ended(r.attempt):
			c.takeRead(r, r.of, now)
		}
	}
}

func (c *contents) takeRead(r read, e *reading, now time.Time) {
	again := e.again
	e.again = false
	if r.missed || again && r.content == nil {
		c.look(r.name, now)
		return
	}
	switch {
	case r.err != nil:
		c.readFailed(r, e, now)
		return
	case r.content == nil:
		c.count("absent")
		c.loop.touch(c.reads.succeeded(e, ""))
		c.store.Update(r.name, nil, now)
	default:
		c.count("read")
		if again {
			// The content may be older than what is known: of one that is gone
			// since, it must not come back.
			if _, exists := c.loop.view.version(c.kind, r.name); !exists {
				c.look(r.name, now)
				return
			}
		}
		since := c.reads.succeeded(e, r.content.ResourceVersion)
		c.loop.touch(since)
		c.store.Update(r.name, r.content, now)
		if again {
			version, _ := c.loop.view.version(c.kind, r.name)
			c.reads.request(r.name, version, since)
		}
	}
	c.set(r.name, now)
}

func (c *contents) readFailed(r read, e *reading, now time.Time) {
	problem := "it could not be read: " + r.err.Error()
	switch {
	case apierrors.IsForbidden(r.err):
		c.count("forbidden")
		problem = "the API server forbids Cardea to read it"
		if names := c.loop.c.secretNamespaces(); c.kind == secretKind && len(names) > 0 && !slices.Contains(names, r.name.Namespace) {
			problem = "Cardea reads the Secrets of some namespaces alone, and its is none of them"
		}
		e.failures = max(e.failures, readGiveUp) // asking again will not help soon
	default:
		c.count("error")
	}
	c.reads.failed(r.name, e, definite(r.err), now)
	if e.failures == 1 || e.resolved {
		c.loop.log.V(1).Info("an object could not be read", "kind", string(c.kind), "name", r.name.String(), "error", r.err.Error(), "attempt", e.failures)
	}
	c.store.Unreadable(r.name, problem, now)
	c.set(r.name, now)
	c.loop.touch(now)
}

func (c *contents) count(result string) {
	if c.counted != nil {
		c.counted(result)
	}
}

// tellMetrics tells the metrics how many there are, if something changed.
func (c *contents) tellMetrics() {
	if c.tell == nil {
		return
	}
	stale := make([]string, 0, len(c.lastGood))
	for name := range c.lastGood {
		stale = append(stale, name.String())
	}
	slices.Sort(stale)
	referenced := len(c.reads.entries)
	if referenced != c.toldReferenced || !slices.Equal(stale, c.toldLastGood) {
		c.toldReferenced, c.toldLastGood = referenced, stale
		c.tell(referenced, stale)
	}
}
