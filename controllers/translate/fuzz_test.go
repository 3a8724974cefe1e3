package translate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// FuzzTranslate holds that no object, however odd, makes Translate fail or write
// a Spec that does not compile.
func FuzzTranslate(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		o := parseObjects(f, find(txtar.Parse(data), "in.yaml").Data)
		if len(o.Services) == 0 || len(o.Slices) == 0 {
			o.Services = append(o.Services, &corev1.Service{})
			o.Slices = append(o.Slices, &discoveryv1.EndpointSlice{})
		}
		f.Add(toJSON(f, o.Ingresses[0]), toJSON(f, o.Services[0]), toJSON(f, o.Slices[0]))
	}
	f.Fuzz(func(t *testing.T, ingress, service, slice []byte) {
		var in networkingv1.Ingress
		var s corev1.Service
		var e discoveryv1.EndpointSlice
		if json.Unmarshal(ingress, &in) != nil || json.Unmarshal(service, &s) != nil || json.Unmarshal(slice, &e) != nil {
			return
		}
		ingress, service, slice = toJSON(t, &in), toJSON(t, &s), toJSON(t, &e)
		o := translate.Objects{
			Ingresses: []*networkingv1.Ingress{&in},
			Services:  []*corev1.Service{&s},
			Slices:    []*discoveryv1.EndpointSlice{&e},
		}
		r := o.Translate(translate.Options{WithoutClass: true}, day("2026-06-01"))
		if _, err := snapshot.Compile(nil, r.Spec, func(*snapshot.Route) any { return nil }); err != nil {
			t.Errorf("Compile(spec) = %v\n%s", err, r.Spec.Text())
		}
		if !bytes.Equal(ingress, toJSON(t, &in)) || !bytes.Equal(service, toJSON(t, &s)) || !bytes.Equal(slice, toJSON(t, &e)) {
			t.Error("Translate wrote to its input")
		}
	})
}

func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
