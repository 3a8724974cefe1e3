package cli

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/controllers/manifest"
	"github.com/cardea-dev/cardea/controllers/secrets"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A publisher makes an update current; the data plane is one.
type publisher interface {
	Publish(snapshot.Update) error
}

// A feed keeps a publisher in step with objects that are handed to it. It is for
// one goroutine.
type feed struct {
	translator *translate.Translator
	store      *secrets.Store
	// secrets are all that exist; the store knows only those that are referenced.
	secrets    map[types.NamespacedName]*corev1.Secret
	referenced map[types.NamespacedName]bool
	// fresh, if set, reads a Secret again. Then the data of those that were read
	// into the store is dropped: it is as large as everything else together.
	fresh func(namespace, name string) *corev1.Secret
	// collect collects garbage.
	collect func()
	// result is the last translation.
	result translate.Result
	// unpublished endpoints of a publish that failed.
	unpublished map[string][]snapshot.Endpoint
	publisher   publisher
	// named is the map of the last result in which every Secret was looked at.
	named map[types.NamespacedName][]translate.Reference
	// lastGoods are the Secrets that are served from an earlier content, and stale
	// is what lastGood returns of them, to any goroutine.
	lastGoods map[types.NamespacedName]struct{}
	stale     atomic.Pointer[[]string]
	foreign   foreigners
	// onProcess, if set, is told what the parameters of the class say to the
	// process, before what goes with it is published.
	onProcess func(translate.Process)
	process   *translate.Process
}

// newFeed returns a feed to p.
func newFeed(options translate.Options, p publisher) *feed {
	return &feed{
		translator:  translate.New(options),
		store:       secrets.New(secrets.DefaultLastGoodAfterDelete),
		secrets:     make(map[types.NamespacedName]*corev1.Secret),
		lastGoods:   make(map[types.NamespacedName]struct{}),
		foreign:     newForeigners(),
		referenced:  make(map[types.NamespacedName]bool),
		unpublished: make(map[string][]snapshot.Endpoint),
		publisher:   p,
		collect:     collect,
	}
}

// apply takes in objects that changed or are gone, translates and publishes.
// since is when the change was first seen.
func (f *feed) apply(changed, gone []manifest.Object, since, now time.Time) error {
	for _, o := range changed {
		f.set(o, now)
	}
	for _, o := range gone {
		f.remove(o, now)
	}
	return f.publish(since, now)
}

// pass lets the time pass: certificates begin and end to be valid.
func (f *feed) pass(now time.Time) error {
	for _, name := range f.store.Due(now) {
		f.setSecret(name, now)
	}
	return f.publish(time.Time{}, now)
}

// next is when to call pass; zero if never.
func (f *feed) next() time.Time {
	a, b := f.store.Next(), f.result.Next
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (f *feed) set(o manifest.Object, now time.Time) {
	switch o := o.(type) {
	case *networkingv1.Ingress:
		f.foreign.set(nameOf(o), o)
		f.translator.SetIngress(o)
	case *networkingv1.IngressClass:
		f.foreign.setClass(o.Name, o.Spec.Controller)
		f.translator.SetClass(o)
	case *v1alpha1.IngressClassParameters:
		f.translator.SetParameters(o)
	case *gateway.ReferenceGrant:
		f.translator.SetGrant(o)
	case *corev1.Service:
		f.translator.SetService(o)
	case *discoveryv1.EndpointSlice:
		f.translator.SetSlice(o)
	case *corev1.ConfigMap:
		f.translator.SetConfigMap(o)
	case *corev1.Secret:
		name := nameOf(o)
		f.secrets[name] = o
		if f.referenced[name] {
			f.read(now, name)
		}
	}
}

func (f *feed) remove(o manifest.Object, now time.Time) {
	name := nameOf(o)
	switch o.(type) {
	case *networkingv1.Ingress:
		f.foreign.set(name, nil)
		f.translator.DeleteIngress(name)
	case *networkingv1.IngressClass:
		f.foreign.setClass(name.Name, "")
		f.translator.DeleteClass(name.Name)
	case *v1alpha1.IngressClassParameters:
		f.translator.DeleteParameters(name.Name)
	case *gateway.ReferenceGrant:
		f.translator.DeleteGrant(name)
	case *corev1.Service:
		f.translator.DeleteService(name)
	case *discoveryv1.EndpointSlice:
		f.translator.DeleteSlice(name)
	case *corev1.ConfigMap:
		f.translator.DeleteConfigMap(name)
	case *corev1.Secret:
		delete(f.secrets, name)
		if f.referenced[name] {
			f.read(now, name)
		}
	}
}

// readTogether is how many Secrets are read without a collection in between, where
// there are more of them. Each leaves some 7 KiB in small pieces, which what is kept of
// it lies between: of 10,000 at once that makes gaps of 10 MiB, for which no use
// comes later.
const readTogether = 2500

// read takes Secrets, or that there are none, into the store and from there into
// the translator.
func (f *feed) read(now time.Time, names ...types.NamespacedName) {
	for some := range slices.Chunk(names, readTogether) {
		if len(names) > readTogether {
			f.collect()
		}
		f.readSome(now, some)
	}
}

func (f *feed) readSome(now time.Time, names []types.NamespacedName) {
	there := make(map[types.NamespacedName]*corev1.Secret, len(names))
	for _, name := range names {
		held := f.secrets[name]
		secret := held
		if f.fresh != nil && held != nil && held.Data == nil {
			secret = f.fresh(name.Namespace, name.Name)
		}
		switch {
		case secret != nil:
			there[name] = secret
		case held != nil:
			f.store.Unreadable(name, "its file is being changed", now)
		default:
			f.store.Update(name, nil, now)
		}
	}
	f.store.UpdateAll(there, now)
	for _, name := range names {
		if held := f.secrets[name]; f.fresh != nil && held != nil {
			held.Data = nil
		}
		f.setSecret(name, now)
	}
}

// setSecret gives the translator the state of a Secret.
func (f *feed) setSecret(name types.NamespacedName, now time.Time) {
	state := f.store.State(name, now)
	if _, was := f.lastGoods[name]; was != state.LastGood {
		if state.LastGood {
			f.lastGoods[name] = struct{}{}
		} else {
			delete(f.lastGoods, name)
		}
		f.noteStale()
	}
	f.translator.SetSecret(name, state)
}

func (f *feed) publish(since, now time.Time) error {
	before := f.result.Spec
	f.translate(now)
	f.takeProcess()
	maps.Copy(f.unpublished, f.result.Endpoints)
	if f.result.Spec == before && len(f.unpublished) == 0 {
		return nil
	}
	update := snapshot.Update{Spec: f.result.Spec, Endpoints: f.unpublished, Since: since}
	if err := f.publisher.Publish(update); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	f.unpublished = make(map[string][]snapshot.Endpoint)
	return nil
}

// takeProcess applies what the parameters of the class say to the process.
func (f *feed) takeProcess() {
	p := f.result.Process
	if p == f.process {
		return
	}
	f.process = p
	after := secrets.DefaultLastGoodAfterDelete
	if p.HasLastGoodAfterDelete {
		after = p.LastGoodAfterDelete
	}
	f.store.SetLastGoodAfterDelete(after)
	if f.onProcess != nil {
		f.onProcess(*p)
	}
}

// translate reads the Secrets that are named and were not, and translates.
func (f *feed) translate(now time.Time) {
	if named := f.translator.Secrets(); !translate.SameMap(f.named, named) {
		f.named = named
		f.readNamed(now)
	}
	f.result = f.translator.Translate(now)
}

func (f *feed) readNamed(now time.Time) {
	var unread []types.NamespacedName
	for name, refs := range f.named {
		again := f.store.Want(name, translate.Purposes(refs))
		if again || !f.referenced[name] {
			f.referenced[name] = true
			unread = append(unread, name)
		}
	}
	f.read(now, unread...)
	for name := range f.referenced {
		if _, named := f.named[name]; !named {
			delete(f.referenced, name)
			f.translator.DeleteSecret(name)
		}
	}
	f.store.Retain(func(name types.NamespacedName) bool { return f.referenced[name] })
}

func nameOf(o manifest.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// lastGood returns the Secrets that are served from an earlier content.
func (f *feed) lastGood() []string {
	if l := f.stale.Load(); l != nil {
		return *l
	}
	return nil
}

// noteStale makes lastGood current.
func (f *feed) noteStale() {
	stale := make([]string, 0, len(f.lastGoods))
	for name := range f.lastGoods {
		stale = append(stale, name.String())
	}
	slices.Sort(stale)
	f.stale.Store(&stale)
}
