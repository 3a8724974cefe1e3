package translate

import (
	"slices"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// passthrough makes the host one whose connections are carried to the backend as
// they are, if the Ingress that serves its path "/" wants that. It returns nil if
// none does, and else the host complete: no other path of it is served, and no
// other annotation applies to it. Over plain HTTP everything is redirected, but
// for the challenges of an ACME client.
func (b *hostBuild) passthrough(claims []*claim) *snapshot.Host {
	wanting := slices.DeleteFunc(slices.Clone(claims), func(c *claim) bool { return !c.settings.SSLPassthrough })
	if len(wanting) == 0 {
		return nil
	}
	if !b.opts.SSLPassthrough {
		for _, c := range wanting {
			b.judge(Verdict{Level: Warning, Reason: PassthroughDisabled, Origin: c.at(c.annotation("ssl-passthrough"))},
				"%s is not passed through, because Cardea runs without --enable-ssl-passthrough; the annotation has no effect. Set the flag, or remove the annotation.", sentence(b.hostText()))
		}
		return nil
	}
	root := b.root(claims)
	if b.name == "" || root == nil || !root.claim.settings.SSLPassthrough {
		for _, c := range wanting {
			b.judge(Verdict{Level: Warning, Reason: PassthroughWithoutRoot, Origin: c.at(c.annotation("ssl-passthrough"))},
				"%s is not passed through: %s. The annotation has no effect on it.", sentence(b.hostText()), b.whyNoRoot(root))
		}
		return nil
	}
	host := &snapshot.Host{
		Name:   b.name,
		Origin: claims[0].at(claims[0].field),
		TLS:    &snapshot.TLS{Origin: root.claim.at(root.claim.annotation("ssl-passthrough")), PassthroughProxyHeader: root.claim.settings.PassthroughProxyHeader},
	}
	redirect := &snapshot.Route{
		Path: "/", Kind: snapshot.Prefix, Origin: root.claim.at(root.field),
		Policy: snapshot.Policy{RedirectHTTPS: true},
	}
	// Endpoints get bytes as they are, so what the annotations say about protocols
	// is none of their business.
	plain, owner := *root.claim, *root.claim.ingress
	settings := annotation.Defaults()
	settings.Backend = annotation.ProtocolHTTP
	owner.settings = &settings
	plain.ingress = &owner
	var target snapshot.Route
	if plain.closed || b.overlay.locked {
		target.Answer = &snapshot.Answer{Status: 503, Reason: "config_rejected"}
	} else {
		b.backend(&target, &candidate{claim: &plain, path: root.path})
	}
	host.TLS.Passthrough, redirect.Service = target.Pool, target.Service
	// A request that comes over TLS all the same came on a connection for another
	// host.
	redirect.Answer = &snapshot.Answer{Status: 421, Reason: "misdirected"}
	host.Routes = append(b.challenges(claims), redirect)
	b.judgePassed(root, claims)
	return host
}

// root returns the path that serves "/": of the oldest claim that has it, else of
// the oldest default backend; nil if there is none.
func (b *hostBuild) root(claims []*claim) *candidate {
	for _, c := range claims {
		for _, p := range c.paths {
			if p.path == "/" {
				return &candidate{claim: c, path: p}
			}
		}
	}
	for _, c := range claims {
		if c.fallback != nil {
			return &candidate{claim: c, path: *c.fallback, fallback: true}
		}
	}
	return nil
}

func (b *hostBuild) whyNoRoot(root *candidate) string {
	switch {
	case b.name == "":
		return "no client asks for a host without a name"
	case root == nil:
		return "it has no path /, whose Service would get the connections"
	}
	return "its path / is of Ingress " + root.claim.ingress.name.String() + ", which does not want it passed through"
}

// challenges returns the routes of ACME challenges, which clients ask for over
// plain HTTP.
func (b *hostBuild) challenges(claims []*claim) []*snapshot.Route {
	var routes []*snapshot.Route
	var seen []string
	for _, c := range claims {
		for _, p := range c.paths {
			if !p.challenge || c.ingress.name.Namespace != claims[0].ingress.name.Namespace || slices.Contains(seen, p.path) {
				continue
			}
			seen = append(seen, p.path)
			p.kind = snapshot.Exact
			routes = append(routes, b.route(&candidate{claim: c, path: p}, true))
		}
	}
	return routes
}

// judgePassed tells what of the host is not served.
func (b *hostBuild) judgePassed(root *candidate, claims []*claim) {
	at := root.claim.at(root.field)
	for _, c := range claims {
		paths := c.paths
		if c.fallback != nil {
			paths = append(slices.Clone(paths), *c.fallback)
		}
		for _, p := range paths {
			if p.challenge || c == root.claim && p.field == root.field {
				continue
			}
			b.judge(Verdict{Level: Refused, Reason: PassthroughPathIgnored, Origin: c.at(p.field), Other: at},
				"%s path %s of %s is not served: the host's connections are passed through to the Service of path / of Ingress %s, undecrypted. Use another host for the path.",
				p.kind, brief(p.path), b.hostText(), root.claim.ingress.name)
		}
	}
}
