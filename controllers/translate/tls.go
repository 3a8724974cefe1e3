package translate

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// tls says how the host is served over TLS; nil if no claim declares it. The
// oldest claim that does decides alone: a host never mixes the certificates of
// two Ingresses.
func (b *hostBuild) tls(claims []*claim) *snapshot.TLS {
	var winner *claim
	var losers []*claim
	for _, c := range claims {
		switch {
		case len(c.tls) == 0:
		case winner == nil:
			winner = c
		case !sameSecrets(winner, c):
			losers = append(losers, c)
		}
	}
	if winner == nil {
		return nil
	}
	b.judgeTLSConflict(winner, losers)
	b.judgeTLSSettings(winner, claims)
	return b.declaredBy(winner)
}

// declaredBy is how c, which declares the host, has it served.
func (b *hostBuild) declaredBy(c *claim) *snapshot.TLS {
	return &snapshot.TLS{
		Origin:       c.at(c.tls[0].field),
		Certificates: b.certificates(c),
		Policy:       b.tlsPolicy(c),
		NoHTTP2:      !c.settings.HTTP2,
	}
}

// coveredTLS is tls for a host that no claim declares and of which client certificates
// are demanded by one whose Ingress declares the wildcard above it: nil, if it is
// none of these. The host is then declared as the wildcard is. Without that the demand
// would be at the mercy of who decides about the wildcard, which may be another
// Ingress that demands nothing, or something else.
func (b *hostBuild) coveredTLS(claims []*claim) *snapshot.TLS {
	i := slices.IndexFunc(claims, (*claim).demandsClientAuth)
	if i < 0 || !claims[i].covered || claims[i].ingress.clientAuthBroken {
		return nil
	}
	declaring := *claims[i]
	_, parent, _ := strings.Cut(b.name, ".")
	for _, c := range declaring.ingress.claims {
		if c.host == "*."+parent {
			declaring.tls = c.tls
		}
	}
	return b.declaredBy(&declaring)
}

// sameSecrets reports whether a and b name the same Secrets for the host, as the
// Ingresses of an application that is split in two usually do.
func sameSecrets(a, b *claim) bool {
	return a.ingress.name.Namespace == b.ingress.name.Namespace &&
		slices.EqualFunc(a.tls, b.tls, func(x, y declaration) bool { return x.secret == y.secret })
}

func (b *hostBuild) judgeTLSConflict(winner *claim, losers []*claim) {
	won := winner.at(winner.tls[0].field)
	for _, l := range losers {
		b.judge(Verdict{Level: Refused, Reason: CertificateConflictLost, Origin: l.at(l.tls[0].field), Other: won},
			"The certificate of %s is decided by Ingress %s, which %s, so %s is not used for it. Name the same Secret in both, or declare the host in one.",
			b.hostText(), winner.ingress.name, precedes(winner, l), secretsText(l))
	}
	if len(losers) > 0 {
		l := losers[0]
		b.judge(Verdict{Level: Info, Reason: CertificateConflictWon, Origin: won, Other: l.at(l.tls[0].field)},
			"The certificate of %s is decided by this Ingress, and Ingress %s%s declares it as well, with %s; this one %s.",
			b.hostText(), l.ingress.name, andOthers(len(losers)-1), secretsText(l), precedes(winner, l))
	}
}

func secretsText(c *claim) string {
	var names []string
	for _, d := range c.tls {
		if d.secret != "" {
			names = append(names, "Secret "+c.ingress.name.Namespace+"/"+d.secret)
		}
	}
	if len(names) == 0 {
		return "no Secret"
	}
	return strings.Join(names, ", ")
}

// certificates returns what the declarations of c have to serve: the first of
// each key type.
func (b *hostBuild) certificates(c *claim) []*snapshot.Certificate {
	var served []*snapshot.Certificate
	var seen []string
	for _, d := range c.tls {
		if d.secret == "" || slices.Contains(seen, d.secret) {
			continue
		}
		seen = append(seen, d.secret)
		name := types.NamespacedName{Namespace: c.ingress.name.Namespace, Name: d.secret}
		secret := b.secret(name)
		at := c.at(d.field)
		b.judgeSecret(at, &secret)
		cert := secret.Certificate
		if cert == nil {
			continue
		}
		b.judgeCertificate(at, &secret)
		if i := slices.IndexFunc(served, func(s *snapshot.Certificate) bool { return s.KeyType() == cert.KeyType() }); i >= 0 {
			b.judge(Verdict{Level: Warning, Reason: CertificateKeyTypeRepeated, Origin: at, Other: secret.Origin},
				"The certificate in Secret %s has a key of type %s, and so has the one in Secret %s/%s, which is served for %s. Remove one of them; several are for different key types.",
				name, cert.KeyType(), served[i].Origin.Namespace, served[i].Origin.Name, b.hostText())
			continue
		}
		served = append(served, cert)
	}
	b.judgeKeyTypes(c, served)
	return served
}

// judgeKeyTypes advises a host that has nothing but RSA.
func (b *hostBuild) judgeKeyTypes(c *claim, served []*snapshot.Certificate) {
	for _, cert := range served {
		if cert.RSABits == 0 {
			return
		}
	}
	if len(served) > 0 {
		b.judge(Verdict{Level: Info, Reason: CertificateRSAOnly, Origin: c.at(c.tls[0].field), Other: served[0].Origin},
			"%s has a certificate with an RSA key alone, and a full handshake with it costs many times one with ECDSA. Issue one for an ECDSA key (P-256), or a second one beside it: clients that support both get ECDSA.",
			sentence(b.hostText()))
	}
}

// judgeSecret tells the owner of the Ingress and, if there is a Secret, its own
// owner why its content is not what is served.
func (b *hostBuild) judgeSecret(at snapshot.Origin, s *Secret) {
	if s.Reason == "" {
		return
	}
	v := Verdict{Level: Refused, Reason: s.Reason, Origin: at, Other: s.Origin}
	instead := "No certificate is served from it."
	if s.Certificate != nil {
		v.Level = Warning
		until := s.Certificate.NotAfter
		if s.Reason == CertificateNotYetValid && !b.now.After(until) {
			// An early renewal is no fault.
			v.Level = Info
		}
		instead = "The last good certificate is served instead; it is valid until " + date(until) + "."
		if s.Reason == SecretNotFound {
			instead = "Its last certificate is still served for a limited time."
		}
	}
	if !s.Pending.IsZero() && s.Reason != CertificateNotYetValid {
		instead += " One that was there before waits until it is valid, from " + date(s.Pending) + "."
	}
	advice := secretAdvice[s.Reason]
	name := s.Origin.Namespace + "/" + s.Origin.Name
	b.judge(v, "Secret %s: %s. %s%s", name, s.Problem, instead, advice)
	if s.Reason != SecretNotFound {
		v.Origin, v.Other = s.Origin, snapshot.Origin{}
		b.judge(v, "%s. %s%s", sentence(s.Problem), instead, advice)
	}
}

// secretAdvice says what to do; a message ends with it.
var secretAdvice = map[Reason]string{
	SecretNotFound:         " Create the Secret, or correct its name.",
	SecretWrongType:        " Create it anew with type kubernetes.io/tls.",
	SecretInvalid:          " Put a PEM chain, leaf first, into tls.crt and its private key into tls.key.",
	SecretUnreadable:       " Let the controller's ServiceAccount get this Secret.",
	CertificateNotYetValid: " The new one is served as soon as it is valid.",
}

// judgeCertificate looks at a certificate that is served for the host.
func (b *hostBuild) judgeCertificate(at snapshot.Origin, s *Secret) {
	b.judgeUse(at, s)
	if !s.Certificate.Covers(b.name) {
		b.judge(Verdict{Level: Warning, Reason: CertificateNameMismatch, Origin: at, Other: s.Origin},
			"The certificate in Secret %s is served for %s and does not cover it, so clients will reject it; it covers %s. Issue one that covers the host.",
			s.Origin.Namespace+"/"+s.Origin.Name, b.hostText(), namesText(s.Certificate.DNSNames))
	}
	b.judgeValidity(at, s)
}

// judgeUse tells of a certificate that clients refuse whatever host it is for.
func (b *hostBuild) judgeUse(at snapshot.Origin, s *Secret) {
	if s.Certificate.MustStaple && !b.opts.OCSP {
		b.judge(Verdict{Level: Warning, Reason: CertificateMustStaple, Origin: at, Other: s.Origin},
			"The certificate in Secret %s demands that an OCSP response is stapled (must-staple, RFC 7633), and stapling is off, so that browsers which honour it refuse the certificate. Start Cardea with --enable-ocsp, or issue the certificate without.", s.Origin.Namespace+"/"+s.Origin.Name)
	}
	if bits := s.Certificate.RSABits; bits > 0 && bits < 2048 {
		b.judge(Verdict{Level: Warning, Reason: CertificateKeyWeak, Origin: at, Other: s.Origin},
			"The certificate in Secret %s has an RSA key of %d bits; clients begin to refuse less than 2048, and FIPS 140-3 mode does not serve it. Issue it anew for an ECDSA key (P-256).", s.Origin.Namespace+"/"+s.Origin.Name, bits)
	}
}

// judgeValidity tells of a certificate that has ended or ends soon.
func (b *hostBuild) judgeValidity(at snapshot.Origin, s *Secret) {
	cert := s.Certificate
	name := s.Origin.Namespace + "/" + s.Origin.Name
	if b.now.After(cert.NotAfter) {
		v := Verdict{Level: Warning, Reason: CertificateExpired, Origin: at, Other: s.Origin}
		b.judge(v, "The certificate in Secret %s expired on %s and is still served; clients will reject it. Renew it.", name, date(cert.NotAfter))
		v.Origin, v.Other = s.Origin, snapshot.Origin{}
		b.judge(v, "The certificate expired on %s and is still served; clients will reject it. Renew it.", date(cert.NotAfter))
		return
	}
	left, next := expiring(cert, b.now)
	if left > 0 {
		v := Verdict{Level: Warning, Reason: CertificateExpiring, Origin: at, Other: s.Origin}
		b.judge(v, "The certificate in Secret %s expires on %s: it has less than %s left and was not renewed. Find out why, for example in the status of its Certificate object.", name, date(cert.NotAfter), span(left))
		v.Origin, v.Other = s.Origin, snapshot.Origin{}
		b.judge(v, "The certificate expires on %s: it has less than %s left and was not renewed. Find out why, for example in the status of its Certificate object.", date(cert.NotAfter), span(left))
	}
	b.until(next)
}

// until has the host built again at a time.
func (b *hostBuild) until(at time.Time) {
	if b.out.next.IsZero() || at.Before(b.out.next) {
		b.out.next = at
	}
}

func namesText(names []string) string {
	const most = 5
	switch n := len(names); {
	case n == 0:
		return "no DNS name"
	case n > most:
		return strings.Join(names[:most], ", ") + andOthers(n-most)
	default:
		return strings.Join(names, ", ")
	}
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
