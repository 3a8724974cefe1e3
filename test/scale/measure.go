//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// handshakes compares what a handshake costs with a random host of the large table
// and with the only one of the other, in interleaved rounds.
func (s *settings) handshakes(large, single *table) error {
	const rounds, each = 9, 400
	var costs [2][]float64
	var ratios []float64
	for round := range rounds {
		var cost [2]float64
		for turn := range 2 {
			which := (round + turn) % 2
			t := []*table{large, single}[which]
			before, err := t.cpu()
			if err != nil {
				return err
			}
			for range each {
				if _, err := shake(t.https, hostName(rand.IntN(t.count())), time.Minute); err != nil {
					return err
				}
			}
			after, err := t.cpu()
			if err != nil {
				return err
			}
			cost[which] = float64((after - before).Microseconds()) / each
			costs[which] = append(costs[which], cost[which])
		}
		ratios = append(ratios, cost[0]/cost[1])
	}
	figure("CPU of a handshake, random host, in µs", "%.0f", median(costs[0]))
	figure("CPU of a handshake, table of one host, in µs", "%.0f", median(costs[1]))
	figure("ratio, median of the rounds", "%.3f (bar 1.05)", median(ratios))
	return nil
}

// change prints how soon and at what cost a change is in force, and whether it
// cuts connections.
func (s *settings) change(large, small *table) error {
	kept, err := keep(large.https, 50, large.count())
	if err != nil {
		return err
	}
	defer kept.close()
	if err := s.seen(large); err != nil {
		return err
	}
	var cpu [2]float64
	for i, t := range []*table{large, small} {
		if cpu[i], err = s.cost(t); err != nil {
			return err
		}
	}
	figure("CPU of a change, large table, in ms", "%.2f", cpu[0])
	figure(fmt.Sprintf("CPU of a change, %d hosts, in ms", small.count()), "%.2f; ratio %.2f (bar 2)", cpu[1], cpu[0]/cpu[1])
	alive, err := kept.alive()
	figure("kept connections that survived all changes", "%d of %d", alive, len(kept))
	return err
}

// seen measures the time from a change to the first answer that shows it, for
// certificates and for routes.
func (s *settings) seen(t *table) error {
	var certificates, routes []float64
	for n := range s.changes {
		i := rand.IntN(t.count())
		serial := int64(1_000_000 + n)
		placed, err := t.put(i, serial, false)
		if err != nil {
			return err
		}
		at, err := await(t.https, hostName(i), serial, time.Minute)
		if err != nil {
			return err
		}
		certificates = append(certificates, milliseconds(at.Sub(placed)))

		if placed, err = t.put(i, serial, true); err != nil {
			return err
		}
		if at, err = awaitAnswer(t.https, hostName(i), "/two", "two", time.Minute); err != nil {
			return err
		}
		routes = append(routes, milliseconds(at.Sub(placed)))
	}
	for _, x := range []struct {
		what string
		took []float64
	}{{"certificate", certificates}, {"route", routes}} {
		figure(s.written()+" to "+x.what+" seen, ms", "p50 %.1f, p99 %.1f, max %.1f (bar p99 %d)", median(x.took), percentile(x.took, 99), slices.Max(x.took), s.bars().seen)
	}
	return nil
}

// cost returns the CPU time of a change in ms, without that of being idle for as
// long, and without any handshake.
func (s *settings) cost(t *table) (float64, error) {
	const pause = 60 * time.Millisecond
	serial := int64(2_000_000)
	busy := func(change bool) (time.Duration, error) {
		before, err := t.cpu()
		if err != nil {
			return 0, err
		}
		for range s.changes {
			next := time.Now().Add(pause)
			if change {
				serial++
				i := rand.IntN(t.count())
				if _, err := t.put(i, serial, true); err != nil {
					return 0, err
				}
			}
			time.Sleep(time.Until(next))
		}
		after, err := t.cpu()
		return after - before, err
	}
	idle, err := busy(false)
	if err != nil {
		return 0, err
	}
	working, err := busy(true)
	return milliseconds(working-idle) / float64(s.changes), err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(x []float64) float64 { return percentile(x, 50) }

// percentile is the nearest rank.
func percentile(x []float64, p int) float64 {
	sorted := slices.Sorted(slices.Values(x))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}
