package v1alpha1

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate says what is wrong with an object that has its defaults: all that the
// CustomResourceDefinition refuses, and what its rules cannot say.
func (p *IngressClassParameters) Validate() field.ErrorList {
	spec := field.NewPath("spec")
	errs := p.Spec.TLS.validate(spec.Child("tls"))
	errs = append(errs, oneOf(spec.Child("hostOwnership"), p.Spec.HostOwnership, HostOwnershipNamespace, HostOwnershipShared)...)
	errs = append(errs, networks(spec.Child("trustedCIDRs"), p.Spec.TrustedCIDRs)...)
	errs = append(errs, p.Spec.Connections.validate(spec.Child("connections"))...)
	if ref := p.Spec.Backends.ClientCertificate; ref != nil {
		errs = append(errs, ref.validate(spec.Child("backends", "clientCertificate"))...)
	}
	if address := p.Spec.Events.ClientAddress; address != "" {
		errs = append(errs, oneOf(spec.Child("events", "clientAddress"), address, "full", "prefix", "none")...)
	}
	errs = append(errs, networks(spec.Child("proxyProtocol", "trustedCIDRs"), p.Spec.ProxyProtocol.TrustedCIDRs)...)
	return append(errs, p.Spec.LastGoodAfterDelete.validate(spec.Child("lastGoodAfterDelete"), 0, 168*time.Hour)...)
}

func (c *Connections) validate(at *field.Path) field.ErrorList {
	errs := append(networks(at.Child("allow"), c.Allow), networks(at.Child("deny"), c.Deny)...)
	for _, limit := range []struct {
		field       string
		value, most int32
	}{{"maxPerIP", c.MaxPerIP, 1_000_000}, {"newPerSecondPerIP", c.NewPerSecondPerIP, 1_000_000}, {"max", c.Max, 100_000_000}} {
		if limit.value < 0 || limit.value > limit.most {
			errs = append(errs, field.Invalid(at.Child(limit.field), limit.value, fmt.Sprintf("want 0 to %d", limit.most)))
		}
	}
	return errs
}

// networks checks a set of CIDRs.
func networks(at *field.Path, values []string) field.ErrorList {
	errs := set(at, values, 0, 256)
	for i, s := range values {
		if _, err := netip.ParsePrefix(s); err != nil {
			errs = append(errs, field.Invalid(at.Index(i), s, "want a network such as 10.0.0.0/8 or 2001:db8::/32"))
		}
	}
	return errs
}

func (t *TLS) validate(at *field.Path) field.ErrorList {
	errs := oneOf(at.Child("policy"), t.Policy, PolicyIntermediate, PolicyModern, PolicyCustom)
	switch custom := at.Child("custom"); {
	case t.Policy == PolicyCustom && t.Custom == nil:
		errs = append(errs, field.Required(custom, "policy is custom"))
	case t.Policy != PolicyCustom && t.Custom != nil:
		errs = append(errs, field.Forbidden(custom, fmt.Sprintf("policy is %s; write policy: custom", t.Policy)))
	case t.Custom != nil:
		errs = append(errs, t.Custom.validate(custom)...)
	}
	errs = append(errs, t.validatePolicies(at.Child("policies"))...)
	if t.UnknownSNI != "" {
		errs = append(errs, oneOf(at.Child("unknownSNI"), t.UnknownSNI, UnknownSNIReject, UnknownSNIDefaultCert)...)
	}
	if t.OnRotate != "" {
		errs = append(errs, oneOf(at.Child("onRotate"), t.OnRotate, OnRotateKeep, OnRotateDrain)...)
	}
	if t.DefaultCertificate != nil {
		errs = append(errs, t.DefaultCertificate.validate(at.Child("defaultCertificate"))...)
		if t.UnknownSNI == UnknownSNIReject {
			errs = append(errs, field.Forbidden(at.Child("defaultCertificate"), "defaultCertificate is never served with unknownSNI reject"))
		}
	}
	if t.HSTS != "" && !hsts.MatchString(t.HSTS) {
		errs = append(errs, field.Invalid(at.Child("hsts"), t.HSTS, `want "max-age=SECONDS", with "; includeSubDomains" and "; preload" behind it if wanted, or "off"`))
	}
	errs = append(errs, t.HandshakeTimeout.validate(at.Child("handshakeTimeout"), 100*time.Millisecond, 10*time.Minute)...)
	errs = append(errs, t.FirstByteTimeout.validate(at.Child("firstByteTimeout"), 100*time.Millisecond, 10*time.Minute)...)
	if n := t.MaxConcurrentHandshakes; n < 0 || n > 1_000_000 {
		errs = append(errs, field.Invalid(at.Child("maxConcurrentHandshakes"), n, "want 0 to 1000000"))
	}
	return append(errs, t.HandshakeLog.validate(at.Child("handshakeLog"))...)
}

func (r *SecretReference) validate(at *field.Path) (errs field.ErrorList) {
	if len(validation.IsDNS1123Label(r.Namespace)) > 0 {
		errs = append(errs, field.Invalid(at.Child("namespace"), r.Namespace, "want the name of a namespace"))
	}
	if len(validation.IsDNS1123Subdomain(r.Name)) > 0 {
		errs = append(errs, field.Invalid(at.Child("name"), r.Name, "want the name of a Secret"))
	}
	return errs
}

func (l *HandshakeLog) validate(at *field.Path) (errs field.ErrorList) {
	if l.Mode != "" {
		errs = oneOf(at.Child("mode"), l.Mode, HandshakeLogOff, HandshakeLogFailures, HandshakeLogAll)
	}
	if n := l.SuccessOneIn; n < 0 || n > 1_000_000_000 {
		errs = append(errs, field.Invalid(at.Child("successOneIn"), n, "want 0 to 1000000000"))
	}
	return append(errs, list(at.Child("fields"), l.Fields, 64, handshakeFields)...)
}

// maxPolicies is the most policies of a class.
const maxPolicies = 32

var hsts = regexp.MustCompile(`^(off|max-age=[0-9]{1,10}(; includeSubDomains)?(; preload)?)$`)

var policyName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

func (t *TLS) validatePolicies(at *field.Path) (errs field.ErrorList) {
	if len(t.Policies) > maxPolicies {
		errs = append(errs, field.TooMany(at, len(t.Policies), maxPolicies))
	}
	seen := make(map[string]bool)
	for i := range t.Policies {
		p := &t.Policies[i]
		name := at.Index(i).Child("name")
		switch {
		case len(p.Name) > 63 || !policyName.MatchString(p.Name):
			errs = append(errs, field.Invalid(name, p.Name, "want lower case letters, digits and hyphens, at most 63"))
		case slices.Contains([]PolicyName{PolicyIntermediate, PolicyModern, PolicyCustom}, PolicyName(p.Name)):
			errs = append(errs, field.Invalid(name, p.Name, "intermediate, modern and custom are taken"))
		case seen[p.Name]:
			errs = append(errs, field.Duplicate(name, p.Name))
		}
		seen[p.Name] = true
		errs = append(errs, p.validate(at.Index(i))...)
	}
	return errs
}

// The values of the closed lists, in the order of the definition.
var (
	tlsVersions  = []TLSVersion{"1.0", "1.1", "1.2", "1.3"}
	cipherSuites = []CipherSuite{
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
		"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
		"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
		"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
		"TLS_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_RSA_WITH_AES_256_GCM_SHA384",
		"TLS_RSA_WITH_AES_128_CBC_SHA",
		"TLS_RSA_WITH_AES_256_CBC_SHA",
	}
	handshakeFields = []HandshakeField{
		"listener", "remote", "local", "proxy", "result", "reason", "err", "alert", "alert_sent", "duration_seconds", "bytes_in", "bytes_out",
		"hello", "first_bytes", "ja4", "sni", "host", "ingress", "field",
		"offered_versions", "offered_ciphers", "offered_curves", "offered_schemes", "offered_extensions", "offered_alpn",
		"pool", "endpoint", "attempts", "policy", "version", "cipher", "curve", "alpn", "resumed", "hello_retried", "ech",
		"cert", "cert_serial", "cert_key", "cert_not_before", "cert_not_after", "default_cert",
		"client_subject", "client_issuer", "client_serial", "client_cert", "client_not_before", "client_not_after",
		"client_dns", "client_uri", "client_email", "client_ip", "client_verified", "client_verify_err",
	}
	curves = []Curve{"X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "X25519", "P-256", "P-384", "P-521"}
)

// TLSVersions returns the versions that a policy can name, the oldest first.
func TLSVersions() []TLSVersion { return slices.Clone(tlsVersions) }

// CipherSuites returns the suites that a policy can name, the best first.
func CipherSuites() []CipherSuite { return slices.Clone(cipherSuites) }

// Curves returns the groups that a policy can name, in the order in which Go
// prefers them.
func Curves() []Curve { return slices.Clone(curves) }

// HandshakeFields returns the fields that the handshake log can be narrowed to, in
// the order in which a record has them.
func HandshakeFields() []HandshakeField { return slices.Clone(handshakeFields) }

func (p *TLSPolicy) validate(at *field.Path) field.ErrorList {
	errs := oneOf(at.Child("minVersion"), p.MinVersion, tlsVersions...)
	errs = append(errs, oneOf(at.Child("maxVersion"), p.MaxVersion, tlsVersions...)...)
	errs = append(errs, oneOf(at.Child("alpnMismatch"), p.ALPNMismatch, ALPNMismatchAllow, ALPNMismatchReject)...)
	errs = append(errs, list(at.Child("cipherSuites"), p.CipherSuites, 32, cipherSuites)...)
	errs = append(errs, list(at.Child("curves"), p.Curves, 16, curves)...)
	if len(errs) > 0 {
		return errs
	}
	classical := func(c Curve) bool { return !strings.Contains(string(c), "MLKEM") }
	old := func(s CipherSuite) bool { return strings.HasSuffix(string(s), "_CBC_SHA") }
	if p.MinVersion > p.MaxVersion {
		errs = append(errs, field.Invalid(at, p.MinVersion, "minVersion is above maxVersion"))
	}
	if len(p.CipherSuites) > 0 && p.MinVersion == "1.3" {
		errs = append(errs, field.Invalid(at, p.MinVersion, "cipherSuites are those of TLS 1.2 and older, and minVersion is 1.3; Go does not let the suites of TLS 1.3 be chosen"))
	}
	if p.MinVersion < "1.2" && !slices.ContainsFunc(p.CipherSuites, old) {
		errs = append(errs, field.Invalid(at, p.MinVersion, "TLS 1.0 and 1.1 need a suite that ends in _CBC_SHA in cipherSuites"))
	}
	if p.MinVersion != "1.3" && len(p.Curves) > 0 && !slices.ContainsFunc(p.Curves, classical) {
		errs = append(errs, field.Invalid(at, p.MinVersion, "TLS 1.2 and older need a curve other than the post-quantum ones, which are of TLS 1.3"))
	}
	return errs
}

// oneOf checks a value of a closed list.
func oneOf[T ~string](at *field.Path, value T, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(at, value, allowed)}
}

// list checks a set of values of a closed list; nil is no list, and one that is
// written has at least one.
func list[T ~string](at *field.Path, values []T, most int, allowed []T) field.ErrorList {
	if values == nil {
		return nil
	}
	errs := set(at, values, 1, most)
	for i, v := range values {
		errs = append(errs, oneOf(at.Index(i), v, allowed...)...)
	}
	return errs
}

// set checks the number of values, and that none is there twice.
func set[T ~string](at *field.Path, values []T, least, most int) (errs field.ErrorList) {
	if len(values) < least {
		errs = append(errs, field.Invalid(at, len(values), fmt.Sprintf("want %d or more", least)))
	}
	if len(values) > most {
		errs = append(errs, field.TooMany(at, len(values), most))
	}
	for i, v := range values {
		if slices.Contains(values[:i], v) {
			errs = append(errs, field.Duplicate(at.Index(i), v))
		}
	}
	return errs
}

var duration = regexp.MustCompile(`^([0-9]{1,7}(h|m|s|ms)){1,4}$`)

// Value returns d as a time; 0 if it is unset or none.
func (d Duration) Value() time.Duration {
	v, err := time.ParseDuration(string(d))
	if err != nil {
		return 0
	}
	return v
}

// validate checks d, if it is set, and its bounds.
func (d Duration) validate(at *field.Path, least, most time.Duration) field.ErrorList {
	if d == "" {
		return nil
	}
	v, err := time.ParseDuration(string(d))
	switch {
	case err != nil || len(d) > 24 || !duration.MatchString(string(d)):
		return field.ErrorList{field.Invalid(at, d, `want a time such as "500ms", "10s" or "1m30s"`)}
	case v < least || v > most:
		return field.ErrorList{field.Invalid(at, d, fmt.Sprintf("want %v to %v", least, most))}
	}
	return nil
}
