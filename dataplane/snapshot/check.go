package snapshot

import (
	"crypto/x509"
	"fmt"
	"regexp"
	"strings"
)

// checkPool checks a pool by itself.
func checkPool(p *Pool) error {
	switch {
	case p.ID == "":
		return fmt.Errorf("snapshot: pool of %s has no ID", p.Origin)
	case p.ExternalName != "" && p.ExternalPort == 0:
		return fmt.Errorf("snapshot: pool %q of %s has an external name without a port", p.ID, p.Origin)
	case p.TLS != nil && !p.TLS.Insecure && p.TLS.ServerName == "":
		// A name that is not known must not mean that any will do.
		return fmt.Errorf("snapshot: pool %q of %s verifies TLS without a server name", p.ID, p.Origin)
	case p.TLS != nil && p.TLS.Authorities != nil && len(p.TLS.Authorities.Certificates) == 0:
		return fmt.Errorf("snapshot: pool %q of %s trusts an empty list of authorities", p.ID, p.Origin)
	}
	return nil
}

// checkHost checks a host by itself: its name, its certificates and each route.
// That no two routes have the same path shows when they are compiled.
func checkHost(h *Host) error {
	if err := checkHostName(h.Name); err != nil {
		return fmt.Errorf("snapshot: host %q of %s: %w", h.Name, h.Origin, err)
	}
	if h.TLS != nil {
		if h.Name == "" {
			return fmt.Errorf("snapshot: host \"\" of %s: no server name asks for it, so it cannot have TLS", h.Origin)
		}
		if h.TLS.Passthrough != "" && len(h.TLS.Certificates) > 0 {
			return fmt.Errorf("snapshot: host %q of %s: passed through, and with certificates", h.Name, h.TLS.Origin)
		}
		for i, c := range h.TLS.Certificates {
			if c == nil || c.TLS == nil || c.algorithm == x509.UnknownPublicKeyAlgorithm {
				return fmt.Errorf("snapshot: host %q of %s: certificate %d is not a parsed one", h.Name, h.TLS.Origin, i)
			}
		}
	}
	if h.TLS != nil && h.TLS.ClientAuth != nil {
		if err := checkClientAuth(h.TLS.ClientAuth); err != nil {
			return fmt.Errorf("snapshot: host %q: client authentication of %s: %w", h.Name, h.TLS.ClientAuth.Origin, err)
		}
	}
	for i, r := range h.Routes {
		if r == nil {
			return fmt.Errorf("snapshot: host %q of %s: route %d is nil", h.Name, h.Origin, i)
		}
		if err := checkRoute(r); err != nil {
			return fmt.Errorf("snapshot: host %q: path %q of %s: %w", h.Name, r.Path, r.Origin, err)
		}
	}
	return nil
}

func checkClientAuth(a *ClientAuth) error {
	switch {
	case a.Mode > ClientAuthOptionalNoCA:
		return fmt.Errorf("unknown mode %d", a.Mode)
	case a.Authorities == nil && a.Mode != ClientAuthOptionalNoCA:
		return fmt.Errorf("mode %s has no authorities", a.Mode)
	case a.Authorities != nil && a.Authorities.Pool == nil:
		return fmt.Errorf("authorities of %s that are not parsed", a.Authorities.Origin)
	case a.Depth < 0:
		return fmt.Errorf("a depth of %d", a.Depth)
	}
	// By itself, too: "a)|(b" would be an expression only between the anchors, and no
	// longer held by them; "\Qa" would make them a part of itself.
	for _, expr := range []string{a.MatchCN, AnchoredCN(a.MatchCN)} {
		if _, err := regexp.Compile(expr); err != nil {
			return fmt.Errorf("match of the common name: %w", err)
		}
	}
	return nil
}

// AnchoredCN returns the expression that the whole common name has to match for
// expr as [ClientAuth.MatchCN].
func AnchoredCN(expr string) string { return `^(?:` + expr + `)$` }

func checkHostName(name string) error {
	if name == "" {
		return nil
	}
	if normal := NormalizeHost(nil, []byte(name)); string(normal) != name {
		return fmt.Errorf("the name is not normal, want %q", normal)
	}
	rest := name
	if strings.HasPrefix(name, "*") {
		if rest = name[1:]; len(rest) < 2 || rest[0] != '.' {
			return fmt.Errorf("a wildcard is one whole label")
		}
		rest = rest[1:]
	}
	switch {
	case rest[0] == '.':
		return fmt.Errorf("the first label is empty")
	case strings.Contains(rest, "*"):
		return fmt.Errorf("a wildcard is the first label")
	}
	return nil
}

func checkRoute(r *Route) error {
	normal, err := NormalizePath(nil, []byte(r.Path))
	switch {
	case err != nil:
		return err
	case string(normal) != r.Path:
		return fmt.Errorf("the path is not normal, want %q", normal)
	case r.Kind > Prefix:
		return fmt.Errorf("unknown kind of path %d", r.Kind)
	case r.Pool == "" && r.Answer == nil:
		return fmt.Errorf("neither a pool nor an answer")
	case r.Pool != "" && r.Answer != nil:
		return fmt.Errorf("both pool %q and an answer", r.Pool)
	case r.Answer != nil && (r.Answer.Status < 200 || r.Answer.Status > 599):
		return fmt.Errorf("the answer's status is %d, want 200 to 599", r.Answer.Status)
	}
	return nil
}
