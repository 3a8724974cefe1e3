package manifest

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

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
