package translate

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// This file is about the Secrets and ConfigMaps that annotations name, and what counts
// beside them.

// A refKind is a kind of objects that annotations name, and the words for what is
// wrong with a name.
type refKind struct {
	kind                string
	invalid, notGranted Reason
}

var (
	secretRefs    = refKind{"Secret", SecretNameInvalid, SecretNotGranted}
	configMapRefs = refKind{"ConfigMap", AnnotationInvalid, ConfigMapNotGranted}
)

// readSecretRef returns the Secret that the value of an annotation names and notes
// what it is named for.
func (in *ingress) readSecretRef(key, value string, purpose Purpose, abroad *abroad) (ref secretRef, ok bool) {
	if ref, ok = in.readRef(secretRefs, key, value, abroad); ok {
		in.referSecret(ref.name, ref.field, purpose)
	}
	return ref, ok
}

// readBundleRef returns the ConfigMap with authorities that the value of an annotation
// names and notes that it does.
func (in *ingress) readBundleRef(key, value string, abroad *abroad) (ref secretRef, ok bool) {
	if ref, ok = in.readRef(configMapRefs, key, value, abroad); ok {
		in.bundles = addUse(in.bundles, ref.name, Reference{in.at(ref.field), ForAuthorities})
	}
	return ref, ok
}

// readRef returns the object that the value of an annotation names,
// "[namespace/]name". One of another namespace is refused unless it is granted:
// whoever may write an Ingress could otherwise use every object that Cardea can read.
func (in *ingress) readRef(of refKind, key, value string, abroad *abroad) (_ secretRef, ok bool) {
	namespace, rest, found := strings.Cut(value, "/")
	if !found {
		namespace, rest = in.name.Namespace, value
	}
	ref := secretRef{types.NamespacedName{Namespace: namespace, Name: rest}, "metadata.annotations[" + key + "]"}
	if len(validation.IsDNS1123Subdomain(rest)) > 0 {
		in.judge(Refused, of.invalid, ref.field, "%s: want the name of a %s, as in %q, found %q. It protects the paths of this Ingress, so they answer 503 until it is corrected or removed.", key, of.kind, in.name.Namespace+"/name", brief(value))
		return secretRef{}, false
	}
	if namespace != in.name.Namespace {
		if why := abroad.refuses(in.name.Namespace, of.kind, ref.name); why != "" {
			in.judge(Refused, of.notGranted, ref.field, "%s: %s %q is of another namespace, %s. It protects the paths of this Ingress, so they answer 503 until it is granted, corrected or removed.", key, of.kind, brief(value), why)
			return secretRef{}, false
		}
	}
	return ref, true
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

// bundle returns what is known of a ConfigMap with authorities, and has the host built
// again when that changes.
func (b *hostBuild) bundle(name types.NamespacedName) Bundle {
	b.out.bundles = append(b.out.bundles, name)
	bundle, ok := b.bundles[name]
	if !ok {
		bundle.Trust = Trust{Reason: ConfigMapNotFound, Problem: notFound}
	}
	bundle.Origin.Kind, bundle.Origin.Namespace, bundle.Origin.Name = "ConfigMap", name.Namespace, name.Name
	return bundle
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
	return b.trusted(at, s.Origin, s.Trust, SecretUnreadable)
}

// bundleAuthorities is authorities for a ConfigMap.
func (b *hostBuild) bundleAuthorities(at snapshot.Origin, name types.NamespacedName) *snapshot.Authorities {
	s := b.bundle(name)
	return b.trusted(at, s.Origin, s.Trust, ConfigMapUnreadable)
}

// trusted judges what is known of the authorities in the object that the field at
// names, and returns those to verify with. unread is the reason for what is not read
// yet.
func (b *hostBuild) trusted(at, object snapshot.Origin, t Trust, unread Reason) *snapshot.Authorities {
	if t.Reason == "" && t.Authorities != nil {
		return t.Authorities
	}
	v := Verdict{Level: Refused, Reason: t.Reason, Origin: at, Other: object}
	problem, instead := t.Problem, "Nothing can be verified with it, so what needs it is closed (503)."
	switch {
	case t.Reason == "":
		// It is named for this since a moment ago, and not read for it yet.
		v.Reason, problem = unread, "its authorities are not read yet"
	case t.Authorities != nil:
		v.Level = Warning
		instead = "The last good authorities are used instead."
		if v.Reason == SecretNotFound || v.Reason == ConfigMapNotFound {
			instead = "Its last authorities are still used for a limited time."
		}
	}
	advice := trustAdvice[v.Reason]
	b.judge(v, "%s %s/%s: %s. %s%s", object.Kind, object.Namespace, object.Name, problem, instead, advice)
	if v.Reason == SecretInvalid || v.Reason == ConfigMapInvalid {
		v.Origin, v.Other = object, snapshot.Origin{}
		b.judge(v, "%s. %s%s", sentence(problem), instead, advice)
	}
	return t.Authorities
}

// trustAdvice says what to do; a message ends with it.
var trustAdvice = map[Reason]string{
	SecretNotFound:   " Create the Secret, or correct its name.",
	SecretInvalid:    " Put the PEM certificates of the authorities into ca.crt and, if there are any, their PEM revocation lists into ca.crl.",
	SecretUnreadable: " Let the controller's ServiceAccount get this Secret.",

	ConfigMapNotFound:   " Create the ConfigMap, or correct its name.",
	ConfigMapInvalid:    " Put the PEM certificates of the authorities into ca.crt and, if there are any, their PEM revocation lists into ca.crl.",
	ConfigMapUnreadable: " Let the controller's ServiceAccount get this ConfigMap.",
}
