package translate_test

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

var update = flag.Bool("update", false, "write the golden files of testdata")

// TestGolden holds each testdata/*.txtar to what it says: in.yaml becomes spec and
// verdicts, and, where the file has them, endpoints and references. The comment at
// the top says the rule; lines in it that begin with "option" set options.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/*.txtar: %d files, %v", len(files), err)
	}
	seen := map[translate.Reason]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"in.yaml", "spec", "verdicts"} {
				if find(archive, name) == nil {
					t.Fatalf("%s: no file %q", file, name)
				}
			}
			opts, now := options(t, archive.Comment)
			objects := parseObjects(t, find(archive, "in.yaml").Data)
			before := clone(objects)
			r := objects.Translate(opts, now)
			if diff := cmp.Diff(before, objects, compareCertificates); diff != "" {
				t.Errorf("Translate wrote to its input (-before +after):\n%s", diff)
			}
			if _, err := snapshot.Compile(nil, r.Spec, func(*snapshot.Route) any { return nil }); err != nil {
				t.Errorf("Compile(spec) = %v", err)
			}
			for _, v := range r.Verdicts {
				seen[v.Reason] = true
				if v.Origin.UID == "" && v.Reason != translate.ConfigMapNotFound {
					t.Errorf("verdict %s on %s has no UID, and an Event needs one", v.Reason, v.Origin)
				}
			}
			texts := map[string]string{
				"spec":       r.Spec.Text(),
				"verdicts":   verdictsText(r.Verdicts),
				"endpoints":  endpointsText(r.Endpoints),
				"references": referencesText(r),
				"process":    fmt.Sprintf("%+v\n", *r.Process),
			}
			for name, text := range texts {
				want := find(archive, name)
				if want == nil {
					continue
				}
				if *update {
					want.Data = []byte(text)
				}
				if diff := cmp.Diff(string(want.Data), text); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			for _, f := range archive.Files {
				if _, ok := texts[f.Name]; !ok && f.Name != "in.yaml" {
					t.Errorf("file %q means nothing", f.Name)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	for _, r := range translate.Reasons() {
		if !seen[r.Reason] {
			t.Errorf("no golden file has a verdict %s", r.Reason)
		}
		delete(seen, r.Reason)
	}
	for r := range seen {
		t.Errorf("reason %s is not in the closed list", r)
	}
}

// find returns a file of the archive, nil if it has none of that name.
func find(a *txtar.Archive, name string) *txtar.File {
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &a.Files[i]
}

// options reads lines such as "option now 2026-06-01" of the comment.
func options(t *testing.T, comment []byte) (translate.Options, time.Time) {
	t.Helper()
	opts, now := translate.Options{}, day("2026-06-01")
	for line := range strings.Lines(string(comment)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "option" {
			continue
		}
		switch words[1] {
		case "now":
			now = day(words[2])
		case "shared":
			opts.HostOwnership = translate.Shared
		case "fips":
			opts.FIPS = true
		case "controller":
			opts.ControllerName = words[2]
		case "ssl-passthrough":
			opts.SSLPassthrough = true
		case "ocsp":
			opts.OCSP = true
		case "configmap":
			opts.ConfigMap.Namespace, opts.ConfigMap.Name, _ = strings.Cut(words[2], "/")
		case "watch-namespace":
			opts.WatchNamespace = words[2]
		case "without-class":
			opts.WithoutClass = true
		default:
			t.Fatalf("unknown option %q", words[1])
		}
	}
	return opts, now
}

func verdictsText(verdicts []translate.Verdict) string {
	var b strings.Builder
	for _, v := range verdicts {
		fmt.Fprintf(&b, "%s %s  %s\n", v.Level, v.Reason, v.Origin)
		if !v.Other.IsZero() {
			fmt.Fprintf(&b, "\tother: %s\n", v.Other)
		}
		fmt.Fprintf(&b, "\t%s\n", v.Message)
	}
	return b.String()
}

func endpointsText(endpoints map[string][]snapshot.Endpoint) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(endpoints)) {
		fmt.Fprintf(&b, "pool %s\n", id)
		for _, e := range endpoints[id] {
			fmt.Fprintf(&b, "\t%s\n", strings.TrimSpace(e.Addr.String()+"  "+e.Target))
		}
	}
	return b.String()
}

func referencesText(r translate.Result) string {
	var b strings.Builder
	for _, name := range r.Ingresses {
		fmt.Fprintf(&b, "Ingress %s\n", name)
	}
	var secrets, services []string
	for name, refs := range r.Secrets {
		for _, ref := range refs {
			purpose := ""
			if ref.Purpose == translate.ForAuthorities {
				purpose = " for its authorities"
			}
			secrets = append(secrets, fmt.Sprintf("Secret %s  named by %s%s\n", name, ref.Field, purpose))
		}
	}
	for name, refs := range r.Bundles {
		for _, ref := range refs {
			secrets = append(secrets, fmt.Sprintf("ConfigMap %s  named by %s\n", name, ref.Field))
		}
	}
	for name, fields := range r.Services {
		for _, field := range fields {
			services = append(services, fmt.Sprintf("Service %s  named by %s\n", name, field))
		}
	}
	slices.Sort(secrets)
	slices.Sort(services)
	b.WriteString(strings.Join(secrets, "") + strings.Join(services, ""))
	if !r.Next.IsZero() {
		fmt.Fprintf(&b, "next %s\n", r.Next.Format(time.RFC3339))
	}
	return b.String()
}

// clone copies objects deeply.
func clone(o translate.Objects) translate.Objects {
	out := translate.Objects{Secrets: maps.Clone(o.Secrets), Bundles: maps.Clone(o.Bundles)}
	for _, v := range o.Ingresses {
		out.Ingresses = append(out.Ingresses, v.DeepCopy())
	}
	for _, v := range o.Classes {
		out.Classes = append(out.Classes, v.DeepCopy())
	}
	for _, v := range o.Services {
		out.Services = append(out.Services, v.DeepCopy())
	}
	for _, v := range o.Slices {
		out.Slices = append(out.Slices, v.DeepCopy())
	}
	for _, v := range o.ConfigMaps {
		out.ConfigMaps = append(out.ConfigMaps, v.DeepCopy())
	}
	for _, v := range o.Grants {
		out.Grants = append(out.Grants, v.DeepCopyObject().(*gateway.ReferenceGrant))
	}
	for _, v := range o.Parameters {
		out.Parameters = append(out.Parameters, v.DeepCopy())
	}
	return out
}

// compareCertificates compares certificates and authorities by identity: they are
// immutable.
var compareCertificates = cmp.Options{
	cmp.Comparer(func(a, b *snapshot.Certificate) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b *snapshot.Authorities) bool { return a == b }),
	cmp.Comparer(func(a, b *snapshot.RevocationLists) bool { return a == b }),
}
