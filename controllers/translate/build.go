package translate

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Translate returns what to serve now. It builds what changed since the call
// before, and takes over the rest. now must not go back.
func (t *Translator) Translate(now time.Time) Result {
	t.touchExpired(now)
	hosts, pools := t.buildHosts(now)
	endpoints := t.buildPools()

	r := Result{
		Spec:      t.spec(hosts, pools),
		Endpoints: endpoints,
		Verdicts:  t.verdicts(),
		Secrets:   t.last.Secrets,
		Services:  t.last.Services,
		Ingresses: t.last.Ingresses,
		Next:      t.next(),
	}
	if t.touchedIngress || r.Secrets == nil {
		r.Ingresses, r.Secrets, r.Services = t.references()
	}
	t.touchedIngress, t.touchedVerdicts, t.touchedSpec = false, false, false
	t.last = r
	return r
}

// touchExpired touches the hosts that time alone changed.
func (t *Translator) touchExpired(now time.Time) {
	if t.last.Next.IsZero() || now.Before(t.last.Next) {
		return
	}
	for name, h := range t.hosts {
		if !h.next.IsZero() && !now.Before(h.next) {
			t.touchedHosts[name] = struct{}{}
		}
	}
}

// A builtPool is a pool as built, shared by the hosts whose routes name it.
type builtPool struct {
	wantedPool
	shared    *snapshot.Pool
	hosts     int
	built     bool
	endpoints []snapshot.Endpoint
	verdicts  []Verdict
}

// changed holds the new values of hosts or pools by name; nil for one that is
// gone.
type changed[T any] map[string]*T

// buildHosts builds the hosts that were touched and returns those that are not
// what they were, and the pools that came, changed or went with them.
func (t *Translator) buildHosts(now time.Time) (changed[snapshot.Host], changed[snapshot.Pool]) {
	hosts, pools := changed[snapshot.Host]{}, changed[snapshot.Pool]{}
	var released []string
	for name := range t.touchedHosts {
		old := t.hosts[name]
		if old == nil {
			old = &builtHost{}
		}
		built := &builtHost{}
		if len(t.claims[name]) > 0 {
			built = t.buildHost(name, now)
		}
		built.host = takeOver(old.host, built.host)
		if built.host != old.host {
			hosts[name] = built.host
		}
		if !slices.Equal(old.verdicts, built.verdicts) {
			t.touchedVerdicts = true
		}
		for id, want := range built.pools {
			t.hold(id, want, pools)
		}
		released = slices.AppendSeq(released, maps.Keys(old.pools))
		t.hostsOfService.replace(name, old.services, built.services)
		t.hostsOfSecret.replace(name, old.secrets, built.secrets)
		if built.host == nil && len(t.claims[name]) == 0 {
			delete(t.hosts, name)
		} else {
			t.hosts[name] = built
		}
	}
	clear(t.touchedHosts)
	// Release last: a pool that moves from one host to another stays the same.
	for _, id := range released {
		t.release(id, pools)
	}
	return hosts, pools
}

// hold counts one more host for a pool, which may be new or have another Service
// of the same name behind it.
func (t *Translator) hold(id string, want wantedPool, pools changed[snapshot.Pool]) {
	p := t.pools[id]
	if p == nil {
		p = &builtPool{}
		t.pools[id] = p
		t.poolsOfService.add(want.service, id)
		t.touchedPools[id] = struct{}{}
	}
	p.hosts++
	if p.shared == nil || *p.shared != want.pool {
		p.shared = &want.pool
		pools[id] = p.shared
	}
	p.wantedPool = want
}

func (t *Translator) release(id string, pools changed[snapshot.Pool]) {
	p := t.pools[id]
	if p.hosts--; p.hosts > 0 {
		return
	}
	t.poolsOfService.remove(p.service, id)
	delete(t.pools, id)
	pools[id] = nil
	if len(p.verdicts) > 0 {
		t.touchedVerdicts = true
	}
}

// replace makes user refer to now and no more to old.
func (x index) replace(user string, old, now map[types.NamespacedName]struct{}) {
	for name := range old {
		if _, ok := now[name]; !ok {
			x.remove(name, user)
		}
	}
	for name := range now {
		x.add(name, user)
	}
}

// buildPools builds the endpoints of the pools that were touched and returns those
// that are not what they were. A pool that is new is among them even if it has
// none.
func (t *Translator) buildPools() map[string][]snapshot.Endpoint {
	out := map[string][]snapshot.Endpoint{}
	for id := range t.touchedPools {
		p := t.pools[id]
		if p == nil || p.port == 0 {
			continue
		}
		list, verdicts := endpoints(t.services[p.service], p.port, t.slicesOf[p.service])
		if !p.built || !slices.Equal(p.endpoints, list) {
			out[id] = list
		}
		if !slices.Equal(p.verdicts, verdicts) {
			t.touchedVerdicts = true
		}
		p.built, p.endpoints, p.verdicts = true, list, verdicts
	}
	clear(t.touchedPools)
	return out
}

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
	return &snapshot.Spec{
		Hosts:              merge(old.Hosts, hosts, func(h *snapshot.Host) string { return h.Name }),
		Pools:              merge(old.Pools, pools, func(p *snapshot.Pool) string { return p.ID }),
		UnknownSNI:         t.opts.UnknownSNI,
		DefaultCertificate: t.opts.DefaultCertificate,
		TrustedCIDRs:       t.opts.TrustedCIDRs,
	}
}

// merge returns old, which is sorted by name, with what changed. It walks both
// once: the list is copied, the elements are shared.
func merge[T any](old []*T, changes changed[T], name func(*T) string) []*T {
	if len(changes) == 0 {
		return old
	}
	out := make([]*T, 0, len(old)+len(changes))
	names := slices.Sorted(maps.Keys(changes))
	for _, o := range old {
		for len(names) > 0 && names[0] < name(o) {
			if n := changes[names[0]]; n != nil {
				out = append(out, n)
			}
			names = names[1:]
		}
		if n, ok := changes[name(o)]; !ok {
			out = append(out, o)
		} else if n != nil {
			out = append(out, n)
		}
		if len(names) > 0 && names[0] == name(o) {
			names = names[1:]
		}
	}
	for _, rest := range names {
		if n := changes[rest]; n != nil {
			out = append(out, n)
		}
	}
	return out
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
		a != nil && b != nil && a.Origin == b.Origin && slices.Equal(a.Certificates, b.Certificates)
}

// verdicts returns the last verdicts if none changed.
func (t *Translator) verdicts() []Verdict {
	if !t.touchedVerdicts {
		return t.last.Verdicts
	}
	var out []Verdict
	for _, e := range t.ingresses {
		if e.read != nil {
			out = append(out, e.read.verdicts...)
		}
	}
	for _, h := range t.hosts {
		out = append(out, h.verdicts...)
	}
	for _, p := range t.pools {
		out = append(out, p.verdicts...)
	}
	return sortVerdicts(out)
}

// references returns our Ingresses and what they name.
func (t *Translator) references() (ingresses []types.NamespacedName, secrets, services map[types.NamespacedName][]snapshot.Origin) {
	secrets = map[types.NamespacedName][]snapshot.Origin{}
	services = map[types.NamespacedName][]snapshot.Origin{}
	for name, e := range t.ingresses {
		if e.read != nil {
			ingresses = append(ingresses, name)
		}
	}
	slices.SortFunc(ingresses, func(a, b types.NamespacedName) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, name := range ingresses {
		read := t.ingresses[name].read
		for secret, fields := range read.secrets {
			secrets[secret] = append(secrets[secret], fields...)
		}
		for service, fields := range read.services {
			services[service] = append(services[service], fields...)
		}
	}
	return ingresses, secrets, services
}

// next returns when time alone changes the result.
func (t *Translator) next() time.Time {
	var next time.Time
	for _, h := range t.hosts {
		if !h.next.IsZero() && (next.IsZero() || h.next.Before(next)) {
			next = h.next
		}
	}
	return next
}
