package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
)

// An AdmissionDecision is what became of one question of the API server.
type AdmissionDecision string

// The values of AdmissionDecision.
const (
	// Admitted: there is nothing to say, or the Ingress is not of our classes.
	Admitted AdmissionDecision = "admitted"
	// Warned: the Ingress is let in, and its author is told what is wrong with it.
	Warned AdmissionDecision = "warned"
	// Denied: nothing of the Ingress would be served.
	Denied AdmissionDecision = "denied"
	// Unjudged: the Ingress is let in, because nobody knows yet what is in the cluster.
	Unjudged AdmissionDecision = "unjudged"
	// BadReview: the question could not be read.
	BadReview AdmissionDecision = "bad_review"
)

// AdmissionDecisions returns the closed list of decisions.
func AdmissionDecisions() []AdmissionDecision {
	return []AdmissionDecision{Admitted, Warned, Denied, Unjudged, BadReview}
}

const (
	// maxReview is the most bytes of a question: an object, the one before, and what
	// is around them. etcd takes objects of up to 1.5 MiB.
	maxReview = 4 << 20
	// reviewTime bounds an answer. The API server asks for 10 s by default.
	reviewTime = 5 * time.Second
	// maxWarnings is the most warnings of one answer.
	maxWarnings = 20
)

// An admission answers the API server what would become of an Ingress. Each answer is
// a function of the Ingress and of what was read of the cluster: nothing is asked, run
// or written for it.
type admission struct {
	// try returns the trial of an Ingress, nil if it is not ours.
	try func(context.Context, *networkingv1.Ingress) (*translate.Trial, error)
	// watches reports whether the objects of a namespace are read.
	watches func(namespace string) bool
	// decided is told each decision; nil if nobody is.
	decided func(AdmissionDecision, time.Duration)
	log     logr.Logger
	now     func() time.Time
}

// ServeHTTP implements http.Handler: it answers an AdmissionReview of
// admission.k8s.io/v1.
func (a *admission) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	decision := BadReview
	defer func() {
		if a.decided != nil {
			a.decided(decision, time.Since(began))
		}
	}()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if err != nil {
		http.Error(w, "the review cannot be read", http.StatusBadRequest)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil || review.Request == nil || review.APIVersion != admissionv1.SchemeGroupVersion.String() {
		http.Error(w, "want an AdmissionReview of "+admissionv1.SchemeGroupVersion.String(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), reviewTime)
	defer cancel()
	var response *admissionv1.AdmissionResponse
	response, decision = a.review(ctx, review.Request)
	response.UID = review.Request.UID
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(&admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response}); err != nil {
		a.log.V(1).Info("an admission answer could not be sent", "error", err.Error())
	}
}

// review decides about one request.
func (a *admission) review(ctx context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, AdmissionDecision) {
	if r.Resource.Group != networkingv1.GroupName || r.Resource.Resource != "ingresses" || r.SubResource != "" ||
		r.Operation != admissionv1.Create && r.Operation != admissionv1.Update {
		return allow(), Admitted
	}
	in, err := readReviewed(r, r.Object.Raw)
	if err != nil {
		return deny(http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error()), BadReview
	}
	if in.DeletionTimestamp != nil || !a.watches(in.Namespace) {
		return allow(), Admitted // what is going away must be able to
	}
	judged, err := a.judge(ctx, in)
	switch {
	case err != nil:
		return allow("Cardea did not judge this Ingress: " + err.Error()), Unjudged
	case len(judged.Refused) > 0 && !a.deniedBefore(ctx, r):
		message := fmt.Sprintf("nothing of Ingress %s/%s would be served: %s", in.Namespace, in.Name, sayAll(judged.Refused))
		return deny(http.StatusForbidden, metav1.StatusReasonForbidden, message), Denied
	}
	var warnings []string
	for i, v := range judged.Verdicts {
		if i == maxWarnings {
			warnings = append(warnings, fmt.Sprintf("and %d more; kubectl describe ingress tells all", len(judged.Verdicts)-i))
			break
		}
		warnings = append(warnings, say(v))
	}
	if judged.Crowded {
		warnings = append(warnings, "so many Ingresses have a host of this one that not every path was compared; kubectl describe ingress tells what is not served")
	}
	if len(warnings) == 0 {
		return allow(), Admitted
	}
	return allow(warnings...), Warned
}

// judge judges an Ingress; one that is not ours has nothing said of it.
func (a *admission) judge(ctx context.Context, in *networkingv1.Ingress) (translate.Judgement, error) {
	try, err := a.try(ctx, in)
	if err != nil || try == nil {
		return translate.Judgement{}, err
	}
	return try.Judge(a.now()), nil
}

// deniedBefore reports whether the Ingress that is to be replaced would be denied, too:
// then the change makes nothing worse, and may be one to its labels or finalizers.
func (a *admission) deniedBefore(ctx context.Context, r *admissionv1.AdmissionRequest) bool {
	if r.Operation != admissionv1.Update {
		return false
	}
	old, err := readReviewed(r, r.OldObject.Raw)
	if err != nil {
		return false
	}
	judged, err := a.judge(ctx, old)
	return err == nil && len(judged.Refused) > 0
}

// readReviewed reads an object of a request.
func readReviewed(r *admissionv1.AdmissionRequest, raw []byte) (*networkingv1.Ingress, error) {
	in := new(networkingv1.Ingress)
	if err := json.Unmarshal(raw, in); err != nil {
		return nil, fmt.Errorf("the Ingress cannot be read: %w", err)
	}
	in.Namespace = r.Namespace
	if in.Name == "" {
		in.Name = r.Name
	}
	if in.Name == "" {
		in.Name = in.GenerateName + "(new)"
	}
	if in.CreationTimestamp.IsZero() {
		in.CreationTimestamp = metav1.Now()
	}
	return in, nil
}

// say says a verdict in one line: field, reason and message.
func say(v translate.Verdict) string {
	text := string(v.Reason) + ": " + v.Message
	if v.Origin.Field != "" {
		text = v.Origin.Field + ": " + text
	}
	return strings.ReplaceAll(text, "\n", " ")
}

func sayAll(verdicts []translate.Verdict) string {
	all := make([]string, 0, len(verdicts))
	for i, v := range verdicts {
		if i == maxWarnings {
			all = append(all, fmt.Sprintf("There are %d more.", len(verdicts)-i))
			break
		}
		all = append(all, say(v))
	}
	return strings.Join(all, " ") // each is a sentence
}

func allow(warnings ...string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true, Warnings: warnings}
}

func deny(code int32, reason metav1.StatusReason, message string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
}

// errNotRead is why nothing can be judged yet.
var errNotRead = fmt.Errorf("the cluster has not been read yet")

// try asks the loop for what the trial of an Ingress needs.
func (c *Controller) try(ctx context.Context, in *networkingv1.Ingress) (try *translate.Trial, err error) {
	answered := make(chan struct{})
	ask := func(l *loop) {
		defer close(answered)
		if l.published == nil {
			err = errNotRead
			return
		}
		try = l.translator.Try(in, l.mayExist)
	}
	select {
	case c.asks <- ask:
		<-answered // the loop does nothing else meanwhile
		return try, err
	case <-ctx.Done():
		return nil, fmt.Errorf("the table is being made: %w", ctx.Err())
	}
}

// mayExist reports whether there is a Secret or ConfigMap, as far as that is known:
// what is not known to be missing is not called so.
func (l *loop) mayExist(kind string, name types.NamespacedName) bool {
	of, names := secretKind, l.c.secretNamespaces()
	if kind == "ConfigMap" {
		of, names = bundleKind, l.c.watchNamespaces()
	}
	if !l.current || len(names) > 0 && !slices.Contains(names, name.Namespace) {
		return true
	}
	_, exists := l.view.version(of, name)
	return exists
}
