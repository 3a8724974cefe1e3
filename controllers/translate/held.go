package translate

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// heldSecrets holds what is known of Secrets. Of nearly all that is a certificate
// and nothing else, so that it alone is kept.
type heldSecrets map[types.NamespacedName]heldSecret

// A heldSecret is a Secret, or else a certificate that is all there is to it.
type heldSecret struct {
	certificate *snapshot.Certificate
	secret      *Secret
}

const notFound = "it does not exist"

// noTrust is known of a Secret that holds no authorities, or is not asked for any.
var noTrust = Trust{Reason: SecretNotFound, Problem: notFound}

// ordinary returns the Secret of which c is all there is.
func ordinary(c *snapshot.Certificate) Secret {
	return Secret{Origin: c.Origin, Certificate: c, Trust: noTrust}
}

func (h heldSecrets) get(name types.NamespacedName) (s Secret, ok bool) {
	held, ok := h[name]
	switch {
	case held.certificate != nil:
		s = ordinary(held.certificate)
	case held.secret != nil:
		s = *held.secret
	}
	return s, ok
}

func (h heldSecrets) set(name types.NamespacedName, s Secret) {
	if c := s.Certificate; c != nil && s == ordinary(c) {
		h[name] = heldSecret{certificate: c}
		return
	}
	whole := s // s itself does not have to be on the heap
	h[name] = heldSecret{secret: &whole}
}
