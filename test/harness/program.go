// Package harness runs the whole program in the process of a test: the real
// command line, on loopback ports that the system chooses, fed from a folder, with
// real backends and clients.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/cmd/cli"
)

// Patience is how long the harness waits for what should happen at once.
const Patience = 20 * time.Second

// A Program is one running `cardea serve`, or another command that serves.
type Program struct {
	// Dir is the folder of manifests.
	Dir string
	// HTTP, HTTPS, Admin and Debug are the addresses that it listens on.
	HTTP, HTTPS, Admin, Debug string

	t              testing.TB
	stdout, stderr *lines
	stop           context.CancelFunc
	done           chan struct{}
	code           int
}

// Serve starts `cardea serve` on a folder and waits until it is ready. It ends
// with the test.
func Serve(t testing.TB, dir string, flags ...string) *Program {
	t.Helper()
	p := Start(t, append([]string{"serve", "--manifests", dir}, flags...)...)
	p.Dir = dir
	p.Until("it is ready", func() error {
		_, err := p.Get(p.Admin, "/readyz")
		return err
	})
	return p
}

// Start starts a command that serves, with its addresses set to loopback ports,
// and waits until it listens. It ends with the test.
func Start(t testing.TB, args ...string) *Program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &Program{t: t, stdout: newLines(), stderr: newLines(), stop: stop, done: make(chan struct{})}
	for _, flag := range []string{"--http-addr", "--https-addr", "--admin-addr", "--debug-addr"} {
		args = append(args, flag, "127.0.0.1:0")
	}
	go func() {
		defer close(p.done)
		p.code = cli.Main(ctx, args, p.stdout, p.stderr)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("standard error of cardea:\n%s\nstandard output:\n%s", p.stderr, p.stdout)
		}
	})
	for name, to := range map[string]*string{"http": &p.HTTP, "https": &p.HTTPS, "admin": &p.Admin, "debug": &p.Debug} {
		*to = p.address(name)
	}
	return p
}

// address waits for the log to tell the address of a listener.
func (p *Program) address(listener string) string {
	p.t.Helper()
	var addr string
	p.Until("the log tells the address of "+listener, func() error {
		for _, l := range p.stderr.all() {
			var rec struct{ Msg, Listener, Addr string }
			if json.Unmarshal([]byte(l), &rec) == nil && rec.Msg == "listening" && rec.Listener == listener {
				addr = rec.Addr
				return nil
			}
			if strings.Contains(l, "msg=listening listener="+listener+" ") {
				_, addr, _ = strings.Cut(l, "addr=")
				return nil
			}
		}
		return fmt.Errorf("not yet in the log")
	})
	return addr
}

// Stop ends the program as a first signal does and returns its exit code.
func (p *Program) Stop() int {
	p.stop()
	<-p.done
	return p.code
}

// Interrupt is Stop without the wait.
func (p *Program) Interrupt() { p.stop() }

// Stdout and Stderr return what was written so far.
func (p *Program) Stdout() string { return p.stdout.String() }

// Stderr is the program's own log.
func (p *Program) Stderr() string { return p.stderr.String() }

// Until waits for a fact: it asks ok again until it returns nil.
func (p *Program) Until(what string, ok func() error) {
	p.t.Helper()
	deadline := time.Now().Add(Patience)
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited %v in vain for: %s: %v\nstandard error of cardea:\n%s", Patience, what, err, p.stderr)
		}
		select {
		case <-p.done:
			p.t.Fatalf("cardea ended with code %d while waiting for: %s\n%s", p.code, what, p.stderr)
		case <-pause.C:
		}
	}
}

// Get asks one of the small servers; an answer other than 200 is an error.
func (p *Program) Get(addr, path string) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, res.Status, bytes.TrimSpace(body))
	}
	return string(body), err
}

// Write writes a file of the folder, at once and as a whole.
func (p *Program) Write(name, content string) {
	p.t.Helper()
	Write(p.t, p.Dir, name, content)
}

// Remove removes a file of the folder.
func (p *Program) Remove(name string) {
	p.t.Helper()
	if err := os.Remove(filepath.Join(p.Dir, name)); err != nil {
		p.t.Fatal(err)
	}
}

// Write writes a file below dir by renaming, as careful editors do.
func Write(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(filepath.Dir(path), ".new-"+filepath.Base(path))
	if err := os.WriteFile(tmp, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

// A Record is one line of the access log or of the handshake log.
type Record map[string]any

// Record waits for a record of a log ("access" or "handshake") with these fields.
func (p *Program) Record(log string, fields Record) Record {
	p.t.Helper()
	var found Record
	p.Until(fmt.Sprintf("a record of the %s log with %v", log, fields), func() error {
		found = nil
		for _, l := range p.stdout.all() {
			var rec Record
			if json.Unmarshal([]byte(l), &rec) == nil && rec["log"] == log && rec.holds(fields) {
				found = rec
				return nil
			}
		}
		return fmt.Errorf("there is none yet")
	})
	return found
}

func (r Record) holds(fields Record) bool {
	for k, v := range fields {
		if fmt.Sprint(r[k]) != fmt.Sprint(v) {
			return false
		}
	}
	return true
}

// lines is a writer that keeps lines; others may read while it is written to.
type lines struct {
	mu   sync.Mutex
	text []string
	rest []byte
}

func newLines() *lines { return new(lines) }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		l.text = append(l.text, string(l.rest[:i]))
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text[:len(l.text):len(l.text)]
}

func (l *lines) String() string { return strings.Join(l.all(), "\n") }
