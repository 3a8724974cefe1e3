//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// A process is one running cardea.
type process struct {
	cmd     *exec.Cmd
	started time.Time
	// https and debug are the addresses that it listens on.
	https, admin, debug string
	done                chan struct{}

	mu    sync.Mutex
	lines []string
}

// launch starts cardea and returns once it listens, which is before it serves
// anything.
func launch(program string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Env = env
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	listening := make(chan struct{})
	go p.follow(stderr, listening)
	select {
	case <-listening:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("%s ended: %q", program, p.lines)
	case <-time.After(5 * time.Minute):
		p.stop()
		return nil, fmt.Errorf("%s listens nowhere", program)
	}
}

// follow reads the log, which tells the addresses.
func (p *process) follow(stderr io.Reader, listening chan<- struct{}) {
	defer close(p.done)
	for s := bufio.NewScanner(stderr); s.Scan(); {
		var rec struct{ Msg, Listener, Addr string }
		if json.Unmarshal(s.Bytes(), &rec) == nil && rec.Msg == "listening" {
			switch rec.Listener {
			case "https":
				p.https = rec.Addr
			case "admin":
				p.admin = rec.Addr
			case "debug": // the last one
				p.debug = rec.Addr
				close(listening)
			}
		}
		p.mu.Lock()
		if len(p.lines) < 1000 {
			p.lines = append(p.lines, s.Text())
		}
		p.mu.Unlock()
	}
	_ = p.cmd.Wait()
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// cpu returns the user and system time of the process so far, in nanoseconds: its
// CPU clock (clock_getcpuclockid(3)).
func (p *process) cpu() (time.Duration, error) {
	const cpuClockSched = 2
	clock := uintptr(^p.cmd.Process.Pid)<<3 | cpuClockSched
	var ts syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0, fmt.Errorf("CPU clock: %w", errno)
	}
	return time.Duration(ts.Nano()), nil
}

// pss returns the proportional set size in MiB.
func (p *process) pss() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == "Pss:" {
			kib, err := strconv.ParseFloat(string(f[1]), 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("no Pss in smaps_rollup")
}

// profile saves a profile of the process.
func (p *process) profile(kind, to string) error {
	res, err := http.Get("http://" + p.debug + "/debug/pprof/" + kind)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, res.Body)
	return err
}
