package translate

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// This file is about the Secrets that annotations name, and what counts beside them.

// readSecretRef returns the Secret that the value of an annotation names,
// "[namespace/]name", and notes what it is named for. One of another namespace is
// refused unless it is granted: whoever may write an Ingress could otherwise use
// every Secret that Cardea can read.
func (in *ingress) readSecretRef(key, value string, purpose Purpose, abroad *abroad) (name types.NamespacedName, ok bool) {
	namespace, rest, found := strings.Cut(value, "/")
	if !found {
		namespace, rest = in.name.Namespace, value
	}
	field := "metadata.annotations[" + key + "]"
	name = types.NamespacedName{Namespace: namespace, Name: rest}
	if len(validation.IsDNS1123Subdomain(rest)) > 0 {
		in.judge(Refused, SecretNameInvalid, field, "%s: want the name of a Secret, as in %q, found %q. It protects the paths of this Ingress, so they answer 503 until it is corrected or removed.", key, in.name.Namespace+"/name", brief(value))
		return types.NamespacedName{}, false
	}
	if namespace != in.name.Namespace {
		if why := abroad.refuses(in.name.Namespace, name); why != "" {
			in.judge(Refused, SecretNotGranted, field, "%s: Secret %q is of another namespace, %s. It protects the paths of this Ingress, so they answer 503 until it is granted, corrected or removed.", key, brief(value), why)
			return types.NamespacedName{}, false
		}
	}
	in.referSecret(name, field, purpose)
	return name, true
}

// secret returns what is known of a Secret, and has the host built again when that
// changes.
func (b *hostBuild) secret(name types.NamespacedName) Secret {
	b.out.secrets = append(b.out.secrets, name)
	secret, ok := b.secrets.get(name)
	if !ok {
		secret = Secret{Reason: SecretNotFound, Problem: notFound, Trust: noTrust}
	}
	secret.Origin.Kind, secret.Origin.Namespace, secret.Origin.Name = "Secret", name.Namespace, name.Name
	return secret
}

// files returns what the operator says, and has the host built again when that
// changes.
func (b *hostBuild) files() *Files {
	b.out.files = true
	return &b.opts.Files
}

// authorities returns the authorities in the Secret that the field at names; nil,
// with a verdict, if there are none. Then what needs them must be closed.
func (b *hostBuild) authorities(at snapshot.Origin, name types.NamespacedName) *snapshot.Authorities {
	s := b.secret(name)
	if s.Trust.Reason == "" && s.Trust.Authorities != nil {
		return s.Trust.Authorities
	}
	v := Verdict{Level: Refused, Reason: s.Trust.Reason, Origin: at, Other: s.Origin}
	problem, instead := s.Trust.Problem, "Nothing can be verified with it, so what needs it is closed (503)."
	switch {
	case s.Trust.Reason == "":
		// It is named for this since a moment ago, and not read for it yet.
		v.Reason, problem = SecretUnreadable, "its authorities are not read yet"
	case s.Trust.Authorities != nil:
		v.Level = Warning
		instead = "The last good authorities are used instead."
		if v.Reason == SecretNotFound {
			instead = "Its last authorities are still used for a limited time."
		}
	}
	advice := trustAdvice[v.Reason]
	b.judge(v, "Secret %s: %s. %s%s", name, problem, instead, advice)
	if v.Reason == SecretInvalid {
		v.Origin, v.Other = s.Origin, snapshot.Origin{}
		b.judge(v, "%s. %s%s", sentence(problem), instead, advice)
	}
	return s.Trust.Authorities
}

// trustAdvice says what to do; a message ends with it.
var trustAdvice = map[Reason]string{
	SecretNotFound:   " Create the Secret, or correct its name.",
	SecretInvalid:    " Put the PEM certificates of the authorities into ca.crt and, if there are any, their PEM revocation lists into ca.crl.",
	SecretUnreadable: " Let the controller's ServiceAccount get this Secret.",
}
