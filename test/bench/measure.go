//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Sample is one round of one proxy.
type Sample struct {
	CPU  float64 `json:"cpu_us"` // per request
	Rate float64 `json:"requests_per_second"`
	Busy float64 `json:"busy"` // cores used by the proxy
	// Others is the share of the proxy's core that others used: noise.
	Others float64 `json:"others"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Errors int64   `json:"errors"`
	Bad    int64   `json:"not_2xx"`
	Note   string  `json:"note,omitempty"`
}

// measure runs a scenario.
func (b *workbench) measure(ctx context.Context, sc *Scenario) (*Result, error) {
	if sc.tool == idle {
		return b.measureIdle(ctx, sc)
	}
	if sc.share > 0 {
		if err := b.calibrate(ctx); err != nil {
			return nil, err
		}
		scaled := *sc
		scaled.rate = sc.share * b.closedRate
		sc = &scaled
	}
	back, addr, err := b.startBackend(sc.allCores)
	if err != nil {
		return nil, err
	}
	defer back.stop()
	var all []*running
	defer func() {
		for _, r := range all {
			r.stop()
		}
	}()
	res := newResult(sc, b.subjects)
	for _, s := range b.subjects {
		r, err := b.startSubject(ctx, s, sc, addr)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	rounds := max(b.o.rounds, 1)
	if b.o.rounds == 3 || b.o.rounds == 0 {
		rounds = max(rounds, sc.Rounds)
	}
	for round := range rounds {
		for i := range all {
			r := all[(i+round)%len(all)] // nobody is always first
			if sc.h2 && r.alpn != "h2" {
				res.of(r.name).NotServed = true
				continue
			}
			sample, err := b.round(ctx, sc, r, addr, round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			res.of(r.name).Samples = append(res.of(r.name).Samples, sample)
		}
	}
	for _, r := range all {
		m, err := memoryOf(tree(r.Process.Pid))
		if err != nil {
			return nil, err
		}
		res.of(r.name).RSS, res.of(r.name).PSS = m.rss, m.pss
	}
	res.compare()
	if sc.allCores && sc.tool == wrk {
		b.closedRate = res.peerRate()
	}
	return res, nil
}

// calibrate finds the peers' best rate on all cores, if it is not known.
func (b *workbench) calibrate(ctx context.Context) error {
	if b.closedRate > 0 {
		return nil
	}
	for i := range scenarios {
		if s := &scenarios[i]; s.allCores && s.tool == wrk {
			short := *b
			short.o.rounds, short.o.profiles = 1, ""
			if _, err := short.measure(ctx, s); err != nil {
				return err
			}
			b.closedRate = short.closedRate
		}
	}
	if b.closedRate == 0 {
		return errors.New("no peer to take the rate from")
	}
	return nil
}

// round loads r once: warm, then the measured window, then a short rest.
func (b *workbench) round(ctx context.Context, sc *Scenario, r *running, backend string, round int) (Sample, error) {
	length := (b.o.warm + b.o.length + 500*time.Millisecond + 999*time.Millisecond).Truncate(time.Second)
	if sc.conns >= 1000 {
		length += time.Second // the handshakes take a while
	}
	g, err := b.generate(ctx, sc, r, length)
	if err != nil {
		return Sample{}, err
	}
	defer g.end()
	warm := b.o.warm
	if sc.conns >= 1000 && sc.tool == wrk {
		warm += 1500 * time.Millisecond
	}
	if err := g.pause(ctx, warm); err != nil {
		return Sample{}, err
	}
	pids := tree(r.Process.Pid)
	if b.o.profiles != "" && r.name == "cardea" && round == 0 {
		go profile(ctx, r.debug, filepath.Join(b.o.profiles, sc.Name+".pprof"), b.o.length)
	}
	begin, err := b.read(pids, backend)
	if err != nil {
		return Sample{}, err
	}
	if err := g.pause(ctx, b.o.length); err != nil {
		return Sample{}, err
	}
	end, err := b.read(pids, backend)
	if err != nil {
		return Sample{}, err
	}
	l, err := g.wait(ctx)
	if err != nil {
		return Sample{}, err
	}
	n, took := float64(end.count-begin.count), end.at.Sub(begin.at).Seconds()
	cpu, core := (end.cpu - begin.cpu).Seconds(), (end.core - begin.core).Seconds()
	if n == 0 {
		return Sample{}, fmt.Errorf("no request in the measured window: %s", l.First)
	}
	sample := Sample{
		CPU:    cpu * 1e6 / n,
		Rate:   n / took,
		Busy:   cpu / took,
		P50:    l.P50.Seconds() * 1e3,
		P99:    l.P99.Seconds() * 1e3,
		Errors: l.Errors, Bad: l.Bad, Note: l.First,
	}
	if !sc.allCores {
		sample.Others = max(0, core-cpu) / took
	}
	return sample, nil
}

// A reading is what the clocks and counters say at one moment.
type reading struct {
	at    time.Time
	cpu   time.Duration // of the proxy
	core  time.Duration // of its core, for anybody
	count int64         // of the backend
}

func (b *workbench) read(pids []int, backend string) (r reading, err error) {
	if r.count, err = served(backend); err != nil {
		return r, err
	}
	if r.core, err = coreTime(b.o.proxyCPUs); err != nil {
		return r, err
	}
	r.cpu, err = cpuTime(pids)
	r.at = time.Now()
	return r, err
}

// A generator is a running load generator.
type generator struct {
	*process
	out   *bytes.Buffer
	ready chan struct{}
	parse func([]byte) (Loaded, error)
	stdin io.Closer
	limit time.Duration
}

// generate starts the scenario's load generator and waits until it is at work.
func (b *workbench) generate(ctx context.Context, sc *Scenario, r *running, length time.Duration) (*generator, error) {
	log := filepath.Join(b.dir, "h2load.log")
	_ = os.Remove(log) // h2load appends
	env, args, parse, err := b.command(sc, r, length, log)
	if err != nil {
		return nil, err
	}
	if !sc.allCores {
		args = append([]string{"taskset", "-c", b.o.loadCPUs}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	g := &generator{out: new(bytes.Buffer), ready: make(chan struct{}), parse: parse, limit: length + 20*time.Second}
	cmd.Stdout = g.out
	// The program's own loaders say on the standard error when they are at work.
	said := &firstWrite{to: g.out, first: g.ready}
	if sc.tool == wrk || sc.tool == h2load {
		close(g.ready)
		said = &firstWrite{to: g.out}
	}
	cmd.Stderr = said
	if g.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g.process = &process{Cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(g.done)
		_ = cmd.Wait()
	}()
	select {
	case <-g.ready:
		return g, nil
	case <-g.done:
		return nil, fmt.Errorf("the load generator ended: %s", g.out)
	case <-ctx.Done():
		g.end()
		return nil, ctx.Err()
	case <-time.After(2 * time.Minute):
		g.end()
		return nil, errors.New("the load generator does not start")
	}
}

// firstWrite tells of the first write.
type firstWrite struct {
	to    io.Writer
	first chan struct{}
}

func (w *firstWrite) Write(b []byte) (int, error) {
	if w.first != nil {
		close(w.first)
		w.first = nil
		return len(b), nil
	}
	return w.to.Write(b)
}

// pause lets the load run for d.
func (g *generator) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-g.done:
		return fmt.Errorf("the load generator ended early: %s", strings.TrimSpace(g.out.String()))
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// wait returns what the generator says at its end.
func (g *generator) wait(ctx context.Context) (Loaded, error) {
	select {
	case <-g.done:
		return g.parse(g.out.Bytes())
	case <-ctx.Done():
		return Loaded{}, ctx.Err()
	case <-time.After(g.limit):
		return Loaded{}, errors.New("the load generator does not end")
	}
}

func (g *generator) end() {
	select {
	case <-g.done:
	default:
		g.stop()
	}
}

// profile saves a CPU profile of Cardea; without one there is just no profile.
func profile(ctx context.Context, addr, path string, length time.Duration) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", addr, max(1, int(length.Seconds()))), nil)
	if err != nil {
		return
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		return
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
	}
}

// measureIdle measures memory by connection, each proxy once, started anew.
func (b *workbench) measureIdle(ctx context.Context, sc *Scenario) (*Result, error) {
	back, addr, err := b.startBackend(false)
	if err != nil {
		return nil, err
	}
	defer back.stop()
	res := newResult(sc, b.subjects)
	for _, s := range b.subjects {
		if err := b.idleOf(ctx, sc, s, addr, res.of(s.name)); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	res.compare()
	return res, nil
}

func (b *workbench) idleOf(ctx context.Context, sc *Scenario, s subject, backend string, to *Measured) error {
	r, err := b.startSubject(ctx, s, sc, backend)
	if err != nil {
		return err
	}
	defer r.stop()
	if sc.h2 && r.alpn != "h2" {
		to.NotServed = true
		return nil
	}
	pids := tree(r.Process.Pid)
	before, err := memoryOf(pids)
	if err != nil {
		return err
	}
	g, err := b.generate(ctx, sc, r, time.Minute)
	if err != nil {
		return err
	}
	defer g.end()
	if err := g.pause(ctx, 5*time.Second); err != nil {
		return err
	}
	after, err := memoryOf(pids)
	if err != nil {
		return err
	}
	g.stdin.Close()
	l, err := g.wait(ctx)
	if err != nil {
		return err
	}
	to.RSS, to.PSS, to.PSSBefore = after.rss, after.pss, before.pss
	to.KiBPerConn = float64(after.pss-before.pss) / float64(b.o.idle)
	to.Samples = []Sample{{Errors: l.Errors, Bad: l.Bad, Note: l.First}}
	return nil
}
