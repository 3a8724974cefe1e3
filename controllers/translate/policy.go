package translate

import (
	"crypto/tls"
	"maps"
	"slices"
	"strings"
	"weak"

	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// classPolicies are the TLS policies that the hosts of a class can have.
type classPolicies struct {
	// policy is that of hosts whose Ingress names none.
	policy *snapshot.TLSPolicy
	// named are those that Ingresses can name, the built-in ones among them.
	named map[string]*snapshot.TLSPolicy
	// hsts is that of hosts whose Ingress says nothing of it; "" is none.
	hsts string
	// backendCertificate is shown to backends that ask for a certificate, where an
	// Ingress names none.
	backendCertificate namedSecret
}

func (c *classPolicies) equal(d *classPolicies) bool {
	return c.policy == d.policy && maps.Equal(c.named, d.named) && c.hsts == d.hsts && c.backendCertificate == d.backendCertificate
}

// withoutParameters are the policies of a class that has no parameters.
func (t *Translator) withoutParameters(verdicts *[]Verdict) *classPolicies {
	c := &classPolicies{policy: snapshot.Intermediate, named: builtIn()}
	if p := t.configPolicy(verdicts); p != nil {
		c.policy = p
	}
	hsts, said := t.config.settings.StrictTransportSecurity()
	switch {
	case said:
		c.hsts = hsts
	case t.opts.quirks():
		c.hsts = nginxHSTS
	}
	return c
}

// nginxHSTS is what ingress-nginx sends where nobody asks for anything else.
const nginxHSTS = "max-age=31536000; includeSubDomains"

// hstsOr returns what value asks for, or dflt if it says nothing.
func hstsOr(value, dflt string) string {
	switch value {
	case "":
		return dflt
	case "off":
		return ""
	}
	return value
}

func builtIn() map[string]*snapshot.TLSPolicy {
	return map[string]*snapshot.TLSPolicy{
		snapshot.Intermediate.Name: snapshot.Intermediate,
		snapshot.Modern.Name:       snapshot.Modern,
	}
}

// names returns the names that an Ingress can write, sorted.
func (c *classPolicies) names() string {
	return strings.Join(slices.Sorted(maps.Keys(c.named)), ", ")
}

// compilePolicies makes the policies of p, which is valid; without is what counts
// where it says nothing.
func (t *Translator) compilePolicies(p *v1alpha1.IngressClassParameters, without *classPolicies, verdicts *[]Verdict) *classPolicies {
	c := &classPolicies{named: builtIn(), hsts: hstsOr(p.Spec.TLS.HSTS, without.hsts)}
	compile := func(name, field string, from *v1alpha1.TLSPolicy) {
		origin := parametersOrigin(p)
		origin.Field = field
		b := policyBuild{origin: origin, fips: t.opts.FIPS, verdicts: verdicts}
		c.named[name] = t.policies.intern(b.build(name, from))
	}
	if p.Spec.TLS.Custom != nil {
		compile(string(v1alpha1.PolicyCustom), "spec.tls.custom", p.Spec.TLS.Custom)
	}
	for i := range p.Spec.TLS.Policies {
		named := &p.Spec.TLS.Policies[i]
		compile(named.Name, "spec.tls.policies["+named.Name+"]", &named.TLSPolicy)
	}
	c.policy = c.named[string(p.Spec.TLS.Policy)]
	c.backendCertificate = secretOf(p, "spec.backends.clientCertificate", p.Spec.Backends.ClientCertificate)
	return c
}

// A policyBuild makes one policy.
type policyBuild struct {
	origin   snapshot.Origin
	fips     bool
	verdicts *[]Verdict
}

func (b *policyBuild) judge(level Level, reason Reason, format string, args ...any) {
	*b.verdicts = append(*b.verdicts, Verdict{Level: level, Reason: reason, Origin: b.origin}.with(format, args...))
}

// build returns the policy; in FIPS mode intermediate if nothing of it is left.
func (b *policyBuild) build(name string, from *v1alpha1.TLSPolicy) *snapshot.TLSPolicy {
	p := &snapshot.TLSPolicy{
		Name: name, Origin: b.origin,
		MinVersion: tlsVersions[from.MinVersion], MaxVersion: tlsVersions[from.MaxVersion],
		RejectALPN: from.ALPNMismatch == v1alpha1.ALPNMismatchReject,
		NoTickets:  from.SessionTickets != nil && !*from.SessionTickets,
	}
	for _, s := range from.CipherSuites {
		p.CipherSuites = append(p.CipherSuites, suiteByName[string(s)])
	}
	for _, c := range from.Curves {
		p.Curves = append(p.Curves, curveByName[c])
	}
	b.judgeWeak(from, p)
	if b.fips && !b.approved(from, p) {
		return snapshot.Intermediate
	}
	return p
}

// judgeWeak says aloud what old clients cost all others.
func (b *policyBuild) judgeWeak(from *v1alpha1.TLSPolicy, p *snapshot.TLSPolicy) {
	if p.MinVersion < tls.VersionTLS12 {
		b.judge(Warning, TLSPolicyWeak, "The policy accepts TLS %s, which RFC 8996 forbids. Begin with 1.2 as soon as the last client that needs it is gone; the metric of handshakes by version shows when.", from.MinVersion)
	}
	var static, unauthenticated []string
	for _, s := range from.CipherSuites {
		switch {
		case strings.HasPrefix(string(s), "TLS_RSA_"):
			static = append(static, string(s))
		case strings.HasSuffix(string(s), "_SHA"):
			unauthenticated = append(unauthenticated, string(s))
		}
	}
	if len(static) > 0 {
		b.judge(Warning, TLSPolicyWeak, "The policy accepts %s: without forward secrecy, whoever gets the private key can read what was recorded before. Remove them as soon as no client needs them.", strings.Join(static, ", "))
	}
	if len(unauthenticated) > 0 {
		b.judge(Warning, TLSPolicyWeak, "The policy accepts %s, which encrypt without authenticated encryption (CBC). Remove them as soon as no client needs them.", strings.Join(unauthenticated, ", "))
	}
}

// approved reports whether anything is left of p in FIPS mode, in which crypto/tls
// leaves out the rest without a word.
func (b *policyBuild) approved(from *v1alpha1.TLSPolicy, p *snapshot.TLSPolicy) bool {
	var lost []string
	if p.MinVersion < tls.VersionTLS12 {
		lost = append(lost, "TLS 1.0 and 1.1")
	}
	suites, curves := 0, 0
	for i, s := range from.CipherSuites {
		if slices.Contains(fipsSuites, p.CipherSuites[i]) {
			suites++
		} else {
			lost = append(lost, string(s))
		}
	}
	for i, c := range from.Curves {
		if p.Curves[i] != tls.X25519 {
			curves++
		} else {
			lost = append(lost, string(c))
		}
	}
	if len(lost) == 0 {
		return true
	}
	none := p.MaxVersion < tls.VersionTLS12 || len(p.Curves) > 0 && curves == 0 ||
		len(p.CipherSuites) > 0 && suites == 0 && p.MaxVersion < tls.VersionTLS13
	if none {
		b.judge(Refused, TLSPolicyNotFIPS, "Cardea runs in FIPS 140-3 mode, in which there is no %s, and the policy accepts nothing else. Its hosts have the policy intermediate.", strings.Join(lost, ", "))
		return false
	}
	b.judge(Warning, TLSPolicyNotFIPS, "Cardea runs in FIPS 140-3 mode, in which there is no %s; clients that need it are refused. Remove it from the policy.", strings.Join(lost, ", "))
	return true
}

// fipsSuites are the suites of TLS 1.2 that crypto/tls leaves in FIPS mode.
var fipsSuites = []uint16{
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
}

var tlsVersions = map[v1alpha1.TLSVersion]uint16{
	"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13,
}

var suiteByName = func() map[string]uint16 {
	m := map[string]uint16{}
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		m[s.Name] = s.ID
	}
	return m
}()

var curveByName = map[v1alpha1.Curve]tls.CurveID{
	"X25519MLKEM768": tls.X25519MLKEM768, "SecP256r1MLKEM768": tls.SecP256r1MLKEM768, "SecP384r1MLKEM1024": tls.SecP384r1MLKEM1024,
	"X25519": tls.X25519, "P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521,
}

// policies gives equal policies one pointer, by which they are compared. It keeps
// none alive.
type policies map[policyKey]weak.Pointer[snapshot.TLSPolicy]

type policyKey struct {
	name   string
	origin snapshot.Origin
	digest snapshot.Security
}

func (ps policies) intern(p *snapshot.TLSPolicy) *snapshot.TLSPolicy {
	switch p {
	case snapshot.Intermediate, snapshot.Modern:
		return p
	}
	key := policyKey{p.Name, p.Origin, p.Digest()}
	if known := ps[key].Value(); known != nil {
		return known
	}
	maps.DeleteFunc(ps, func(_ policyKey, w weak.Pointer[snapshot.TLSPolicy]) bool { return w.Value() == nil })
	ps[key] = weak.Make(p)
	return p
}
