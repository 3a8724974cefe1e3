package translate

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A wantedPool is a pool that a route names, and where its endpoints come from.
type wantedPool struct {
	pool    snapshot.Pool
	service types.NamespacedName
	// port is the number of the Service's port; 0 for an external name, which has
	// no slices.
	port int32
}

// backend gives r the pool behind the path, or the answer that says why there is
// none.
func (b *hostBuild) backend(r *snapshot.Route, c *candidate) {
	field := c.field
	if field != "spec.defaultBackend" {
		field += ".backend"
	}
	v := Verdict{Level: Refused, Origin: c.claim.at(field)}
	from := c.path.backend
	switch {
	case from.Service != nil:
		b.service(r, v, c.claim, from.Service)
	case from.Resource != nil:
		r.Answer = &snapshot.Answer{Status: 503, Reason: "resource_backend"}
		v.Reason = ResourceBackendUnsupported
		b.judge(v, "The backend is the resource %s %s, and Cardea serves Services only; the path answers 503. Name a Service.", from.Resource.Kind, from.Resource.Name)
	default:
		r.Answer = noService()
		v.Reason = BackendMissing
		b.judge(v, "The backend names nothing; the path answers 503. Name a Service and its port.")
	}
}

func noService() *snapshot.Answer { return &snapshot.Answer{Status: 503, Reason: "no_service"} }

func (b *hostBuild) service(r *snapshot.Route, v Verdict, claim *claim, from *networkingv1.IngressServiceBackend) {
	name := types.NamespacedName{Namespace: claim.ingress.name.Namespace, Name: from.Name}
	b.out.services = append(b.out.services, name)
	service := b.services[name]
	if service == nil {
		r.Answer = noService()
		v.Reason = ServiceNotFound
		v.Other = snapshot.Origin{Kind: "Service", Namespace: name.Namespace, Name: name.Name}
		b.judge(v, "Service %s does not exist; the path answers 503. Create the Service, or correct its name here.", name)
		return
	}
	v.Other = serviceOrigin(service)
	number, target, ok := servicePort(service, from.Port)
	if !ok {
		r.Answer = noService()
		v.Reason = ServicePortNotFound
		b.judge(v, "Service %s has no TCP port %s; it has %s. The path answers 503. Correct the port here or in the Service.", name, portText(from.Port), portsText(service))
		return
	}
	protocol, secure := protocolOf(claim.settings.Backend, appProtocol(service, number))
	want := wantedPool{
		service: name,
		port:    number,
		pool:    snapshot.Pool{ID: fmt.Sprintf("%s:%d", name, number), Origin: serviceOrigin(service), Protocol: protocol},
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		external := string(snapshot.NormalizeHost(nil, []byte(service.Spec.ExternalName)))
		if len(validation.IsDNS1123Subdomain(external)) > 0 {
			r.Answer = noService()
			v.Reason = ExternalNameInvalid
			b.judge(v, "Service %s has externalName %q, want a DNS name; the path answers 503. Correct the Service.", name, brief(service.Spec.ExternalName))
			return
		}
		want.port = 0
		want.pool.ExternalName, want.pool.ExternalPort = external, uint16(target)
		// Connections to one name are none to another.
		want.pool.ID += fmt.Sprintf("@%s:%d", external, target)
	}
	if protocol != snapshot.HTTP1 {
		// Nor are connections of one protocol any of another.
		want.pool.ID += "+" + protocol.String()
	}
	if secure {
		var ok bool
		if want.pool.TLS, ok = b.backendTLS(v, claim, service); !ok {
			r.Answer = &snapshot.Answer{Status: 503, Reason: "config_rejected"}
			return
		}
		// Nor those of one trust any of another.
		want.pool.ID += "+tls:" + trustID(want.pool.TLS)
	}
	if p := b.known[want.pool.ID]; p != nil {
		want.pool.ID = p.pool.ID // the same text, kept once
	}
	b.pools = append(b.pools, want)
	r.Pool, r.Service = want.pool.ID, want.pool.Origin
}

func serviceOrigin(s *corev1.Service) snapshot.Origin {
	return snapshot.Origin{Kind: "Service", Namespace: s.Namespace, Name: s.Name, UID: string(s.UID)}
}

// servicePort finds the port that an Ingress names, by name or number. target is
// the port of an external name: the target port where it is a number, because no
// slice says another.
//
// The API does not require an ExternalName Service to list ports, so there a
// number that is not listed stands for itself.
func servicePort(s *corev1.Service, want networkingv1.ServiceBackendPort) (number, target int32, ok bool) {
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if !isTCP(p.Protocol) || p.Port < 1 || p.Port > 65535 {
			continue
		}
		if want.Name != "" && p.Name != want.Name || want.Name == "" && p.Port != want.Number {
			continue
		}
		target = p.Port
		if t := int32(p.TargetPort.IntValue()); t >= 1 && t <= 65535 {
			target = t
		}
		return p.Port, target, true
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName && want.Name == "" && want.Number >= 1 && want.Number <= 65535 {
		return want.Number, want.Number, true
	}
	return 0, 0, false
}

// appProtocol returns the appProtocol of a Service's TCP port, "" if none.
func appProtocol(s *corev1.Service, number int32) string {
	for i := range s.Spec.Ports {
		if p := &s.Spec.Ports[i]; isTCP(p.Protocol) && p.Port == number && p.AppProtocol != nil {
			return *p.AppProtocol
		}
	}
	return ""
}

// protocolOf decides what a backend speaks, and whether over TLS. The annotation
// counts before the appProtocol, because its author is the one who wants the path
// served so. An appProtocol that is not known says nothing.
func protocolOf(setting annotation.Protocol, app string) (_ snapshot.Protocol, secure bool) {
	switch setting {
	case annotation.ProtocolHTTP:
		return snapshot.HTTP1, false
	case annotation.ProtocolHTTPS:
		return snapshot.HTTP1, true
	case annotation.ProtocolGRPC:
		return snapshot.H2C, false
	case annotation.ProtocolGRPCS:
		return snapshot.H2C, true
	}
	switch strings.TrimPrefix(strings.ToLower(app), "kubernetes.io/") {
	case "h2c", "grpc":
		return snapshot.H2C, false
	case "grpcs":
		return snapshot.H2C, true
	case "https", "wss":
		return snapshot.HTTP1, true
	}
	return snapshot.HTTP1, false
}

// isTCP reports whether p, empty meaning TCP, can carry HTTP/1.1.
func isTCP(p corev1.Protocol) bool { return p == "" || p == corev1.ProtocolTCP }

func portText(p networkingv1.ServiceBackendPort) string {
	if p.Name != "" {
		return strconv.Quote(p.Name)
	}
	return strconv.Itoa(int(p.Number))
}

func portsText(s *corev1.Service) string {
	if len(s.Spec.Ports) == 0 {
		return "none"
	}
	var texts []string
	for _, p := range s.Spec.Ports {
		text := strconv.Itoa(int(p.Port))
		if p.Name != "" {
			text = fmt.Sprintf("%q (%d)", p.Name, p.Port)
		}
		if !isTCP(p.Protocol) {
			text += " of " + string(p.Protocol)
		}
		texts = append(texts, text)
	}
	const most = 5
	if len(texts) > most {
		return strings.Join(texts[:most], ", ") + andOthers(len(texts)-most)
	}
	return strings.Join(texts, ", ")
}
