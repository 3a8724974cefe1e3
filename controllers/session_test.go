package controllers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestReachLog: the log of a replica that has read nothing yet says that it is not
// ready and why, that of another one that it serves on.
func TestReachLog(t *testing.T) {
	for ready, want := range map[bool]string{
		false: "not ready: the cluster has not been read yet, and the API server does not answer",
		true:  "the API server does not answer; what was published is served on",
	} {
		var log strings.Builder
		r := newReach(funcr.New(func(_, args string) { log.WriteString(args) }, funcr.Options{}), nil)
		r.ready = func() bool { return ready }
		r.note(errors.New("connection refused"), time.Now())
		if got := log.String(); !strings.Contains(got, want) || !strings.Contains(got, "connection refused") {
			t.Errorf("ready %v: log = %s, want %q and the error", ready, got, want)
		}
	}
}

// TestReachTellsOfTheFirstAnswer: an API server that never fails is told to answer,
// once.
func TestReachTellsOfTheFirstAnswer(t *testing.T) {
	var told []bool
	r := newReach(logr.Discard(), func(answers bool) { told = append(told, answers) })
	r.note(nil, time.Now())
	r.note(nil, time.Now())
	if diff := cmp.Diff([]bool{true}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestReachTellsOfOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []bool
		r := newReach(logr.Discard(), func(answers bool) { told = append(told, answers) })
		answer := context.DeadlineExceeded
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		probes := 0
		go func() {
			defer close(done)
			r.run(ctx, func(context.Context) { probes++; r.note(answer, time.Now()) })
		}()
		over := func() bool {
			select {
			case <-r.back:
				return true
			default:
				return false
			}
		}
		r.note(context.DeadlineExceeded, time.Now())
		time.Sleep(time.Second)
		r.note(nil, time.Now())
		synctest.Wait()
		if over() || r.trouble() != "" {
			t.Errorf("a short outage is told; trouble = %q", r.trouble())
		}

		r.note(context.DeadlineExceeded, time.Now())
		time.Sleep(10 * time.Second)
		if over() || r.trouble() == "" {
			t.Error("an outage is over before there was an answer")
		}
		r.note(nil, time.Now())
		synctest.Wait()
		if !over() {
			t.Error("the end of an outage is not told")
		}
		time.Sleep(time.Minute)
		cancel()
		<-done
		if diff := cmp.Diff([]bool{false, true, false, true}, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if probes < 9 || probes > 14 {
			t.Errorf("%d probes, want one a second of the outages", probes)
		}
	})
}

func TestSlimDropsWhatNobodyReads(t *testing.T) {
	in := shopIngressOf("web", "shop.example.com", "tls")
	in.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	in.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "cardea.dev/x": "y"}
	if _, err := slim(in); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"cardea.dev/x": "y"}, in.Annotations); diff != "" || in.ManagedFields != nil {
		t.Errorf("slim keeps %v; annotations (-want +got):\n%s", in.ManagedFields, diff)
	}
	m := secretMetadata()
	m.ObjectMeta = metav1.ObjectMeta{Namespace: "shop", Name: "tls", UID: "u", ResourceVersion: "7", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "data"}, Labels: map[string]string{"a": "b"}}
	if _, err := slimMetadata(m); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(metav1.ObjectMeta{Namespace: "shop", Name: "tls", ResourceVersion: "7"}, m.ObjectMeta); diff != "" {
		t.Errorf("slimMetadata (-want +got):\n%s", diff)
	}
}
