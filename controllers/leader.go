package controllers

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// LeaderConfig says how the replicas agree on the one that does what is to be
// done once: status, session ticket keys, the certificate of the webhook, and Events
// about certificates that end. (Other Events are shared by their names.)
type LeaderConfig struct {
	// Namespace is that of the Lease, and of the controller's own objects. ""
	// means that nothing is done that only a leader may do.
	Namespace string
	// Lease is its name. Default "cardea-leader".
	Lease string
	// Identity is this replica in the Lease; it is required with Namespace.
	Identity string
	// LeaseDuration, RenewDeadline and RetryPeriod are those of
	// client-go/leaderelection. Default 15 s, 10 s, 2 s.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
}

// An election makes one replica at a time the leader. It is separate from the
// manager, which would end with the lease.
type election struct {
	cfg    LeaderConfig
	client coordinationv1.LeasesGetter
	log    logr.Logger
	// changed are told whether this replica leads, never twice the same. They
	// must not block.
	changed []func(bool)

	mu      sync.Mutex
	leading bool
}

// newElection returns nil without a namespace.
func newElection(cfg LeaderConfig, config *rest.Config, log logr.Logger) (*election, error) {
	if cfg.Namespace == "" {
		return nil, nil
	}
	if cfg.Identity == "" {
		return nil, errors.New("the lease needs an identity")
	}
	cfg.Lease = cmp.Or(cfg.Lease, "cardea-leader")
	cfg.LeaseDuration = cmp.Or(cfg.LeaseDuration, 15*time.Second)
	cfg.RenewDeadline = cmp.Or(cfg.RenewDeadline, 10*time.Second)
	cfg.RetryPeriod = cmp.Or(cfg.RetryPeriod, 2*time.Second)
	leases, err := coordinationv1.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &election{cfg: cfg, client: leases, log: log}, nil
}

// run takes part until ctx ends, and stands again after each loss.
func (e *election) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := e.stand(ctx); err != nil {
			e.log.Error(err, "leader election cannot run; this replica does nothing that is the leader's: status, session ticket keys, events about certificates that end")
		}
		select {
		case <-ctx.Done():
		case <-time.After(e.cfg.RetryPeriod):
		}
	}
}

// stand takes part until the lease is lost or ctx ends. At a regular end the
// lease is given up, so that another replica need not wait for it to expire.
func (e *election) stand(ctx context.Context) error {
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: e.cfg.Namespace, Name: e.cfg.Lease},
			Client:     e.client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: e.cfg.Identity},
		},
		LeaseDuration:   e.cfg.LeaseDuration,
		RenewDeadline:   e.cfg.RenewDeadline,
		RetryPeriod:     e.cfg.RetryPeriod,
		ReleaseOnCancel: true,
		Name:            e.cfg.Lease,
		Callbacks: leaderelection.LeaderCallbacks{
			// It is called by a goroutine of its own, so possibly after the end of
			// the term, of which the context then tells.
			OnStartedLeading: func(term context.Context) { e.set(true, term) },
			OnStoppedLeading: func() { e.set(false, context.Background()) },
		},
	})
	if err != nil {
		return err
	}
	elector.Run(ctx)
	return nil
}

func (e *election) set(leading bool, term context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if term.Err() != nil || e.leading == leading {
		return
	}
	e.leading = leading
	e.log.Info("leadership changed", "leader", leading)
	for _, changed := range e.changed {
		changed(leading)
	}
}
