//go:build soak && linux

package soak

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A backendProcess can be killed and comes back on the same address. Half of them
// leave resets behind when they die, the others orderly ends.
type backendProcess struct {
	addr  netip.AddrPort
	reset bool

	mu    sync.Mutex
	cmd   *exec.Cmd // guarded by mu
	stdin *os.File  // open while the process is to live; guarded by mu
	down  []span    // when it could not serve, the last open-ended while it is down; guarded by mu
	kills int       // guarded by mu
}

type span struct{ from, to time.Time }

var backends int

// newBackend starts a backend. Each has a loopback address of its own, so that no
// outgoing connection can take its port while it is down.
func newBackend(t *testing.T) *backendProcess {
	t.Helper()
	backends++
	b := &backendProcess{reset: backends%4 < 2}
	if err := b.start(fmt.Sprintf("127.0.1.%d:0", backends)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.end()
	})
	return b
}

// start starts the process and waits until it listens.
func (b *backendProcess) start(addr string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	stdin, keep, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), backendEnv+"="+addr)
	if b.reset {
		cmd.Env = append(cmd.Env, resetEnv+"=1")
	}
	cmd.Stdin, cmd.Stderr = stdin, os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.cmd, b.stdin = cmd, keep
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.end()
		return fmt.Errorf("backend on %s: %w", addr, err)
	}
	if b.addr, err = netip.ParseAddrPort(strings.TrimSpace(line)); err != nil {
		return err
	}
	if n := len(b.down); n > 0 {
		b.down[n-1].to = time.Now()
	}
	return nil
}

// kill ends the process as the kernel ends one that has no memory left.
func (b *backendProcess) kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = append(b.down, span{from: time.Now()})
	b.kills++
	b.end()
}

// end kills the process, if there is one, and waits for it.
func (b *backendProcess) end() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait() // how a killed process ended says nothing
	b.stdin.Close()
	b.cmd = nil
}

// wasDown reports whether the backend could not serve at some time of the span.
func (b *backendProcess) wasDown(s span) bool {
	// The clock of a record and ours are read at different ends of a busy machine.
	const slack = 500 * time.Millisecond
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.down) - 1; i >= 0; i-- {
		d := b.down[i]
		if (d.to.IsZero() || d.to.Add(slack).After(s.from)) && d.from.Add(-slack).Before(s.to) {
			return true
		}
	}
	return false
}
