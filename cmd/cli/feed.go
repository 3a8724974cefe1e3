package cli

import (
	"fmt"
	"maps"
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
	// secrets and configMaps hold what is named.
	secrets, configMaps *holding
	// fresh, if set, reads a Secret again. Then the data of those that were read
	// into the store is dropped: it is as large as everything else together.
	fresh func(namespace, name string) *corev1.Secret
	// result is the last translation.
	result translate.Result
	// unpublished endpoints of a publish that failed.
	unpublished map[string][]snapshot.Endpoint
	publisher   publisher
	foreign     foreigners
	// onProcess, if set, is told what the parameters of the class say to the
	// process, before what goes with it is published.
	onProcess func(translate.Process)
	process   *translate.Process
}

// newFeed returns a feed to p.
func newFeed(options translate.Options, p publisher) *feed {
	f := &feed{
		translator:  translate.New(options),
		secrets:     newHolding(secrets.New(secrets.DefaultLastGoodAfterDelete)),
		configMaps:  newHolding(secrets.NewConfigMaps(secrets.DefaultLastGoodAfterDelete)),
		foreign:     newForeigners(),
		unpublished: make(map[string][]snapshot.Endpoint),
		publisher:   p,
	}
	f.secrets.content, f.secrets.release = f.secretContent, f.releaseSecret
	f.secrets.put, f.secrets.drop = f.translator.SetSecret, f.translator.DeleteSecret
	f.configMaps.content = func(o manifest.Object) *corev1.Secret { return secrets.FromConfigMap(o.(*corev1.ConfigMap)) }
	f.configMaps.put = func(name types.NamespacedName, s translate.Secret) {
		f.translator.SetBundle(name, translate.Bundle{Origin: s.Origin, Trust: s.Trust})
	}
	f.configMaps.drop = f.translator.DeleteBundle
	return f
}

// secretContent returns a Secret with its data.
func (f *feed) secretContent(o manifest.Object) *corev1.Secret {
	s := o.(*corev1.Secret)
	if f.fresh != nil && s.Data == nil {
		return f.fresh(s.Namespace, s.Name)
	}
	return s
}

// releaseSecret drops the data of a Secret that can be read again.
func (f *feed) releaseSecret(o manifest.Object) {
	if f.fresh != nil {
		o.(*corev1.Secret).Data = nil
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
	f.secrets.pass(now)
	f.configMaps.pass(now)
	return f.publish(time.Time{}, now)
}

// next is when to call pass; zero if never.
func (f *feed) next() time.Time {
	next := f.result.Next
	for _, at := range []time.Time{f.secrets.store.Next(), f.configMaps.store.Next()} {
		if next.IsZero() || !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next
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
		f.configMaps.set(nameOf(o), o, now)
	case *corev1.Secret:
		f.secrets.set(nameOf(o), o, now)
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
		f.configMaps.set(name, nil, now)
	case *corev1.Secret:
		f.secrets.set(name, nil, now)
	}
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
	f.secrets.store.SetLastGoodAfterDelete(after)
	f.configMaps.store.SetLastGoodAfterDelete(after)
	if f.onProcess != nil {
		f.onProcess(*p)
	}
}

// translate reads what is named and was not, and translates.
func (f *feed) translate(now time.Time) {
	f.secrets.follow(f.translator.Secrets(), now)
	f.configMaps.follow(f.translator.Bundles(), now)
	f.result = f.translator.Translate(now)
}

func nameOf(o manifest.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
