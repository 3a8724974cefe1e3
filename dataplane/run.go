package dataplane

import (
	"context"
	"sync"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// Run serves until ctx ends, then drains: it stops to accept, lets the exchanges
// that are under way finish for up to [Config.DrainTimeout], and cuts what is left.
// It returns nil then, or the error of a listening socket that broke. Call it
// once; nothing of the DataPlane is of use after it.
func (d *DataPlane) Run(ctx context.Context) error {
	broken := make(chan error, len(d.listeners))
	var serving sync.WaitGroup
	for _, l := range d.listeners {
		serving.Go(func() {
			if err := l.Serve(); err != nil {
				broken <- err
			}
		})
	}
	rotating, stop := context.WithCancel(ctx)
	serving.Go(func() { d.tickets.run(rotating) })
	if d.stapler != nil {
		serving.Go(func() { d.stapler.run(rotating) })
	}
	serving.Go(d.handshakes.run)
	var err error
	select {
	case <-ctx.Done():
	case err = <-broken:
	}
	stop()
	d.drain(context.WithoutCancel(ctx))
	d.handshakes.close()
	serving.Wait()
	return err
}

// drain ends what Run began.
func (d *DataPlane) drain(ctx context.Context) {
	start := time.Now()
	for _, l := range d.listeners {
		l.StopAccepting()
	}
	d.http1.Shutdown()
	d.http2.Shutdown()

	timeout := d.cfg.DrainTimeout
	if timeout == 0 {
		timeout = defaultDrainTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, l := range d.listeners {
		if l.Wait(ctx) != nil {
			break
		}
	}
	cut := d.unended()
	d.Close()
	cut.Duration = time.Since(start)
	d.log.Info("drained", "seconds", cut.Duration.Seconds(),
		"cut_requests", cut.Requests, "cut_tunnels", cut.Tunnels, "cut_connections", cut.Connections)
	if d.cfg.Sink.Drain != nil {
		d.cfg.Sink.Drain(cut)
	}
}

// unended counts what is under way.
func (d *DataPlane) unended() *outcome.Drain {
	o := &outcome.Drain{Tunnels: d.proxy.Tunnels()}
	o.Requests = max(0, d.proxy.InFlight()-o.Tunnels)
	for _, n := range d.OpenConns() {
		o.Connections += n
	}
	return o
}

// Close cuts everything at once. Run calls it at its end; it is for a DataPlane
// that does not run. Calling it again does nothing.
func (d *DataPlane) Close() {
	d.closing.Do(func() {
		d.stopPassing()
		if d.proxy != nil {
			d.proxy.Close()
			d.http1.Close()
			d.http2.Close()
		}
		for _, l := range d.listeners {
			l.Close()
		}
		d.upstreams.Close()
	})
}
