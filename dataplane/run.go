package dataplane

import (
	"context"
	"sync"
)

// Run serves until ctx ends, then drains: it stops to accept, lets the exchanges
// that are under way finish for up to [Config.DrainTimeout], and cuts what is left;
// see [DataPlane.Leave] for what may come before. It returns nil then, or the error of a listening socket that broke. Call it
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

// Close cuts everything at once. Run calls it at its end; it is for a DataPlane
// that does not run. Calling it again does nothing.
func (d *DataPlane) Close() {
	d.closing.Do(func() {
		for _, l := range d.listeners {
			l.Cutting()
		}
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
