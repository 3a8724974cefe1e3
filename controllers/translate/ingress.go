package translate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// An ingress is an Ingress as read: stage 1. It depends on the object alone.
type ingress struct {
	name    types.NamespacedName
	origin  snapshot.Origin
	created time.Time
	// class is the name of its class, "" if it has none.
	class       string
	annotations map[string]string // the object's own
	// settings and trust may be shared: nobody writes to them.
	settings *annotation.Settings
	trust    *trustRefs
	// closed says that a protecting annotation cannot be applied, clientAuthBroken
	// that one demands client certificates.
	closed, clientAuthBroken bool
	// claims are what it wants of each host, in the order of its fields.
	claims []claim
	// secrets, bundles and services are the objects that it names, with its fields.
	secrets, bundles []use[Reference]
	services         []use[snapshot.Origin]
	verdicts         []Verdict
}

// A use is an object that an Ingress names, and where.
type use[F any] struct {
	object types.NamespacedName
	fields []F
}

// trustRefs are what the annotations name for TLS to backends, and the Secret,
// one with the authorities of clients.
type trustRefs struct {
	backends   backendSecrets
	clientAuth secretRef
}

// What most Ingresses have, shared by them, and an Ingress that says nothing.
var (
	noIngress       = &ingress{}
	noTrustRefs     = &trustRefs{}
	defaultSettings = func() *annotation.Settings { d := annotation.Defaults(); return &d }()
)

// A claim is what one Ingress wants of one host.
type claim struct {
	*ingress
	// host is the normal name, field the first field that names it.
	host, field string
	paths       []path
	// fallback serves what no path of the host matches.
	fallback *path
	tls      []declaration
	// covered says that the Ingress declares the wildcard that covers the host.
	covered bool
}

// A path is one path of a host, in normal form.
type path struct {
	path string
	kind snapshot.PathKind
	// challenge says that the path is that of one ACME HTTP-01 token.
	challenge bool
	field     string
	backend   *networkingv1.IngressBackend
}

// A declaration says that a host is served over TLS.
type declaration struct {
	field string
	// secret is the Secret that the entry names, "" if none (that can be used).
	secret string
}

// at returns the origin of one of the fields.
func (in *ingress) at(field string) snapshot.Origin {
	o := in.origin
	o.Field = field
	return o
}

// annotation returns the field of one of our annotations.
func (in *ingress) annotation(name string) string {
	key := annotation.Own + name
	if _, ok := in.annotations[key]; !ok {
		key = annotation.Nginx + name
	}
	return "metadata.annotations[" + key + "]"
}

func (in *ingress) judge(level Level, reason Reason, field, format string, args ...any) {
	in.verdicts = append(in.verdicts, Verdict{
		Level: level, Reason: reason, Origin: in.at(field), Message: fmt.Sprintf(format, args...),
	})
}

// readIngress reads an Ingress; what its annotations do not say is as in defaults, and
// abroad says what of other namespaces it may name.
func readIngress(object *networkingv1.Ingress, defaults *annotation.Settings, abroad *abroad) *ingress {
	in := &ingress{
		name: objectName(object),
		origin: snapshot.Origin{
			Kind: "Ingress", Namespace: object.Namespace, Name: object.Name, UID: string(object.UID),
		},
		created:  object.CreationTimestamp.Time,
		settings: defaults,
		trust:    noTrustRefs,
	}
	r := reading{ingress: in, claimOf: make(map[string]int, len(object.Spec.Rules))}
	for i := range object.Spec.Rules {
		r.readRule(i, &object.Spec.Rules[i])
	}
	r.readDefaultBackend(object.Spec.DefaultBackend, len(object.Spec.Rules) > 0)
	r.readTLS(object.Spec.TLS)
	in.readAnnotations(object.Annotations, defaults, abroad)
	in.clip()
	return in
}

// clip gives back the room that lists have for more: nothing is added to an
// ingress that was read, and it is kept for as long as its object.
func (in *ingress) clip() {
	in.claims, in.secrets, in.services = clip(in.claims), clip(in.secrets), clip(in.services)
	for i := range in.claims {
		c := &in.claims[i]
		c.paths, c.tls = clip(c.paths), clip(c.tls)
	}
	for i := range in.secrets {
		in.secrets[i].fields = clip(in.secrets[i].fields)
	}
	in.bundles = clip(in.bundles)
	for i := range in.services {
		in.services[i].fields = clip(in.services[i].fields)
	}
}

// clip returns s without spare capacity.
func clip[T any](s []T) []T {
	if len(s) == cap(s) {
		return s
	}
	return append(make([]T, 0, len(s)), s...)
}

// A reading is an ingress that is being read.
type reading struct {
	*ingress
	claimOf map[string]int // the claim to a host
}

// claim returns the claim to host, laid by field. It is valid until the next call.
func (in *reading) claim(host, field string) *claim {
	i, ok := in.claimOf[host]
	if !ok {
		i = len(in.claims)
		in.claimOf[host] = i
		in.claims = append(in.claims, claim{ingress: in.ingress, host: host, field: field})
	}
	return &in.claims[i]
}

func (in *reading) readRule(n int, rule *networkingv1.IngressRule) {
	field := ruleField(n)
	host, err := hostName(rule.Host)
	if err != nil {
		in.judge(Refused, HostInvalid, field+".host", "Host %q: %v. The paths of this rule are not served.", brief(rule.Host), err)
		return
	}
	c := in.claim(host, field)
	if rule.HTTP == nil {
		return
	}
	for i := range rule.HTTP.Paths {
		from := &rule.HTTP.Paths[i]
		field := pathField(n, i)
		p, err := readPath(from)
		if err != nil {
			in.judge(Refused, PathInvalid, field, "Path %q: %v. This path is not served.", brief(from.Path), err)
			continue
		}
		p.field = field
		c.paths = append(c.paths, p)
		in.refer(p)
	}
}

// readDefaultBackend gives the default backend to the hosts of the rules, or
// without rules to every host.
//
// The API says that it "should handle requests that don't match any rule". With
// rules that is read within the hosts of the Ingress: one Ingress cannot take
// what other Ingresses leave over.
func (in *reading) readDefaultBackend(backend *networkingv1.IngressBackend, rules bool) {
	if backend == nil {
		if !rules {
			in.judge(Warning, IngressEmpty, "spec", "The Ingress has neither rules nor defaultBackend, so it serves no request. Add one of them.")
		}
		return
	}
	p := path{path: "/", kind: snapshot.Prefix, field: "spec.defaultBackend", backend: backend}
	in.refer(p)
	if !rules {
		in.claim("", p.field)
	}
	for i := range in.claims {
		in.claims[i].fallback = &p
	}
}

// refer notes the Service that p names.
func (in *ingress) refer(p path) {
	if p.backend.Service != nil {
		name := types.NamespacedName{Namespace: in.name.Namespace, Name: p.backend.Service.Name}
		in.services = addUse(in.services, name, in.at(p.field))
	}
}

// readTLS reads the tls entries after the rules, because an entry without hosts
// stands for the rule hosts that no other entry lists.
func (in *reading) readTLS(entries []networkingv1.IngressTLS) {
	ruleHosts := len(in.claims)
	var without []declaration
	for i := range entries {
		d := declaration{field: tlsField(i)}
		d.secret = in.readSecretName(d.field, entries[i].SecretName)
		if len(entries[i].Hosts) == 0 {
			without = append(without, d)
		}
		for j, raw := range entries[i].Hosts {
			host, err := hostName(raw)
			if err == nil && host == "" {
				err = errors.New("it is empty")
			}
			if err != nil {
				field := fmt.Sprintf("%s.hosts[%d]", d.field, j)
				in.judge(Refused, HostInvalid, field, "Host %q: %v. It is not served over TLS.", brief(raw), err)
				continue
			}
			c := in.claim(host, d.field)
			c.tls = append(c.tls, d)
		}
	}
	in.declareRest(without, ruleHosts)
	for i := range in.claims {
		in.claims[i].covered = in.declaresWildcardOf(in.claims[i].host)
	}
}

// declareRest applies the entries without hosts to the hosts that no entry lists;
// the first claims are those of the rules.
func (in *reading) declareRest(without []declaration, ruleHosts int) {
	if len(without) == 0 {
		return
	}
	used := false
	for i := range in.claims[:ruleHosts] {
		if c := &in.claims[i]; c.host != "" && len(c.tls) == 0 {
			c.tls = without
			used = true
		}
	}
	if used {
		return
	}
	for _, d := range without {
		in.judge(Warning, TLSWithoutHosts, d.field, "The entry lists no hosts, and no rule has a host that another entry does not list, so it has no effect. List the hosts that it is for.")
	}
}

func (in *reading) declaresWildcardOf(host string) bool {
	_, parent, ok := strings.Cut(host, ".")
	if !ok {
		return false
	}
	i, ok := in.claimOf["*."+parent]
	return ok && len(in.claims[i].tls) > 0
}

// readSecretName returns the name of a Secret in the namespace of the Ingress, or
// "" if raw names none.
func (in *ingress) readSecretName(field, raw string) string {
	if raw == "" {
		return ""
	}
	field += ".secretName"
	if len(validation.IsDNS1123Subdomain(raw)) > 0 {
		in.judge(Refused, SecretNameInvalid, field, "secretName %q is not the name of a Secret in namespace %s. Secrets of other namespaces cannot be used: copy the Secret here and write its name alone.", brief(raw), in.name.Namespace)
		return ""
	}
	name := types.NamespacedName{Namespace: in.name.Namespace, Name: raw}
	in.referSecret(name, field, ForCertificate)
	return raw
}

// referSecret notes that a field names a Secret, and for what.
func (in *ingress) referSecret(name types.NamespacedName, field string, purpose Purpose) {
	in.secrets = addUse(in.secrets, name, Reference{in.at(field), purpose})
}

// addUse notes that a field names an object. An Ingress names few.
func addUse[F any](uses []use[F], object types.NamespacedName, field F) []use[F] {
	for i := range uses {
		if uses[i].object == object {
			uses[i].fields = append(uses[i].fields, field)
			return uses
		}
	}
	return append(uses, use[F]{object, []F{field}})
}

// readAnnotations comes last: what a protecting annotation closes depends on the
// paths.
func (in *ingress) readAnnotations(annotations map[string]string, defaults *annotation.Settings, abroad *abroad) {
	in.annotations = annotations
	settings, problems := annotation.ParseOver(*defaults, annotations)
	if settings.Canary {
		// By itself it would take all requests of its paths, or conflict with the
		// Ingress that it belongs to: what else it says does not matter.
		in.claims, in.secrets, in.services, in.verdicts = nil, nil, nil, nil
		in.judge(Refused, CanaryNotServed, in.annotation("canary"), "Cardea does not split traffic: this canary is not served, and the Ingress that it belongs to gets all requests. Remove the annotation to have this Ingress served by itself.")
		return
	}
	if settings != *defaults {
		own := settings // settings itself does not have to be on the heap
		in.settings = &own
	}
	if !in.settings.SSLPreferServerCiphers {
		in.judge(Info, AnnotationWithoutEffect, in.annotation("ssl-prefer-server-ciphers"), "ssl-prefer-server-ciphers: Go decides the order of cipher suites by what is fast and safe for both sides; it cannot be left to the client. Remove the annotation.")
	}
	for _, p := range problems {
		field := "metadata.annotations[" + p.Key + "]"
		switch {
		case p.Annotation == nil:
			in.judge(Warning, AnnotationUnknown, field, "Cardea knows no annotation %s; it has no effect. Correct its name or remove it.", p.Key)
		case p.Unsupported() && p.Annotation.Effect == annotation.Shapes:
			in.judge(Warning, AnnotationUnsupported, field, "Cardea does not support %s; the Ingress is served without it.", p.Annotation.Name)
		case p.Annotation.Effect == annotation.Shapes:
			instead := "The default " + p.Annotation.Default + " applies."
			switch {
			case p.Annotation.Default == "":
				instead = "It has no effect."
			case *defaults != *defaultSettings:
				instead = "The default applies, or what the ConfigMap says."
			}
			in.judge(Warning, AnnotationInvalid, field, "%s: %v. %s", p.Key, p.Err, instead)
		case !in.closable():
			in.judge(Info, AnnotationInvalid, field, "%s: %v. The ACME challenge paths of this Ingress are served regardless.", p.Key, p.Err)
		default:
			in.closed = true
			if strings.HasPrefix(p.Annotation.Name, "auth-tls-") {
				in.breakClientAuth()
			}
			if p.Unsupported() {
				in.judge(Refused, AnnotationUnsupported, field, "Cardea does not support %s. To ignore it could let in what it keeps out, so the paths of this Ingress answer 503 until it is removed.", p.Annotation.Name)
				continue
			}
			in.judge(Refused, AnnotationInvalid, field, "%s: %v. It protects the paths of this Ingress, so they answer 503 until it is corrected or removed.", p.Key, p.Err)
		}
	}
	in.readBackendSecrets(annotations, abroad)
	in.readClientAuth(annotations, abroad)
}

// closable reports whether a protecting annotation has anything to protect: ACME
// challenge paths are exempt, and all that the solver Ingress of an ACME client
// has. An Ingress without any path may protect those of others on its hosts.
func (in *ingress) closable() bool {
	solver := false
	for i := range in.claims {
		if in.claims[i].fallback != nil {
			return true
		}
		for _, p := range in.claims[i].paths {
			if !p.challenge {
				return true
			}
			solver = true
		}
	}
	return !solver
}
