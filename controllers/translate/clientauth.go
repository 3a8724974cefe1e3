package translate

import (
	"cmp"
	"slices"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// This file is about client certificates. A demand for them holds for the whole
// host, as in ingress-nginx: the handshake is over before there is a path. What
// cannot be applied closes the whole host for the same reason.

// readClientAuth reads the Secret that auth-tls-secret names.
func (in *ingress) readClientAuth(annotations map[string]string, abroad *abroad) {
	a := &in.settings.ClientAuth
	if !a.Asks() || in.clientAuthBroken {
		return
	}
	if a.Secret == "" {
		if a.Verify != annotation.VerifyOptionalNoCA {
			key := annotationKey(annotations, "auth-tls-verify-client")
			in.judge(Refused, AnnotationInvalid, "metadata.annotations["+key+"]", "%s: it asks for client certificates, and no annotation auth-tls-secret says which authority must have signed them. The hosts of this Ingress answer 503 until it is added.", key)
			in.breakClientAuth()
		}
		return
	}
	key := annotationKey(annotations, "auth-tls-secret")
	ref, ok := in.readSecretRef(key, a.Secret, ForAuthorities, abroad)
	if !ok {
		in.breakClientAuth()
		return
	}
	in.trust = &trustRefs{in.trust.backends, ref}
}

// breakClientAuth notes that client certificates are demanded in a way that cannot
// be applied: the paths of the Ingress are closed, and with them all others of its
// hosts.
func (in *ingress) breakClientAuth() { in.closed, in.clientAuthBroken = true, true }

// demandsClientAuth reports whether c wants client certificates of the host, also
// if it does not say so in a form that can be applied.
func (c *claim) demandsClientAuth() bool {
	return c.ingress.clientAuthBroken || c.settings.ClientAuth.Asks()
}

// demand decides what the host demands of client certificates. The oldest claim
// that demands anything decides; one that demands something else has its paths
// closed. Without a demand that can be applied although there is one, the host is
// closed.
func (b *hostBuild) demand(claims []*claim, declared bool) *snapshot.ClientAuth {
	i := slices.IndexFunc(claims, (*claim).demandsClientAuth)
	if i < 0 {
		return nil
	}
	winner := claims[i]
	b.judgeClientAuthConflict(winner, claims[i+1:])
	if winner.ingress.clientAuthBroken {
		b.closed = true // its own verdict says why
		return nil
	}
	if !declared {
		b.closed = true
		b.judge(Verdict{Level: Refused, Reason: ClientAuthWithoutTLS, Origin: winner.at(winner.clientAuthField())},
			"Client certificates are demanded for %s, and no spec.tls of this Ingress lists it, so there is no handshake to ask for one; the host answers 503. List the host in spec.tls, or remove the annotation.", b.hostText())
		return nil
	}
	auth := b.compileDemand(winner)
	b.closed = auth == nil
	return auth
}

func (b *hostBuild) compileDemand(c *claim) *snapshot.ClientAuth {
	s := &c.settings.ClientAuth
	auth := &snapshot.ClientAuth{
		Origin:          c.at(c.clientAuthField()),
		Depth:           cmp.Or(s.Depth, 2), // one intermediate, as in ingress-nginx
		MatchCN:         s.MatchCN,
		MatchSANs:       s.MatchSANs.Names(),
		PassCertificate: s.PassCertificate,
	}
	switch s.Verify {
	case annotation.VerifyOptional:
		auth.Mode = snapshot.ClientAuthOptional
	case annotation.VerifyOptionalNoCA:
		auth.Mode = snapshot.ClientAuthOptionalNoCA
	}
	page := s.ErrorPage != "" || s.Failure == annotation.FailurePage ||
		s.Failure == annotation.FailureUnset && b.opts.quirks()
	if page && auth.Mode != snapshot.ClientAuthOptionalNoCA {
		auth.ErrorPage = &snapshot.ClientAuthErrorPage{Redirect: s.ErrorPage}
	}
	if c.trust.clientAuth.field != "" {
		if auth.Authorities = b.authorities(auth.Origin, c.trust.clientAuth.name); auth.Authorities == nil {
			return nil
		}
		auth.RevocationLists = b.files().RevocationLists
	}
	return auth
}

// clientAuthField is the annotation behind the demand.
func (in *ingress) clientAuthField() string {
	if field := in.trust.clientAuth.field; field != "" {
		return field
	}
	return "metadata.annotations[" + annotationKey(in.annotations, "auth-tls-verify-client") + "]"
}

// judgeClientAuthConflict closes the paths of claims that demand something else of
// the host than the one that decides.
func (b *hostBuild) judgeClientAuthConflict(winner *claim, others []*claim) {
	for _, c := range others {
		if !c.demandsClientAuth() || c.ingress == winner.ingress || c.ingress.clientAuthBroken {
			continue
		}
		if sameDemand(c, winner) {
			continue
		}
		b.closedClaims = append(b.closedClaims, c)
		b.judge(Verdict{Level: Refused, Reason: ClientAuthConflictLost, Origin: c.at(c.clientAuthField()), Other: winner.at(winner.clientAuthField())},
			"Client certificates of %s are demanded as Ingress %s says, which %s; this Ingress says something else, so its paths on the host answer 503. Write the same auth-tls annotations in both.",
			b.hostText(), winner.ingress.name, precedes(winner, c))
	}
}

// sameDemand reports whether a and b say the same, however they write the Secret's
// name.
func sameDemand(a, b *claim) bool {
	x, y := a.settings.ClientAuth, b.settings.ClientAuth
	x.Secret, y.Secret = "", ""
	return x == y && a.trust.clientAuth.name == b.trust.clientAuth.name
}

// isClosed reports whether the paths of c on the host answer 503.
func (b *hostBuild) isClosed(c *claim) bool {
	return b.overlay.closed || b.closed || c.ingress.closed || slices.Contains(b.closedClaims, c)
}
