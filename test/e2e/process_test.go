//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is one running cardea.
type process struct {
	cmd                       *exec.Cmd
	http, https, admin, debug string
	exited                    chan struct{}
	waitErr                   error

	mu     sync.Mutex
	stdout []string // JSON log lines: access and handshake
	stderr []string
}

var nextProcess int

// start runs `cardea controller` with the rights of config/rbac and waits until
// it is ready. More flags may follow.
func start(t *testing.T, flags ...string) *process {
	t.Helper()
	p := launch(t, flags...)
	eventually(t, 30*time.Second, "cardea is ready", func() error {
		select {
		case <-p.exited:
			t.Fatalf("cardea exited: %v\n%s", p.waitErr, p.errors())
		default:
		}
		_, err := p.get("/readyz")
		return err
	})
	return p
}

// launch is start without waiting.
func launch(t *testing.T, flags ...string) *process {
	t.Helper()
	nextProcess++
	ip := fmt.Sprintf("198.18.0.%d", 10+nextProcess)
	p := &process{
		http: ip + ":80", https: ip + ":443", admin: ip + ":10254", debug: ip + ":10255",
		exited: make(chan struct{}),
	}
	args := append([]string{
		"controller", "--kubeconfig", cluster.cardeaKubeconfig,
		"--http-addr", p.http, "--https-addr", p.https, "--admin-addr", p.admin, "--debug-addr", p.debug,
	}, flags...)
	p.cmd = exec.Command(os.Getenv("CARDEA_BIN"), args...)
	p.cmd.Env = append(os.Environ(), "POD_NAMESPACE=cardea", fmt.Sprintf("POD_NAME=cardea-%d", nextProcess))
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
	var wg sync.WaitGroup
	wg.Go(func() { p.collect(stdout, &p.stdout) })
	wg.Go(func() { p.collect(stderr, &p.stderr) })
	go func() {
		wg.Wait()
		p.waitErr = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		select {
		case <-p.exited:
		default:
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
		if t.Failed() {
			t.Logf("cardea's log:\n%s", p.errors())
		}
	})
	return p
}

// collect keeps the lines of r; access-log lines are many, so only the last
// 50,000 lines are kept.
func (p *process) collect(r io.Reader, to *[]string) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p.mu.Lock()
		if len(*to) >= 50_000 {
			*to = append((*to)[:0], (*to)[25_000:]...)
		}
		*to = append(*to, s.Text())
		p.mu.Unlock()
	}
}

func (p *process) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := p.stderr
	if len(lines) > 60 {
		lines = lines[len(lines)-60:]
	}
	return strings.Join(lines, "\n")
}

// handshakes returns the handshake log records so far for which keep is true.
func (p *process) handshakes(keep func(map[string]any) bool) []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []map[string]any
	for _, line := range p.stdout {
		var rec map[string]any
		if !strings.Contains(line, "handshake") || json.Unmarshal([]byte(line), &rec) != nil {
			continue
		}
		if keep(rec) {
			found = append(found, rec)
		}
	}
	return found
}

func (p *process) get(path string) (string, error) { return httpGet("http://" + p.admin + path) }

func httpGet(url string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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
		err = fmt.Errorf("%s: %s: %s", url, res.Status, body)
	}
	return string(body), err
}

// metric returns the sum of the series of name whose labels hold every given
// `label="value"`.
func (p *process) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	page, err := p.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.SplitSeq(page, "\n") {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		match := true
		for _, l := range labels {
			match = match && strings.Contains(rest, l)
		}
		if !match {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			t.Fatalf("metrics line %q: %v", line, err)
		}
		sum += v
	}
	return sum
}

// series counts the lines of /metrics that are samples.
func (p *process) series(t *testing.T) int {
	t.Helper()
	page, err := p.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.SplitSeq(page, "\n") {
		if line != "" && line[0] != '#' {
			n++
		}
	}
	return n
}

// rss returns the resident set size in bytes.
func (p *process) rss(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// terminate sends SIGTERM and returns the exit code.
func (p *process) terminate(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(60 * time.Second):
		t.Fatal("cardea did not end within 60 s of SIGTERM")
	}
	return p.cmd.ProcessState.ExitCode()
}
