package translate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
)

// TestTrials holds each testdata/trial/*.txtar to what it says: in the world of
// in.yaml, with the Secrets (and, after the word ConfigMap, those) of the file "exists"
// there and not read, try.yaml comes to
// the judgement.
func TestTrials(t *testing.T) {
	files, err := filepath.Glob("testdata/trial/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/trial/*.txtar: %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			opts, now := options(t, archive.Comment)
			tr := translate.New(opts)
			set(tr, parseObjects(t, find(archive, "in.yaml").Data))
			tr.Translate(now)
			tried := parseObjects(t, find(archive, "try.yaml").Data).Ingresses[0]
			before := tried.DeepCopy()
			var exist string
			if f := find(archive, "exists"); f != nil {
				exist = string(f.Data)
			}
			got := "it is of no class of ours\n"
			if try := tr.Try(tried, func(kind string, s types.NamespacedName) bool {
				return strings.Contains("\n"+exist, "\n"+strings.TrimPrefix(kind+" ", "Secret ")+s.String()+"\n")
			}); try != nil {
				got = judgementText(try.Judge(now))
			}
			if diff := cmp.Diff(before, tried); diff != "" {
				t.Errorf("Try wrote to its input (-before +after):\n%s", diff)
			}
			want := find(archive, "judgement")
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("judgement (-want +got):\n%s", diff)
			}
		})
	}
}

func set(tr *translate.Translator, o translate.Objects) {
	for _, c := range o.Classes {
		tr.SetClass(c)
	}
	for _, p := range o.Parameters {
		tr.SetParameters(p)
	}
	for _, s := range o.Services {
		tr.SetService(s)
	}
	for _, c := range o.ConfigMaps {
		tr.SetConfigMap(c)
	}
	for _, g := range o.Grants {
		tr.SetGrant(g)
	}
	for name, s := range o.Secrets {
		tr.SetSecret(name, s)
	}
	for name, b := range o.Bundles {
		tr.SetBundle(name, b)
	}
	for _, in := range o.Ingresses {
		tr.SetIngress(in)
	}
}

func judgementText(j translate.Judgement) string {
	var b strings.Builder
	if len(j.Refused) == 0 {
		b.WriteString("admitted\n")
	} else {
		b.WriteString("refused\n" + verdictsText(j.Refused))
	}
	if len(j.Verdicts) > 0 {
		b.WriteString("said\n" + verdictsText(j.Verdicts))
	}
	if j.Crowded {
		b.WriteString("crowded\n")
	}
	return b.String()
}

// TestTrialIsWhatComesOfIt holds the judgement on an Ingress of a random world equal to
// what the translation of the whole world says of it.
func TestTrialIsWhatComesOfIt(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed)
		tr := translate.New(translate.Options{
			HostOwnership:  translate.HostOwnership(seed % 2),
			WithoutClass:   seed%3 == 0,
			SSLPassthrough: seed%4 < 2,
			ConfigMap:      types.NamespacedName{Namespace: "a", Name: "c"},
		})
		for range 80 {
			w.edit(tr)
		}
		r := tr.Translate(w.now)
		for name, in := range w.ingresses {
			var want []translate.Verdict
			for _, v := range r.Verdicts {
				if v.Origin.Kind == "Ingress" && v.Origin.Namespace == name.Namespace && v.Origin.Name == name.Name && v.Level >= translate.Warning {
					want = append(want, v)
				}
			}
			try := tr.Try(in.DeepCopy(), func(string, types.NamespacedName) bool { return false })
			if (try != nil) != slices.Contains(r.Ingresses, name) {
				t.Fatalf("seed %d: Try(%s) = %v, want one iff it is ours", seed, name, try)
			}
			if try == nil {
				continue
			}
			j := try.Judge(w.now)
			if diff := cmp.Diff(want, j.Verdicts); diff != "" {
				t.Fatalf("seed %d: verdicts on %s (-translation +trial):\n%s", seed, name, diff)
			}
			for _, v := range j.Refused {
				if v.Other.Kind == "Secret" || v.Other.Kind == "Service" {
					t.Errorf("seed %d: %s is refused because of %s, which may still come", seed, name, v.Other)
				}
			}
		}
	}
}

// TestTrialOfACrowdedHost holds that a host of many Ingresses costs no more than one
// of some, and that its owner is still known.
func TestTrialOfACrowdedHost(t *testing.T) {
	tr := translate.New(translate.Options{})
	for i := range 1000 {
		tr.SetIngress(crowd("owner", fmt.Sprint("i", i), "2026-01-01", fmt.Sprint("/", i)))
	}
	tr.Translate(day("2026-06-01"))
	none := func(string, types.NamespacedName) bool { return false }
	j := tr.Try(crowd("owner", "new", "2026-02-01", "/new"), none).Judge(day("2026-06-01"))
	if !j.Crowded || len(j.Refused) > 0 {
		t.Errorf("judgement = %+v, want crowded and not refused", j)
	}
	j = tr.Try(crowd("other", "new", "2026-02-01", "/new"), none).Judge(day("2026-06-01"))
	if len(j.Refused) != 1 || j.Refused[0].Reason != translate.HostConflictLost {
		t.Errorf("refused = %+v, want one of HostConflictLost", j.Refused)
	}
}

func crowd(namespace, name, since, path string) *networkingv1.Ingress {
	in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID(namespace + name), CreationTimestamp: metav1.NewTime(day(since)),
	}}
	in.Spec.IngressClassName = new(translate.DefaultClass)
	in.Spec.Rules = []networkingv1.IngressRule{{Host: "a.example.com", IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
		Paths: []networkingv1.HTTPIngressPath{{Path: path, PathType: new(networkingv1.PathTypePrefix), Backend: networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}},
		}}},
	}}}}
	return in
}

// trialOf returns a function that judges a new Ingress in a cluster of that size.
func trialOf(tb testing.TB, size int) func() {
	tr := translate.New(translate.Options{})
	for i := range size {
		in := crowd("shop", fmt.Sprint("i", i), "2026-01-01", "/")
		in.Spec.Rules[0].Host = fmt.Sprintf("h%d.example.com", i)
		tr.SetIngress(in)
	}
	now := day("2026-06-01")
	tr.Translate(now)
	in := crowd("shop", "new", "2026-02-01", "/")
	in.Spec.Rules[0].Host = "h7.example.com"
	return func() {
		if j := tr.Try(in, func(string, types.NamespacedName) bool { return false }).Judge(now); len(j.Refused) != 1 {
			tb.Fatalf("refused = %v, want one", j.Refused)
		}
	}
}

// TestTrialCostsTheSame holds that what a trial does depends on the Ingress and not on
// the cluster, of which the number of allocations is a measure that nothing disturbs.
func TestTrialCostsTheSame(t *testing.T) {
	small, large := testing.AllocsPerRun(20, trialOf(t, 10)), testing.AllocsPerRun(20, trialOf(t, 5000))
	if large > 1.1*small {
		t.Errorf("%v allocations among 5,000 Ingresses, %v among 10, want the same", large, small)
	}
}

func BenchmarkTrial(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			try := trialOf(b, size)
			for b.Loop() {
				try()
			}
		})
	}
}
