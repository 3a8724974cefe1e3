package translate_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestIncrementalEqualsFromScratch holds a Translator that saw random edits equal
// to a translation of the same objects from scratch, in shuffled order, after
// every few edits; and it holds the Translator to sharing what did not change.
func TestIncrementalEqualsFromScratch(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			opts := translate.Options{
				HostOwnership:  translate.HostOwnership(seed % 2),
				WithoutClass:   seed%3 == 0,
				SSLPassthrough: seed%4 < 2,
				ConfigMap:      types.NamespacedName{Namespace: "a", Name: "c"},
			}
			tr := translate.New(opts)
			endpoints := map[string][]snapshot.Endpoint{}
			last := tr.Translate(w.now)
			for step := range 40 {
				for range 1 + w.rand.IntN(4) {
					w.edit(tr)
				}
				before := last.Spec.Text()
				got := tr.Translate(w.now)
				if after := last.Spec.Text(); after != before {
					t.Fatalf("step %d: Translate wrote to the Spec before (-before +after):\n%s", step, cmp.Diff(before, after))
				}
				opts.Files = w.files
				want := w.objects().Translate(opts, w.now)
				compareResults(t, step, want, got)
				checkShared(t, step, last, got)
				endpoints = merged(endpoints, got)
				if diff := cmp.Diff(want.Endpoints, endpoints, compareAddrs, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("step %d: endpoints (-from scratch +incremental):\n%s", step, diff)
				}
				if _, err := snapshot.Compile(nil, got.Spec, func(*snapshot.Route) any { return nil }); err != nil {
					t.Fatalf("step %d: Compile(spec) = %v", step, err)
				}
				idle := tr.Translate(w.now)
				if idle.Spec != got.Spec || len(idle.Endpoints) > 0 {
					t.Fatalf("step %d: Translate without a change made a new Spec or endpoints %v", step, idle.Endpoints)
				}
				w.resync(tr)
				if again := tr.Translate(w.now); again.Spec != got.Spec || len(again.Endpoints) > 0 {
					t.Fatalf("step %d: setting the same objects again made a new Spec or endpoints %v", step, again.Endpoints)
				}
				last = got
			}
		})
	}
}

func compareResults(t *testing.T, step int, want, got translate.Result) {
	t.Helper()
	want.Endpoints, got.Endpoints = nil, nil
	if diff := cmp.Diff(want, got, compareCertificates, compareAddrs, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("step %d: result (-from scratch +incremental):\n%s", step, diff)
	}
}

// checkShared holds that hosts, routes and pools that are equal in both Results
// are the same.
func checkShared(t *testing.T, step int, old, now translate.Result) {
	t.Helper()
	hosts := map[string]*snapshot.Host{}
	for _, h := range old.Spec.Hosts {
		hosts[h.Name] = h
	}
	equal := func(a, b any) bool { return cmp.Equal(a, b, compareCertificates) }
	for _, h := range now.Spec.Hosts {
		o := hosts[h.Name]
		if o == nil || o == h {
			continue
		}
		if equal(o, h) {
			t.Errorf("step %d: host %q is equal and was built anew", step, h.Name)
		}
		for _, r := range h.Routes {
			if i := slices.IndexFunc(o.Routes, func(x *snapshot.Route) bool { return equal(x, r) }); i >= 0 && o.Routes[i] != r {
				t.Errorf("step %d: route %s of host %q is equal and was built anew", step, r.Path, h.Name)
			}
		}
	}
	pools := map[string]*snapshot.Pool{}
	for _, p := range old.Spec.Pools {
		pools[p.ID] = p
	}
	for _, p := range now.Spec.Pools {
		if o := pools[p.ID]; o != nil && o != p && *o == *p {
			t.Errorf("step %d: pool %s is equal and was built anew", step, p.ID)
		}
	}
}

// merged applies the endpoints of a Result as the data plane does.
func merged(endpoints map[string][]snapshot.Endpoint, r translate.Result) map[string][]snapshot.Endpoint {
	out := map[string][]snapshot.Endpoint{}
	for _, p := range r.Spec.Pools {
		if p.ExternalName != "" {
			continue
		}
		if list, ok := r.Endpoints[p.ID]; ok {
			out[p.ID] = list
		} else if list, ok := endpoints[p.ID]; ok {
			out[p.ID] = list
		}
	}
	return out
}

var compareAddrs = cmp.Comparer(func(a, b snapshot.Endpoint) bool { return a == b })

// TestResultsAreShared reads every Result while the Translator goes on, for the
// race detector to see a write to what was handed out.
func TestResultsAreShared(t *testing.T) {
	w := newWorld(t, 1)
	tr := translate.New(translate.Options{})
	var readers sync.WaitGroup
	for range 100 {
		w.edit(tr)
		r := tr.Translate(w.now)
		readers.Go(func() {
			_ = r.Spec.Text() + verdictsText(r.Verdicts) + endpointsText(r.Endpoints) + referencesText(r)
		})
	}
	readers.Wait()
}

func TestDefaultCertificate(t *testing.T) {
	w := newWorld(t, 4)
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	tr := translate.New(translate.Options{UnknownSNI: snapshot.UnknownSNIDefaultCert, TrustedCIDRs: trusted, WithoutClass: true})
	for range 50 {
		w.edit(tr)
	}
	for name := range w.parameters {
		tr.DeleteParameters(name) // which may name one, too
	}
	old := tr.Translate(w.now).Spec
	tr.SetDefaultCertificate(w.certificates[0])
	now := tr.Translate(w.now).Spec
	if old == now || old.DefaultCertificate != nil || now.DefaultCertificate != w.certificates[0] {
		t.Errorf("SetDefaultCertificate: the default certificates are %v and %v", old.DefaultCertificate, now.DefaultCertificate)
	}
	if !slices.Equal(old.Hosts, now.Hosts) || !slices.Equal(old.Pools, now.Pools) || len(now.Hosts) == 0 {
		t.Errorf("SetDefaultCertificate made hosts or pools anew, or there are none: %d hosts, %v %v", len(now.Hosts), slices.Equal(old.Hosts, now.Hosts), slices.Equal(old.Pools, now.Pools))
	}
	if now.UnknownSNI != snapshot.UnknownSNIDefaultCert || !slices.Equal(now.TrustedCIDRs, trusted) {
		t.Errorf("UnknownSNI, TrustedCIDRs = %v, %v, want what the options say", now.UnknownSNI, now.TrustedCIDRs)
	}
	tr.SetDefaultCertificate(w.certificates[0])
	if again := tr.Translate(w.now).Spec; again != now {
		t.Error("SetDefaultCertificate with the same certificate made a new Spec")
	}
}
