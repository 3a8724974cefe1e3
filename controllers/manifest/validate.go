package manifest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// setDefaults sets what an API server sets and Cardea looks at.
func setDefaults(o Object) {
	switch o := o.(type) {
	case *corev1.Service:
		if o.Spec.Type == "" {
			o.Spec.Type = corev1.ServiceTypeClusterIP
		}
		for i := range o.Spec.Ports {
			p := &o.Spec.Ports[i]
			if p.Protocol == "" {
				p.Protocol = corev1.ProtocolTCP
			}
			if p.TargetPort == (intstr.IntOrString{}) {
				p.TargetPort = intstr.FromInt32(p.Port)
			}
		}
	case *discoveryv1.EndpointSlice:
		for i := range o.Ports {
			p := &o.Ports[i]
			if p.Name == nil {
				p.Name = new(string)
			}
			if p.Protocol == nil {
				tcp := corev1.ProtocolTCP
				p.Protocol = &tcp
			}
		}
	case *corev1.Secret:
		if o.Type == "" {
			o.Type = corev1.SecretTypeOpaque
		}
		for k, v := range o.StringData {
			if o.Data == nil {
				o.Data = make(map[string][]byte)
			}
			o.Data[k] = []byte(v)
		}
		o.StringData = nil
	}
}

// validate checks what an API server checks, as far as Cardea depends on it, with
// its words. Warnings are about objects that it would take and that do nothing.
func validate(o Object) (errs, warnings field.ErrorList) {
	errs = validateMeta(o)
	spec := field.NewPath("spec")
	switch o := o.(type) {
	case *networkingv1.Ingress:
		errs = append(errs, validateIngress(o)...)
	case *networkingv1.IngressClass:
		errs = append(errs, validation.IsDomainPrefixedPath(spec.Child("controller"), o.Spec.Controller)...)
	case *corev1.Service:
		errs = append(errs, validateService(&o.Spec, spec)...)
	case *discoveryv1.EndpointSlice:
		errs = append(errs, validateSlice(o)...)
		if o.Labels[discoveryv1.LabelServiceName] == "" {
			warnings = append(warnings, field.Required(field.NewPath("metadata", "labels"),
				"without the label "+discoveryv1.LabelServiceName+" the slice belongs to no Service"))
		}
	case *corev1.Secret:
		errs = append(errs, validateSecret(o)...)
	}
	return errs, warnings
}

func validateMeta(o Object) field.ErrorList {
	check := apivalidation.NameIsDNSSubdomain
	if _, ok := o.(*corev1.Service); ok {
		check = apivalidation.NameIsDNSLabel
	}
	var errs field.ErrorList
	meta := field.NewPath("metadata")
	if o.GetName() == "" {
		errs = append(errs, field.Required(meta.Child("name"), "name is required"))
	} else {
		for _, msg := range check(o.GetName(), false) {
			errs = append(errs, field.Invalid(meta.Child("name"), o.GetName(), msg))
		}
	}
	if ns := o.GetNamespace(); ns != "" {
		for _, msg := range apivalidation.ValidateNamespaceName(ns, false) {
			errs = append(errs, field.Invalid(meta.Child("namespace"), ns, msg))
		}
	}
	return append(errs, apivalidation.ValidateAnnotations(o.GetAnnotations(), meta.Child("annotations"))...)
}

func validateIngress(o *networkingv1.Ingress) field.ErrorList {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	if len(o.Spec.Rules) == 0 && o.Spec.DefaultBackend == nil {
		errs = append(errs, field.Invalid(spec, field.OmitValueType{}, "either `defaultBackend` or `rules` must be specified"))
	}
	if b := o.Spec.DefaultBackend; b != nil {
		errs = append(errs, validateBackend(b, spec.Child("defaultBackend"))...)
	}
	for i, r := range o.Spec.Rules {
		at := spec.Child("rules").Index(i)
		errs = append(errs, validateHost(r.Host, at.Child("host"))...)
		if r.HTTP == nil {
			continue
		}
		if len(r.HTTP.Paths) == 0 {
			errs = append(errs, field.Required(at.Child("http", "paths"), "at least one path is required"))
		}
		for j := range r.HTTP.Paths {
			errs = append(errs, validatePath(&r.HTTP.Paths[j], at.Child("http", "paths").Index(j))...)
		}
	}
	for i, t := range o.Spec.TLS {
		at := spec.Child("tls").Index(i)
		for j, h := range t.Hosts {
			errs = append(errs, validateHost(h, at.Child("hosts").Index(j))...)
		}
		if t.SecretName != "" {
			for _, msg := range apivalidation.NameIsDNSSubdomain(t.SecretName, false) {
				errs = append(errs, field.Invalid(at.Child("secretName"), t.SecretName, msg))
			}
		}
	}
	if class := o.Spec.IngressClassName; class != nil {
		for _, msg := range apivalidation.NameIsDNSSubdomain(*class, false) {
			errs = append(errs, field.Invalid(spec.Child("ingressClassName"), *class, msg))
		}
		old, ok := o.Annotations[legacyClass]
		if ok && old != *class {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "annotations").Key(legacyClass), old,
				"must match `ingressClassName` when both are specified"))
		}
	}
	return errs
}

// legacyClass is the annotation that named the class before the field did.
const legacyClass = "kubernetes.io/ingress.class"

func validateHost(host string, at *field.Path) field.ErrorList {
	if host == "" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return field.ErrorList{field.Invalid(at, host, "must be a DNS name, not an IP address")}
	}
	check := validation.IsDNS1123Subdomain
	if strings.Contains(host, "*") {
		check = validation.IsWildcardDNS1123Subdomain
	}
	var errs field.ErrorList
	for _, msg := range check(host) {
		errs = append(errs, field.Invalid(at, host, msg))
	}
	return errs
}

func validatePath(p *networkingv1.HTTPIngressPath, at *field.Path) field.ErrorList {
	if p.PathType == nil {
		return field.ErrorList{field.Required(at.Child("pathType"), "pathType must be specified")}
	}
	var errs field.ErrorList
	switch *p.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !strings.HasPrefix(p.Path, "/") {
			errs = append(errs, field.Invalid(at.Child("path"), p.Path, "must be an absolute path"))
		}
		for _, bad := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(p.Path, bad) {
				errs = append(errs, field.Invalid(at.Child("path"), p.Path, fmt.Sprintf("must not contain '%s'", bad)))
			}
		}
		for _, bad := range []string{"/..", "/."} {
			if strings.HasSuffix(p.Path, bad) {
				errs = append(errs, field.Invalid(at.Child("path"), p.Path, fmt.Sprintf("cannot end with '%s'", bad)))
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
			errs = append(errs, field.Invalid(at.Child("path"), p.Path, "must be an absolute path"))
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("pathType"), *p.PathType, []networkingv1.PathType{
			networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix,
		}))
	}
	return append(errs, validateBackend(&p.Backend, at.Child("backend"))...)
}

func validateBackend(b *networkingv1.IngressBackend, at *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(at, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return requireKindAndName(b.Resource, at.Child("resource"))
	case b.Service == nil:
		return field.ErrorList{field.Invalid(at, "", "resource or service backend is required")}
	}
	var errs field.ErrorList
	service := at.Child("service")
	if b.Service.Name == "" {
		errs = append(errs, field.Required(service.Child("name"), "name is required"))
	} else {
		for _, msg := range apivalidation.NameIsDNSLabel(b.Service.Name, false) {
			errs = append(errs, field.Invalid(service.Child("name"), b.Service.Name, msg))
		}
	}
	port := b.Service.Port
	switch {
	case port.Name != "" && port.Number != 0:
		errs = append(errs, field.Invalid(at, "", "cannot set both port name & port number"))
	case port.Name != "":
		for _, msg := range validation.IsValidPortName(port.Name) {
			errs = append(errs, field.Invalid(service.Child("port", "name"), port.Name, msg))
		}
	case port.Number != 0:
		errs = append(errs, validatePort(port.Number, service.Child("port", "number"))...)
	default:
		errs = append(errs, field.Required(service.Child("port"), "port name or number is required"))
	}
	return errs
}

func requireKindAndName(r *corev1.TypedLocalObjectReference, at *field.Path) (errs field.ErrorList) {
	if r.Kind == "" {
		errs = append(errs, field.Required(at.Child("kind"), "kind is required"))
	}
	if r.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), "name is required"))
	}
	return errs
}

func validatePort(port int32, at *field.Path) (errs field.ErrorList) {
	for _, msg := range validation.IsValidPortNum(int(port)) {
		errs = append(errs, field.Invalid(at, port, msg))
	}
	return errs
}

func validateService(s *corev1.ServiceSpec, spec *field.Path) (errs field.ErrorList) {
	switch s.Type {
	case corev1.ServiceTypeExternalName:
		name := strings.TrimSuffix(s.ExternalName, ".")
		if name == "" {
			return field.ErrorList{field.Required(spec.Child("externalName"), "a Service of type ExternalName needs one")}
		}
		for _, msg := range validation.IsDNS1123Subdomain(name) {
			errs = append(errs, field.Invalid(spec.Child("externalName"), s.ExternalName, msg))
		}
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if len(s.Ports) == 0 && s.ClusterIP != corev1.ClusterIPNone {
			errs = append(errs, field.Required(spec.Child("ports"), "at least one port is required"))
		}
	default:
		errs = append(errs, field.NotSupported(spec.Child("type"), s.Type, []corev1.ServiceType{
			corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort,
		}))
	}
	names := make(map[string]bool)
	for i, p := range s.Ports {
		at := spec.Child("ports").Index(i)
		errs = append(errs, validatePort(p.Port, at.Child("port"))...)
		switch {
		case p.Name == "" && len(s.Ports) > 1:
			errs = append(errs, field.Required(at.Child("name"), "ports need names where there are several"))
		case names[p.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		case p.Name != "":
			for _, msg := range validation.IsDNS1123Label(p.Name) {
				errs = append(errs, field.Invalid(at.Child("name"), p.Name, msg))
			}
		}
		names[p.Name] = true
	}
	return errs
}

func validateSlice(s *discoveryv1.EndpointSlice) (errs field.ErrorList) {
	families := []discoveryv1.AddressType{discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}
	switch {
	case s.AddressType == "":
		return field.ErrorList{field.Required(field.NewPath("addressType"), "one of FQDN, IPv4, IPv6")}
	case !slices.Contains(families, s.AddressType):
		return field.ErrorList{field.NotSupported(field.NewPath("addressType"), s.AddressType, families)}
	}
	for i, e := range s.Endpoints {
		at := field.NewPath("endpoints").Index(i).Child("addresses")
		if len(e.Addresses) == 0 {
			errs = append(errs, field.Required(at, "at least one address is required"))
		}
		for j, a := range e.Addresses {
			if msg := badAddress(s.AddressType, a); msg != "" {
				errs = append(errs, field.Invalid(at.Index(j), a, msg))
			}
		}
	}
	for i, p := range s.Ports {
		if p.Port != nil {
			errs = append(errs, validatePort(*p.Port, field.NewPath("ports").Index(i).Child("port"))...)
		}
	}
	return errs
}

func badAddress(family discoveryv1.AddressType, address string) string {
	ip, err := netip.ParseAddr(address)
	switch family {
	case discoveryv1.AddressTypeIPv4:
		if err != nil || !ip.Is4() {
			return "must be an IPv4 address"
		}
	case discoveryv1.AddressTypeIPv6:
		if err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" {
			return "must be an IPv6 address"
		}
	case discoveryv1.AddressTypeFQDN:
		if msgs := validation.IsDNS1123Subdomain(address); len(msgs) > 0 {
			return msgs[0]
		}
	}
	return ""
}

func validateSecret(s *corev1.Secret) (errs field.ErrorList) {
	data := field.NewPath("data")
	if s.Type == corev1.SecretTypeTLS {
		for _, k := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
			if _, ok := s.Data[k]; !ok {
				errs = append(errs, field.Required(data.Key(k), "a Secret of type kubernetes.io/tls needs this key"))
			}
		}
	}
	for k := range s.Data {
		for _, msg := range validation.IsConfigMapKey(k) {
			errs = append(errs, field.Invalid(data.Key(k), k, msg))
		}
	}
	return errs
}
