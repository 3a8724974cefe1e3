//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A flooding is the subcommand "flood": what clients that connect and stay silent
// cost the others. Good clients do full handshakes at a fixed rate, each begun
// when it is due and not when the one before is done; phases without and with the
// silent ones take turns, so that a machine that gets busier does not look like a
// flood. The kernel closes no silent connection: Cardea does, after its time for
// the first byte, and each is replaced.
type flooding struct {
	silent, rate, rounds int
	length, ramp         time.Duration
	most                 float64

	addr string
	cfg  *tls.Config
}

func flood(args []string) error {
	runtime.LockOSThread() // as in bench
	o := options{subjects: "cardea", proxyCPUs: "0", loadCPUs: "1", idle: 12_000}
	var fl flooding
	f := flag.NewFlagSet("flood", flag.ContinueOnError)
	f.StringVar(&o.cardea, "cardea", "bin/cardea", "the program to measure")
	f.StringVar(&o.proxyCPUs, "proxy-cpus", "0", "core that it is pinned to")
	f.IntVar(&fl.silent, "silent", 5000, "connections that say nothing")
	f.IntVar(&fl.rate, "rate", 200, "good handshakes per second")
	f.IntVar(&fl.rounds, "rounds", 3, "rounds, each of a phase without and one with the flood")
	f.DurationVar(&fl.length, "length", 15*time.Second, "length of a phase")
	f.DurationVar(&fl.ramp, "ramp", 10*time.Second, "time over which they come: Cardea's for the first byte, so that they are closed and replaced one by one")
	f.Float64Var(&fl.most, "most", 1.2, "largest p99 with the flood, as a multiple of that without")
	if err := f.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newWorkbench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	backend, addr, err := b.startBackend(false)
	if err != nil {
		return err
	}
	defer backend.stop()
	r, err := b.startSubject(ctx, b.subjects[0], &Scenario{Name: "flood", tls: true, path: "/1k", handshake: handshake{host: hostECDSA}}, addr)
	if err != nil {
		return err
	}
	defer r.stop()
	fl.addr, fl.cfg = r.HTTPS, &tls.Config{ServerName: hostECDSA, InsecureSkipVerify: true}

	fmt.Printf("%d handshakes/s, %d silent connections, %d rounds of %v\n\n| | handshakes | failed | p50 | p99 |\n| --- | --- | --- | --- | --- |\n",
		fl.rate, fl.silent, fl.rounds, fl.length)
	var calm, flooded []time.Duration
	failures := 0
	for range fl.rounds {
		took, failed := fl.good(ctx)
		calm, failures = append(calm, took...), failures+failed
		end, err := fl.open(ctx)
		if err != nil {
			return err
		}
		took, failed = fl.good(ctx)
		flooded, failures = append(flooded, took...), failures+failed
		end()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, row := range []struct {
		name string
		took []time.Duration
	}{{"calm", calm}, {"flooded", flooded}} {
		fmt.Printf("| %s | %d | %d | %v | %v |\n", row.name, len(row.took), fl.rounds*fl.rate*int(fl.length/time.Second)-len(row.took),
			percentile(row.took, 50).Round(time.Microsecond), percentile(row.took, 99).Round(time.Microsecond))
	}
	times := float64(percentile(flooded, 99)) / float64(percentile(calm, 99))
	fmt.Printf("\np99 with the flood is %.2f × that without\n", times)
	switch {
	case failures > 0:
		return fmt.Errorf("flood: %d good handshakes failed", failures)
	case times > fl.most:
		return fmt.Errorf("flood: the p99 grew %.2f-fold, want at most %.2f", times, fl.most)
	}
	return nil
}

// good does handshakes at the rate for a phase, and returns how long each took
// from when it was due.
func (fl *flooding) good(ctx context.Context) (took []time.Duration, failed int) {
	var mu sync.Mutex
	var running sync.WaitGroup
	begin := time.Now()
	for i := range fl.rate * int(fl.length/time.Second) {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(fl.rate))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return took, failed
		}
		running.Go(func() {
			err := fl.handshake()
			d := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				return
			}
			took = append(took, d)
		})
	}
	running.Wait()
	return took, failed
}

func (fl *flooding) handshake() error {
	c, err := net.DialTimeout("tcp", fl.addr, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	// Its end leaves no port in TIME_WAIT.
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return tls.Client(c, fl.cfg).Handshake()
}

// open opens the silent connections and keeps them open until end is called.
func (fl *flooding) open(ctx context.Context) (end func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	ready := make(chan error, fl.silent)
	for i := range fl.silent {
		running.Go(func() {
			select {
			case <-time.After(time.Duration(i) * fl.ramp / time.Duration(fl.silent)):
			case <-ctx.Done():
				return
			}
			for first := true; ctx.Err() == nil; first = false {
				c, err := net.DialTimeout("tcp", fl.addr, 10*time.Second)
				if first {
					ready <- err
				}
				if err != nil {
					return
				}
				_ = c.(*net.TCPConn).SetLinger(0)
				undo := context.AfterFunc(ctx, func() { _ = c.Close() })
				_, _ = io.Copy(io.Discard, c) // until it is closed
				undo()
				c.Close()
			}
		})
	}
	end = func() {
		cancel()
		running.Wait()
	}
	var errs []error
	for range fl.silent {
		errs = append(errs, <-ready)
	}
	if err := errors.Join(errs...); err != nil {
		end()
		return nil, err
	}
	return end, nil
}
