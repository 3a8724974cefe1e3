package translate

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// hostName returns the normal form of a host in an Ingress: a DNS name, a
// wildcard of one label, or "" for every host.
func hostName(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	if isAddress(raw) {
		return "", errors.New("want a DNS name, found an IP address")
	}
	if strings.Contains(raw, ":") {
		return "", errors.New("want a DNS name without a port")
	}
	host := raw
	if normal := snapshot.NormalizeHost(nil, []byte(raw)); string(normal) != raw {
		host = string(normal)
	}
	problems := validation.IsDNS1123Subdomain(host)
	if strings.HasPrefix(host, "*") {
		problems = validation.IsWildcardDNS1123Subdomain(host)
	}
	if len(problems) > 0 {
		return "", errors.New(`want a DNS name such as "shop.example.com" or a wildcard such as "*.example.com"`)
	}
	return host, nil
}

// isAddress reports whether raw is an IP address. Those of IPv4 end with a digit and
// those of IPv6 have a colon; to parse a name, only to be told that it is neither,
// costs more than all else that is done to it.
func isAddress(raw string) bool {
	if last := raw[len(raw)-1]; (last < '0' || last > '9') && !strings.Contains(raw, ":") {
		return false
	}
	_, err := netip.ParseAddr(raw)
	return err == nil
}

func readPath(from *networkingv1.HTTPIngressPath) (path, error) {
	p := path{path: from.Path, backend: &from.Backend}
	if from.PathType == nil {
		return path{}, errors.New("pathType is missing, want Exact, Prefix or ImplementationSpecific")
	}
	switch *from.PathType {
	case networkingv1.PathTypeExact:
		p.kind = snapshot.Exact
	case networkingv1.PathTypePrefix:
		p.kind = snapshot.Prefix
	case networkingv1.PathTypeImplementationSpecific:
		// Ours is Prefix. The API lets this type alone leave the path out.
		p.kind = snapshot.Prefix
		if p.path == "" {
			p.path = "/"
		}
	default:
		return path{}, fmt.Errorf("pathType is %q, want Exact, Prefix or ImplementationSpecific", brief(string(*from.PathType)))
	}
	normal, err := snapshot.NormalizePath(nil, []byte(p.path))
	if err != nil {
		return path{}, err
	}
	if p.path != string(normal) {
		p.path = string(normal)
	}
	p.challenge = isChallenge(p.path)
	if p.kind == snapshot.Prefix {
		p.path = trimSlash(p.path)
	}
	return p, nil
}

// trimSlash takes off the trailing slash that makes no difference to a Prefix, so
// that the same prefix is the same text.
func trimSlash(p string) string {
	if trimmed := strings.TrimSuffix(p, "/"); trimmed != "" && !strings.HasSuffix(trimmed, "/") {
		return trimmed
	}
	return p
}

// isChallenge reports whether p is where RFC 8555 §8.3 wants the answer to one
// HTTP-01 challenge: "/.well-known/acme-challenge/" and a token of the base64url
// alphabet.
func isChallenge(p string) bool {
	token, ok := strings.CutPrefix(p, "/.well-known/acme-challenge/")
	return ok && token != "" && strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// sharedFields is up to which index the texts of fields are kept and shared: nearly
// all Ingresses have no others.
const sharedFields = 8

var ruleFields, tlsFields, pathFields = func() (rules, entries [sharedFields]string, paths [sharedFields][sharedFields]string) {
	for i := range sharedFields {
		rules[i], entries[i] = fmt.Sprintf("spec.rules[%d]", i), fmt.Sprintf("spec.tls[%d]", i)
		for j := range sharedFields {
			paths[i][j] = fmt.Sprintf("spec.rules[%d].http.paths[%d]", i, j)
		}
	}
	return rules, entries, paths
}()

// ruleField returns "spec.rules[i]".
func ruleField(i int) string {
	if i < sharedFields {
		return ruleFields[i]
	}
	return fmt.Sprintf("spec.rules[%d]", i)
}

// tlsField returns "spec.tls[i]".
func tlsField(i int) string {
	if i < sharedFields {
		return tlsFields[i]
	}
	return fmt.Sprintf("spec.tls[%d]", i)
}

// pathField returns "spec.rules[i].http.paths[j]".
func pathField(i, j int) string {
	if i < sharedFields && j < sharedFields {
		return pathFields[i][j]
	}
	return fmt.Sprintf("spec.rules[%d].http.paths[%d]", i, j)
}
