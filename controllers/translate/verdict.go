package translate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A Verdict is a judgement on one piece of a user's object.
type Verdict struct {
	Level  Level
	Reason Reason
	// Origin is the object and field judged.
	Origin snapshot.Origin
	// Other is the object and field that it conflicts with or refers to; zero if
	// there is none.
	Other snapshot.Origin
	// Message is for the owner of the object: what was wanted, what was found and
	// what to do. One or two sentences.
	Message string
}

// with returns v with a message.
func (v Verdict) with(format string, args ...any) Verdict {
	v.Message = fmt.Sprintf(format, args...)
	return v
}

// Level is how much a verdict matters.
type Level uint8

const (
	// Info needs no action.
	Info Level = iota
	// Warning means that something is served, but not quite as written.
	Warning
	// Refused means that the piece is not served.
	Refused
)

// String returns "info", "warning" or "refused".
func (l Level) String() string {
	switch l {
	case Info:
		return "info"
	case Warning:
		return "warning"
	default:
		return "refused"
	}
}

// A Reason is the one word for a verdict, in the form of the reasons of
// Kubernetes Events. The list is closed: [Reasons] is all of it.
type Reason string

// Hosts and paths.
const (
	HostInvalid       Reason = "HostInvalid"
	HostConflictWon   Reason = "HostConflictWon"
	HostConflictLost  Reason = "HostConflictLost"
	PathInvalid       Reason = "PathInvalid"
	PathConflictWon   Reason = "PathConflictWon"
	PathConflictLost  Reason = "PathConflictLost"
	IngressEmpty      Reason = "IngressEmpty"
	AnnotationUnknown Reason = "AnnotationUnknown"
	AnnotationInvalid Reason = "AnnotationInvalid"
	// AnnotationUnsupported is about what ingress-nginx has and Cardea does not.
	AnnotationUnsupported Reason = "AnnotationUnsupported"
	CanaryNotServed       Reason = "CanaryNotServed"
)

// Backends.
const (
	BackendMissing             Reason = "BackendMissing"
	ResourceBackendUnsupported Reason = "ResourceBackendUnsupported"
	ServiceNotFound            Reason = "ServiceNotFound"
	ServicePortNotFound        Reason = "ServicePortNotFound"
	ExternalNameInvalid        Reason = "ExternalNameInvalid"
	BackendUnverified          Reason = "BackendUnverified"
	BackendCommonNameOnly      Reason = "BackendCommonNameOnly"
	EndpointSliceIgnored       Reason = "EndpointSliceIgnored"
	EndpointIgnored            Reason = "EndpointIgnored"
)

// TLS.
const (
	TLSWithoutHosts            Reason = "TLSWithoutHosts"
	SecretNameInvalid          Reason = "SecretNameInvalid"
	SecretNotGranted           Reason = "SecretNotGranted"
	SecretNotFound             Reason = "SecretNotFound"
	SecretWrongType            Reason = "SecretWrongType"
	SecretInvalid              Reason = "SecretInvalid"
	SecretUnreadable           Reason = "SecretUnreadable"
	CertificateNotYetValid     Reason = "CertificateNotYetValid"
	CertificateExpiring        Reason = "CertificateExpiring"
	CertificateExpired         Reason = "CertificateExpired"
	CertificateNameMismatch    Reason = "CertificateNameMismatch"
	CertificateKeyTypeRepeated Reason = "CertificateKeyTypeRepeated"
	CertificateConflictWon     Reason = "CertificateConflictWon"
	CertificateConflictLost    Reason = "CertificateConflictLost"
	CertificateKeyWeak         Reason = "CertificateKeyWeak"
	CertificateRSAOnly         Reason = "CertificateRSAOnly"
	CertificateMustStaple      Reason = "CertificateMustStaple"
	ClientAuthWithoutTLS       Reason = "ClientAuthWithoutTLS"
	ClientAuthConflictLost     Reason = "ClientAuthConflictLost"
	PassthroughDisabled        Reason = "PassthroughDisabled"
	PassthroughWithoutRoot     Reason = "PassthroughWithoutRoot"
	PassthroughPathIgnored     Reason = "PassthroughPathIgnored"
)

// TLS policies, and the parameters and the ConfigMap that define them. The reasons of
// that ConfigMap are those of ConfigMaps with authorities, too.
const (
	ParametersNotFound      Reason = "ParametersNotFound"
	ParametersInvalid       Reason = "ParametersInvalid"
	ParametersClosed        Reason = "ParametersClosed"
	ParametersIgnored       Reason = "ParametersIgnored"
	TLSPolicyUnknown        Reason = "TLSPolicyUnknown"
	TLSPolicyWeak           Reason = "TLSPolicyWeak"
	TLSPolicyNotFIPS        Reason = "TLSPolicyNotFIPS"
	TLSSettingsConflictLost Reason = "TLSSettingsConflictLost"
	CipherSuiteUnsupported  Reason = "CipherSuiteUnsupported"
	AnnotationWithoutEffect Reason = "AnnotationWithoutEffect"
	ConfigMapNotFound       Reason = "ConfigMapNotFound"
	ConfigMapInvalid        Reason = "ConfigMapInvalid"
	ConfigMapUnreadable     Reason = "ConfigMapUnreadable"
	ConfigMapNotGranted     Reason = "ConfigMapNotGranted"
	ConfigMapDiffers        Reason = "ConfigMapDiffers"
	ConfigMapKeyUnknown     Reason = "ConfigMapKeyUnknown"
	ConfigMapOverruled      Reason = "ConfigMapOverruled"
)

// Advice reports whether r is advice on what works as it is: it is told by those
// who are asked, not by Events and logs.
func (r Reason) Advice() bool { return r == CertificateRSAOnly }

// A ReasonInfo documents a reason.
type ReasonInfo struct {
	Reason Reason
	// Text says when the reason is given.
	Text string
}

// Reasons returns the whole closed list, in order. The caller may change it.
func Reasons() []ReasonInfo { return slices.Clone(reasons) }

var reasons = []ReasonInfo{
	{HostInvalid, "A host of the Ingress is not a DNS name or one-label wildcard; its paths or its TLS are not served."},
	{HostConflictWon, "The Ingress owns a host that an Ingress of another namespace names as well."},
	{HostConflictLost, "A host of the Ingress belongs to another namespace; its paths and its TLS are not served."},
	{PathInvalid, "A path of the Ingress is not a normal URL path or has no valid pathType; it is not served."},
	{PathConflictWon, "The Ingress serves a path that another Ingress wants as well."},
	{PathConflictLost, "A path of the Ingress is served by an older Ingress."},
	{IngressEmpty, "The Ingress has neither rules nor a default backend."},
	{AnnotationUnknown, "An annotation has one of Cardea's prefixes and a name that Cardea does not know; it has no effect."},
	{AnnotationUnsupported, "An annotation of ingress-nginx asks for what Cardea does not have. If it protects the paths, they are closed (503), else it has no effect."},
	{CanaryNotServed, "The Ingress is a canary (annotation canary) of another one, which gets all requests; Cardea does not split traffic."},
	{AnnotationInvalid, "The value of an annotation cannot be used. If the annotation protects the paths, they are closed (503), else its default applies."},

	{BackendMissing, "A path names neither a Service nor a resource; it is answered with 503."},
	{ResourceBackendUnsupported, "A path names a resource backend, which Cardea does not support; it is answered with 503."},
	{ServiceNotFound, "A path names a Service that does not exist; it is answered with 503."},
	{ServicePortNotFound, "A path names a port that its Service does not have; it is answered with 503."},
	{ExternalNameInvalid, "The Service is of type ExternalName and its name is not a DNS name; its paths are answered with 503."},
	{BackendUnverified, "The certificate of a backend that speaks TLS is not verified, or not its name: whoever is in between can read and change what is sent."},
	{BackendCommonNameOnly, "The certificate that a backend is to be verified with names a host in its common name alone, which Go does not look at: if the backend shows it, its paths are answered with 502."},
	{EndpointSliceIgnored, "An EndpointSlice cannot be used; its endpoints get no requests."},
	{EndpointIgnored, "An endpoint's address cannot be used; it gets no requests."},

	{TLSWithoutHosts, "A tls entry lists no hosts and the Ingress has no rule host left that it could stand for; its Secret is not used."},
	{SecretNameInvalid, "What is to name a Secret does not. If an annotation that protects is to, the paths are closed (503)."},
	{SecretNotGranted, "An annotation that protects names a Secret of another namespace, and no ReferenceGrant there allows it; the paths are closed (503)."},
	{SecretNotFound, "A tls entry or an annotation names a Secret that does not exist."},
	{SecretWrongType, "The Secret is not of type kubernetes.io/tls."},
	{SecretInvalid, "The Secret does not hold what it is named for: a usable certificate and key, or authorities."},
	{SecretUnreadable, "Cardea may not or cannot read the Secret."},
	{CertificateNotYetValid, "The Secret holds a certificate that is not valid yet; it waits."},
	{CertificateExpiring, "The certificate that is served was not renewed and ends soon: it has less than 14 days left, then less than 3 (with lifetimes of less than eight weeks, a quarter and a sixteenth of them)."},
	{CertificateExpired, "The certificate that is served has expired."},
	{CertificateNameMismatch, "The certificate that is served does not cover the host."},
	{CertificateKeyTypeRepeated, "Several certificates of one key type are named for a host; the first is served."},
	{CertificateConflictWon, "The Ingress decides the certificate of a host that another Ingress declares as well."},
	{CertificateConflictLost, "The certificate of a host is decided by an older Ingress that declares it as well."},
	{CertificateKeyWeak, "The certificate that is served has an RSA key of less than 2048 bits."},
	{CertificateRSAOnly, "A host has a certificate with an RSA key alone, whose handshakes cost many times those of ECDSA. This advice is given by `cardea check` alone."},
	{CertificateMustStaple, "The certificate that is served demands a stapled OCSP response, and stapling is off; many clients refuse it."},
	{PassthroughDisabled, "The Ingress wants its hosts passed through, and the flag --enable-ssl-passthrough is not set."},
	{PassthroughWithoutRoot, "The Ingress wants a host passed through whose path / it does not serve, or that has no name."},
	{PassthroughPathIgnored, "A path of the Ingress is not served, because the host's connections are passed through undecrypted."},

	{ParametersNotFound, "An IngressClass names parameters that do not exist; the strict defaults apply to the class."},
	{ParametersInvalid, "The parameters of an IngressClass cannot be applied, but for what protects; its hosts have the TLS policy intermediate and the strict defaults apply to the rest."},
	{ParametersClosed, "Parameters that cannot be applied say who may connect in a way that cannot be read; the paths of all Ingresses are closed (503)."},
	{ParametersIgnored, "Parameters that count for the process as a whole are decided by those of another IngressClass; the TLS policies alone are taken from these."},
	{TLSPolicyUnknown, "An Ingress names a TLS policy that its class does not have; the host has that of the class, or intermediate if that is stricter."},
	{TLSPolicyWeak, "A TLS policy accepts versions or suites that are there for old clients alone."},
	{TLSPolicyNotFIPS, "A TLS policy names what there is not in FIPS 140-3 mode."},
	{TLSSettingsConflictLost, "The TLS settings of an Ingress do not count for a host that another Ingress declares."},
	{CipherSuiteUnsupported, "ssl-ciphers names suites that there are not, or that the host cannot have; they are left out."},
	{AnnotationWithoutEffect, "An annotation asks for what Cardea cannot do; nothing is served differently because of it."},
	{ConfigMapNotFound, "The ConfigMap that --configmap names does not exist, and the defaults apply; or an annotation names one for authorities that does not exist."},
	{ConfigMapInvalid, "The value of a key of the ConfigMap cannot be used. If the key protects, the paths of all Ingresses are closed (503), else its default applies. Or a ConfigMap that an annotation names for authorities does not hold any."},
	{ConfigMapUnreadable, "Cardea may not or cannot read a ConfigMap that an annotation names for authorities."},
	{ConfigMapNotGranted, "An annotation that protects names a ConfigMap of another namespace, and no ReferenceGrant there allows it; the paths are closed (503)."},
	{ConfigMapDiffers, "What a key of the ConfigMap asks for is not done, or not as ingress-nginx does it."},
	{ConfigMapKeyUnknown, "The ConfigMap has a key that Cardea does not apply."},
	{ConfigMapOverruled, "Parameters overrule what the ConfigMap says for a class."},
	{ClientAuthWithoutTLS, "Client certificates are demanded for a host that is not served over TLS; it is answered with 503."},
	{ClientAuthConflictLost, "An older Ingress demands client certificates of the host in another way; the paths of this one are answered with 503."},
}

// sortVerdicts sorts v into the order of [Result.Verdicts] and drops repetitions.
func sortVerdicts(v []Verdict) []Verdict {
	slices.SortFunc(v, func(a, b Verdict) int {
		return cmp.Or(
			compareOrigins(a.Origin, b.Origin),
			cmp.Compare(a.Reason, b.Reason),
			compareOrigins(a.Other, b.Other),
			cmp.Compare(a.Level, b.Level),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(v)
}

func compareOrigins(a, b snapshot.Origin) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Field, b.Field),
		cmp.Compare(a.UID, b.UID),
	)
}

// brief returns s short enough for a message, which an Event must hold.
func brief(s string) string { return cut(s, 100) }

// cut returns s in about most bytes.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// andOthers counts those that a message does not name.
func andOthers(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return " and 1 other"
	default:
		return fmt.Sprintf(" and %d others", n)
	}
}

// sentence begins s with a capital, unless it begins with the name of a key.
func sentence(s string) string {
	if s == "" || strings.HasPrefix(s, "tls.") || strings.HasPrefix(s, "ca.") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
