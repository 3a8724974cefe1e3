package translate

import (
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Translate returns what to serve now. It builds what changed since the call
// before, and takes over the rest. now must not go back.
func (t *Translator) Translate(now time.Time) Result {
	t.touchExpired(now)
	t.applyParameters()
	t.buildDefault(now)
	hosts, pools := t.buildHosts(now)
	endpoints := t.buildPools()

	t.last = Result{
		Spec:      t.spec(hosts, pools),
		Endpoints: endpoints,
		Verdicts:  t.verdicts(),
		Secrets:   t.secretRefs.apply(t.last.Secrets),
		Bundles:   t.bundleRefs.apply(t.last.Bundles),
		Services:  t.serviceRefs.apply(t.last.Services),
		Ingresses: mergeNames(t.last.Ingresses, t.touchedIngresses),
		Process:   t.overlay.process,
		Next:      t.deadlines.first,
	}
	t.touchedVerdicts, t.touchedSpec = false, false
	clear(t.touchedIngresses)
	return t.last
}

// Secrets returns what the next [Result] says in that field: who reads them first
// has nothing built without them.
func (t *Translator) Secrets() map[types.NamespacedName][]Reference {
	t.applyParameters()
	t.last.Secrets = t.secretRefs.apply(t.last.Secrets)
	return t.last.Secrets
}

// Bundles is the same of ConfigMaps.
func (t *Translator) Bundles() map[types.NamespacedName][]Reference {
	t.last.Bundles = t.bundleRefs.apply(t.last.Bundles)
	return t.last.Bundles
}

// SameMap reports whether a and b are one map: a Translator returns the same as long
// as nothing in it changes, and to look through it takes time in a large cluster.
func SameMap[K comparable, V any](a, b map[K]V) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer() && a != nil
}

// touchExpired touches the hosts that time alone changed.
func (t *Translator) touchExpired(now time.Time) {
	if t.deadlines.first.IsZero() || now.Before(t.deadlines.first) {
		return
	}
	if next := t.builtDefault.next; !next.IsZero() && !now.Before(next) {
		t.touchedDefault = true
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
	var released []*builtPool
	for name := range t.touchedHosts {
		old := t.hosts[name]
		if old == nil {
			old = &builtHost{}
		}
		built := &builtHost{}
		var wanted []wantedPool
		if len(t.claims[name]) > 0 {
			built, wanted = t.buildHost(name, now)
		}
		built.host = takeOver(old.host, built.host)
		if built.host != old.host {
			hosts[name] = built.host
		}
		if !slices.Equal(old.verdicts, built.verdicts) {
			t.touchedVerdicts = true
		}
		t.deadlines.replace(old.next, built.next)
		for _, want := range wanted {
			built.pools = append(built.pools, t.hold(want, pools))
		}
		built.pools = clip(built.pools)
		released = append(released, old.pools...)
		t.hostsOfService.replace(name, old.services, built.services)
		t.hostsOfSecret.replace(name, old.secrets, built.secrets)
		t.hostsOfBundle.replace(name, old.bundles, built.bundles)
		if built.host == nil && len(t.claims[name]) == 0 {
			delete(t.hosts, name)
		} else {
			t.hosts[name] = built
		}
	}
	clear(t.touchedHosts)
	// Release last: a pool that moves from one host to another stays the same.
	for _, p := range released {
		t.release(p, pools)
	}
	return hosts, pools
}

// hold counts one more host for a pool, which may be new or have another Service
// of the same name behind it, and returns it.
func (t *Translator) hold(want wantedPool, pools changed[snapshot.Pool]) *builtPool {
	id := want.pool.ID
	p := t.pools[id]
	if p == nil {
		p = &builtPool{}
		t.pools[id] = p
		t.poolsOfService.add(want.service, id)
		t.touchedPools[id] = struct{}{}
	}
	p.hosts++
	if p.shared != nil && sameBackendTLS(p.shared.TLS, want.pool.TLS) {
		want.pool.TLS = p.shared.TLS
	}
	if p.shared == nil || *p.shared != want.pool {
		p.shared = &want.pool
		pools[id] = p.shared
	}
	p.wantedPool = want
	return p
}

func (t *Translator) release(p *builtPool, pools changed[snapshot.Pool]) {
	if p.hosts--; p.hosts > 0 {
		return
	}
	id := p.pool.ID
	t.poolsOfService.remove(p.service, id)
	delete(t.pools, id)
	pools[id] = nil
	if len(p.verdicts) > 0 {
		t.touchedVerdicts = true
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

// verdicts returns the last verdicts if none changed.
func (t *Translator) verdicts() []Verdict {
	if !t.touchedVerdicts {
		return t.last.Verdicts
	}
	out := slices.Concat(t.overlay.verdicts, t.builtDefault.verdicts)
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
