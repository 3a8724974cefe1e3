package translate

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A Process is what parameters say to the process around the data plane. A field
// that they leave open is zero.
type Process struct {
	// RejectUnknownSNI rejects clients that ask for no declared host even if there
	// is a default certificate.
	RejectUnknownSNI bool
	// LastGoodAfterDelete is how long the certificate of a deleted Secret is served;
	// it counts if HasLastGoodAfterDelete.
	LastGoodAfterDelete    time.Duration
	HasLastGoodAfterDelete bool
	// EventsClientAddress is "full", "prefix" or "none"; "" leaves it open.
	EventsClientAddress string
	HandshakeLog        HandshakeLog
}

// A HandshakeLog is what parameters say of the handshake log; see
// [v1alpha1.HandshakeLog].
type HandshakeLog struct {
	// Mode is "off", "failures" or "all"; "" leaves it open.
	Mode string
	// SuccessOneIn is how many good handshakes there are to one that is written; 0
	// leaves it open.
	SuccessOneIn int
	// Fields are what is written; none leaves it open.
	Fields []string
}

// An overlay is what the parameters of our classes say: stage 0.
type overlay struct {
	// classes holds the policies of the classes that have parameters.
	classes map[string]*classPolicies
	// without holds those of all others.
	without *classPolicies

	// What the parameters of the first class say, on top of the Options.
	tlsPolicy                          *snapshot.TLSPolicy // nil: Intermediate
	unknownSNI                         snapshot.UnknownSNI
	ownership                          HostOwnership
	trusted                            []netip.Prefix
	handshakeTimeout, firstByteTimeout time.Duration
	maxHandshakes                      int
	drainOnRotate                      bool
	connections                        *snapshot.ConnectionPolicy
	defaultSecret                      namedSecret
	process                            *Process
	// closed says that all paths answer 503, locked that nobody is let to a host that
	// is passed through either.
	closed, locked bool

	verdicts []Verdict
}

// applyParameters compiles the parameters if they or the classes changed, and
// touches what depends on the difference.
func (t *Translator) applyParameters() {
	if !t.touchedClasses {
		return
	}
	t.touchedClasses = false
	old, now := t.overlay, t.compileParameters()
	t.overlay = now
	if reflect.DeepEqual(old.process, now.process) {
		t.overlay.process = old.process
	}
	if reflect.DeepEqual(old.connections, now.connections) {
		now.connections, t.overlay.connections = old.connections, old.connections
	}
	if !slices.Equal(old.verdicts, now.verdicts) {
		t.touchedVerdicts = true
	}
	if user := now.user(); !reflect.DeepEqual(user, t.parameterUser) {
		t.secretRefs.replace(t.parameterUser, user)
		t.parameterUser = user
	}
	if old.defaultSecret != now.defaultSecret {
		t.touchedDefault = true
	}
	if !old.sameSpec(&now) {
		t.touchedSpec = true
	}
	if !old.sameHosts(&now) {
		// A class is a rare change.
		for host := range t.claims {
			t.touchedHosts[host] = struct{}{}
		}
	}
}

// sameSpec reports whether the fields of the Spec besides its hosts are the same.
func (o *overlay) sameSpec(p *overlay) bool {
	return o.tlsPolicy == p.tlsPolicy && o.unknownSNI == p.unknownSNI && slices.Equal(o.trusted, p.trusted) &&
		o.handshakeTimeout == p.handshakeTimeout && o.firstByteTimeout == p.firstByteTimeout && o.maxHandshakes == p.maxHandshakes &&
		o.drainOnRotate == p.drainOnRotate && o.connections == p.connections
}

// sameHosts reports whether hosts that were built with o would be the same with p.
func (o *overlay) sameHosts(p *overlay) bool {
	return o.without != nil && o.without.equal(p.without) && o.closed == p.closed && o.locked == p.locked && o.tlsPolicy == p.tlsPolicy && o.ownership == p.ownership && maps.EqualFunc(o.classes, p.classes, (*classPolicies).equal)
}

// of returns the policies of a class.
func (o *overlay) of(class string) *classPolicies {
	if c := o.classes[class]; c != nil {
		return c
	}
	return o.without
}

func (t *Translator) compileParameters() overlay {
	o := overlay{
		classes:    map[string]*classPolicies{},
		unknownSNI: t.opts.UnknownSNI,
		ownership:  t.opts.HostOwnership,
		trusted:    t.opts.TrustedCIDRs,
		process:    &Process{},
		verdicts:   slices.Clone(t.config.verdicts),

		drainOnRotate: t.opts.DrainOnRotate,
	}
	o.without = t.withoutParameters(&o.verdicts)
	o.takeConfig(&t.config)
	for i, class := range t.servedClasses() {
		p, errs := t.parametersOf(class, &o.verdicts)
		if p == nil && class.Spec.Parameters == nil {
			continue
		}
		if p == nil || len(errs) > 0 {
			// The ConfigMap may say less than the parameters did.
			o.classes[class.Name] = &classPolicies{policy: snapshot.Intermediate, named: builtIn(), hsts: o.without.hsts}
			if i == 0 {
				o.tlsPolicy = nil
				o.keep(p, errs)
			}
			continue
		}
		o.judgeOverruled(&t.config, classOrigin(class))
		c := t.compilePolicies(p, o.without, &o.verdicts)
		o.classes[class.Name] = c
		if i == 0 {
			o.take(&p.Spec, c, t.opts.TrustedCIDRs)
			o.connections = connections(p)
			o.defaultSecret = secretOf(p, "spec.tls.defaultCertificate", p.Spec.TLS.DefaultCertificate)
			continue
		}
		if reflect.DeepEqual(processWide(p), processWide(defaultParameters())) {
			continue
		}
		if first := t.servedClasses()[0]; !sameParameters(first, class) {
			o.judge(Verdict{Level: Warning, Reason: ParametersIgnored, Origin: parametersOrigin(p), Other: classOrigin(first)},
				"All but the TLS policies counts for the process as a whole, and there the parameters of IngressClass %s decide; IngressClass %s takes the policies alone from these. Move the rest there.", first.Name, class.Name)
		}
	}
	o.connections = t.config.connections(o.connections)
	o.verdicts = sortVerdicts(o.verdicts)
	return o
}

// take applies what counts for the process as a whole.
// trusted are the networks that are trusted in any case.
func (o *overlay) take(spec *v1alpha1.IngressClassParametersSpec, policies *classPolicies, trusted []netip.Prefix) {
	if o.tlsPolicy = policies.policy; o.tlsPolicy == snapshot.Intermediate {
		o.tlsPolicy = nil
	}
	switch spec.TLS.UnknownSNI {
	case v1alpha1.UnknownSNIReject:
		o.unknownSNI, o.process.RejectUnknownSNI = snapshot.UnknownSNIReject, true
	case v1alpha1.UnknownSNIDefaultCert:
		o.unknownSNI, o.process.RejectUnknownSNI = snapshot.UnknownSNIDefaultCert, false
	}
	if spec.HostOwnership == v1alpha1.HostOwnershipShared {
		o.ownership = Shared
	}
	if len(spec.TrustedCIDRs) > 0 {
		o.trusted = slices.Concat(trusted, prefixes(spec.TrustedCIDRs))
	}
	o.handshakeTimeout = spec.TLS.HandshakeTimeout.Value()
	o.firstByteTimeout = spec.TLS.FirstByteTimeout.Value()
	o.maxHandshakes = int(spec.TLS.MaxConcurrentHandshakes)
	if spec.TLS.OnRotate != "" {
		o.drainOnRotate = spec.TLS.OnRotate == v1alpha1.OnRotateDrain
	}
	o.process.EventsClientAddress = string(spec.Events.ClientAddress)
	o.process.HandshakeLog = handshakeLog(&spec.TLS.HandshakeLog)
	if spec.LastGoodAfterDelete != "" {
		o.process.LastGoodAfterDelete, o.process.HasLastGoodAfterDelete = spec.LastGoodAfterDelete.Value(), true
	}
}

func handshakeLog(from *v1alpha1.HandshakeLog) HandshakeLog {
	l := HandshakeLog{Mode: string(from.Mode), SuccessOneIn: int(from.SuccessOneIn)}
	for _, f := range from.Fields {
		l.Fields = append(l.Fields, string(f))
	}
	return l
}

// connections returns what p says of connections; nil if it says nothing.
func connections(p *v1alpha1.IngressClassParameters) *snapshot.ConnectionPolicy {
	from := &p.Spec.Connections
	c := &snapshot.ConnectionPolicy{
		Allow: prefixes(from.Allow), Deny: prefixes(from.Deny), ProxyProtocol: prefixes(p.Spec.ProxyProtocol.TrustedCIDRs),
		MaxPerAddress: int(from.MaxPerIP), NewPerSecondPerAddress: float64(from.NewPerSecondPerIP), Max: int(from.Max),
	}
	if reflect.DeepEqual(c, &snapshot.ConnectionPolicy{}) {
		return nil
	}
	c.Origin = parametersOrigin(p)
	c.Origin.Field = "spec.connections"
	return c
}

// secretOf returns the Secret that a field of p names, which may be none.
func secretOf(p *v1alpha1.IngressClassParameters, field string, ref *v1alpha1.SecretReference) namedSecret {
	if ref == nil {
		return namedSecret{}
	}
	n := namedSecret{types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, parametersOrigin(p)}
	n.field.Field = field
	return n
}

// prefixes returns networks, which are valid, in their normal form.
func prefixes(networks []string) (all []netip.Prefix) {
	for _, s := range networks {
		if prefix, err := netip.ParsePrefix(s); err == nil {
			all = append(all, prefix.Masked())
		}
	}
	return all
}

func (o *overlay) judge(v Verdict, format string, args ...any) {
	o.verdicts = append(o.verdicts, v.with(format, args...))
}

// servedClasses returns our classes. The first is the one whose parameters count
// for the process: that of the Options, else the oldest.
func (t *Translator) servedClasses() []*networkingv1.IngressClass {
	var ours []*networkingv1.IngressClass
	for name, c := range t.classes {
		if t.classIsOurs(name) {
			ours = append(ours, c)
		}
	}
	slices.SortFunc(ours, func(a, b *networkingv1.IngressClass) int {
		return cmp.Or(
			cmp.Compare(rank(a.Name == t.opts.Class), rank(b.Name == t.opts.Class)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return ours
}

// rank orders true before false.
func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// parametersOf returns the parameters that class names, nil if it names none or none
// that are there, and what is wrong with them.
func (t *Translator) parametersOf(class *networkingv1.IngressClass, verdicts *[]Verdict) (*v1alpha1.IngressClassParameters, field.ErrorList) {
	ref := class.Spec.Parameters
	if ref == nil {
		return nil, nil
	}
	origin := classOrigin(class)
	origin.Field = "spec.parameters"
	judge := func(v Verdict, format string, args ...any) { *verdicts = append(*verdicts, v.with(format, args...)) }
	switch {
	case ref.APIGroup == nil || *ref.APIGroup != v1alpha1.GroupVersion.Group || ref.Kind != v1alpha1.Kind:
		judge(Verdict{Level: Refused, Reason: ParametersInvalid, Origin: origin},
			"The parameters are of kind %s of group %q, want kind %s of group %s. The strict defaults apply to the class.",
			brief(ref.Kind), brief(text(ref.APIGroup)), v1alpha1.Kind, v1alpha1.GroupVersion.Group)
		return nil, nil
	case text(ref.Scope) == networkingv1.IngressClassParametersReferenceScopeNamespace:
		judge(Verdict{Level: Refused, Reason: ParametersInvalid, Origin: origin},
			"The scope of the parameters is Namespace, and objects of kind %s have no namespace. The strict defaults apply to the class. Write scope: Cluster and no namespace.", v1alpha1.Kind)
		return nil, nil
	}
	p := t.parameters[ref.Name]
	if p == nil {
		judge(Verdict{Level: Refused, Reason: ParametersNotFound, Origin: origin, Other: snapshot.Origin{Kind: v1alpha1.Kind, Name: ref.Name}},
			"%s %s does not exist; the strict defaults apply to the class. Create it, and the CustomResourceDefinition if that is missing.", v1alpha1.Kind, brief(ref.Name))
		return nil, nil
	}
	errs := p.Validate()
	for _, e := range errs[:min(len(errs), maxParameterErrors)] {
		at := parametersOrigin(p)
		at.Field = e.Field
		judge(Verdict{Level: Refused, Reason: ParametersInvalid, Origin: at, Other: origin},
			"%s. Of these parameters that alone is applied which protects, as far as it can be read: connections, proxyProtocol, trustedCIDRs and unknownSNI: reject. The hosts of the class have the TLS policy intermediate, and the strict defaults apply to the rest.", sentence(cut(e.ErrorBody(), 300)))
	}
	return p, errs
}

// maxParameterErrors is how many errors of one object are told.
const maxParameterErrors = 5

// text returns what s points to, "" for nil.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func defaultParameters() *v1alpha1.IngressClassParameters {
	p := &v1alpha1.IngressClassParameters{}
	p.Default()
	return p
}

// processWide returns the part of p that is not per class.
func processWide(p *v1alpha1.IngressClassParameters) v1alpha1.IngressClassParametersSpec {
	spec := p.Spec
	spec.TLS.Policy, spec.TLS.Custom, spec.TLS.Policies, spec.TLS.HSTS = "", nil, nil, ""
	spec.Backends = v1alpha1.Backends{}
	return spec
}

// sameParameters reports whether two classes name the same parameters.
func sameParameters(a, b *networkingv1.IngressClass) bool {
	return reflect.DeepEqual(a.Spec.Parameters, b.Spec.Parameters)
}

func classOrigin(c *networkingv1.IngressClass) snapshot.Origin {
	return snapshot.Origin{Kind: "IngressClass", Name: c.Name, UID: string(c.UID)}
}

func parametersOrigin(p *v1alpha1.IngressClassParameters) snapshot.Origin {
	return snapshot.Origin{Kind: v1alpha1.Kind, Name: p.Name, UID: string(p.UID)}
}
