package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A view is what the loop asks the session that is in step.
type view interface {
	// version is what the metadata say of an object of a kind whose content is read.
	version(kind kind, name types.NamespacedName) (resourceVersion string, exists bool)
	// count is how many there are.
	count(kind kind) int
	// blind reports whether the watch of a kind may not even begin.
	blind(kind kind) bool
}

// The loop is the one goroutine that translates and publishes. It owns all that
// it holds; other goroutines reach it through changes and results.
//
// Each turn: take what changed, give it to the translator, ask for the Secrets and
// ConfigMaps that are named, and, at most once a pause, translate and publish. Changes
// of those do not wait for the pause before they are read.
type loop struct {
	c          *Controller
	log        logr.Logger
	translator *translate.Translator
	results    chan batch
	reading    sync.WaitGroup
	// secrets and configMaps are what is read of those that are named.
	secrets, configMaps *contents

	// view is the last session that was in step, nil before the first. It is not
	// current once the next one has begun: what it says may be outdated.
	view    view
	current bool
	// known says which session has seen an object last.
	known map[objectKey]view

	// dirty says that the translator was given something since it translated;
	// since is when the oldest of it was seen.
	dirty bool
	since time.Time
	// translatedAt and publishedAt are when that was done last.
	translatedAt, publishedAt time.Time
	result                    translate.Result
	// filesTaken are closed when what the operator's files say is in force.
	filesTaken []chan struct{}
	// process is what was last taken of a result.
	process *translate.Process
	// pending is translated and not published; published is the last Spec that
	// was.
	pending   snapshot.Update
	published *snapshot.Spec
	// heldSince is when pending was first held back for Secrets that are being
	// read; retryAt when a failed publish is tried again.
	heldSince, retryAt time.Time
	judge              *judge
}

const (
	// holdSpec is how long a table waits for Secrets that are being read. A host
	// that changes its Secret would lose its certificate for a moment otherwise.
	holdSpec = 500 * time.Millisecond
	// holdVerdicts is how long verdicts wait for them.
	holdVerdicts = 5 * time.Second
	// publishRetry is the pause after a publish that was refused.
	publishRetry = time.Second
)

func newLoop(c *Controller, secretReader, configMapReader contentReader) *loop {
	l := &loop{
		c:          c,
		log:        c.cfg.Logger,
		translator: translate.New(c.cfg.Translate),
		results:    make(chan batch, readsAtATime),
		known:      make(map[objectKey]view),
		judge:      newJudge(c.cfg, c.leading.Load),
	}
	l.secrets, l.configMaps = newContentsOf(l, secretReader, configMapReader)
	return l
}

// contents are all kinds of them.
func (l *loop) contents() [2]*contents { return [...]*contents{l.secrets, l.configMaps} }

func (l *loop) run(ctx context.Context) {
	defer l.reading.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.c.changes.wake:
		case ask := <-l.c.asks:
			ask(l)
		case batch := <-l.results:
			batch.of.take(batch.reads, time.Now())
		case <-timer.C:
		}
		timer.Reset(time.Until(l.turn(ctx, time.Now())))
	}
}

// turn does what there is to do now and returns when to come again.
func (l *loop) turn(ctx context.Context, now time.Time) time.Time {
	l.takeChanges(now)
	l.takeFiles(now)
	if l.view == nil {
		return now.Add(time.Hour) // finish of the first session wakes us
	}
	l.passTime(now)
	if l.dirty && !l.translateAt().After(now) {
		l.translate(now)
	}
	for _, c := range l.contents() {
		c.startReads(ctx, now)
	}
	l.publish(now)
	l.filesInForce()
	return l.next(now)
}

// takeChanges gives the translator what the informers saw.
func (l *loop) takeChanges(now time.Time) {
	waiting, from, synced := l.c.changes.take()
	for key, change := range waiting {
		switch key.kind {
		case secretKind:
			l.secrets.changed(key.name, change, now)
			continue
		case bundleKind:
			l.configMaps.changed(key.name, change, now)
			continue
		}
		l.apply(key, change, from)
		l.touch(change.seen)
	}
	if synced && l.view != from {
		l.view, l.current = from, true
		l.inStep(now)
	}
	l.current = l.view == from
}

// touch says that the translator was given something that was seen at a time.
func (l *loop) touch(seen time.Time) {
	l.dirty = true
	if l.since.IsZero() || !seen.IsZero() && seen.Before(l.since) {
		l.since = seen
	}
}

func (l *loop) apply(key objectKey, change change, from view) {
	if change.object == nil {
		l.forget(key)
		return
	}
	l.known[key] = from
	switch o := change.object.(type) {
	case *networkingv1.Ingress:
		l.translator.SetIngress(o)
		if l.c.status != nil {
			l.c.status.ingress(o)
		}
	case *networkingv1.IngressClass:
		l.translator.SetClass(o)
	case *v1alpha1.IngressClassParameters:
		l.translator.SetParameters(o)
	case *gateway.ReferenceGrant:
		l.translator.SetGrant(o)
	case *corev1.Service:
		l.translator.SetService(o)
	case *discoveryv1.EndpointSlice:
		l.translator.SetSlice(o)
	case *corev1.ConfigMap:
		l.translator.SetConfigMap(o)
	}
}

func (l *loop) forget(key objectKey) {
	delete(l.known, key)
	switch key.kind {
	case ingressKind:
		l.translator.DeleteIngress(key.name)
		if l.c.status != nil {
			l.c.status.gone(key.name)
		}
	case classKind:
		l.translator.DeleteClass(key.name.Name)
	case paramsKind:
		l.translator.DeleteParameters(key.name.Name)
	case grantKind:
		l.translator.DeleteGrant(key.name)
	case serviceKind:
		l.translator.DeleteService(key.name)
	case sliceKind:
		l.translator.DeleteSlice(key.name)
	case configKind:
		l.translator.DeleteConfigMap(key.name)
	}
}

// inStep begins to trust a new session: what it has not seen is gone, and what
// happened to Secrets and ConfigMaps between two sessions is found out.
func (l *loop) inStep(now time.Time) {
	for key, seen := range l.known {
		if seen != l.view {
			l.forget(key)
		}
	}
	for _, c := range l.contents() {
		for name := range c.reads.entries {
			c.look(name, now)
		}
	}
	l.touch(now)
}

// passTime does what time alone does: certificates begin and end.
func (l *loop) passTime(now time.Time) {
	for _, c := range l.contents() {
		for _, name := range c.store.Due(now) {
			c.set(name, now)
			l.touch(now)
		}
	}
	if next := l.result.Next; !next.IsZero() && !next.After(now) {
		l.touch(now)
	}
}

// translateAt is when the next translation may be made: a pause after the last
// publish, and after the last translation, unless that one was held back for
// Secrets that have come since.
func (l *loop) translateAt() time.Time {
	last := l.publishedAt
	released := !l.heldSince.IsZero() && l.unresolved() == 0
	if l.translatedAt.After(last) && !released {
		last = l.translatedAt
	}
	return last.Add(l.c.cfg.pause)
}

// unresolved is of how many objects that are named nothing definite is known.
func (l *loop) unresolved() int { return l.secrets.reads.unresolved + l.configMaps.reads.unresolved }

// translate makes a new result of what the translator was given, and follows
// what it says about Secrets and ConfigMaps.
func (l *loop) translate(now time.Time) {
	l.dirty, l.translatedAt = false, now
	l.result = l.translator.Translate(now)
	l.takeProcess()

	for _, c := range l.contents() {
		c.follow(now)
	}
	if l.c.status != nil {
		l.c.status.ours(l.result.Ingresses)
	}

	l.pending.Spec = l.result.Spec
	if l.result.Spec == l.published {
		l.pending.Spec = nil
	}
	if len(l.result.Endpoints) > 0 {
		if l.pending.Endpoints == nil {
			l.pending.Endpoints = make(map[string][]snapshot.Endpoint, len(l.result.Endpoints))
		}
		maps.Copy(l.pending.Endpoints, l.result.Endpoints)
	}
	if l.pending.Spec == nil && len(l.pending.Endpoints) == 0 {
		l.since = time.Time{} // it changed nothing
	}
}

// publish hands over what is pending, unless it has to wait.
func (l *loop) publish(now time.Time) {
	if l.dirty || now.Before(l.retryAt) {
		return
	}
	wait := l.unresolved() > 0
	if !wait {
		l.heldSince = time.Time{}
	} else if l.heldSince.IsZero() {
		l.heldSince = now
	}
	if l.published == nil && wait {
		l.c.setNotReady(fmt.Sprintf("%d of the %d Secrets and ConfigMaps that Ingresses name are not read yet", l.unresolved(), len(l.secrets.reads.entries)+len(l.configMaps.reads.entries)))
		return
	}
	if !wait || now.Sub(l.heldSince) >= holdVerdicts {
		l.judge.take(l.result.Verdicts)
		for _, c := range l.contents() {
			c.tellMetrics()
		}
	}

	update, whole := l.pending, true
	if wait && now.Sub(l.heldSince) < holdSpec && (l.secrets.reads.trying() || l.configMaps.reads.trying()) {
		update, whole = l.endpointsOnly(), false
	}
	if update.Spec == nil && len(update.Endpoints) == 0 {
		return
	}
	update.Since = l.since
	if err := l.c.cfg.Publisher.Publish(update); err != nil {
		l.log.Error(err, "the data plane refused an update; what was published before is served on")
		l.retryAt = now.Add(publishRetry)
		return
	}
	l.retryAt, l.publishedAt = time.Time{}, time.Now()
	if !whole {
		maps.DeleteFunc(l.pending.Endpoints, func(id string, _ []snapshot.Endpoint) bool {
			_, done := update.Endpoints[id]
			return done
		})
		return
	}
	if update.Spec != nil && l.published == nil {
		l.log.Info("the first full table is published", "hosts", len(update.Spec.Hosts), "pools", len(update.Spec.Pools), "secrets", len(l.secrets.reads.entries), "configmaps", len(l.configMaps.reads.entries))
		l.c.setReady()
	}
	if update.Spec != nil {
		l.published = update.Spec
	}
	// The maps of an update belong to the data plane now.
	l.pending, l.since = snapshot.Update{}, time.Time{}
}

// endpointsOnly is the part of pending that needs no new table: the endpoints of
// pools that are in force.
func (l *loop) endpointsOnly() snapshot.Update {
	var part snapshot.Update
	for id, endpoints := range l.pending.Endpoints {
		if !hasPool(l.published, id) {
			continue
		}
		if part.Endpoints == nil {
			part.Endpoints = make(map[string][]snapshot.Endpoint)
		}
		part.Endpoints[id] = endpoints
	}
	return part
}

func hasPool(spec *snapshot.Spec, id string) bool {
	if spec == nil {
		return false
	}
	_, ok := slices.BinarySearchFunc(spec.Pools, id, func(p *snapshot.Pool, id string) int {
		if p.ID < id {
			return -1
		} else if p.ID > id {
			return 1
		}
		return 0
	})
	return ok
}

// next returns when there is something to do if nothing else happens.
func (l *loop) next(now time.Time) time.Time {
	next := now.Add(time.Hour)
	sooner := func(at time.Time) {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if l.dirty {
		sooner(l.translateAt())
	} else {
		sooner(l.result.Next)
	}
	for _, c := range l.contents() {
		sooner(c.store.Next())
		sooner(c.reads.next(readsAtATime))
	}
	sooner(l.retryAt)
	if !l.heldSince.IsZero() && l.published != nil {
		if at := l.heldSince.Add(holdSpec); at.After(now) {
			sooner(at)
		} else {
			sooner(l.heldSince.Add(holdVerdicts))
		}
	}
	return next
}
