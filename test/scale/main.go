//go:build linux

package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

type settings struct {
	mode     string
	program  string
	hosts    int
	few      int
	changes  int
	wait     time.Duration
	watch    time.Duration
	profiles string
}

func main() {
	var s settings
	flag.StringVar(&s.mode, "mode", "files", "Where the objects are: files (a folder) or controller (a real API server with etcd, in a network namespace of its own; from the top of the checkout).")
	flag.StringVar(&s.program, "cardea", "bin/cardea", "The program to measure.")
	flag.IntVar(&s.hosts, "hosts", 10_000, "Hosts of the large table.")
	flag.IntVar(&s.few, "few", 100, "Hosts of the small table, for what a change costs.")
	flag.IntVar(&s.changes, "changes", 100, "Changes of each kind.")
	flag.DurationVar(&s.wait, "wait", time.Minute, "Time from the start until memory is read.")
	flag.DurationVar(&s.watch, "watch", 0, "Time from the start until which memory is read again, every 30 s.")
	flag.StringVar(&s.profiles, "profiles", "", "Folder for profiles of the large table.")
	flag.Parse()
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// bars are what is wanted.
type bars struct {
	start, seen int // s, ms
	memory      int // MiB
}

func (s *settings) bars() bars {
	if s.mode == "controller" {
		return bars{start: 15, memory: 350, seen: 100}
	}
	return bars{start: 2, memory: 120, seen: 20}
}

// written names the moment from which a change counts.
func (s *settings) written() string {
	if s.mode == "controller" {
		return "answer of the API server"
	}
	return "rename"
}

func (s *settings) run() error {
	switch {
	case s.mode != "files" && s.mode != "controller":
		return fmt.Errorf("-mode %q: want files or controller", s.mode)
	case s.mode == "controller" && os.Getenv(inside) == "":
		return enter()
	}
	dir, err := os.MkdirTemp("/dev/shm", "cardea-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s: %d cores, load average %.14s, %d hosts\n\n", s.mode, runtime.NumCPU(), load, s.hosts)
	tables := func(name string, hosts int, backends ...netip.AddrPort) (source, error) {
		return newWorld(filepath.Join(dir, name), hosts, backends...)
	}
	ip := "127.0.0.1"
	if s.mode == "controller" {
		c, err := newCluster(dir)
		if err != nil {
			return err
		}
		defer c.end()
		ip = "198.18.1.1"
		tables = func(name string, hosts int, backends ...netip.AddrPort) (source, error) {
			return c.newTenant(name, hosts, backends...)
		}
	}
	var backends []netip.AddrPort
	for _, answer := range []string{"one", "two"} {
		b, err := newBackend(ip, answer)
		if err != nil {
			return err
		}
		defer b.server.Close()
		backends = append(backends, b.addr)
	}
	return s.measure(func(name string, hosts int) (*table, error) {
		source, err := tables(name, hosts, backends...)
		return &table{source: source}, err
	})
}

// measure makes the tables and prints all figures.
func (s *settings) measure(newTable func(name string, hosts int) (*table, error)) error {
	large, err := newTable("large", s.hosts)
	if err != nil {
		return err
	}
	defer large.end()
	if err := s.start(large); err != nil {
		return err
	}
	small, err := newTable("small", s.few)
	if err != nil {
		return err
	}
	defer small.end()
	if err := s.serveAndAwait(small); err != nil {
		return err
	}
	if s.mode == "files" { // the data plane is the same
		single, err := newTable("single", 1)
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
	}
	return s.change(large, small)
}

// A source holds the objects of a table.
type source interface {
	// put gives a host a certificate with that serial number, and a second route or
	// none, and returns when it was done. Where the objects are several, it changes
	// what differs.
	put(i int, serial int64, second bool) (time.Time, error)
	// serve starts a process that serves them.
	serve(program string) (*process, error)
	// count returns the number of hosts.
	count() int
}

// A table is a source and the process that serves it.
type table struct {
	source
	*process
}

func (t *table) end() {
	if t.process != nil {
		t.stop()
	}
}

// serveAndAwait starts the process and waits until a sample of hosts is servable;
// tables are published as a whole.
func (s *settings) serveAndAwait(t *table) (err error) {
	if t.process, err = t.serve(s.program); err != nil {
		return err
	}
	for i := 0; i < t.count(); i += max(1, t.count()/50) {
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
	figure("start to a sample of 50 servable", "%.2f s, CPU %.2f s (bar %d s)", took.Seconds(), cpu.Seconds(), s.bars().start)
	time.Sleep(time.Until(t.started.Add(s.wait)))
	pss, err := t.pss()
	if err != nil {
		return err
	}
	figure(fmt.Sprintf("PSS %v after the start", s.wait), "%.0f MiB (bar %d)", pss, s.bars().memory)
	if err := s.idle(t); err != nil {
		return err
	}
	if s.profiles != "" {
		if err := t.profile("heap", filepath.Join(s.profiles, "heap")); err != nil {
			return err
		}
	}
	for i := range t.count() {
		if _, err := await(t.https, hostName(i), serialOf(i), time.Minute); err != nil {
			return err
		}
	}
	if pss, err = t.pss(); err != nil {
		return err
	}
	figure("every host asked once: all with their own certificate", "%d; PSS %.0f MiB", t.count(), pss)
	return nil
}

// idle prints what memory a process takes that nobody asks for anything, until the
// end of the watch.
func (s *settings) idle(t *table) error {
	for at := s.wait + 30*time.Second; at <= s.watch; at += 30 * time.Second {
		time.Sleep(time.Until(t.started.Add(at)))
		pss, err := t.pss()
		if err != nil {
			return err
		}
		figure(fmt.Sprintf("PSS %v after the start", at), "%.0f MiB", pss)
	}
	return nil
}

func figure(what, format string, args ...any) {
	fmt.Printf("%-58s %s\n", what, fmt.Sprintf(format, args...))
}
