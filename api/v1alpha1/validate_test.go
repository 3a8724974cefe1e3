package v1alpha1_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/cardea-dev/cardea/api/v1alpha1"
)

// objects reads a file of testdata. The tests against a real API server read the
// same files.
func objects(t *testing.T, name string) (all []*v1alpha1.IngressClassParameters) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for doc := range bytes.SplitSeq(text, []byte("---\n")) {
		p := new(v1alpha1.IngressClassParameters)
		if err := yaml.UnmarshalStrict(doc, p); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, doc)
		}
		all = append(all, p)
	}
	return all
}

func TestValidate(t *testing.T) {
	for _, p := range objects(t, "valid.yaml") {
		p.Default()
		if errs := p.Validate(); len(errs) > 0 {
			t.Errorf("Validate(%s) = %v, want nothing", p.Name, errs)
		}
	}
	for _, p := range objects(t, "invalid.yaml") {
		p.Default()
		errs := p.Validate()
		want := p.Annotations["wrong"]
		var fields []string
		for _, e := range errs {
			fields = append(fields, e.Field)
		}
		// A list whose elements have keys is one where the API server names the
		// element, and Validate its key.
		if !slices.ContainsFunc(fields, func(f string) bool { return f == want || f == want+".name" }) {
			t.Errorf("Validate(%s) = %v, want an error about %s", p.Name, errs, want)
		}
	}
}

// TestDefaultIsIdempotent: what has its defaults stays as it is.
func TestDefaultIsIdempotent(t *testing.T) {
	for _, p := range objects(t, "valid.yaml") {
		p.Default()
		once := p.DeepCopy()
		p.Default()
		if got, want := marshal(t, p), marshal(t, once); got != want {
			t.Errorf("Default of what has its defaults = %s, want %s", got, want)
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDurationValue(t *testing.T) {
	for in, want := range map[v1alpha1.Duration]string{"": "0s", "0s": "0s", "1m30s": "1m30s", "soon": "0s", "500ms": "500ms"} {
		if got := in.Value().String(); got != want {
			t.Errorf("Duration(%q).Value() = %s, want %s", in, got, want)
		}
	}
	if names := v1alpha1.CipherSuites(); len(names) == 0 || !strings.HasPrefix(string(names[0]), "TLS_ECDHE_ECDSA") {
		t.Errorf("CipherSuites() = %v, want the best first", names)
	}
}
