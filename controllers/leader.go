package controllers

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// An election makes one replica at a time the leader. It is separate from the
// manager, which would end with the lease.
type election struct {
	cfg    StatusConfig
	client coordinationv1.LeasesGetter
	log    logr.Logger
	// changed is told whether this replica leads, never twice the same.
	changed func(bool)

	mu      sync.Mutex
	leading bool
}

// run takes part until ctx ends, and stands again after each loss.
func (e *election) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := e.stand(ctx); err != nil {
			e.log.Error(err, "leader election cannot run; this replica does not write the status of Ingresses")
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
	e.changed(leading)
}
