//go:build envtest

package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/cardea-dev/cardea/api/v1alpha1"
)

// installDefinition installs config/crd as it is, and returns when the API server
// serves it.
func installDefinition(t *testing.T) {
	t.Helper()
	if _, err := envtest.InstallCRDs(cluster, envtest.CRDInstallOptions{Paths: []string{"../config/crd"}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the kind is served", func() bool {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind + "List"))
		return kube.List(t.Context(), list) == nil
	})
}

// parametersIn reads a file of testdata of api/v1alpha1, which its own tests read
// as well.
func parametersIn(t *testing.T, name string) (all []*unstructured.Unstructured) {
	t.Helper()
	text, err := os.ReadFile("../api/v1alpha1/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for doc := range bytes.SplitSeq(text, []byte("---\n")) {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &o.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// TestParametersComeLater: a controller begins without the definition, and serves
// what parameters say as soon as there are some.
func TestParametersComeLater(t *testing.T) {
	p := newPlace(t)
	class := &networkingv1.IngressClass{}
	if err := kube.Get(t.Context(), client.ObjectKey{Name: p.class}, class); err != nil {
		t.Fatal(err)
	}
	class.Spec.Parameters = &networkingv1.IngressClassParametersReference{
		APIGroup: new(v1alpha1.GroupVersion.Group), Kind: v1alpha1.Kind, Name: "later", Scope: new("Cluster"),
	}
	update(t, class)
	create(t, p.service("web"), p.secret(t, "tls", "shop", "shop.example.com"), p.ingress("shop", "shop.example.com", "tls"))
	r := p.start(t, func(c *Config) { c.Events = p.events(t, "one") })
	r.ready(t)
	r.wait(t, 5*time.Second, "the host", func() bool { return r.certificate("shop.example.com") == "shop" })
	eventually(t, 5*time.Second, "an Event about parameters that do not exist", func() bool {
		return hasEvent(t, class, "ParametersNotFound")
	})

	installDefinition(t)
	later := &v1alpha1.IngressClassParameters{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
		ObjectMeta: metav1.ObjectMeta{Name: "later"},
		Spec: v1alpha1.IngressClassParametersSpec{TLS: v1alpha1.TLS{
			Policy: v1alpha1.PolicyCustom, Custom: &v1alpha1.TLSPolicy{MinVersion: "1.1", CipherSuites: []v1alpha1.CipherSuite{"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"}},
		}},
	}
	stored := &unstructured.Unstructured{Object: object(t, later)}
	create(t, stored)
	// The informer tries again after half a minute at the latest.
	r.wait(t, time.Minute, "the custom policy", func() bool { return r.spec.TLSPolicy != nil && r.spec.TLSPolicy.Name == "custom" })
	eventually(t, 5*time.Second, "an Event about a weak policy", func() bool { return hasEvent(t, stored, "TLSPolicyWeak") })

	// From then on a change is published as any other.
	stored.Object["spec"] = map[string]any{"tls": map[string]any{"policy": "modern"}}
	update(t, stored)
	r.wait(t, time.Second, "the policy modern", func() bool { return r.spec.TLSPolicy.Name == "modern" })
	if err := kube.Delete(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	r.wait(t, time.Second, "the default policy", func() bool { return r.spec.TLSPolicy == nil })
}

// object returns v as the API sees it.
func object(t *testing.T, v any) map[string]any {
	t.Helper()
	o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(v)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func hasEvent(t *testing.T, o client.Object, reason string) bool {
	t.Helper()
	for _, e := range eventsOf(t, o) {
		if e.Reason == reason {
			return true
		}
	}
	return false
}

// TestAPIServerRefuses holds the definition to the lists that Validate is held to.
func TestAPIServerRefuses(t *testing.T) {
	installDefinition(t)
	for _, o := range parametersIn(t, "invalid.yaml") {
		err := kube.Create(t.Context(), o)
		status, ok := err.(apierrors.APIStatus)
		if !ok || status.Status().Code != http.StatusUnprocessableEntity {
			t.Errorf("create %s = %v, want it refused as invalid", o.GetName(), err)
			continue
		}
		want := o.GetAnnotations()["wrong"]
		var fields []string
		for _, c := range status.Status().Details.Causes {
			fields = append(fields, c.Field)
		}
		if !slices.Contains(fields, want) {
			t.Errorf("create %s is refused because of %q, want %s: %v", o.GetName(), fields, want, err)
		}
	}
	for _, o := range parametersIn(t, "valid.yaml") {
		want := new(v1alpha1.IngressClassParameters)
		decodeInto(t, o, want)
		want.Default()
		if err := kube.Create(t.Context(), o); err != nil {
			t.Errorf("create %s = %v, want it stored", o.GetName(), err)
			continue
		}
		t.Cleanup(func() { _ = kube.Delete(context.Background(), o) })
		got := new(v1alpha1.IngressClassParameters)
		decodeInto(t, o, got)
		// The defaults of the definition are those of Default.
		if diff := cmp.Diff(want.Spec, got.Spec); diff != "" {
			t.Errorf("%s (-Default +API server):\n%s", o.GetName(), diff)
		}
		if errs := got.Validate(); len(errs) > 0 {
			t.Errorf("Validate(%s) as stored = %v, want nothing", o.GetName(), errs)
		}
	}
}

func decodeInto(t *testing.T, o *unstructured.Unstructured, into any) {
	t.Helper()
	text, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// TestDefaultCertificateOfParameters: the Secret that parameters name is read, and
// followed.
func TestDefaultCertificateOfParameters(t *testing.T) {
	installDefinition(t)
	p := newPlace(t)
	class := &networkingv1.IngressClass{}
	if err := kube.Get(t.Context(), client.ObjectKey{Name: p.class}, class); err != nil {
		t.Fatal(err)
	}
	class.Spec.Parameters = &networkingv1.IngressClassParametersReference{
		APIGroup: new(v1alpha1.GroupVersion.Group), Kind: v1alpha1.Kind, Name: p.class, Scope: new("Cluster"),
	}
	update(t, class)
	parameters := &v1alpha1.IngressClassParameters{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
		ObjectMeta: metav1.ObjectMeta{Name: p.class},
		Spec:       v1alpha1.IngressClassParametersSpec{TLS: v1alpha1.TLS{DefaultCertificate: &v1alpha1.SecretReference{Namespace: p.namespace, Name: "default"}}},
	}
	stored := &unstructured.Unstructured{Object: object(t, parameters)}
	create(t, stored)
	r := p.start(t, func(c *Config) { c.Events = p.events(t, "one") })
	r.ready(t)
	eventually(t, 5*time.Second, "an Event about a Secret that does not exist", func() bool { return hasEvent(t, stored, "SecretNotFound") })
	served := func() string {
		if c := r.spec.DefaultCertificate; c != nil {
			return c.Leaf().Subject.CommonName
		}
		return ""
	}
	create(t, p.secret(t, "default", "first", "any.example.com"))
	r.wait(t, 5*time.Second, "the first certificate", func() bool { return served() == "first" })
	update(t, p.secret(t, "default", "second", "any.example.com"))
	r.wait(t, 5*time.Second, "the second certificate", func() bool { return served() == "second" })
	if err := kube.Delete(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	r.wait(t, 5*time.Second, "no default certificate", func() bool { return served() == "" })
}

// TestKeepParameters: the policy of config/optional refuses to delete parameters
// that are not marked for it.
func TestKeepParameters(t *testing.T) {
	installDefinition(t)
	parameters := func(name string, annotations map[string]string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: object(t, &v1alpha1.IngressClassParameters{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
		})}
	}
	// The other tests may delete theirs.
	t.Cleanup(func() {
		for _, name := range []string{"kept", "unmarked"} {
			eventually(t, 20*time.Second, "a delete is not refused any more", func() bool {
				return client.IgnoreNotFound(kube.Delete(context.Background(), parameters(name, nil))) == nil
			})
		}
	})
	text, err := os.ReadFile("../config/optional/keep-parameters.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for doc := range bytes.SplitSeq(text, []byte("---\n")) {
		o := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(doc, &o.Object); err != nil {
			t.Fatal(err)
		}
		create(t, o)
		t.Cleanup(func() { _ = kube.Delete(context.Background(), o) })
	}
	// The API server takes a moment to apply the policy.
	eventually(t, 20*time.Second, "a delete is refused", func() bool {
		p := parameters("kept", nil)
		if err := kube.Create(t.Context(), p); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		err := kube.Delete(t.Context(), p)
		return err != nil && strings.Contains(err.Error(), `set the annotation cardea.dev/delete: "yes"`)
	})
	marked := parameters("marked", map[string]string{"cardea.dev/delete": "yes"})
	if err := kube.Create(t.Context(), marked); err != nil {
		t.Fatal(err)
	}
	if err := kube.Delete(t.Context(), marked); err != nil {
		t.Errorf("delete of marked parameters = %v, want nil", err)
	}
	no := parameters("unmarked", map[string]string{"cardea.dev/delete": "no"})
	if err := kube.Create(t.Context(), no); err != nil {
		t.Fatal(err)
	}
	if err := kube.Delete(t.Context(), no); err == nil {
		t.Error("delete of parameters marked with \"no\" = nil, want an error")
	}
}
