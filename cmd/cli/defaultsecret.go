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

// A secretFollower serves the certificate of one Secret as the default.
type secretFollower struct {
	name    types.NamespacedName
	process *process
	client  client.Client
	store   *secrets.Store
	told    string
}

func newSecretFollower(name types.NamespacedName, p *process, config *rest.Config) (*secretFollower, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	return &secretFollower{name: name, process: p, client: c, store: secrets.New(secrets.DefaultLastGoodAfterDelete)}, nil
}

func (f *secretFollower) run(ctx context.Context) {
	tick := time.NewTicker(secretInterval)
	defer tick.Stop()
	for {
		f.read(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *secretFollower) read(ctx context.Context) {
	before := f.store.State(f.name, time.Now()).Certificate
	bounded, cancel := context.WithTimeout(ctx, secretInterval)
	defer cancel()
	s := new(corev1.Secret)
	err := f.client.Get(bounded, f.name, s)
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return
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
