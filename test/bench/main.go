//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	cardea    string
	base      string
	proxyCPUs string
	loadCPUs  string
	rounds    int
	length    time.Duration
	warm      time.Duration
	run       string
	subjects  string
	json      string
	profiles  string
	keep      bool
	list      bool
	idle      int
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "backend":
			exit(backend(os.Args[2:]))
		case "flood":
			exit(flood(os.Args[2:]))
		case "load":
			exit(load(os.Args[2:]))
		}
	}
	exit(bench(os.Args[1:]))
}

func exit(err error) {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func bench(args []string) error {
	// The processes are to end with this one (Pdeathsig), and the kernel ties that
	// to the thread that started them.
	runtime.LockOSThread()

	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.cardea, "cardea", "bin/cardea", "the program to measure")
	f.StringVar(&o.base, "base", "", "another build of it, measured beside it")
	f.StringVar(&o.proxyCPUs, "proxy-cpus", "0", "core that each proxy is pinned to")
	f.StringVar(&o.loadCPUs, "load-cpus", "1", "cores of load generator and backend, as taskset takes them")
	f.IntVar(&o.rounds, "rounds", 3, "rounds; 0 means each scenario's own number")
	f.DurationVar(&o.length, "length", 3*time.Second, "measured part of a round")
	f.DurationVar(&o.warm, "warm", 700*time.Millisecond, "load before the measured part")
	f.StringVar(&o.run, "run", "", "regular expression: scenarios to run; all by default")
	f.StringVar(&o.subjects, "subjects", "cardea,nginx,haproxy", "proxies to run")
	f.StringVar(&o.json, "json", "bin/bench.json", "file to write the results to")
	f.StringVar(&o.profiles, "profiles", "", "folder for Cardea's CPU profiles, one per scenario; they cost some CPU time")
	f.BoolVar(&o.keep, "keep", false, "keep the folder with configurations and logs")
	f.BoolVar(&o.list, "list", false, "list the scenarios and exit")
	f.IntVar(&o.idle, "idle", 10000, "connections of the idle scenarios")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.base != "" {
		o.subjects += ",base"
	}
	chosen, err := choose(o)
	if err != nil {
		return err
	}
	if o.list {
		for _, s := range chosen {
			fmt.Printf("%-24s %s\n", s.Name, s.Title)
		}
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	b, err := newWorkbench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	report := &Report{Machine: describeMachine(o), Started: time.Now().UTC().Truncate(time.Second)}
	report.print(os.Stdout)
	printHead(os.Stdout)
	var failed []error
	for _, s := range chosen {
		res, err := b.measure(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.Name, err))
			fmt.Printf("| %s | failed: %v |\n", s.Name, err)
			continue
		}
		res.print(os.Stdout)
		report.Results = append(report.Results, res)
	}
	report.Seconds = int(time.Since(report.Started).Seconds())
	out, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	if o.json != "" {
		if err := os.WriteFile(o.json, append(out, '\n'), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "\nresults: %s\n", o.json)
	}
	return errors.Join(failed...)
}

// choose returns the scenarios that the flags ask for.
func choose(o options) ([]*Scenario, error) {
	re, err := regexp.Compile(o.run)
	if err != nil {
		return nil, err
	}
	var chosen []*Scenario
	for i := range scenarios {
		if s := &scenarios[i]; re.MatchString(s.Name) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		var names []string
		for i := range scenarios {
			names = append(names, scenarios[i].Name)
		}
		return nil, fmt.Errorf("no scenario matches %q; there are %s", o.run, strings.Join(names, ", "))
	}
	return chosen, nil
}

// raiseNofile makes room for the idle connections, which the children inherit, and
// returns the limit.
func raiseNofile(want int) (int, error) {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 0, err
	}
	lim.Cur = lim.Max
	if lim.Max < uint64(want) {
		lim.Cur, lim.Max = uint64(want), uint64(want)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("raise the limit of open files to %d: %w (raise the hard limit, or set -idle)", want, err)
	}
	return int(min(lim.Cur, 65536)), nil
}
