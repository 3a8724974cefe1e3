package dataplane

import (
	"context"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A Phase is how far the end of a DataPlane has come. There is no way back.
type Phase int32

// The phases, in order.
const (
	// Serving is the phase of a DataPlane that nobody has asked to end.
	Serving Phase = iota
	// Leaving is that of one which still accepts connections while clients are asked
	// to leave, see [DataPlane.Leave].
	Leaving
	// Draining is that in which no connection is accepted and what is under way may
	// finish.
	Draining
	// Cutting is that in which what has not finished is cut.
	Cutting
	// Ended is that of one whose last outcome was told.
	Ended
)

var phaseNames = [...]string{"serving", "leaving", "draining", "cutting", "ended"}

// String returns the name of the phase in logs and metrics.
func (p Phase) String() string { return phaseNames[p] }

// Phase returns how far the end has come.
func (d *DataPlane) Phase() Phase { return Phase(d.phase.Load()) }

// Phases returns 1 for the name of the present phase and 0 for those of the others.
func (d *DataPlane) Phases() map[string]int {
	phases := make(map[string]int, len(phaseNames))
	for _, name := range phaseNames {
		phases[name] = 0
	}
	phases[d.Phase().String()] = 1
	return phases
}

// Leave asks clients to leave while connections are still accepted: an answer is the
// last one of its connection (Connection: close, GOAWAY) with a probability that grows
// from none to certainty over the given time, and stays there. It is for the time in
// which load balancers learn that another process is to be used. Call it before the
// context of Run ends, once.
func (d *DataPlane) Leave(over time.Duration) {
	if d.phase.CompareAndSwap(int32(Serving), int32(Leaving)) {
		d.proxy.Leave(over)
	}
}

// drainReport is how often the log tells what a drain waits for.
const drainReport = 10 * time.Second

// drain ends what Run began.
func (d *DataPlane) drain(ctx context.Context) {
	start, timeout := time.Now(), d.cfg.DrainTimeout
	if timeout == 0 {
		timeout = defaultDrainTimeout
	}
	d.phase.Store(int32(Draining))
	for _, l := range d.listeners {
		l.StopAccepting()
	}
	d.http1.Shutdown()
	d.http2.Shutdown()
	d.log.Info("draining: no connection is accepted any more", append(d.underWay(), "timeout", timeout.String())...)
	if !d.awaitIdle(ctx, timeout) {
		d.log.Warn("the drain is over: what has not ended is cut", d.underWay()...)
	}
	d.phase.Store(int32(Cutting))
	d.Close()
	d.phase.Store(int32(Ended))

	cut := d.wasCut()
	cut.Duration = time.Since(start)
	d.log.Info("drained", "seconds", cut.Duration.Seconds(),
		"cut_requests", cut.Requests, "cut_tunnels", cut.Tunnels, "cut_connections", cut.Connections)
	if d.cfg.Sink.Drain != nil {
		d.cfg.Sink.Drain(cut)
	}
}

// awaitIdle waits until the last connection has ended; it returns false if that took
// longer than the timeout. It tells now and then what it waits for.
func (d *DataPlane) awaitIdle(ctx context.Context, timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	idle := make(chan bool, 1)
	go func() {
		for _, l := range d.listeners {
			if l.Wait(ctx) != nil {
				idle <- false
				return
			}
		}
		idle <- true
	}()
	tick := time.NewTicker(drainReport)
	defer tick.Stop()
	for {
		select {
		case ended := <-idle:
			return ended
		case <-tick.C:
			d.log.Info("draining", d.underWay()...)
		}
	}
}

// underWay is what the log tells of what has not ended.
func (d *DataPlane) underWay() []any {
	connections := 0
	for _, n := range d.OpenConns() {
		connections += n
	}
	tunnels := d.proxy.Tunnels()
	return []any{"connections", connections, "requests", max(0, d.proxy.InFlight()-tunnels), "tunnels", tunnels}
}

// wasCut counts what ended with the reason shutdown.
func (d *DataPlane) wasCut() *outcome.Drain {
	o := new(outcome.Drain)
	o.Requests, o.Tunnels = d.proxy.Cut()
	for _, l := range d.listeners {
		o.Connections += l.Cut()
	}
	return o
}
