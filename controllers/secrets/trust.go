package secrets

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// The keys of authorities, as cert-manager and ingress-nginx have them.
const (
	caKey  = "ca.crt"
	crlKey = "ca.crl"
)

// A trust is what is known of the authorities in one Secret. They have a last good
// state as certificates have, but no dates of their own: an authority that has
// expired verifies nothing, and a revocation list that is out of date is found so
// when it is used.
type trust struct {
	words *words
	// bundle is the content hash of what was last read, "" if that does not exist.
	bundle string
	good   *snapshot.Authorities
	// goodBundle is that of good, and original what good shares with others.
	goodBundle string
	original   *snapshot.Authorities
	reason     translate.Reason
	problem    string
}

func newTrust(words *words) *trust {
	return &trust{words: words, reason: words.notFound, problem: notFound}
}

// read takes in content that exists.
func (t *trust) read(origin snapshot.Origin, secret *corev1.Secret, parsed *parsed) {
	crl, hasCRL := secret.Data[crlKey]
	bundle := snapshot.BundleDigest(secret.Data[caKey], crl)
	if hasCRL {
		// A key without content is not the same as none.
		bundle += "+crl"
	}
	if bundle == t.bundle {
		return
	}
	t.bundle = bundle
	switch {
	case t.good != nil && bundle == t.goodBundle:
		t.reason, t.problem = "", ""
		return
	case hasCRL && len(crl) == 0:
		t.reason, t.problem = t.words.invalid, crlKey+" is empty"
		return
	}
	good, original, err := parsed.parse(origin, bundle, secret.Data[caKey], crl)
	if err != nil {
		t.reason, t.problem = t.words.invalid, err.Error()
		return
	}
	t.good, t.goodBundle, t.original = good, bundle, original
	t.reason, t.problem = "", ""
}

// remove takes in that the Secret does not exist.
func (t *trust) remove() {
	t.bundle = ""
	t.reason, t.problem = t.words.notFound, notFound
}

// trustEnd is when the authorities of a deleted Secret end; zero if it is not
// deleted. Content that cannot be used keeps them for as long as it is there: the
// owner is told, and the alternative is to refuse everybody.
func (e *entry) trustEnd(afterDelete time.Duration) time.Time {
	if e.trust == nil || e.trust.good == nil || e.deleted.IsZero() {
		return time.Time{}
	}
	return e.deleted.Add(afterDelete)
}

// state returns what is known; t may be nil.
func (t *trust) state(words *words, unreadable string) translate.Trust {
	if t == nil {
		t = newTrust(words)
	}
	s := translate.Trust{Authorities: t.good, Reason: t.reason, Problem: t.problem, LastGood: t.good != nil && t.reason != ""}
	if unreadable != "" && (t.reason == "" || t.bundle == "") {
		s.Reason, s.Problem = words.unreadable, unreadable
		s.LastGood = t.good != nil
	}
	return s
}
