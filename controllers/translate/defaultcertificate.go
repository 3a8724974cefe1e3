package translate

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A namedSecret is a Secret that parameters name for its certificate. The zero value
// names none.
type namedSecret struct {
	secret types.NamespacedName
	field  snapshot.Origin
}

// user returns what stands for the parameters in the index of references. It comes
// before every Ingress, which has a namespace.
func (o *overlay) user() *ingress {
	in := &ingress{name: types.NamespacedName{Name: "parameters"}}
	add := func(n namedSecret) {
		if n.secret.Name != "" {
			in.secrets = addUse(in.secrets, n.secret, Reference{n.field, ForCertificate})
		}
	}
	add(o.defaultSecret)
	for _, class := range slices.Sorted(maps.Keys(o.classes)) {
		add(o.classes[class].backendCertificate)
	}
	return in
}

// named returns the Secret that parameters name; not ok, with a verdict, if it is
// where nobody watches.
func (b *hostBuild) named(n namedSecret) (_ Secret, ok bool) {
	if outside := b.opts.WatchNamespace; outside != "" && outside != n.secret.Namespace {
		b.judge(Verdict{Level: Refused, Reason: SecretUnreadable, Origin: n.field},
			"Secret %s is not in namespace %s, the only one that Cardea watches (--watch-namespace). No certificate is taken from it. Copy it there.", n.secret, outside)
		return Secret{}, false
	}
	return b.secret(n.secret), true
}

// A builtDefault is what became of it.
type builtDefault struct {
	// certificate is nil if there is nothing usable.
	certificate *snapshot.Certificate
	verdicts    []Verdict
	// next is when time alone changes it; zero if never.
	next time.Time
}

// buildDefault looks at the Secret of the default certificate, if it was touched.
// It is judged as that of a host is, but for its names: those who ask for a name
// that nobody declares expect no certificate for it.
func (t *Translator) buildDefault(now time.Time) {
	if !t.touchedDefault {
		return
	}
	t.touchedDefault = false
	old, built := t.builtDefault, builtDefault{}
	if named := t.overlay.defaultSecret; named.secret.Name != "" {
		b := &hostBuild{opts: &t.opts, now: now, secrets: t.secrets, out: &builtHost{}}
		if secret, ok := b.named(named); ok {
			b.judgeSecret(named.field, &secret)
			if built.certificate = secret.Certificate; built.certificate != nil {
				b.judgeUse(named.field, &secret)
				b.judgeValidity(named.field, &secret)
			}
		}
		built.verdicts, built.next = sortVerdicts(b.out.verdicts), b.out.next
	}
	t.builtDefault = built
	t.deadlines.replace(old.next, built.next)
	t.touchedSpec = t.touchedSpec || old.certificate != built.certificate
	t.touchedVerdicts = t.touchedVerdicts || !slices.Equal(old.verdicts, built.verdicts)
}

// defaultCertificate returns what strangers are served, and how they are treated.
func (t *Translator) defaultCertificate() (*snapshot.Certificate, snapshot.UnknownSNI) {
	if c := t.builtDefault.certificate; c != nil {
		return c, snapshot.UnknownSNIDefaultCert
	}
	return t.opts.DefaultCertificate, t.overlay.unknownSNI
}
