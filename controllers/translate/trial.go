package translate

import (
	"maps"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// This file is about an Ingress that is not there yet: what would be said of it. The
// judgement is the translation of a small world, which holds the Ingress and what
// counts for it; no rule is written twice.

// maxNeighbours is the most other Ingresses of one host that a trial looks at. Of a
// host with more, it looks at the one that owns it alone.
const maxNeighbours = 100

// A Trial is an Ingress and all that decides what would become of it. It does not
// depend on the Translator that it comes from, and is never written to: any number
// of goroutines may judge it.
type Trial struct {
	ingress *networkingv1.Ingress
	opts    Options
	objects Objects
	// named are the Secrets and ConfigMaps that the Ingress names, granted or not,
	// unread those of them that it may name and that nobody has read so far: Kind,
	// Namespace and Name.
	named, unread []snapshot.Origin
	// presumed grants what it names of other namespaces.
	presumed []*gateway.ReferenceGrant
	// crowded says that the Ingress shares a host with more others than are looked at.
	crowded bool
}

// Try returns the trial of an Ingress in the place of the one that has its name, if
// any; nil if the Ingress is not of our classes. exists is asked whether a Secret or
// ConfigMap exists of which the Translator was not told. The cost does not grow with the
// cluster: it is that of reading the Ingress and of visiting at most a hundred others
// for each of its hosts.
func (t *Translator) Try(in *networkingv1.Ingress, exists func(kind string, name types.NamespacedName) bool) *Trial {
	if _, ours := t.ours(in); !ours {
		return nil
	}
	abroad := &abroad{grants: t.grants, only: t.opts.WatchNamespace}
	name, read := objectName(in), readIngress(in, t.config.defaults, abroad)
	try := &Trial{ingress: in, opts: t.opts, objects: Objects{Ingresses: []*networkingv1.Ingress{in}, Secrets: map[types.NamespacedName]Secret{}, Bundles: map[types.NamespacedName]Bundle{}}}
	for _, c := range t.classes {
		try.objects.Classes = append(try.objects.Classes, c)
	}
	for _, p := range t.parameters {
		try.objects.Parameters = append(try.objects.Parameters, p)
	}
	if t.config.object != nil {
		try.objects.ConfigMaps = []*corev1.ConfigMap{t.config.object}
	}
	near := map[types.NamespacedName]*ingress{name: read}
	for i := range read.claims {
		t.addNeighbours(try, near, read.claims[i].host)
	}
	foreign := slices.Clone(abroad.named)
	services := map[types.NamespacedName]struct{}{}
	for neighbour, n := range near {
		if neighbour != name {
			foreign = append(foreign, t.abroad[neighbour]...)
		}
		for _, u := range n.services {
			services[u.object] = struct{}{}
		}
		for _, u := range n.secrets {
			if s, ok := t.secrets.get(u.object); ok {
				try.objects.Secrets[u.object] = s
			}
		}
		for _, u := range n.bundles {
			if s, ok := t.bundles[u.object]; ok {
				try.objects.Bundles[u.object] = s
			}
		}
	}
	slices.Sort(foreign)
	for _, namespace := range slices.Compact(foreign) {
		try.objects.Grants = slices.AppendSeq(try.objects.Grants, maps.Values(t.grants[namespace]))
	}
	for service := range services {
		if s := t.services[service]; s != nil {
			try.objects.Services = append(try.objects.Services, s)
		}
	}
	for _, u := range read.secrets {
		if !t.isRead(u.object, Purposes(u.fields)) && exists("Secret", u.object) {
			try.unread = append(try.unread, originOf("Secret", u.object))
		}
	}
	for _, u := range read.bundles {
		if len(t.bundleRefs.users[u.object]) == 0 && exists("ConfigMap", u.object) {
			try.unread = append(try.unread, originOf("ConfigMap", u.object))
		}
	}
	// What is not granted yet is named all the same.
	presumed := grants{}
	for _, namespace := range abroad.named {
		presumed[namespace] = map[string]*gateway.ReferenceGrant{"": grantAll(in.Namespace, namespace)}
		try.presumed = append(try.presumed, presumed[namespace][""])
	}
	if len(presumed) > 0 {
		abroad.grants = presumed
		read = readIngress(in, t.config.defaults, abroad)
	}
	for _, u := range read.secrets {
		try.named = append(try.named, originOf("Secret", u.object))
	}
	for _, u := range read.bundles {
		try.named = append(try.named, originOf("ConfigMap", u.object))
	}
	return try
}

func originOf(kind string, name types.NamespacedName) snapshot.Origin {
	return snapshot.Origin{Kind: kind, Namespace: name.Namespace, Name: name.Name}
}

// addNeighbours adds the Ingresses that claim the host as well.
func (t *Translator) addNeighbours(try *Trial, near map[types.NamespacedName]*ingress, host string) {
	add := func(name types.NamespacedName) {
		if e := t.ingresses[name]; near[name] == nil && e != nil && e.read != nil {
			near[name] = e.read
			try.objects.Ingresses = append(try.objects.Ingresses, e.object)
		}
	}
	if len(t.claims[host]) <= maxNeighbours {
		for _, c := range t.claims[host] {
			add(c.ingress.name)
		}
		return
	}
	try.crowded = true
	if built := t.hosts[host]; built != nil && built.host != nil {
		add(types.NamespacedName{Namespace: built.host.Origin.Namespace, Name: built.host.Origin.Name})
	}
}

// isRead reports whether our Ingresses name a Secret for all of a purpose already: so
// far it is read.
func (t *Translator) isRead(secret types.NamespacedName, wanted Purpose) bool {
	var known Purpose
	for _, in := range t.secretRefs.users[secret] {
		if known |= Purposes(fieldsOf(in.secrets, secret)); known&wanted == wanted {
			return true
		}
	}
	return false
}

// A Judgement is what a trial comes to.
type Judgement struct {
	// Verdicts is what would be said of the Ingress, at level Warning and above. What
	// depends on the content of a Secret or ConfigMap that was not read is not among it.
	Verdicts []Verdict
	// Refused is why nothing of the Ingress would be served, whatever becomes of the
	// Secrets and Services that it names and of what is granted to it; empty if anything
	// would be. It is a part of what was said in Verdicts, as a rule.
	Refused []Verdict
	// Crowded says that the Ingress shares a host with so many others that only the
	// owner of the host was looked at, and not every path.
	Crowded bool
}

// Judge says what would become of the Ingress at a time.
func (try *Trial) Judge(now time.Time) Judgement {
	j := Judgement{Crowded: try.crowded}
	world := try.objects
	try.presume(&world, try.unread)
	for _, v := range try.own(world.Translate(try.opts, now)) {
		if v.Level >= Warning && !slices.Contains(try.unread, snapshot.Origin{Kind: v.Other.Kind, Namespace: v.Other.Namespace, Name: v.Other.Name}) {
			j.Verdicts = append(j.Verdicts, v)
		}
	}
	// The best of worlds, as to what may still come.
	try.presume(&world, try.named)
	world.Grants = slices.Concat(world.Grants, try.presumed)
	r := world.Translate(try.opts, now)
	if try.serves(r.Spec) {
		return j
	}
	for _, v := range try.own(r) {
		if v.Level == Refused {
			j.Refused = append(j.Refused, v)
		}
	}
	return j
}

// presume puts the objects that were read into the world, and what is to be presumed
// good in their place.
func (try *Trial) presume(world *Objects, good []snapshot.Origin) {
	world.Secrets, world.Bundles = maps.Clone(try.objects.Secrets), maps.Clone(try.objects.Bundles)
	for _, o := range good {
		name := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		if o.Kind == "Secret" {
			world.Secrets[name] = goodSecret
		} else {
			world.Bundles[name] = Bundle{Trust: goodSecret.Trust}
		}
	}
}

// goodSecret stands for a Secret that holds whatever it is named for.
var goodSecret = Secret{
	Certificate: &snapshot.Certificate{NotAfter: time.Unix(math.MaxInt32, 0)},
	Trust:       Trust{Authorities: &snapshot.Authorities{}},
}

// own returns the verdicts on the Ingress itself.
func (try *Trial) own(r Result) (own []Verdict) {
	for _, v := range r.Verdicts {
		if try.is(v.Origin) {
			own = append(own, v)
		}
	}
	return own
}

func (try *Trial) is(o snapshot.Origin) bool {
	return o.Kind == "Ingress" && o.Namespace == try.ingress.Namespace && o.Name == try.ingress.Name
}

// serves reports whether anything of the Ingress is in the Spec that is not closed:
// a path, or, if it has none, the declaration of a host.
func (try *Trial) serves(spec *snapshot.Spec) bool {
	paths := try.ingress.Spec.DefaultBackend != nil
	for _, r := range try.ingress.Spec.Rules {
		paths = paths || r.HTTP != nil
	}
	for _, h := range spec.Hosts {
		for _, r := range h.Routes {
			if try.is(r.Origin) && (r.Answer == nil || r.Answer.Reason != "config_rejected") {
				return true
			}
		}
		if h.TLS != nil && try.is(h.TLS.Origin) && !paths {
			return true
		}
	}
	return false
}
