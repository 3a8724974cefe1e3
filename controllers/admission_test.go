package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
)

// newAdmission answers for a cluster in which shop.example.com belongs to namespace
// shop.
func newAdmission(t *testing.T) (*admission, *[]AdmissionDecision) {
	tr := translate.New(translate.Options{})
	tr.SetIngress(reviewed("shop", "shop", "shop.example.com", "2026-01-01"))
	tr.Translate(day(t, "2026-06-01"))
	var told []AdmissionDecision
	return &admission{
		try: func(_ context.Context, in *networkingv1.Ingress) (*translate.Trial, error) {
			return tr.Try(in, func(string, types.NamespacedName) bool { return false }), nil
		},
		watches: func(namespace string) bool { return namespace != "elsewhere" },
		decided: func(d AdmissionDecision, _ time.Duration) { told = append(told, d) },
		log:     logr.Discard(),
		now:     func() time.Time { return day(t, "2026-06-01") },
	}, &told
}

func day(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// reviewed is an Ingress with one path of one host, to a Service that there is not.
func reviewed(namespace, name, host, since string) *networkingv1.Ingress {
	at, _ := time.Parse(time.DateOnly, since)
	in := &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name), CreationTimestamp: metav1.NewTime(at)},
	}
	in.Spec.IngressClassName = new(translate.DefaultClass)
	in.Spec.Rules = []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
		Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: new(networkingv1.PathTypePrefix), Backend: networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}},
		}}},
	}}}}
	return in
}

func question(in, old *networkingv1.Ingress, change func(*admissionv1.AdmissionRequest)) []byte {
	raw := func(in *networkingv1.Ingress) runtime.RawExtension {
		if in == nil {
			return runtime.RawExtension{}
		}
		b, _ := json.Marshal(in)
		return runtime.RawExtension{Raw: b}
	}
	r := &admissionv1.AdmissionRequest{
		UID: "uid-1", Namespace: in.Namespace, Name: in.Name, Operation: admissionv1.Create,
		Resource: metav1.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
		Object:   raw(in), OldObject: raw(old),
	}
	if old != nil {
		r.Operation = admissionv1.Update
	}
	if change != nil {
		change(r)
	}
	b, _ := json.Marshal(&admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: r})
	return b
}

func TestAdmission(t *testing.T) {
	fine := reviewed("shop", "new", "new.example.com", "2026-05-01")
	stolen := reviewed("thief", "new", "shop.example.com", "2026-05-01")
	labelled := stolen.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	going := stolen.DeepCopy()
	going.DeletionTimestamp = new(metav1.Now())
	closed := fine.DeepCopy()
	closed.Annotations = map[string]string{"nginx.ingress.kubernetes.io/auth-url": "https://auth.example.com", "nginx.ingress.kubernetes.io/limit-rps": "5"}
	foreign := stolen.DeepCopy()
	foreign.Spec.IngressClassName = new("other")
	for _, c := range []struct {
		name string
		body []byte
		want AdmissionDecision
		says string // in the message or the first warning
	}{
		{"what may still be served is let in with a warning", question(fine, nil, nil), Warned, "spec.rules[0].http.paths[0].backend: ServiceNotFound: "},
		{"what cannot be served is denied", question(stolen, nil, nil), Denied, "Ingress thief/new would be served: spec.rules[0]: HostConflictLost: Host shop.example.com belongs to namespace shop"},
		{"all reasons are told, as sentences", question(closed, nil, nil), Denied, "so the paths of this Ingress answer 503 until it is removed. metadata.annotations[nginx.ingress.kubernetes.io/limit-rps]: AnnotationUnsupported: "},
		{"a change that takes what was served away is denied", question(stolen, fine, nil), Denied, "HostConflictLost"},
		{"a change of what was not served before is let in", question(labelled, stolen, nil), Warned, "spec.rules[0]: HostConflictLost"},
		{"what is being deleted is let go", question(going, stolen, nil), Admitted, ""},
		{"an Ingress of another controller is not judged", question(foreign, nil, nil), Admitted, ""},
		{"an Ingress of a namespace that is not watched is not judged", question(reviewed("elsewhere", "new", "shop.example.com", "2026-05-01"), nil, nil), Admitted, ""},
		{"another resource", question(stolen, nil, func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "services" }), Admitted, ""},
		{"the status", question(stolen, nil, func(r *admissionv1.AdmissionRequest) { r.SubResource = "status" }), Admitted, ""},
		{"a deletion", question(stolen, nil, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete }), Admitted, ""},
		{"an object that is none", question(stolen, nil, func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"spec":7}`) }), BadReview, "the Ingress cannot be read"},
	} {
		a, told := newAdmission(t)
		rec := httptest.NewRecorder()
		a.ServeHTTP(rec, httptest.NewRequest("POST", "/validate", bytes.NewReader(c.body)))
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(rec.Body.Bytes(), &review); err != nil || rec.Code != 200 || review.Response == nil || review.Response.UID != "uid-1" || review.APIVersion != "admission.k8s.io/v1" {
			t.Errorf("%s: answer %d %s, %v, want a review of uid-1", c.name, rec.Code, rec.Body, err)
			continue
		}
		says := strings.Join(review.Response.Warnings, "\n")
		if review.Response.Result != nil {
			says = review.Response.Result.Message
		}
		allowed := c.want == Admitted || c.want == Warned
		if review.Response.Allowed != allowed || !strings.Contains(says, c.says) || c.want == Admitted && says != "" {
			t.Errorf("%s: allowed %t with %q, want %s with %q", c.name, review.Response.Allowed, says, c.want, c.says)
		}
		if len(*told) != 1 || (*told)[0] != c.want {
			t.Errorf("%s: decisions %v, want %s", c.name, *told, c.want)
		}
	}
}

func TestAdmissionOfNoReview(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":         "",
		"no JSON":         "{",
		"another version": `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}`,
		"no request":      `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`,
		"too much":        `{"apiVersion":"admission.k8s.io/v1","x":"` + strings.Repeat("x", maxReview) + `"}`,
	} {
		a, told := newAdmission(t)
		rec := httptest.NewRecorder()
		a.ServeHTTP(rec, httptest.NewRequest("POST", "/validate", strings.NewReader(body)))
		if rec.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400", name, rec.Code)
		}
		if len(*told) != 1 || (*told)[0] != BadReview {
			t.Errorf("%s: decisions %v, want bad_review", name, *told)
		}
	}
}

// TestAdmissionBeforeTheFirstTable holds that nobody is kept waiting for a judgement
// that there is none for.
func TestAdmissionBeforeTheFirstTable(t *testing.T) {
	a, told := newAdmission(t)
	for _, err := range []error{errNotRead, context.DeadlineExceeded} {
		*told = nil
		a.try = func(context.Context, *networkingv1.Ingress) (*translate.Trial, error) { return nil, err }
		rec := httptest.NewRecorder()
		a.ServeHTTP(rec, httptest.NewRequest("POST", "/validate", bytes.NewReader(question(reviewed("thief", "new", "shop.example.com", "2026-05-01"), nil, nil))))
		var review admissionv1.AdmissionReview
		if e := json.Unmarshal(rec.Body.Bytes(), &review); e != nil || !review.Response.Allowed || len(review.Response.Warnings) != 1 || !strings.Contains(review.Response.Warnings[0], err.Error()) {
			t.Errorf("%v: answer %s, %v, want allowed with a warning", err, rec.Body, e)
		}
		if len(*told) != 1 || (*told)[0] != Unjudged {
			t.Errorf("%v: decisions %v, want unjudged", err, *told)
		}
	}
}
