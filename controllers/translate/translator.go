// Package translate turns Kubernetes objects into what the data plane is told to
// serve. It is pure and total: it never fails, does no I/O and never writes to
// its input. Whatever is wrong in an object becomes a [Verdict] on that object
// and harms nothing else.
//
// [Objects.Translate] translates everything at once. A [Translator] keeps what it
// made of each object, so that the cost of a change grows with the change:
//
//	stage 0  the parameters of our classes become policies                parameters.go, policy.go
//	stage 1  an Ingress is read once, into the claims it lays to hosts   ingress.go
//	stage 2  a host is built from its claims and what they refer to      host.go, tls.go, backend.go
//	         a pool's endpoints are built from its Service's slices      endpoints.go
//	         what did not change is taken over into the new Spec         build.go, spec.go
//
// The indexes in between say which hosts and pools a change touches. Both ways
// give the same result for the same objects, in whatever order they came.
//
// A Translator is not safe for concurrent use. What it returns is never written
// again and may be shared.
package translate

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A Translator translates objects as they change: tell it of each change, then
// call [Translator.Translate] once for any number of them.
type Translator struct {
	opts Options

	// The objects, as they came.
	ingresses map[types.NamespacedName]*entry
	classes   map[string]*networkingv1.IngressClass
	services  map[types.NamespacedName]*corev1.Service
	slicesBy  map[types.NamespacedName]*discoveryv1.EndpointSlice
	secrets   heldSecrets
	bundles   map[types.NamespacedName]Bundle
	// parameters are by name.
	parameters map[string]*v1alpha1.IngressClassParameters

	// config is the ConfigMap of the Options.
	config config
	// grants are the ReferenceGrants, and abroad the other namespaces of which
	// Ingresses of ours name Secrets or ConfigMaps.
	grants grants
	abroad map[types.NamespacedName][]string

	// overlay is what the parameters of our classes say.
	overlay  overlay
	policies policies

	// claims holds, for each host, the claims of our Ingresses.
	claims map[string][]*claim
	// slicesOf holds the slices of each Service.
	slicesOf map[types.NamespacedName]map[types.NamespacedName]*discoveryv1.EndpointSlice

	// What is built, and who must be built again when a reference changes.
	hosts          map[string]*builtHost
	pools          map[string]*builtPool
	hostsOfService index
	hostsOfSecret  index
	hostsOfBundle  index
	poolsOfService index

	// What our Ingresses name.
	secretRefs references[Reference]
	bundleRefs references[Reference]
	// parameterUser is what the parameters name, in the form of an Ingress.
	parameterUser *ingress
	serviceRefs   references[snapshot.Origin]

	// What changed since the last Translate.
	touchedIngresses map[types.NamespacedName]bool // whether it is one of ours now
	touchedHosts     map[string]struct{}
	touchedPools     map[string]struct{}
	touchedVerdicts  bool
	touchedSpec      bool // a field of the Spec besides hosts and pools
	touchedClasses   bool // a class, or the parameters of one

	// deadlines are when time alone changes a host.
	deadlines deadlines
	// builtDefault is the default certificate that parameters name.
	builtDefault   builtDefault
	touchedDefault bool // that, or its Secret
	last           Result
}

// An entry is an Ingress and, if it is of our classes, what was read from it.
type entry struct {
	object *networkingv1.Ingress
	read   *ingress
}

// New returns a Translator that knows no object.
func New(opts Options) *Translator {
	t := &Translator{
		opts:           opts.withDefaults(),
		ingresses:      map[types.NamespacedName]*entry{},
		classes:        map[string]*networkingv1.IngressClass{},
		services:       map[types.NamespacedName]*corev1.Service{},
		slicesBy:       map[types.NamespacedName]*discoveryv1.EndpointSlice{},
		secrets:        heldSecrets{},
		bundles:        map[types.NamespacedName]Bundle{},
		parameters:     map[string]*v1alpha1.IngressClassParameters{},
		policies:       policies{},
		grants:         grants{},
		abroad:         map[types.NamespacedName][]string{},
		claims:         map[string][]*claim{},
		slicesOf:       map[types.NamespacedName]map[types.NamespacedName]*discoveryv1.EndpointSlice{},
		hosts:          map[string]*builtHost{},
		pools:          map[string]*builtPool{},
		hostsOfService: index{},
		hostsOfSecret:  index{},
		hostsOfBundle:  index{},
		poolsOfService: index{},
		secretRefs:     newReferences(func(in *ingress) []use[Reference] { return in.secrets }),
		bundleRefs:     newReferences(func(in *ingress) []use[Reference] { return in.bundles }),
		serviceRefs:    newReferences(func(in *ingress) []use[snapshot.Origin] { return in.services }),
		deadlines:      deadlines{hosts: map[time.Time]int{}},

		parameterUser:    (&overlay{}).user(),
		touchedIngresses: map[types.NamespacedName]bool{},
		touchedHosts:     map[string]struct{}{},
		touchedPools:     map[string]struct{}{},
		touchedSpec:      true,
		touchedClasses:   true,
	}
	t.config = t.readConfig(nil)
	return t
}

// Translate translates o from scratch.
func (o Objects) Translate(opts Options, now time.Time) Result {
	t := New(opts)
	for _, c := range o.Classes {
		t.SetClass(c)
	}
	for _, p := range o.Parameters {
		t.SetParameters(p)
	}
	for _, c := range o.ConfigMaps {
		t.SetConfigMap(c)
	}
	for _, s := range o.Services {
		t.SetService(s)
	}
	for _, s := range o.Slices {
		t.SetSlice(s)
	}
	for name, s := range o.Secrets {
		t.SetSecret(name, s)
	}
	for name, b := range o.Bundles {
		t.SetBundle(name, b)
	}
	for _, g := range o.Grants {
		t.SetGrant(g)
	}
	for _, in := range o.Ingresses {
		t.SetIngress(in)
	}
	return t.Translate(now)
}

// SetIngress adds or replaces an Ingress. The Translator keeps it and reads it
// only; so it does with the objects of the other kinds.
func (t *Translator) SetIngress(in *networkingv1.Ingress) {
	name := objectName(in)
	e := t.ingresses[name]
	if e == nil {
		e = &entry{}
		t.ingresses[name] = e
	}
	same := e.object != nil && sameIngress(e.object, in)
	if e.object = in; !same {
		t.read(name, e)
	}
}

// DeleteIngress removes an Ingress.
func (t *Translator) DeleteIngress(name types.NamespacedName) {
	if e := t.ingresses[name]; e != nil {
		t.claim(name, e.read, nil)
		delete(t.ingresses, name)
		delete(t.abroad, name)
	}
}

// read reads e if it is of our classes.
func (t *Translator) read(name types.NamespacedName, e *entry) {
	old := e.read
	e.read = nil
	var named []string
	if class, ours := t.ours(e.object); ours {
		a := &abroad{grants: t.grants, only: t.opts.WatchNamespace}
		e.read = readIngress(e.object, t.config.defaults, a)
		named = a.named
		e.read.class = class
	}
	if len(named) > 0 {
		t.abroad[name] = named
	} else {
		delete(t.abroad, name)
	}
	t.claim(name, old, e.read)
}

// claim replaces the claims of the named Ingress, and what it refers to. Nil has
// none.
func (t *Translator) claim(name types.NamespacedName, old, now *ingress) {
	if (old == nil) != (now == nil) {
		t.touchedIngresses[name] = now != nil
	}
	old, now = cmp.Or(old, noIngress), cmp.Or(now, noIngress)
	for i := range old.claims {
		c := &old.claims[i]
		rest := slices.DeleteFunc(t.claims[c.host], func(other *claim) bool { return other == c })
		if t.claims[c.host] = rest; len(rest) == 0 {
			delete(t.claims, c.host)
		}
		t.touchedHosts[c.host] = struct{}{}
	}
	for i := range now.claims {
		c := &now.claims[i]
		t.claims[c.host] = append(t.claims[c.host], c)
		t.touchedHosts[c.host] = struct{}{}
	}
	t.secretRefs.replace(old, now)
	t.bundleRefs.replace(old, now)
	t.serviceRefs.replace(old, now)
	if !slices.Equal(old.verdicts, now.verdicts) {
		t.touchedVerdicts = true
	}
}

// SetClass adds or replaces an IngressClass.
func (t *Translator) SetClass(c *networkingv1.IngressClass) {
	t.classes[c.Name] = c
	t.classesChanged()
}

// DeleteClass removes an IngressClass.
func (t *Translator) DeleteClass(name string) {
	delete(t.classes, name)
	t.classesChanged()
}

// classesChanged looks at each Ingress again: a class is a rare change.
func (t *Translator) classesChanged() {
	t.touchedClasses = true
	for name, e := range t.ingresses {
		class, ours := t.ours(e.object)
		if ours != (e.read != nil) || ours && class != e.read.class {
			t.read(name, e)
		}
	}
}

// SetParameters adds or replaces the parameters that classes may name. They have
// their defaults.
func (t *Translator) SetParameters(p *v1alpha1.IngressClassParameters) {
	if old := t.parameters[p.Name]; old == nil || !sameVersion(old, p) {
		t.parameters[p.Name] = p
		t.touchedClasses = true
	}
}

// DeleteParameters removes parameters.
func (t *Translator) DeleteParameters(name string) {
	delete(t.parameters, name)
	t.touchedClasses = true
}

// SetService adds or replaces a Service.
func (t *Translator) SetService(s *corev1.Service) {
	name := objectName(s)
	if old := t.services[name]; old != nil && sameVersion(old, s) {
		return
	}
	t.services[name] = s
	t.serviceChanged(name)
}

// DeleteService removes a Service.
func (t *Translator) DeleteService(name types.NamespacedName) {
	if t.services[name] != nil {
		delete(t.services, name)
		t.serviceChanged(name)
	}
}

func (t *Translator) serviceChanged(name types.NamespacedName) {
	t.hostsOfService.copyTo(t.touchedHosts, name)
	t.poolsOfService.copyTo(t.touchedPools, name)
}

// SetSlice adds or replaces an EndpointSlice.
func (t *Translator) SetSlice(s *discoveryv1.EndpointSlice) {
	name := objectName(s)
	if old := t.slicesBy[name]; old != nil {
		if sameVersion(old, s) {
			return
		}
		t.DeleteSlice(name)
	}
	t.slicesBy[name] = s
	if service, ok := sliceService(s); ok {
		if t.slicesOf[service] == nil {
			t.slicesOf[service] = map[types.NamespacedName]*discoveryv1.EndpointSlice{}
		}
		t.slicesOf[service][name] = s
		t.poolsOfService.copyTo(t.touchedPools, service)
	}
}

// DeleteSlice removes an EndpointSlice.
func (t *Translator) DeleteSlice(name types.NamespacedName) {
	s := t.slicesBy[name]
	if s == nil {
		return
	}
	delete(t.slicesBy, name)
	if service, ok := sliceService(s); ok {
		delete(t.slicesOf[service], name)
		if len(t.slicesOf[service]) == 0 {
			delete(t.slicesOf, service)
		}
		t.poolsOfService.copyTo(t.touchedPools, service)
	}
}

// SetSecret says what is known of a Secret.
func (t *Translator) SetSecret(name types.NamespacedName, s Secret) {
	if old, ok := t.secrets.get(name); ok && old == s {
		return
	}
	t.secrets.set(name, s)
	t.secretChanged(name)
}

// DeleteSecret says that a Secret does not exist and that none of it is left to
// serve.
func (t *Translator) DeleteSecret(name types.NamespacedName) {
	if _, ok := t.secrets[name]; ok {
		delete(t.secrets, name)
		t.secretChanged(name)
	}
}

func (t *Translator) secretChanged(name types.NamespacedName) {
	t.hostsOfSecret.copyTo(t.touchedHosts, name)
	if name == t.overlay.defaultSecret.secret {
		t.touchedDefault = true
	}
}

// SetBundle says what is known of a ConfigMap that is named for its authorities.
func (t *Translator) SetBundle(name types.NamespacedName, b Bundle) {
	if old, ok := t.bundles[name]; ok && old == b {
		return
	}
	t.bundles[name] = b
	t.hostsOfBundle.copyTo(t.touchedHosts, name)
}

// DeleteBundle says that a ConfigMap does not exist and that none of it is left to
// verify with.
func (t *Translator) DeleteBundle(name types.NamespacedName) {
	if _, ok := t.bundles[name]; ok {
		delete(t.bundles, name)
		t.hostsOfBundle.copyTo(t.touchedHosts, name)
	}
}

// SetDefaultCertificate replaces [Options.DefaultCertificate].
func (t *Translator) SetDefaultCertificate(c *snapshot.Certificate) {
	if t.opts.DefaultCertificate != c {
		t.opts.DefaultCertificate = c
		t.touchedSpec = true
	}
}

// SetFiles replaces [Options.Files]. The hosts that are built with what they say are
// built anew.
func (t *Translator) SetFiles(f Files) {
	if t.opts.Files == f {
		return
	}
	t.opts.Files = f
	for name, h := range t.hosts {
		if h.files {
			t.touchedHosts[name] = struct{}{}
		}
	}
}

func objectName(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// sameVersion reports whether a and b are one stored version of one object. An
// object from a file has no version and is never the same.
func sameVersion(a, b metav1.Object) bool {
	return a.GetUID() == b.GetUID() && a.GetResourceVersion() == b.GetResourceVersion() && a.GetResourceVersion() != ""
}

// sameIngress reports whether reading a and b gives the same. The status is not
// read, and it is what changes most.
func sameIngress(a, b *networkingv1.Ingress) bool {
	return sameVersion(a, b) ||
		a.UID == b.UID && a.CreationTimestamp.Equal(&b.CreationTimestamp) &&
			apiequality.Semantic.DeepEqual(a.Annotations, b.Annotations) &&
			apiequality.Semantic.DeepEqual(a.Spec, b.Spec)
}
