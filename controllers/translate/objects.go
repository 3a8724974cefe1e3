package translate

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Objects is everything that a translation reads, in any order. Names are unique
// within a kind and namespace. Nothing in it is ever written to, so it may come
// straight from a shared cache.
type Objects struct {
	Ingresses []*networkingv1.Ingress
	Classes   []*networkingv1.IngressClass
	Services  []*corev1.Service
	Slices    []*discoveryv1.EndpointSlice
	// Parameters are what IngressClasses name. They have their defaults.
	Parameters []*v1alpha1.IngressClassParameters
	// ConfigMaps are those among which is that of the Options, if it exists.
	ConfigMaps []*corev1.ConfigMap
	// Grants say which Secrets and ConfigMaps Ingresses of other namespaces may name.
	Grants []*gateway.ReferenceGrant
	// Secrets holds the state of the referenced Secrets. One that is referenced
	// and not in the map does not exist.
	Secrets map[types.NamespacedName]Secret
	// Bundles is the same of the ConfigMaps that are named for authorities.
	Bundles map[types.NamespacedName]Bundle
}

// A Secret is what is known of one referenced Secret: of its certificate and key,
// what to serve and, if that is not its current content, why; and the same of its
// authorities. Each half is known only if some Ingress names the Secret for it.
type Secret struct {
	// Origin names the Secret, with its UID where it has one.
	Origin snapshot.Origin
	// Certificate is what to serve. Nil: nothing usable.
	Certificate *snapshot.Certificate
	// Reason is why the current content is not what is served: SecretNotFound,
	// SecretWrongType, SecretInvalid, SecretUnreadable or CertificateNotYetValid.
	// Empty: it is served.
	Reason Reason
	// Problem completes "Secret shop/tls: …" for the owner, such as "tls.key is
	// empty". Empty iff Reason is.
	Problem string
	// LastGood says that Certificate is an earlier content of the Secret.
	LastGood bool
	// Pending is when a content becomes valid that is newer than Certificate and
	// waits for its notBefore; zero if none does. Reason is set meanwhile.
	Pending time.Time
	// Trust is the other half.
	Trust Trust
}

// A Bundle is what is known of one ConfigMap that is named for its authorities.
type Bundle struct {
	// Origin names the ConfigMap, with its UID where it has one.
	Origin snapshot.Origin
	Trust  Trust
}

// A Trust is what is known of the authorities in a Secret or ConfigMap: the
// certificates in ca.crt and the revocation lists in ca.crl.
type Trust struct {
	// Authorities is what to verify with. Nil: nothing usable.
	Authorities *snapshot.Authorities
	// Reason is why Authorities is not the current content: SecretNotFound,
	// SecretInvalid or SecretUnreadable, of a ConfigMap ConfigMapNotFound,
	// ConfigMapInvalid or ConfigMapUnreadable. Empty: it is.
	Reason Reason
	// Problem is as in [Secret]: "ca.crt is empty". Empty iff Reason is.
	Problem string
	// LastGood says that Authorities is an earlier content.
	LastGood bool
}

// A Purpose is what a Secret is named for; several are or'ed.
type Purpose uint8

const (
	// ForCertificate: its certificate and key are served, or presented to a backend.
	ForCertificate Purpose = 1 << iota
	// ForAuthorities: a peer's certificate is verified with it.
	ForAuthorities
)

// A Reference is one field of an Ingress, or of parameters, that names a Secret or a
// ConfigMap.
type Reference struct {
	Field   snapshot.Origin
	Purpose Purpose
}

// Purposes returns what the Secret is named for in all of refs.
func Purposes(refs []Reference) (p Purpose) {
	for _, r := range refs {
		p |= r.Purpose
	}
	return p
}

// HostOwnership says who may put paths on a host that several namespaces name.
type HostOwnership uint8

const (
	// OwnedByNamespace gives a host to the namespace of the oldest Ingress that
	// names it; the paths and the TLS of other namespaces are refused.
	OwnedByNamespace HostOwnership = iota
	// Shared merges the paths of all namespaces.
	Shared
)

// Options says how to translate. The zero value is strict and uses the default
// names.
type Options struct {
	// ControllerName is the spec.controller of our IngressClasses. Default
	// [DefaultControllerName].
	ControllerName string
	// Class is the class name that is ours when no IngressClass object says so:
	// in the annotation kubernetes.io/ingress.class, and everywhere while there is
	// no IngressClass at all (a folder of manifests). Default [DefaultClass].
	Class string
	// WithoutClass also serves the Ingresses that name no class while there is no
	// default IngressClass.
	WithoutClass bool
	// HostOwnership decides between namespaces. Default [OwnedByNamespace].
	HostOwnership HostOwnership
	// SSLPassthrough lets the annotation ssl-passthrough have an effect.
	SSLPassthrough bool
	// UnknownSNI, DefaultCertificate and TrustedCIDRs go into the Spec as they
	// are.
	UnknownSNI         snapshot.UnknownSNI
	DefaultCertificate *snapshot.Certificate
	TrustedCIDRs       []netip.Prefix
	// DrainOnRotate goes into the Spec if parameters do not say otherwise.
	DrainOnRotate bool
	// WatchNamespace is the one namespace whose objects are there; "" is all.
	WatchNamespace string
	// Files is what files of the operator say for all Ingresses.
	Files Files
	// ConfigMap names the one with settings for all Ingresses, in the form of
	// ingress-nginx; zero is none. Parameters overrule it.
	ConfigMap types.NamespacedName
	// OCSP is whether the data plane staples OCSP responses.
	OCSP bool
	// FIPS says that crypto/tls leaves out what FIPS 140-3 does not approve: those
	// who ask for it are told.
	FIPS bool
}

// Files is what the operator says in files, for what Ingresses leave open. It is
// compared by identity: what did not change is to be the same pointer. The zero
// value says nothing.
type Files struct {
	// BackendAuthorities are trusted where an Ingress names no authorities for its
	// backends. Nil: those of the system are.
	BackendAuthorities *snapshot.Authorities
	// BackendCertificate is shown to backends that ask for a certificate where an
	// Ingress names none.
	BackendCertificate *snapshot.Certificate
	// RevocationLists count wherever the certificate of a client or a backend is
	// verified.
	RevocationLists *snapshot.RevocationLists
}

// The defaults of [Options].
const (
	DefaultControllerName = "cardea.dev/ingress-controller"
	DefaultClass          = "cardea"
)

func (o Options) withDefaults() Options {
	if o.ControllerName == "" {
		o.ControllerName = DefaultControllerName
	}
	if o.Class == "" {
		o.Class = DefaultClass
	}
	return o
}

// A Result is one translation.
type Result struct {
	// Spec is what to serve. It is the same pointer as in the Result before if
	// nothing in it changed, and it shares every Host, Route and Pool that did
	// not change.
	Spec *snapshot.Spec
	// Endpoints are the endpoints of the pools that are new or whose endpoints
	// changed since the Result before. A Result that was not published must be
	// merged into the next.
	Endpoints map[string][]snapshot.Endpoint
	// Verdicts is everything there is to say about the objects, sorted, each once.
	// It is the same slice as before if nothing in it changed.
	Verdicts []Verdict
	// Secrets and Services are the objects that Ingresses of our classes and their
	// parameters name, each with the fields that do. Those of Secrets are the only Secrets
	// to read. Each is the same map as before if nothing in it changed.
	Secrets  map[types.NamespacedName][]Reference
	Services map[types.NamespacedName][]snapshot.Origin
	// Bundles are the ConfigMaps that Ingresses of our classes name for authorities:
	// the only ones to read, besides that of the Options. It is the same map as before
	// if nothing in it changed.
	Bundles map[types.NamespacedName][]Reference
	// Ingresses are the Ingresses of our classes, sorted by namespace and name:
	// those whose status is ours to write.
	Ingresses []types.NamespacedName
	// Process is what the parameters say that is not in the Spec. It is the same
	// pointer as before if nothing in it changed, and never nil.
	Process *Process
	// Next is when time alone changes the result (a certificate expires); zero if
	// never. Translate again then.
	Next time.Time
}
