package translate

import (
	"maps"
	"slices"
	"strings"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// spec returns the last Spec if nothing in it changed, else a new one that shares
// what did not.
func (t *Translator) spec(hosts changed[snapshot.Host], pools changed[snapshot.Pool]) *snapshot.Spec {
	if !t.touchedSpec && len(hosts) == 0 && len(pools) == 0 {
		return t.last.Spec
	}
	old := t.last.Spec
	if old == nil {
		old = &snapshot.Spec{}
	}
	certificate, unknownSNI := t.defaultCertificate()
	return &snapshot.Spec{
		Hosts:              merge(old.Hosts, hosts, func(h *snapshot.Host) string { return h.Name }),
		Pools:              merge(old.Pools, pools, func(p *snapshot.Pool) string { return p.ID }),
		UnknownSNI:         unknownSNI,
		DefaultCertificate: certificate,
		TLSPolicy:          t.overlay.tlsPolicy,
		DrainOnRotate:      t.overlay.drainOnRotate,
		HandshakeTimeout:   t.overlay.handshakeTimeout,
		FirstByteTimeout:   t.overlay.firstByteTimeout,
		MaxHandshakes:      t.overlay.maxHandshakes,
		TrustedCIDRs:       t.overlay.trusted,
		Connections:        t.overlay.connections,
	}
}

// merge returns old, which is sorted by name, with what changed. What lies between
// two changes is copied as a whole; the elements are shared.
func merge[T any](old []*T, changes changed[T], name func(*T) string) []*T {
	if len(changes) == 0 {
		return old
	}
	out := make([]*T, 0, len(old)+len(changes))
	for _, n := range slices.Sorted(maps.Keys(changes)) {
		i, found := slices.BinarySearchFunc(old, n, func(o *T, n string) int { return strings.Compare(name(o), n) })
		out = append(out, old[:i]...)
		if now := changes[n]; now != nil {
			out = append(out, now)
		}
		if found {
			i++
		}
		old = old[i:]
	}
	return append(out, old...)
}

// takeOver returns old if built is the same, else built with the routes and
// certificates of old that are the same.
func takeOver(old, built *snapshot.Host) *snapshot.Host {
	if old == nil || built == nil {
		return built
	}
	same := old.Name == built.Name && old.Origin == built.Origin
	routes := make(map[snapshot.Route]*snapshot.Route, len(old.Routes))
	for _, r := range old.Routes {
		routes[routeKey(r)] = r
	}
	for i, r := range built.Routes {
		if o := routes[routeKey(r)]; o != nil && sameAnswer(o.Answer, r.Answer) {
			built.Routes[i] = o
		}
	}
	if same && slices.Equal(old.Routes, built.Routes) && sameTLS(old.TLS, built.TLS) {
		return old
	}
	return built
}

// routeKey is r without its pointer.
func routeKey(r *snapshot.Route) snapshot.Route {
	k := *r
	k.Answer = nil
	return k
}

func sameAnswer(a, b *snapshot.Answer) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func sameTLS(a, b *snapshot.TLS) bool {
	return a == nil && b == nil ||
		a != nil && b != nil && a.Origin == b.Origin && slices.Equal(a.Certificates, b.Certificates) &&
			a.Passthrough == b.Passthrough && a.PassthroughProxyHeader == b.PassthroughProxyHeader &&
			a.Policy == b.Policy && a.NoHTTP2 == b.NoHTTP2 && sameClientAuth(a.ClientAuth, b.ClientAuth)
}

// sameClientAuth compares by value: a demand is made anew whenever its host is
// built.
func sameClientAuth(a, b *snapshot.ClientAuth) bool {
	if a == nil || b == nil {
		return a == b
	}
	same := a.Origin == b.Origin && a.Mode == b.Mode && a.Depth == b.Depth && a.MatchCN == b.MatchCN &&
		slices.Equal(a.MatchSANs, b.MatchSANs) && a.PassCertificate == b.PassCertificate &&
		a.Authorities == b.Authorities && a.RevocationLists == b.RevocationLists
	if a.ErrorPage == nil || b.ErrorPage == nil {
		return same && a.ErrorPage == b.ErrorPage
	}
	return same && *a.ErrorPage == *b.ErrorPage
}
