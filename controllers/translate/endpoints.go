package translate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// sliceService returns the Service that a slice is for.
func sliceService(s *discoveryv1.EndpointSlice) (types.NamespacedName, bool) {
	name, ok := s.Labels[discoveryv1.LabelServiceName]
	return types.NamespacedName{Namespace: s.Namespace, Name: name}, ok && name != ""
}

// endpoints returns the endpoints of one port of a Service, sorted by address,
// each once, whatever the number of slices and their address families: those that
// are ready, or if none is those that still serve while they terminate.
func endpoints(service *corev1.Service, port int32, slicesOf map[types.NamespacedName]*discoveryv1.EndpointSlice) ([]snapshot.Endpoint, []Verdict) {
	name, ok := portName(service, port)
	if !ok {
		return nil, nil
	}
	var ready, terminating []snapshot.Endpoint
	var verdicts []Verdict
	for _, slice := range slicesOf {
		number, problem := slicePort(slice, name)
		if problem == "" && slice.AddressType == discoveryv1.AddressTypeFQDN {
			problem = "addressType is FQDN, want IPv4 or IPv6; its endpoints get no requests. For a name outside the cluster use a Service of type ExternalName"
		}
		if problem != "" {
			verdicts = append(verdicts, Verdict{
				Level: Warning, Reason: EndpointSliceIgnored, Origin: sliceOrigin(slice, ""), Other: serviceOrigin(service),
				Message: problem + ".",
			})
			continue
		}
		if number == 0 {
			continue
		}
		for i := range slice.Endpoints {
			from := &slice.Endpoints[i]
			set := &ready
			switch {
			case isTrue(from.Conditions.Ready, true):
			case isTrue(from.Conditions.Serving, true) && isTrue(from.Conditions.Terminating, false):
				set = &terminating
			default:
				continue
			}
			addr, problem := endpointAddr(slice, from)
			if problem != "" {
				verdicts = append(verdicts, Verdict{
					Level: Warning, Reason: EndpointIgnored, Origin: sliceOrigin(slice, fmt.Sprintf("endpoints[%d]", i)), Other: serviceOrigin(service),
					Message: problem + "; the endpoint gets no requests. Correct the EndpointSlice.",
				})
				continue
			}
			*set = append(*set, snapshot.Endpoint{Addr: netip.AddrPortFrom(addr, uint16(number)), Target: targetText(slice, from)})
		}
	}
	if len(ready) == 0 {
		ready = terminating
	}
	return sortEndpoints(ready), sortVerdicts(verdicts)
}

// portName returns the name by which slices know the port of a Service.
func portName(s *corev1.Service, number int32) (string, bool) {
	if s == nil {
		return "", false
	}
	for i := range s.Spec.Ports {
		if p := &s.Spec.Ports[i]; isTCP(p.Protocol) && p.Port == number {
			return p.Name, true
		}
	}
	return "", false
}

// slicePort returns the number that the named port has in slice: the Service's
// target port, resolved for these endpoints. It is 0 if the slice has no such
// port: endpoints whose pods lack a named target port are in slices of their own.
func slicePort(slice *discoveryv1.EndpointSlice, name string) (number int32, problem string) {
	for i := range slice.Ports {
		p := &slice.Ports[i]
		if p.Name != nil && *p.Name != name || p.Name == nil && name != "" || p.Protocol != nil && !isTCP(*p.Protocol) {
			continue
		}
		if p.Port == nil || *p.Port < 1 || *p.Port > 65535 {
			return 0, fmt.Sprintf("Port %q has no number, want one from 1 to 65535; its endpoints get no requests. Correct the EndpointSlice", name)
		}
		return *p.Port, ""
	}
	return 0, ""
}

// endpointAddr returns the endpoint's address. "No semantics are defined for
// additional addresses beyond the first" (discovery.k8s.io/v1, Endpoint).
func endpointAddr(slice *discoveryv1.EndpointSlice, e *discoveryv1.Endpoint) (addr netip.Addr, problem string) {
	if len(e.Addresses) == 0 {
		return addr, "It has no address"
	}
	addr, err := netip.ParseAddr(e.Addresses[0])
	addr = addr.Unmap()
	switch {
	case err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast():
		return addr, fmt.Sprintf("Address %q is not a unicast IP address", brief(e.Addresses[0]))
	case addr.Is4() != (slice.AddressType == discoveryv1.AddressTypeIPv4):
		return addr, fmt.Sprintf("Address %q is not of the slice's addressType %s", e.Addresses[0], slice.AddressType)
	}
	return addr, ""
}

// isTrue returns *p, or what the API says that nil means.
func isTrue(p *bool, unset bool) bool {
	if p == nil {
		return unset
	}
	return *p
}

func sliceOrigin(s *discoveryv1.EndpointSlice, field string) snapshot.Origin {
	return snapshot.Origin{Kind: "EndpointSlice", Namespace: s.Namespace, Name: s.Name, UID: string(s.UID), Field: field}
}

func targetText(slice *discoveryv1.EndpointSlice, e *discoveryv1.Endpoint) string {
	if e.TargetRef == nil {
		return ""
	}
	return e.TargetRef.Kind + " " + cmp.Or(e.TargetRef.Namespace, slice.Namespace) + "/" + e.TargetRef.Name
}

// sortEndpoints sorts by address and keeps one of each: an endpoint may be in two
// slices while it moves from one to the other.
func sortEndpoints(e []snapshot.Endpoint) []snapshot.Endpoint {
	slices.SortFunc(e, func(a, b snapshot.Endpoint) int {
		return cmp.Or(a.Addr.Compare(b.Addr), -cmp.Compare(a.Target, b.Target))
	})
	return slices.CompactFunc(e, func(a, b snapshot.Endpoint) bool { return a.Addr == b.Addr })
}
