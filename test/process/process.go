// Package process runs the built program as a process of its own: `cardea serve`
// on loopback ports that the system chooses, fed from a folder, its logs read by
// the test. What can be tested inside the test's process is package harness's; this
// is for what only a process has: its memory, its descriptors, its end.
//
// It needs nothing of Kubernetes, so that modules of their own can use it.
package process

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a process may take for what should happen at once.
const Patience = 30 * time.Second

// keep is how many lines of the program's own log are kept for a failed test.
const keep = 100

// A Process is one running `cardea serve`.
type Process struct {
	// HTTP, HTTPS, Admin and Debug are the addresses that it listens on.
	HTTP, HTTPS, Admin, Debug string
	// Pid is the number of the process.
	Pid int

	t       testing.TB
	cmd     *exec.Cmd
	client  http.Client
	done    chan struct{} // closed when it has ended and its logs are read
	waitErr error         // of the end; read it after done

	mu    sync.Mutex
	addrs map[string]string // by listener; guarded by mu
	log   []string          // the last lines of standard error; guarded by mu
}

// Serve starts `cardea serve` on a folder and waits until it is ready. It ends with
// the test, which fails if it does not end well. Each line of the access log and
// of the handshake log is given to line, by one goroutine, and valid during the
// call; nil discards them.
//
// The program is the one that CARDEA_BIN names, else it is built.
func Serve(t testing.TB, dir string, line func([]byte), flags ...string) *Process {
	t.Helper()
	if line == nil {
		line = func([]byte) {}
	}
	args := []string{"serve", "--manifests", dir}
	for _, flag := range []string{"--http-addr", "--https-addr", "--admin-addr", "--debug-addr"} {
		args = append(args, flag, "127.0.0.1:0")
	}
	p := &Process{
		t: t, cmd: exec.Command(program(t), append(args, flags...)...),
		done: make(chan struct{}), addrs: make(map[string]string),
		// No connection stays behind: its goroutine and descriptor would be counted
		// among those of what is tested.
		client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Pid = p.cmd.Process.Pid
	var logs sync.WaitGroup
	logs.Go(func() { scan(stdout, line) })
	logs.Go(func() { scan(stderr, p.note) })
	go func() {
		defer close(p.done)
		logs.Wait()
		p.waitErr = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("cardea ended with %v, want nil", err)
		}
		if t.Failed() {
			t.Logf("cardea's log:\n%s", p.Log())
		}
	})
	for name, to := range map[string]*string{"http": &p.HTTP, "https": &p.HTTPS, "admin": &p.Admin, "debug": &p.Debug} {
		p.Until("the log tells the address of "+name, Patience, func() error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if *to = p.addrs[name]; *to == "" {
				return fmt.Errorf("not yet in the log")
			}
			return nil
		})
	}
	p.Until("cardea is ready", Patience, func() error {
		_, err := p.Get(p.Admin, "/readyz")
		return err
	})
	return p
}

// program returns the path of the program to run.
func program(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CARDEA_BIN"); path != "" {
		return path
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cardea-dev/cardea").Output()
	if err != nil {
		t.Fatalf("find the module of cardea: %v", err)
	}
	path := filepath.Join(t.TempDir(), "cardea")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/cardea")
	build.Dir = strings.TrimSpace(string(out))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build cardea: %v\n%s", err, out)
	}
	return path
}

func scan(r io.Reader, line func([]byte)) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), 1<<20)
	for s.Scan() {
		line(s.Bytes())
	}
	_, _ = io.Copy(io.Discard, r) // behind a line that is too long
}

// note takes a line of the program's own log.
func (p *Process) note(line []byte) {
	var rec struct{ Msg, Listener, Addr string }
	_ = json.Unmarshal(line, &rec) // a stack is not JSON, and is kept all the same
	p.mu.Lock()
	defer p.mu.Unlock()
	if rec.Msg == "listening" {
		p.addrs[rec.Listener] = rec.Addr
	}
	p.log = append(p.log, string(line))
	if len(p.log) > 2*keep {
		p.log = append(p.log[:0], p.log[keep:]...)
	}
}

// Log returns the last lines of the program's own log.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// Stop ends the process as Kubernetes does, by SIGTERM, and waits for it; an error
// says that it did not end well. Further calls return the same.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("not within a minute: %w", p.waitErr)
	}
	return p.waitErr
}

// Get asks one of the small servers; an answer other than 200 is an error.
func (p *Process) Get(addr, path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return "", err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, res.Status, strings.TrimSpace(string(body)))
	}
	return string(body), err
}

// Until waits for a fact: it asks ok again until it returns nil, and fails the
// test after the limit.
func (p *Process) Until(what string, limit time.Duration, ok func() error) {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited %v in vain until %s: %v", limit, what, err)
		}
		select {
		case <-p.done:
			p.t.Fatalf("cardea ended (%v) while waiting until %s", p.waitErr, what)
		case <-pause.C:
		}
	}
}
