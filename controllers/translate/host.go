package translate

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A builtHost is a host as built: stage 2.
type builtHost struct {
	// host is nil if there is nothing to serve.
	host *snapshot.Host
	// pools are those that the routes name.
	pools []*builtPool
	// services, secrets and bundles are what the host was built from, each once:
	// whatever happens to one of them, the host is built again.
	services, secrets, bundles []types.NamespacedName
	// files says that Options.Files was looked at: so is the host when that changes.
	files    bool
	verdicts []Verdict
	// next is when time alone changes the host; zero if never.
	next time.Time
}

// A hostBuild is one run of stage 2: a function of its fields up to out.
type hostBuild struct {
	opts     *Options
	overlay  *overlay
	defaults *annotation.Settings // of Ingresses without annotations
	policies policies
	now      time.Time
	services map[types.NamespacedName]*corev1.Service
	secrets  heldSecrets
	bundles  map[types.NamespacedName]Bundle
	name     string
	// closed says that the host is answered with 503, closedClaims which claims
	// are.
	closed       bool
	closedClaims []*claim
	// known are the pools that there are.
	known map[string]*builtPool

	out *builtHost
	// pools are those that the routes name, each once, in order of their IDs.
	pools []wantedPool
}

// buildHost builds the host that t.claims[name] are laid to.
func (t *Translator) buildHost(name string, now time.Time) (*builtHost, []wantedPool) {
	b := &hostBuild{
		opts: &t.opts, overlay: &t.overlay, defaults: t.config.defaults, policies: t.policies, now: now, services: t.services, secrets: t.secrets, bundles: t.bundles, name: name,
		known: t.pools, out: &builtHost{},
	}
	slices.SortFunc(t.claims[name], older)
	b.build(t.claims[name])
	for _, names := range []*[]types.NamespacedName{&b.out.services, &b.out.secrets, &b.out.bundles} {
		slices.SortFunc(*names, compareNames)
		*names = clip(slices.Compact(*names))
	}
	slices.SortFunc(b.pools, func(x, y wantedPool) int { return cmp.Compare(x.pool.ID, y.pool.ID) })
	b.pools = slices.CompactFunc(b.pools, func(x, y wantedPool) bool { return x.pool.ID == y.pool.ID })
	return b.out, b.pools
}

// build decides between the claims, of which the oldest is first.
func (b *hostBuild) build(claims []*claim) {
	claims = b.counting(claims)
	if b.out.host = b.passthrough(claims); b.out.host != nil {
		return
	}
	host := &snapshot.Host{
		Name:   b.name,
		Origin: claims[0].at(claims[0].field),
		TLS:    cmp.Or(b.tls(claims), b.coveredTLS(claims)),
	}
	if auth := b.demand(claims, host.TLS != nil); host.TLS != nil {
		host.TLS.ClientAuth = auth
	}
	host.Routes = b.routes(claims, host.TLS != nil)
	if host.TLS != nil || len(host.Routes) > 0 {
		b.out.host = host
	}
}

// older orders claims by age, and at the same age by namespace and name.
func older(a, b *claim) int {
	return cmp.Or(
		a.created.Compare(b.created),
		cmp.Compare(a.ingress.name.Namespace, b.ingress.name.Namespace),
		cmp.Compare(a.ingress.name.Name, b.ingress.name.Name),
	)
}

// precedes says why a comes before b.
func precedes(a, b *claim) string {
	if a.created.Equal(b.created) {
		return "is of the same age and first by name"
	}
	return "is older"
}

func (b *hostBuild) judge(v Verdict, format string, args ...any) {
	b.out.verdicts = append(b.out.verdicts, v.with(format, args...))
}

// hostText names the host in a message.
func (b *hostBuild) hostText() string {
	if b.name == "" {
		return "the catch-all host"
	}
	return "host " + b.name
}

// counting returns the claims that count, oldest first. The first is the owner's.
func (b *hostBuild) counting(claims []*claim) []*claim {
	if b.overlay.ownership == Shared {
		return claims
	}
	owner := claims[0]
	var own, foreign []*claim
	for _, c := range claims {
		if c.ingress.name.Namespace == owner.ingress.name.Namespace {
			own = append(own, c)
		} else {
			foreign = append(foreign, c)
		}
	}
	for _, c := range foreign {
		b.judge(Verdict{Level: Refused, Reason: HostConflictLost, Origin: c.at(c.field), Other: owner.at(owner.field)},
			"%s belongs to namespace %s, whose Ingress %s is the oldest that names it; what this Ingress wants of it is not served. Use another host, or move the paths to that namespace.",
			sentence(b.hostText()), owner.ingress.name.Namespace, owner.ingress.name)
	}
	if len(foreign) > 0 {
		b.judge(Verdict{Level: Info, Reason: HostConflictWon, Origin: owner.at(owner.field), Other: foreign[0].at(foreign[0].field)},
			"%s belongs to this namespace. Ingress %s%s of another namespace also names it; nothing that is wanted of it there is served.",
			sentence(b.hostText()), foreign[0].ingress.name, andOthers(len(foreign)-1))
	}
	return own
}

// A candidate is a path that wants to become a route.
type candidate struct {
	claim *claim
	path
	fallback bool
	losers   []candidate
}

// routes decides which path of which claim serves. The oldest claim wins; within
// an Ingress the first path. A default backend is last: it only serves "/" where
// no path does.
func (b *hostBuild) routes(claims []*claim, declared bool) []*snapshot.Route {
	type key struct {
		path string
		kind snapshot.PathKind
	}
	var order []*candidate
	winners := map[key]*candidate{}
	add := func(c candidate) {
		k := key{c.path.path, c.path.kind}
		w := winners[k]
		switch {
		case w == nil:
			winners[k] = &c
			order = append(order, &c)
		case !c.fallback || w.fallback:
			w.losers = append(w.losers, c)
		}
	}
	for _, c := range claims {
		for _, p := range c.paths {
			p.challenge = p.challenge && c.ingress.name.Namespace == claims[0].ingress.name.Namespace
			if p.challenge {
				// The exemption of a challenge is for the token's path alone.
				p.kind = snapshot.Exact
			}
			add(candidate{claim: c, path: p})
		}
	}
	for _, c := range claims {
		if c.fallback != nil {
			add(candidate{claim: c, path: *c.fallback, fallback: true})
		}
	}
	routes := make([]*snapshot.Route, 0, len(order))
	for _, c := range order {
		b.judgeConflict(c)
		routes = append(routes, b.route(c, declared))
	}
	return routes
}

// judgeConflict tells both sides. Within one Ingress there is one side.
func (b *hostBuild) judgeConflict(w *candidate) {
	won := w.claim.at(w.field)
	var others []candidate
	for _, l := range w.losers {
		v := Verdict{Level: Refused, Reason: PathConflictLost, Origin: l.claim.at(l.field), Other: won}
		if l.claim.ingress == w.claim.ingress {
			b.judge(v, "%s path %s of %s is in this Ingress twice; %s serves it. Remove one of them.",
				w.kind, brief(w.path.path), b.hostText(), w.field)
			continue
		}
		others = append(others, l)
		b.judge(v, "%s path %s of %s is served by Ingress %s, which %s. Remove the path from one of the two.",
			w.kind, brief(w.path.path), b.hostText(), w.claim.ingress.name, precedes(w.claim, l.claim))
	}
	if len(others) > 0 {
		b.judge(Verdict{Level: Info, Reason: PathConflictWon, Origin: won, Other: others[0].claim.at(others[0].field)},
			"%s path %s of %s is served by this Ingress, and wanted by Ingress %s%s as well; this one %s.",
			w.kind, brief(w.path.path), b.hostText(), others[0].claim.ingress.name, andOthers(len(others)-1), precedes(w.claim, others[0].claim))
	}
}

func (b *hostBuild) route(c *candidate, declared bool) *snapshot.Route {
	r := &snapshot.Route{
		Path:   c.path.path,
		Kind:   c.path.kind,
		Origin: c.claim.at(c.field),
		Policy: policy(c.claim.settings),
	}
	served := declared || c.claim.covered
	if served {
		r.Policy.HSTS = hstsOr(c.claim.settings.HSTS, b.overlay.of(c.claim.class).hsts)
	}
	if c.challenge {
		r.Policy.ACME = true
	} else {
		s := c.claim.settings
		r.Policy.RedirectHTTPS = s.ForceSSLRedirect || s.SSLRedirect && served
		if b.isClosed(c.claim) {
			r.Answer = &snapshot.Answer{Status: 503, Reason: "config_rejected"}
			return r
		}
	}
	b.backend(r, c)
	return r
}

// policy is what the settings say of a route by itself. A value that is the
// default is left zero, as [snapshot.Policy] has it.
func policy(s *annotation.Settings) snapshot.Policy {
	d := annotation.Defaults()
	return snapshot.Policy{
		ConnectTimeout: unless(s.ConnectTimeout, d.ConnectTimeout),
		ReadTimeout:    unless(s.ReadTimeout, d.ReadTimeout),
		SendTimeout:    unless(s.SendTimeout, d.SendTimeout),
		MaxBody:        s.MaxBody,
		Tries:          unless(s.Tries, d.Tries),
	}
}

// unless returns v, or zero if v is the default.
func unless[T comparable](v, dflt T) T {
	if v == dflt {
		var zero T
		return zero
	}
	return v
}
