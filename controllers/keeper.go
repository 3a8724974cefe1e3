package controllers

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// A keeper follows a Secret that the leader writes and every replica reads: it looks
// now and then, and when this replica begins or ceases to lead.
type keeper struct {
	// step is one look. It changes nothing that is in force when it fails.
	step     func(context.Context) error
	interval time.Duration
	// trouble is what the log says when a step fails in a way that it did not before.
	trouble string
	log     logr.Logger

	leading atomic.Bool
	wake    chan struct{}
	told    string
}

// stepTimeout bounds one look.
const stepTimeout = 10 * time.Second

// lead is told whether this replica leads.
func (k *keeper) lead(leading bool) {
	k.leading.Store(leading)
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run follows the Secret until ctx ends.
func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(k.interval)
	defer tick.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, stepTimeout)
		err := k.step(bounded)
		cancel()
		if ctx.Err() != nil {
			return
		}
		k.tell(err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.wake:
		}
	}
}

// tell logs a problem when it is new.
func (k *keeper) tell(err error) {
	var text string
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != k.told {
		k.log.Info(k.trouble, "error", text)
	}
	k.told = text
}
