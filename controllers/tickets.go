package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TicketsConfig says where the secrets of TLS session tickets are, which all
// replicas share so that a session resumes at any of them.
type TicketsConfig struct {
	// Secret is the name of a Secret in the namespace of the Lease, which the
	// leader creates and rotates. "" means that every replica has secrets of its
	// own, and a session resumes at the replica alone that began it.
	Secret string
	// Rotation is how long a secret is in use. A session is resumed for as long
	// again at most. Default 12 h.
	Rotation time.Duration

	// interval is how often the Secret is read; default 30 s. A new secret is in
	// it for a whole Rotation before it is used, so no replica can miss it.
	interval time.Duration
}

// DefaultTicketRotation is the default of [TicketsConfig.Rotation].
const DefaultTicketRotation = 12 * time.Hour

// ticketsType is the type of the Secret.
const ticketsType corev1.SecretType = "cardea.dev/session-ticket-keys"

// The content of the Secret: three secrets of 32 random bytes, and when they were
// rotated.
const (
	ticketCurrent  = "current"
	ticketNext     = "next"
	ticketPrevious = "previous"
	ticketRotated  = "rotated"
)

// A ticketRing is the content of the Secret. previous is nil before the first
// rotation.
type ticketRing struct {
	current, next, previous *snapshot.TicketKey
	rotated                 time.Time
}

func newTicketRing(now time.Time) ticketRing {
	return ticketRing{current: snapshot.RandomTicketKey(), next: snapshot.RandomTicketKey(), rotated: now}
}

// rotate puts the next secret into use. Replicas that have not yet read of it
// understand it already, and it understands theirs.
func (r ticketRing) rotate(now time.Time) ticketRing {
	return ticketRing{current: r.next, next: snapshot.RandomTicketKey(), previous: r.current, rotated: now}
}

// due reports whether the ring is to be rotated. One that was rotated in the
// future was so by a clock that is wrong, and is not waited for.
func (r ticketRing) due(now time.Time, rotation time.Duration) bool {
	return now.Sub(r.rotated) >= rotation || r.rotated.Sub(now) >= rotation
}

func (r ticketRing) keys() *snapshot.TicketKeys {
	k := &snapshot.TicketKeys{Current: r.current, Others: []*snapshot.TicketKey{r.next}}
	if r.previous != nil {
		k.Others = append(k.Others, r.previous)
	}
	return k
}

func (r ticketRing) equal(o ticketRing) bool {
	return r.current.Equal(o.current) && r.next.Equal(o.next) && r.previous.Equal(o.previous)
}

func (r ticketRing) data() map[string][]byte {
	data := map[string][]byte{ticketRotated: []byte(r.rotated.UTC().Format(time.RFC3339))}
	for name, key := range map[string]*snapshot.TicketKey{ticketCurrent: r.current, ticketNext: r.next, ticketPrevious: r.previous} {
		if key != nil {
			secret := key.Secret()
			data[name] = secret[:]
		}
	}
	return data
}

// parseTicketRing reads the content of the Secret. The error names the key and
// quotes nothing of it.
func parseTicketRing(data map[string][]byte) (r ticketRing, err error) {
	for _, k := range []struct {
		name     string
		required bool
		to       **snapshot.TicketKey
	}{{ticketCurrent, true, &r.current}, {ticketNext, true, &r.next}, {ticketPrevious, false, &r.previous}} {
		value, ok := data[k.name]
		if !ok && !k.required {
			continue
		}
		if len(value) != 32 {
			return ticketRing{}, fmt.Errorf("%s has %d bytes, want 32", k.name, len(value))
		}
		*k.to = snapshot.NewTicketKey([32]byte(value))
	}
	if r.current.Equal(r.next) {
		return ticketRing{}, errors.New("current and next are the same")
	}
	if r.rotated, err = time.Parse(time.RFC3339, string(data[ticketRotated])); err != nil {
		return ticketRing{}, errors.New("rotated is not a time as of RFC 3339")
	}
	return r, nil
}

// A ticketKeeper follows the Secret and, while this replica leads, keeps it.
type ticketKeeper struct {
	keeper
	cfg       TicketsConfig
	secrets   typedcorev1.SecretInterface
	publisher Publisher
	rotated   func(time.Time) // may be nil
	now       func() time.Time
	// ring is what is in force; its keys are nil before the first.
	ring ticketRing
}

func newTicketKeeper(cfg Config, client typedcorev1.SecretsGetter) *ticketKeeper {
	t := cfg.Tickets
	t.Rotation = cmp.Or(t.Rotation, DefaultTicketRotation)
	t.interval = cmp.Or(t.interval, 30*time.Second)
	k := &ticketKeeper{
		cfg:       t,
		secrets:   client.Secrets(cfg.Leader.Namespace),
		publisher: cfg.Publisher,
		rotated:   cfg.Metrics.TicketsRotated,
		now:       time.Now,
	}
	k.keeper = keeper{
		step:     k.step,
		interval: t.interval,
		trouble:  "the Secret with the secrets of session tickets is in trouble; those in force stay in force, or each replica has its own",
		log:      cfg.Logger.WithValues("secret", cfg.Leader.Namespace+"/"+t.Secret),
		wake:     make(chan struct{}, 1),
	}
	return k
}

// step reads the Secret, puts what is in it in force and, as the leader, writes
// what it should hold. A write that meets another's is left to the next step.
func (k *ticketKeeper) step(ctx context.Context) error {
	s, err := k.secrets.Get(ctx, k.cfg.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if !k.leading.Load() {
			return nil // the leader makes it
		}
		return k.create(ctx)
	}
	if err != nil {
		return err
	}
	ring, invalid := parseTicketRing(s.Data)
	switch {
	case len(s.Data) == 0 && !k.leading.Load():
		return nil // an installation made it empty; the leader fills it
	case len(s.Data) == 0:
		ring = k.first()
	case invalid == nil && !(k.leading.Load() && ring.due(k.now(), k.cfg.Rotation)):
		return k.publish(ring)
	case !k.leading.Load():
		return fmt.Errorf("its content cannot be used: %w", invalid)
	case invalid != nil:
		k.log.Info("the secrets of session tickets cannot be used and are replaced", "problem", invalid.Error())
		ring = newTicketRing(k.now())
	default:
		ring = ring.rotate(k.now())
	}
	s = s.DeepCopy()
	s.Data = ring.data()
	if _, err = k.secrets.Update(ctx, s, metav1.UpdateOptions{}); err != nil {
		if apierrors.IsConflict(err) {
			return nil
		}
		return err
	}
	return k.publish(ring)
}

// first is the content of a Secret that has none: what the sessions of clients
// know, if it was lost meanwhile.
func (k *ticketKeeper) first() ticketRing {
	if k.ring.current != nil {
		return k.ring
	}
	return newTicketRing(k.now())
}

func (k *ticketKeeper) create(ctx context.Context) error {
	ring := k.first()
	_, err := k.secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:   k.cfg.Secret,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "cardea"},
		},
		Type: ticketsType,
		Data: ring.data(),
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return k.publish(ring)
}

func (k *ticketKeeper) publish(ring ticketRing) error {
	if k.ring.current != nil && k.ring.equal(ring) {
		return nil
	}
	if err := k.publisher.Publish(snapshot.Update{Keys: ring.keys()}); err != nil {
		return err
	}
	k.ring = ring
	k.log.Info("the secrets of session tickets are in force", "rotated", ring.rotated)
	if k.rotated != nil {
		k.rotated(ring.rotated)
	}
	return nil
}
