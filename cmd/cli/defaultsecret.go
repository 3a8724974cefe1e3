package cli

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cardea-dev/cardea/controllers/secrets"
	"github.com/cardea-dev/cardea/controllers/translate"
)

// secretInterval is how often the Secret of the default certificate is read. It
// is one object, which changes every few weeks and belongs to the operator: a
// watch of its own would not be worth its connection.
const secretInterval = 5 * time.Second

// A secretPoll reads one Secret now and then, and has take told what came of it.
type secretPoll struct {
	client client.Client
	name   types.NamespacedName
	take   func(*corev1.Secret, error)
}

// run reads until ctx ends.
func (p *secretPoll) run(ctx context.Context) {
	tick := time.NewTicker(secretInterval)
	defer tick.Stop()
	for {
		p.read(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *secretPoll) read(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, secretInterval)
	defer cancel()
	s := new(corev1.Secret)
	err := p.client.Get(bounded, p.name, s)
	if ctx.Err() == nil {
		p.take(s, err)
	}
}

// A secretFollower serves the certificate of one Secret as the default.
type secretFollower struct {
	secretPoll
	process *process
	store   *secrets.Store
	told    string
}

func newSecretFollower(name types.NamespacedName, p *process, config *rest.Config) (*secretFollower, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	f := &secretFollower{process: p, store: secrets.New(secrets.DefaultLastGoodAfterDelete)}
	f.secretPoll = secretPoll{c, name, f.serve}
	return f, nil
}

// serve takes in what a read of the Secret came to.
func (f *secretFollower) serve(s *corev1.Secret, err error) {
	now := time.Now()
	before := f.store.State(f.name, now).Certificate
	switch {
	case err == nil:
		f.store.Update(f.name, s, now)
	case apierrors.IsNotFound(err):
		f.store.Update(f.name, nil, now)
	default:
		f.store.Unreadable(f.name, fmt.Sprintf("it cannot be read: %v", err), now)
	}
	state := f.store.State(f.name, now)
	f.tell(state)
	if state.Certificate != before {
		if err := f.process.serveDefaultCertificate(state.Certificate); err != nil {
			f.process.log.Error("the table was refused; the last one stays in service", "error", err.Error())
		}
	}
}

// tell logs a problem when it is new.
func (f *secretFollower) tell(s translate.Secret) {
	if s.Problem != "" && s.Problem != f.told {
		f.process.log.Error("the Secret of the default certificate cannot be used", "secret", f.name.String(),
			"reason", string(s.Reason), "problem", s.Problem, "last_good", s.LastGood)
	}
	f.told = s.Problem
}
