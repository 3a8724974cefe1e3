//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

type settings struct {
	program  string
	hosts    int
	few      int
	changes  int
	wait     time.Duration
	profiles string
}

func main() {
	var s settings
	flag.StringVar(&s.program, "cardea", "bin/cardea", "The program to measure.")
	flag.IntVar(&s.hosts, "hosts", 10_000, "Hosts of the large table.")
	flag.IntVar(&s.few, "few", 100, "Hosts of the small table, for what a change costs.")
	flag.IntVar(&s.changes, "changes", 100, "Changes of each kind.")
	flag.DurationVar(&s.wait, "wait", time.Minute, "Time from the start until memory is read.")
	flag.StringVar(&s.profiles, "profiles", "", "Folder for profiles of the large table.")
	flag.Parse()
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func (s *settings) run() error {
	dir, err := os.MkdirTemp("/dev/shm", "cardea-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%d cores, load average %.14s, %d hosts\n\n", runtime.NumCPU(), load, s.hosts)
	large, err := s.table(filepath.Join(dir, "large"), s.hosts)
	if err != nil {
		return err
	}
	defer large.end()
	if err := s.start(large); err != nil {
		return err
	}
	small, err := s.table(filepath.Join(dir, "small"), s.few)
	if err != nil {
		return err
	}
	defer small.end()
	if err := s.serveAndAwait(small); err != nil {
		return err
	}
	single, err := s.table(filepath.Join(dir, "single"), 1)
	if err != nil {
		return err
	}
	defer single.end()
	if err := s.serveAndAwait(single); err != nil {
		return err
	}
	if err := s.handshakes(large, single); err != nil {
		return err
	}
	return s.change(large, small)
}

// A table is a folder and the process that serves it.
type table struct {
	*world
	backends []*backend
	*process
}

func (s *settings) table(dir string, hosts int) (*table, error) {
	t := &table{}
	for _, answer := range []string{"one", "two"} {
		b, err := newBackend(answer)
		if err != nil {
			return nil, err
		}
		t.backends = append(t.backends, b)
	}
	var err error
	t.world, err = newWorld(dir, hosts, t.backends[0].addr, t.backends[1].addr)
	return t, err
}

func (t *table) end() {
	if t.process != nil {
		t.stop()
	}
	for _, b := range t.backends {
		_ = b.server.Close()
	}
}

// serveAndAwait starts the process and waits until a sample of hosts is servable;
// tables are published as a whole.
func (s *settings) serveAndAwait(t *table) (err error) {
	if t.process, err = serve(s.program, t.dir); err != nil {
		return err
	}
	for i := 0; i < t.hosts; i += max(1, t.hosts/50) {
		if _, err := await(t.https, hostName(i), serialOf(i), 5*time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// start prints how long the start took and what memory it left.
func (s *settings) start(t *table) error {
	if err := s.serveAndAwait(t); err != nil {
		return err
	}
	took := time.Since(t.started)
	cpu, err := t.cpu()
	if err != nil {
		return err
	}
	figure("start to a sample of 50 servable", "%.2f s, CPU %.2f s (bar 2 s)", took.Seconds(), cpu.Seconds())
	time.Sleep(time.Until(t.started.Add(s.wait)))
	pss, err := t.pss()
	if err != nil {
		return err
	}
	figure(fmt.Sprintf("PSS %v after the start", s.wait), "%.0f MiB (bar 120)", pss)
	if s.profiles != "" {
		if err := t.profile("heap", filepath.Join(s.profiles, "heap")); err != nil {
			return err
		}
	}
	for i := range t.hosts {
		if _, err := await(t.https, hostName(i), serialOf(i), time.Minute); err != nil {
			return err
		}
	}
	if pss, err = t.pss(); err != nil {
		return err
	}
	figure("every host asked once: all with their own certificate", "%d; PSS %.0f MiB", t.hosts, pss)
	return nil
}

func figure(what, format string, args ...any) {
	fmt.Printf("%-58s %s\n", what, fmt.Sprintf(format, args...))
}
