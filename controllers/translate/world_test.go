package translate_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A world is a small set of objects that change at random. There are few names, so
// that the objects meet.
type world struct {
	rand         *rand.Rand
	now          time.Time
	version      int
	certificates []*snapshot.Certificate
	authorities  []*snapshot.Authorities

	ingresses map[types.NamespacedName]*networkingv1.Ingress
	classes   map[string]*networkingv1.IngressClass
	services  map[types.NamespacedName]*corev1.Service
	slices    map[types.NamespacedName]*discoveryv1.EndpointSlice
	secrets   map[types.NamespacedName]translate.Secret
	bundles   map[types.NamespacedName]translate.Bundle

	parameters map[string]*v1alpha1.IngressClassParameters
	configMaps map[types.NamespacedName]*corev1.ConfigMap

	grants map[types.NamespacedName]*gateway.ReferenceGrant

	files           translate.Files
	revocationLists []*snapshot.RevocationLists
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		rand:      rand.New(rand.NewPCG(seed, 1)),
		now:       day("2026-06-01"),
		ingresses: map[types.NamespacedName]*networkingv1.Ingress{},
		classes:   map[string]*networkingv1.IngressClass{},
		services:  map[types.NamespacedName]*corev1.Service{},
		slices:    map[types.NamespacedName]*discoveryv1.EndpointSlice{},
		secrets:   map[types.NamespacedName]translate.Secret{},
		bundles:   map[types.NamespacedName]translate.Bundle{},

		parameters: map[string]*v1alpha1.IngressClassParameters{},
		configMaps: map[types.NamespacedName]*corev1.ConfigMap{},
		grants:     map[types.NamespacedName]*gateway.ReferenceGrant{},
	}
	for i, c := range []testCertificate{
		{Hosts: []string{"a.example.com"}},
		{Hosts: []string{"a.example.com", "*.example.com"}, Key: "ecdsa"},
		{Hosts: []string{"b.example.com"}, NotAfter: metav1.NewTime(day("2026-06-03"))},
	} {
		w.certificates = append(w.certificates, c.issue(t, snapshot.Origin{Kind: "Secret", Namespace: "a", Name: fmt.Sprint("s", i)}))
	}
	for _, name := range []string{"root", "other"} {
		w.authorities = append(w.authorities, authorities(t, snapshot.Origin{Kind: "Secret", Namespace: "a", Name: name}, name))
		w.revocationLists = append(w.revocationLists, revocationLists(t, name))
	}
	return w
}

// objects returns copies of all objects, in random order.
func (w *world) objects() translate.Objects {
	o := clone(translate.Objects{
		Ingresses: slices.Collect(maps.Values(w.ingresses)),
		Classes:   slices.Collect(maps.Values(w.classes)),
		Services:  slices.Collect(maps.Values(w.services)),
		Slices:    slices.Collect(maps.Values(w.slices)),
		Secrets:   w.secrets,
		Bundles:   w.bundles,

		Parameters: slices.Collect(maps.Values(w.parameters)),
		ConfigMaps: slices.Collect(maps.Values(w.configMaps)),
		Grants:     slices.Collect(maps.Values(w.grants)),
	})
	shuffle(w.rand, o.Ingresses)
	shuffle(w.rand, o.Classes)
	shuffle(w.rand, o.Services)
	shuffle(w.rand, o.Slices)
	return o
}

func shuffle[T any](r *rand.Rand, s []T) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

func pick[T any](w *world, from ...T) T { return from[w.rand.IntN(len(from))] }

func (w *world) chance(percent int) bool { return w.rand.IntN(100) < percent }

func (w *world) name(names ...string) types.NamespacedName {
	return types.NamespacedName{Namespace: pick(w, "a", "b"), Name: pick(w, names...)}
}

// meta returns metadata for a new version of an object; one in five has no
// version, as from a file.
func (w *world) meta(name types.NamespacedName) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: name.Namespace, Name: name.Name, UID: types.UID(pick(w, "1", "2")),
		CreationTimestamp: metav1.NewTime(day(pick(w, "2026-01-01", "2026-02-01", "2026-03-01"))),
	}
	if w.version++; !w.chance(20) {
		m.ResourceVersion = fmt.Sprint(w.version)
	}
	return m
}

// edit changes one object, or moves the clock.
func (w *world) edit(tr *translate.Translator) {
	remove := w.chance(30)
	switch w.rand.IntN(20) {
	case 0, 1, 2, 3:
		name := w.name("i", "j", "k")
		if delete(w.ingresses, name); remove {
			tr.DeleteIngress(name)
			return
		}
		in := w.ingress(name)
		w.ingresses[name] = in
		tr.SetIngress(in)
	case 4:
		name := pick(w, "cardea", "other")
		if delete(w.classes, name); remove {
			tr.DeleteClass(name)
			return
		}
		c := w.class(name)
		w.classes[name] = c
		tr.SetClass(c)
	case 5, 6:
		name := w.name("x", "y")
		if delete(w.services, name); remove {
			tr.DeleteService(name)
			return
		}
		s := w.service(name)
		w.services[name] = s
		tr.SetService(s)
	case 7, 8:
		name := w.name("x-1", "x-2", "y-1")
		if delete(w.slices, name); remove {
			tr.DeleteSlice(name)
			return
		}
		s := w.slice(name)
		w.slices[name] = s
		tr.SetSlice(s)
	case 9, 10:
		name := w.name("s", "t")
		if delete(w.secrets, name); remove {
			tr.DeleteSecret(name)
			return
		}
		s := w.secret(name)
		w.secrets[name] = s
		tr.SetSecret(name, s)
	case 11, 12:
		name := pick(w, "p", "q")
		if delete(w.parameters, name); remove {
			tr.DeleteParameters(name)
			return
		}
		p := w.classParameters(name)
		w.parameters[name] = p
		tr.SetParameters(p)
	case 13:
		w.files = translate.Files{
			BackendAuthorities: pick(w, append(w.authorities, nil)...),
			BackendCertificate: pick(w, append(w.certificates, nil)...),
			RevocationLists:    pick(w, append(w.revocationLists, nil)...),
		}
		tr.SetFiles(w.files)
	case 18:
		name := w.name("g", "h")
		if delete(w.grants, name); remove {
			tr.DeleteGrant(name)
			return
		}
		g := &gateway.ReferenceGrant{ObjectMeta: w.meta(name)}
		g.Spec.From = []gateway.ReferenceGrantFrom{{Group: "networking.k8s.io", Kind: "Ingress", Namespace: pick(w, "a", "b")}}
		g.Spec.To = []gateway.ReferenceGrantTo{{Kind: pick(w, "Secret", "ConfigMap"), Name: pick(w, nil, new("s"))}}
		w.grants[name] = g
		tr.SetGrant(g)
	case 19:
		name := w.name("s", "t")
		if delete(w.bundles, name); remove {
			tr.DeleteBundle(name)
			return
		}
		b := w.bundle(name)
		w.bundles[name] = b
		tr.SetBundle(name, b)
	case 14:
		name := w.name("c", "d")
		if delete(w.configMaps, name); remove {
			tr.DeleteConfigMap(name)
			return
		}
		c := w.configMap(name)
		w.configMaps[name] = c
		tr.SetConfigMap(c)
	default:
		w.now = w.now.Add(time.Duration(w.rand.IntN(24)) * time.Hour)
	}
}

// resync sets every object again, as informers do.
func (w *world) resync(tr *translate.Translator) {
	o := w.objects()
	for _, v := range o.Ingresses {
		tr.SetIngress(v)
	}
	for _, v := range o.Classes {
		tr.SetClass(v)
	}
	for _, v := range o.Services {
		tr.SetService(v)
	}
	for _, v := range o.Slices {
		tr.SetSlice(v)
	}
	for name, v := range o.Secrets {
		tr.SetSecret(name, v)
	}
	for name, v := range o.Bundles {
		tr.SetBundle(name, v)
	}
	for _, v := range o.Parameters {
		tr.SetParameters(v)
	}
	for _, v := range o.ConfigMaps {
		tr.SetConfigMap(v)
	}
	for _, v := range o.Grants {
		tr.SetGrant(v)
	}
	tr.SetFiles(w.files)
}

func (w *world) host() string {
	return pick(w, "a.example.com", "b.example.com", "*.example.com", "", "A.example.com", "bad_host")
}

func (w *world) ingress(name types.NamespacedName) *networkingv1.Ingress {
	in := &networkingv1.Ingress{ObjectMeta: w.meta(name)}
	if w.chance(80) {
		class := pick(w, "cardea", "cardea", "other")
		in.Spec.IngressClassName = &class
	}
	in.Annotations = map[string]string{}
	for _, key := range []string{"cardea.dev/ssl-redirect", "cardea.dev/proxy-body-size", "cardea.dev/auth-url", "cardea.dev/what", "cardea.dev/tls-policy", "cardea.dev/http2", "cardea.dev/ssl-ciphers", "cardea.dev/hsts"} {
		if w.chance(15) {
			in.Annotations[key] = pick(w, "false", "8m", "https://auth.example.com", "modern", "named", "ECDHE-ECDSA-AES128-GCM-SHA256", "max-age=1")
		}
	}
	if w.chance(40) {
		in.Annotations["cardea.dev/backend-protocol"] = pick(w, "HTTPS", "GRPCS")
	}
	for _, choice := range [][]string{
		{"cardea.dev/backend-tls-ca", "s", "t", "a/s", "absent"},
		{"cardea.dev/backend-tls-ca-configmap", "s", "t", "a/s", "absent", "a/b/c"},
		{"nginx.ingress.kubernetes.io/proxy-ssl-secret", "s", "t"},
		{"cardea.dev/backend-tls-verify", "on", "off"},
		{"nginx.ingress.kubernetes.io/proxy-ssl-name", "web.internal"},
		{"cardea.dev/backend-tls-alt-names", "a.internal,b.internal", ""},
		{"nginx.ingress.kubernetes.io/proxy-ssl-ciphers", "AES128-SHA"},
	} {
		if w.chance(20) {
			in.Annotations[choice[0]] = pick(w, choice[1:]...)
		}
	}
	for _, key := range []string{"cardea.dev/ssl-passthrough", "cardea.dev/ssl-passthrough-proxy-protocol"} {
		if w.chance(15) {
			in.Annotations[key] = pick(w, "true", "false", "v2")
		}
	}
	for range w.rand.IntN(3) {
		rule := networkingv1.IngressRule{Host: w.host()}
		if w.chance(90) {
			rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
			for range w.rand.IntN(4) {
				kind := pick(w, networkingv1.PathTypeExact, networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific)
				rule.HTTP.Paths = append(rule.HTTP.Paths, networkingv1.HTTPIngressPath{
					Path:     pick(w, "/", "/a", "/a/", "/b", "a", "/.well-known/acme-challenge/token"),
					PathType: &kind,
					Backend:  w.backend(),
				})
			}
		}
		in.Spec.Rules = append(in.Spec.Rules, rule)
	}
	if w.chance(30) {
		b := w.backend()
		in.Spec.DefaultBackend = &b
	}
	for range w.rand.IntN(3) {
		entry := networkingv1.IngressTLS{SecretName: pick(w, "s", "t", "", "other/s")}
		for range w.rand.IntN(3) {
			entry.Hosts = append(entry.Hosts, w.host())
		}
		in.Spec.TLS = append(in.Spec.TLS, entry)
	}
	return in
}

func (w *world) backend() networkingv1.IngressBackend {
	if w.chance(5) {
		return networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{Kind: "Bucket", Name: "b"}}
	}
	port := pick(w, networkingv1.ServiceBackendPort{Number: 80}, networkingv1.ServiceBackendPort{Number: 81}, networkingv1.ServiceBackendPort{Name: "http"})
	return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: pick(w, "x", "y"), Port: port}}
}

func (w *world) class(name string) *networkingv1.IngressClass {
	c := &networkingv1.IngressClass{ObjectMeta: w.meta(types.NamespacedName{Name: name})}
	if w.chance(60) {
		group := v1alpha1.GroupVersion.Group
		c.Spec.Parameters = &networkingv1.IngressClassParametersReference{APIGroup: &group, Kind: v1alpha1.Kind, Name: pick(w, "p", "q")}
	}
	c.Spec.Controller = pick(w, translate.DefaultControllerName, translate.DefaultControllerName, "example.com/other")
	if w.chance(40) {
		c.Annotations = map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}
	}
	return c
}

func (w *world) configMap(name types.NamespacedName) *corev1.ConfigMap {
	c := &corev1.ConfigMap{ObjectMeta: w.meta(name), Data: map[string]string{}}
	for _, choice := range [][]string{
		{"ssl-protocols", "TLSv1.3", "TLSv1.2 TLSv1.3", "none"},
		{"ssl-ciphers", "ECDHE-RSA-AES128-GCM-SHA256"},
		{"ssl-redirect", "false", "maybe"},
		{"use-http2", "false"},
		{"hsts", "true", "false"},
		{"use-forwarded-headers", "true"},
		{"use-proxy-protocol", "true"},
		{"block-cidrs", "192.0.2.0/24"},
		{"global-auth-url", "", "", "https://auth.example.com"},
		{"ssl-reject-handshake", "true"},
	} {
		if w.chance(30) {
			c.Data[choice[0]] = pick(w, choice[1:]...)
		}
	}
	return c
}

func (w *world) classParameters(name string) *v1alpha1.IngressClassParameters {
	p := &v1alpha1.IngressClassParameters{ObjectMeta: w.meta(types.NamespacedName{Name: name})}
	p.Spec.HostOwnership = pick(w, "", v1alpha1.HostOwnershipShared)
	p.Spec.TLS.Policy = pick(w, "", v1alpha1.PolicyModern, v1alpha1.PolicyCustom)
	if w.chance(40) {
		p.Spec.TLS.Custom = &v1alpha1.TLSPolicy{Curves: []v1alpha1.Curve{pick[v1alpha1.Curve](w, "P-256", "P-384")}}
	}
	if w.chance(40) {
		p.Spec.TLS.Policies = []v1alpha1.NamedTLSPolicy{{Name: "named", TLSPolicy: v1alpha1.TLSPolicy{MinVersion: pick[v1alpha1.TLSVersion](w, "1.2", "1.3")}}}
	}
	if w.chance(40) {
		p.Spec.TLS.UnknownSNI = pick(w, v1alpha1.UnknownSNIReject, v1alpha1.UnknownSNIDefaultCert)
		p.Spec.TrustedCIDRs = []string{pick(w, "10.0.0.0/8", "192.0.2.0/24")}
	}
	if w.chance(40) {
		p.Spec.Backends.ClientCertificate = &v1alpha1.SecretReference{Namespace: pick(w, "a", "b"), Name: pick(w, "s", "t")}
	}
	p.Spec.TLS.HSTS = pick(w, "", "", "off", "max-age=300")
	if w.chance(50) {
		p.Spec.TLS.DefaultCertificate = &v1alpha1.SecretReference{Namespace: pick(w, "a", "b"), Name: pick(w, "s", "t")}
		if p.Spec.TLS.UnknownSNI == v1alpha1.UnknownSNIReject && w.chance(90) {
			p.Spec.TLS.UnknownSNI = ""
		}
	}
	p.Default()
	return p
}

func (w *world) service(name types.NamespacedName) *corev1.Service {
	s := &corev1.Service{ObjectMeta: w.meta(name)}
	if w.chance(20) {
		s.Spec.Type = corev1.ServiceTypeExternalName
		s.Spec.ExternalName = pick(w, "api.example.net", "web.example.net", "")
	}
	if w.chance(80) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: pick(w, "http", ""), Port: 80, TargetPort: intstr.FromString("web")})
	}
	if w.chance(40) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "other", Port: 81, Protocol: pick(w, corev1.ProtocolTCP, corev1.ProtocolUDP)})
	}
	return s
}

func (w *world) slice(name types.NamespacedName) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: w.meta(name)}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: pick(w, "x", name.Name[:1])}
	s.AddressType = pick(w, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)
	for _, port := range []string{"http", "", "other"} {
		if w.chance(60) {
			number := int32(8080 + w.rand.IntN(2))
			s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &port, Port: &number})
		}
	}
	for range w.rand.IntN(4) {
		yes, no := true, false
		e := discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.0.0.%d", w.rand.IntN(5))}}
		if s.AddressType == discoveryv1.AddressTypeIPv6 {
			e.Addresses = []string{fmt.Sprintf("fd00::%d", w.rand.IntN(5))}
		}
		e.Conditions = discoveryv1.EndpointConditions{Ready: pick(w, nil, &yes, &no), Serving: pick(w, nil, &yes, &no), Terminating: pick(w, nil, &yes, &no)}
		e.TargetRef = pick(w, nil, &corev1.ObjectReference{Kind: "Pod", Name: pick(w, "p", "q")})
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func (w *world) bundle(name types.NamespacedName) translate.Bundle {
	b := translate.Bundle{Origin: snapshot.Origin{Kind: "ConfigMap", Namespace: name.Namespace, Name: name.Name, UID: pick(w, "1", "2")}}
	if w.chance(60) {
		b.Trust.Authorities = pick(w, w.authorities...)
	}
	if b.Trust.Authorities == nil || w.chance(20) {
		b.Trust.Reason, b.Trust.Problem, b.Trust.LastGood = translate.ConfigMapInvalid, "ca.crt is empty", b.Trust.Authorities != nil
	}
	return b
}

func (w *world) secret(name types.NamespacedName) translate.Secret {
	s := translate.Secret{Origin: snapshot.Origin{Kind: "Secret", Namespace: name.Namespace, Name: name.Name, UID: pick(w, "1", "2")}}
	if w.chance(80) {
		s.Certificate = pick(w, w.certificates...)
	}
	if s.Certificate == nil || w.chance(20) {
		s.Reason, s.Problem, s.LastGood = translate.SecretInvalid, "tls.key is empty", s.Certificate != nil
	}
	if w.chance(60) {
		s.Trust.Authorities = pick(w, w.authorities...)
	}
	if s.Trust.Authorities == nil || w.chance(20) {
		s.Trust.Reason, s.Trust.Problem, s.Trust.LastGood = translate.SecretInvalid, "ca.crt is empty", s.Trust.Authorities != nil
	}
	return s
}
