package manifest

import (
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

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
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
	case *v1alpha1.IngressClassParameters:
		o.Default()
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
	case *v1alpha1.IngressClassParameters:
		errs = append(errs, o.Validate()...)
	case *corev1.Service:
		errs = append(errs, validateService(&o.Spec, spec)...)
	case *discoveryv1.EndpointSlice:
		errs = append(errs, validateSlice(o)...)
		if o.Labels[discoveryv1.LabelServiceName] == "" {
			warnings = append(warnings, field.Required(field.NewPath("metadata", "labels"),
				"without the label "+discoveryv1.LabelServiceName+" the slice belongs to no Service"))
		}
	case *gateway.ReferenceGrant:
		errs = append(errs, validateGrant(o)...)
	case *corev1.Secret:
		errs = append(errs, validateSecret(o)...)
	}
	return errs, warnings
}

// validateGrant checks what the definition of the Gateway API checks: who is granted
// something, and what, is said in full.
func validateGrant(g *gateway.ReferenceGrant) (errs field.ErrorList) {
	spec := field.NewPath("spec")
	if len(g.Spec.From) == 0 {
		errs = append(errs, field.Required(spec.Child("from"), "want at least one"))
	}
	if len(g.Spec.To) == 0 {
		errs = append(errs, field.Required(spec.Child("to"), "want at least one"))
	}
	for i, f := range g.Spec.From {
		at := spec.Child("from").Index(i)
		if f.Kind == "" {
			errs = append(errs, field.Required(at.Child("kind"), "want the kind of those who refer"))
		}
		for _, msg := range apivalidation.ValidateNamespaceName(f.Namespace, false) {
			errs = append(errs, field.Invalid(at.Child("namespace"), f.Namespace, msg))
		}
	}
	for i, t := range g.Spec.To {
		if t.Kind == "" {
			errs = append(errs, field.Required(spec.Child("to").Index(i).Child("kind"), "want the kind of what is referred to"))
		}
	}
	return errs
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
