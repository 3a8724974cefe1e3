package translate

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// nginxController is the spec.controller of ingress-nginx's IngressClass. Whoever
// serves that class serves it with that controller's defaults.
const nginxController = "k8s.io/ingress-nginx"

// quirks reports whether the defaults are those of ingress-nginx.
func (o *Options) quirks() bool { return o.ControllerName == nginxController }

// backendSecrets are the Secrets of one Ingress for TLS to its backends, and the
// ConfigMap that may take the place of ca.
type backendSecrets struct {
	ca, bundle, certificate secretRef
	// either is that of proxy-ssl-secret, which may be both.
	either secretRef
}

// A secretRef is a Secret or a ConfigMap and the field that names it; the field is ""
// if none does.
type secretRef struct {
	name  types.NamespacedName
	field string
}

// readBackendSecrets reads what names Secrets and ConfigMaps. What cannot be used
// closes the paths.
func (in *ingress) readBackendSecrets(annotations map[string]string, abroad *abroad) {
	s, refs := &in.settings.BackendTLS, &backendSecrets{}
	for _, from := range []struct {
		annotation, value string
		purpose           Purpose
		to                *secretRef
	}{
		{"backend-tls-ca", s.CA, ForAuthorities, &refs.ca},
		{"backend-tls-client-cert", s.ClientCert, ForCertificate, &refs.certificate},
		{"proxy-ssl-secret", s.ProxyPair, ForCertificate | ForAuthorities, &refs.either},
	} {
		if from.value == "" {
			continue
		}
		key := annotationKey(annotations, from.annotation)
		ref, ok := in.readSecretRef(key, from.value, from.purpose, abroad)
		if !ok {
			in.closed = in.closed || in.closable()
			continue
		}
		*from.to = ref
	}
	if s.CAConfigMap != "" {
		var ok bool
		if refs.bundle, ok = in.readBackendBundle(annotations, abroad); !ok {
			in.closed = in.closed || in.closable()
		}
	}
	if *refs != (backendSecrets{}) {
		in.trust = &trustRefs{*refs, in.trust.clientAuth}
	}
}

// readBackendBundle reads backend-tls-ca-configmap. Beside backend-tls-ca it is
// refused: which of the two its owner means to trust, nobody knows.
func (in *ingress) readBackendBundle(annotations map[string]string, abroad *abroad) (ref secretRef, ok bool) {
	s, key := &in.settings.BackendTLS, annotationKey(annotations, "backend-tls-ca-configmap")
	if s.CA != "" {
		in.judge(Refused, AnnotationInvalid, "metadata.annotations["+key+"]", "%s: %s names the authority of the backend already. It protects the paths of this Ingress, so they answer 503 until one of the two is removed.", key, annotationKey(annotations, "backend-tls-ca"))
		return secretRef{}, false
	}
	return in.readBundleRef(key, s.CAConfigMap, abroad)
}

// annotationKey returns the key under which the named annotation counts.
func annotationKey(annotations map[string]string, name string) string {
	if _, own := annotations[annotation.Own+name]; own {
		return annotation.Own + name
	}
	return annotation.Nginx + name
}

// backendTLS returns how TLS is spoken to a Service; not ok, with a verdict, if
// what it needs is missing: then the path is closed, because any other way to reach
// the backend would open what its owner closed. v is for verdicts on the backend.
func (b *hostBuild) backendTLS(v Verdict, c *claim, service *corev1.Service) (_ *snapshot.UpstreamTLS, ok bool) {
	s, refs := &c.settings.BackendTLS, &c.trust.backends
	verify, sendName, depth := annotation.On, annotation.On, 0
	if b.opts.quirks() {
		verify, sendName, depth = annotation.Off, annotation.Off, 2
	}
	u := &snapshot.UpstreamTLS{
		ServerName:   backendName(s, service),
		NoSNI:        s.ProxyServerName.Or(sendName) == annotation.Off,
		Insecure:     s.Verify.Or(s.ProxyVerify).Or(verify) == annotation.Off,
		SkipHostname: s.VerifyHostname == annotation.Off,
		AltNames:     s.AltNames.Names(),
		Depth:        depth,
		MinVersion:   s.MinVersion,
		MaxVersion:   s.MaxVersion,
		CipherSuites: s.Suites(),
	}
	if s.Depth > 0 {
		u.Depth = s.Depth
	}
	ok = true
	if u.Insecure {
		u.SkipHostname, u.Depth, u.AltNames = false, 0, nil
	} else if refs.bundle.field != "" {
		u.Authorities = b.bundleAuthorities(c.at(refs.bundle.field), refs.bundle.name)
		ok = u.Authorities != nil
		b.judgeCommonNames(c.at(refs.bundle.field), u)
	} else if ca := firstRef(refs.ca, refs.either); ca.field != "" {
		u.Authorities = b.authorities(c.at(ca.field), ca.name)
		ok = u.Authorities != nil
		b.judgeCommonNames(c.at(ca.field), u)
	} else {
		u.Authorities = b.files().BackendAuthorities
	}
	if !u.Insecure {
		u.RevocationLists = b.files().RevocationLists
	}
	switch {
	case refs.certificate.field != "":
		u.Certificate = b.clientCertificate(c.at(refs.certificate.field), refs.certificate.name)
		ok = ok && u.Certificate != nil
	case refs.either.field != "" && !b.holdsNoPair(refs.either.name):
		u.Certificate = b.clientCertificate(c.at(refs.either.field), refs.either.name)
		ok = ok && u.Certificate != nil
	default:
		u.Certificate = b.classCertificate(c)
	}
	if ok {
		b.judgeUnverified(v, u)
	}
	return u, ok
}

func firstRef(a, b secretRef) secretRef {
	if a.field != "" {
		return a
	}
	return b
}

// backendName is the name that a backend's certificate must have: what the
// annotations say, or else what the backend is called by those who do not know its
// addresses.
func backendName(s *annotation.BackendTLS, service *corev1.Service) string {
	switch {
	case s.ServerName != "":
		return s.ServerName
	case s.ProxyName != "":
		return s.ProxyName
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		return string(snapshot.NormalizeHost(nil, []byte(service.Spec.ExternalName)))
	}
	return service.Name + "." + service.Namespace + ".svc"
}

// holdsNoPair reports whether a Secret exists that has neither certificate nor key,
// and has its host built again when that changes.
func (b *hostBuild) holdsNoPair(name types.NamespacedName) bool {
	s := b.secret(name)
	return s.Certificate == nil && s.Reason == SecretWrongType
}

// clientCertificate returns the certificate in the Secret that the field at names;
// nil, with a verdict, if there is none.
func (b *hostBuild) clientCertificate(at snapshot.Origin, name types.NamespacedName) *snapshot.Certificate {
	s := b.secret(name)
	if s.Reason != "" || s.Certificate == nil {
		v := Verdict{Level: Refused, Reason: s.Reason, Origin: at, Other: s.Origin}
		problem, instead := s.Problem, "There is no certificate to show to the backend, so the paths that need it are closed (503)."
		if v.Reason == "" {
			v.Reason, problem = SecretUnreadable, "its certificate is not read yet"
		}
		if s.Certificate != nil {
			v.Level, instead = Warning, "The last good certificate is shown to the backend instead."
		}
		b.judge(v, "Secret %s: %s. %s%s", name, problem, instead, secretAdvice[v.Reason])
		if v.Reason != SecretNotFound && v.Reason != SecretUnreadable {
			v.Origin, v.Other = s.Origin, snapshot.Origin{}
			b.judge(v, "%s. %s%s", sentence(problem), instead, secretAdvice[v.Reason])
		}
	}
	if s.Certificate == nil {
		return nil
	}
	cert := s.Certificate
	if b.now.After(cert.NotAfter) {
		b.judge(Verdict{Level: Warning, Reason: CertificateExpired, Origin: at, Other: s.Origin},
			"The certificate in Secret %s, which is shown to the backend, expired on %s. Renew it.", name, date(cert.NotAfter))
	} else {
		b.until(cert.NotAfter.Add(time.Nanosecond))
	}
	return s.Certificate
}

// classCertificate returns what a backend is shown that asks for a certificate and
// of whose Ingress none is named: that of the class, else that of the operator's
// files. One that parameters name and that is not there is not replaced by another:
// the backend decides what it is worth to come without.
func (b *hostBuild) classCertificate(c *claim) *snapshot.Certificate {
	named := b.overlay.of(c.class).backendCertificate
	if named.secret.Name == "" {
		return b.files().BackendCertificate
	}
	s, ok := b.named(named)
	if !ok {
		return nil
	}
	b.judgeSecret(named.field, &s)
	if s.Certificate != nil {
		b.judgeValidity(named.field, &s)
	}
	return s.Certificate
}

// judgeUnverified tells who leaves a door open.
func (b *hostBuild) judgeUnverified(v Verdict, u *snapshot.UpstreamTLS) {
	v.Level, v.Reason = Warning, BackendUnverified
	const what = "whoever is between Cardea and the backend can pass for it, and read and change what is sent. "
	switch {
	case u.Insecure:
		b.judge(v, "The certificate of Service %s/%s is not verified: %sName its authority in backend-tls-ca and write backend-tls-verify: \"on\".", v.Other.Namespace, v.Other.Name, what)
	case u.SkipHostname && u.Authorities == nil:
		b.judge(v, "The certificate of Service %s/%s may be for any name, and every public authority issues them to everybody: %sName its authority in backend-tls-ca, or remove backend-tls-verify-hostname.", v.Other.Namespace, v.Other.Name, what)
	}
}

// judgeCommonNames tells who verifies a backend with the backend's own certificate,
// one that OpenSSL accepts for its common name: nothing of the host's is known of
// other certificates before a connection is made.
func (b *hostBuild) judgeCommonNames(at snapshot.Origin, u *snapshot.UpstreamTLS) {
	if u.Authorities == nil || u.SkipHostname {
		return
	}
	for _, c := range u.Authorities.Certificates {
		name := c.Subject.CommonName
		if !snapshot.NamedByCommonName(c) || c.IsCA && name != u.ServerName && !slices.Contains(u.AltNames, name) {
			continue
		}
		b.judge(Verdict{Level: Warning, Reason: BackendCommonNameOnly, Origin: at, Other: u.Authorities.Origin},
			"The certificate %s in ca.crt of %s %s/%s names its host in its common name alone, which OpenSSL takes for a name and Go does not (RFC 9525): if the backend shows it, requests fail with 502 (upstream_tls_common_name). Issue it with the subject alternative name %s; until then, backend-tls-verify-hostname: \"off\" verifies all but the name.",
			brief(name), u.Authorities.Origin.Kind, u.Authorities.Origin.Namespace, u.Authorities.Origin.Name, snapshot.AltName(u.ServerName))
	}
}

// trustID tells apart all that a pool trusts and shows, and where it comes from.
func trustID(u *snapshot.UpstreamTLS) string {
	text := u.Digest()
	if u.Authorities != nil {
		text += " " + u.Authorities.Origin.String()
	}
	if u.Certificate != nil {
		text += " " + u.Certificate.Origin.String()
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// sameBackendTLS reports whether a and b are equal. Authorities and certificates
// are compared by identity: equal content keeps its own.
func sameBackendTLS(a, b *snapshot.UpstreamTLS) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ServerName == b.ServerName && a.NoSNI == b.NoSNI && a.Insecure == b.Insecure && a.SkipHostname == b.SkipHostname &&
		slices.Equal(a.AltNames, b.AltNames) && a.Authorities == b.Authorities && a.RevocationLists == b.RevocationLists &&
		a.Depth == b.Depth && a.Certificate == b.Certificate &&
		a.MinVersion == b.MinVersion && a.MaxVersion == b.MaxVersion && slices.Equal(a.CipherSuites, b.CipherSuites)
}
