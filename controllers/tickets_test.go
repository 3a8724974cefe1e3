package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A ticketWorld is some replicas and the Secret between them.
type ticketWorld struct {
	*testing.T
	client *fake.Clientset
	now    time.Time
	log    strings.Builder
}

type ticketReplica struct {
	*ticketKeeper
	w    *ticketWorld
	keys []*snapshot.TicketKeys
}

func newTicketWorld(t *testing.T) *ticketWorld {
	return &ticketWorld{T: t, client: fake.NewClientset(), now: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)}
}

func (w *ticketWorld) replica(leading bool) *ticketReplica {
	r := &ticketReplica{w: w}
	cfg := Config{
		Leader:    LeaderConfig{Namespace: "cardea"},
		Tickets:   TicketsConfig{Secret: "tickets"},
		Publisher: r,
		Logger:    funcr.New(func(_, args string) { fmt.Fprintln(&w.log, args) }, funcr.Options{}),
	}
	r.ticketKeeper = newTicketKeeper(cfg, w.client.CoreV1())
	r.now = func() time.Time { return w.now }
	r.leading.Store(leading)
	return r
}

func (r *ticketReplica) Publish(u snapshot.Update) error {
	r.keys = append(r.keys, u.Keys)
	return nil
}

// see does a step and returns the keys in force.
func (r *ticketReplica) see() *snapshot.TicketKeys {
	r.w.Helper()
	if err := r.step(r.w.Context()); err != nil {
		r.w.Fatalf("step() = %v, want nil", err)
	}
	if len(r.keys) == 0 {
		return nil
	}
	return r.keys[len(r.keys)-1]
}

func (w *ticketWorld) secret() *corev1.Secret {
	w.Helper()
	s, err := w.client.CoreV1().Secrets("cardea").Get(w.Context(), "tickets", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func understands(k *snapshot.TicketKeys, current *snapshot.TicketKey) bool {
	if k.Current.Equal(current) {
		return true
	}
	for _, o := range k.Others {
		if o.Equal(current) {
			return true
		}
	}
	return false
}

// Whatever the replicas have read by now, each understands what the others write.
func TestTicketRotationReachesReplicas(t *testing.T) {
	w := newTicketWorld(t)
	leader, other := w.replica(true), w.replica(false)
	if got := other.see(); got != nil {
		t.Fatal("a replica has shared keys before the leader made any")
	}
	first := leader.see().Current
	if !other.see().Current.Equal(first) {
		t.Fatal("the replicas use different keys")
	}
	w.now = w.now.Add(DefaultTicketRotation - time.Second)
	if !leader.see().Current.Equal(first) || len(leader.keys) != 1 {
		t.Errorf("the keys were rotated before %v", DefaultTicketRotation)
	}
	for range 3 {
		before := other.see()
		w.now = w.now.Add(DefaultTicketRotation)
		after := leader.see()
		if after.Current.Equal(before.Current) {
			t.Fatal("the current key was not rotated")
		}
		if !understands(before, after.Current) || !understands(after, before.Current) {
			t.Error("a replica that has not read of a rotation and one that has do not understand each other")
		}
		if late := other.see(); !late.Current.Equal(after.Current) {
			t.Error("a replica does not take over the rotation")
		}
	}
	if understands(leader.see(), first) {
		t.Error("a key of three rotations ago is still understood")
	}
	if strings.Contains(w.log.String(), string(w.secret().Data[ticketCurrent])) {
		t.Error("the log holds a secret")
	}
}

func TestTicketSecretInTrouble(t *testing.T) {
	w := newTicketWorld(t)
	leader, other := w.replica(true), w.replica(false)
	kept := leader.see().Current
	other.see()

	t.Run("invalid", func(t *testing.T) {
		s := w.secret()
		s.Data[ticketNext] = []byte("short")
		if _, err := w.client.CoreV1().Secrets("cardea").Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := other.step(t.Context()); err == nil || !strings.Contains(err.Error(), "next has 5 bytes, want 32") {
			t.Errorf("step() = %v, want next has 5 bytes", err)
		}
		if len(other.keys) != 1 {
			t.Error("a replica gave up its keys for an invalid Secret")
		}
		if kept = leader.see().Current; kept.Equal(leader.keys[0].Current) {
			t.Error("the leader did not replace an invalid Secret")
		}
		if !other.see().Current.Equal(kept) {
			t.Error("a replica does not take over the repaired Secret")
		}
	})
	t.Run("deleted", func(t *testing.T) {
		if err := w.client.CoreV1().Secrets("cardea").Delete(t.Context(), "tickets", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		other.see()
		leader.see()
		if ring, err := parseTicketRing(w.secret().Data); err != nil || !ring.current.Equal(kept) {
			t.Errorf("the Secret is made anew with other keys (%v), want those in force", err)
		}
	})
	t.Run("emptied", func(t *testing.T) {
		s := w.secret()
		s.Data = nil
		if _, err := w.client.CoreV1().Secrets("cardea").Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		other.see()
		leader.see()
		if ring, err := parseTicketRing(w.secret().Data); err != nil || !ring.current.Equal(kept) {
			t.Errorf("the Secret is filled with other keys (%v), want those in force", err)
		}
	})
	t.Run("clock", func(t *testing.T) {
		w.now = w.now.Add(-100 * DefaultTicketRotation)
		if leader.see().Current.Equal(kept) {
			t.Error("a Secret rotated far in the future is never rotated")
		}
	})
	t.Run("conflict", func(t *testing.T) {
		w.now = w.now.Add(DefaultTicketRotation)
		w.client.PrependReactor("update", "secrets", conflict)
		before := len(leader.keys)
		if leader.see(); len(leader.keys) != before {
			t.Error("the leader uses keys that it could not write")
		}
	})
}

// TestTicketSecretMadeEmpty: an installation makes the Secret without content, so
// that it goes with the installation; that is no trouble, and the leader fills it.
func TestTicketSecretMadeEmpty(t *testing.T) {
	w := newTicketWorld(t)
	empty := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tickets"}, Type: ticketsType}
	if _, err := w.client.CoreV1().Secrets("cardea").Create(t.Context(), empty, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	leader, other := w.replica(true), w.replica(false)
	if got := other.see(); got != nil {
		t.Error("a replica has shared keys before the leader made any")
	}
	if !leader.see().Current.Equal(other.see().Current) {
		t.Error("the replicas use different keys")
	}
	if strings.Contains(w.log.String(), "cannot be used") {
		t.Errorf("the log calls an empty Secret trouble:\n%s", w.log.String())
	}
}

func conflict(ktesting.Action) (bool, runtime.Object, error) {
	return true, nil, apierrors.NewConflict(corev1.Resource("secrets"), "tickets", errors.New("it was changed"))
}

func TestParseTicketRing(t *testing.T) {
	good := newTicketRing(time.Now()).rotate(time.Now()).data()
	if r, err := parseTicketRing(good); err != nil || r.previous == nil {
		t.Fatalf("parseTicketRing(data()) = %v, want it back", err)
	}
	for name, change := range map[string]func(map[string][]byte){
		"current has 0 bytes":       func(d map[string][]byte) { delete(d, ticketCurrent) },
		"previous has 1 bytes":      func(d map[string][]byte) { d[ticketPrevious] = []byte("x") },
		"current and next are":      func(d map[string][]byte) { d[ticketNext] = d[ticketCurrent] },
		"rotated is not a time":     func(d map[string][]byte) { d[ticketRotated] = []byte("yesterday") },
		"next has 33 bytes":         func(d map[string][]byte) { d[ticketNext] = make([]byte, 33) },
		"rotated is not a time as ": func(d map[string][]byte) { delete(d, ticketRotated) },
	} {
		data := map[string][]byte{}
		for k, v := range good {
			data[k] = v
		}
		change(data)
		if _, err := parseTicketRing(data); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("parseTicketRing = %v, want %q", err, name)
		}
	}
}

// The keeper's loop ends with its context, also while the API server is away, and
// says once what is wrong.
func TestTicketKeeperRun(t *testing.T) {
	w := newTicketWorld(t)
	calls := make(chan struct{}, 10)
	w.client.PrependReactor("get", "secrets", func(ktesting.Action) (bool, runtime.Object, error) {
		calls <- struct{}{}
		return true, nil, errors.New("the server is away")
	})
	r := w.replica(false)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.run(ctx) }()
	<-calls
	r.lead(true)
	<-calls
	r.lead(false)
	<-calls
	cancel()
	<-done
	if n := strings.Count(w.log.String(), "the server is away"); n != 1 {
		t.Errorf("the trouble was logged %d times, want once:\n%s", n, &w.log)
	}
}
