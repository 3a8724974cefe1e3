//go:build soak && linux

package soak

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/process"
)

// TestSoak holds that under all of it nothing is lost, nothing waits for ever and
// nothing is kept: see compare for what an exchange must come to, and settle and
// flat for what the process must.
func TestSoak(t *testing.T) {
	w := newWorld(t)
	var baseline sample
	w.Until("the process can be measured", process.Patience, func() (err error) {
		baseline, err = take(w.Process)
		return err
	})
	w.ingresses()

	ctx, stop := context.WithTimeout(t.Context(), *length)
	defer stop()
	var load, churn sync.WaitGroup
	for _, k := range kinds {
		for _, p := range k.over {
			for range k.wires * *scale {
				load.Go(func() { w.drive(ctx, k, p) })
			}
		}
	}
	var c changes
	churn.Go(func() { w.killBackends(ctx, &c) })
	churn.Go(func() { w.changeTable(ctx, &c) })
	var samples []sample
	churn.Go(func() { samples = w.watch(ctx) })
	load.Wait()
	churn.Wait()

	w.conclude()
	end := w.settle(baseline)
	w.print(&c, baseline, end, samples)
	w.flat(samples)
	w.fits(t)
	if served := len(w.serials); c.certificates > 3 && served < 2 {
		t.Errorf("clients were served %d certificates of %d, want the new ones too", served, c.certificates+1)
	}
}

// drive is the life of one connection after the other, until ctx ends; what is
// under way then is finished.
func (w *world) drive(ctx context.Context, k kind, p protocol) {
	streams := 1
	if p.h2 {
		streams = k.streams
	}
	for ctx.Err() == nil {
		conn, err := w.dial(p)
		if err != nil {
			w.ledger.refuse(err)
			continue
		}
		var all sync.WaitGroup
		for range streams {
			all.Go(func() {
				for i := 0; i < k.each && ctx.Err() == nil && conn.usable(); i++ {
					c := newClient(k.name, conn)
					v := k.run(c)
					c.cancel()
					w.ledger.see(k.name+", "+p.name, c.agent, v)
				}
			})
		}
		all.Wait()
		conn.close()
	}
}

// changes counts what was done to the program's world.
type changes struct{ kills, routes, endpoints, certificates int }

// killBackends kills one backend after the other and starts it again on the same
// address.
func (w *world) killBackends(ctx context.Context, c *changes) {
	fleet := w.fleet()
	for pause := range every(ctx, 2*time.Second) {
		b := fleet[c.kills%len(fleet)]
		b.kill()
		c.kills++
		// For how long it is away, and whether the next one goes meanwhile, varies.
		select {
		case <-time.After(time.Duration(200+300*(pause%5)) * time.Millisecond):
		case <-ctx.Done():
		}
		if err := b.start(b.addr.String()); err != nil {
			w.t.Errorf("start the backend again: %v", err)
			return
		}
	}
}

// changeTable edits routes, endpoints and certificates.
func (w *world) changeTable(ctx context.Context, c *changes) {
	for n := range every(ctx, 700*time.Millisecond) {
		switch n % 4 {
		case 0:
			w.ingress(liveIngress, [2]string{"/gone", "web"})
			c.routes++
		case 1:
			w.certificate()
			c.certificates++
		case 2:
			w.ingress(liveIngress, [2]string{"/live", "rpc"}, [2]string{"/more", "web"})
			c.routes++
		case 3:
			// In place of one that is taken out, the other serves alone.
			w.endpoints("web", w.web[n/4%2:]...)
			c.endpoints++
		}
	}
	w.endpoints("web", w.web...)
}

// every yields numbers, one with each tick, until ctx is done.
func every(ctx context.Context, d time.Duration) func(func(int) bool) {
	return func(yield func(int) bool) {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if !yield(n) {
				return
			}
		}
	}
}

// watch takes a sample each second.
func (w *world) watch(ctx context.Context) (samples []sample) {
	for range every(ctx, time.Second) {
		s, err := take(w.Process)
		if err != nil {
			w.t.Errorf("measure the process: %v", err)
			return samples
		}
		samples = append(samples, s)
	}
	return samples
}

// conclude waits until every exchange has two sides, and compares the sums: the
// metrics must say what the log says. That is asked of the Ingress that stays: an
// edit ends the series of the routes that it changes.
func (w *world) conclude() {
	w.Until("every exchange has its record, and every record its exchange", process.Patience, func() error {
		if views, records := w.ledger.unmatched(); views+records > 0 {
			return fmt.Errorf("%d exchanges without a record, such as %s; %d records without an exchange", views, w.ledger.example(), records)
		}
		return nil
	})
	page, err := w.Get(w.Admin, "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	if n := metric(page, "cardea_log_records_dropped_total"); n != 0 {
		w.t.Errorf("the logs dropped %v records", n)
	}
	for reason, n := range w.ledger.reasons {
		if got := int(metric(page, "cardea_requests_total", `ingress="`+mainIngress+`"`, `reason="`+reason+`"`)); got != n {
			w.t.Errorf("cardea_requests_total{reason=%q} = %d, the access log has %d", reason, got, n)
		}
	}
	for reason, n := range w.ledger.shakes {
		if reason != "ok" {
			w.t.Errorf("%d handshakes failed: %s", n, reason)
		}
	}
}

// settle takes the Ingresses away, and with them the pools and their kept
// connections: the process must hold again what it held before there were any.
func (w *world) settle(baseline sample) (end sample) {
	for _, name := range []string{mainIngress, liveIngress} {
		if err := os.Remove(filepath.Join(w.dir, name+".yaml")); err != nil {
			w.t.Fatal(err)
		}
	}
	w.Until("goroutines and descriptors are back to what they were", process.Patience, func() (err error) {
		if end, err = take(w.Process); err != nil {
			return err
		}
		if end.goroutines > baseline.goroutines || end.fds > baseline.fds {
			return fmt.Errorf("%v, want %v", end, baseline)
		}
		return nil
	})
	return end
}

// flat holds that memory does not grow: in the last two thirds of the samples the
// line through them rises by no more than a tenth of the mean and 8 MiB, which is
// what one more burst of 1 MiB bodies may leave behind. A run of less than a
// minute says nothing about that; it has the bound alone.
func (w *world) flat(samples []sample) {
	for _, s := range samples {
		if bound := int64(256<<20) * int64(*scale); s.rss > bound {
			w.t.Errorf("resident memory was %d MiB, want %d at most", s.rss>>20, bound>>20)
			break
		}
	}
	if *length < time.Minute {
		return
	}
	last := samples[len(samples)/3:]
	for _, g := range gauges {
		if rise, mean := growth(last, g.of); rise > mean/10+g.slack {
			w.t.Errorf("%s rose by %.0f about a mean of %.0f in the last two thirds, want flat (%.0f)", g.name, rise, mean, mean/10+g.slack)
		}
	}
}
