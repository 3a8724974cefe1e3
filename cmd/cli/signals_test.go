package cli

import (
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The first signal takes readiness away and goes on serving for the delay, the second
// ends at once.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	signals := make(chan os.Signal, 2)
	var log waiter
	args := []string{
		"serve", "--manifests", t.TempDir(), "--shutdown-delay", "1h",
		"--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--debug-addr", "",
	}
	code := make(chan int, 1)
	go func() { code <- run(t.Context(), args, io.Discard, &log, signals) }()
	plain, admin := log.address(t, "http"), log.address(t, "admin")
	if status, body := fetch(t, admin, "/readyz"); status != 200 {
		t.Errorf("/readyz = %d %q, want 200", status, body)
	}
	if _, body := fetch(t, admin, "/metrics"); !strings.Contains(body, "\ncardea_shutdown_phase{phase=\"serving\"} 1\n") {
		t.Error("/metrics does not say that it serves")
	}
	signals <- syscall.SIGTERM
	log.wait(t, "shutting down")
	if status, body := fetch(t, admin, "/readyz"); status != 503 || !strings.Contains(body, "shutting down") {
		t.Errorf("/readyz = %d %q, want 503, shutting down", status, body)
	}
	if status, body := fetch(t, admin, "/livez"); status != 200 {
		t.Errorf("/livez = %d %q, want 200", status, body)
	}
	if _, body := fetch(t, admin, "/metrics"); !strings.Contains(body, "\ncardea_shutdown_phase{phase=\"leaving\"} 1\n") ||
		!strings.Contains(body, "\ncardea_shutdown_phase{phase=\"serving\"} 0\n") {
		t.Error("/metrics does not say that clients are asked to leave")
	}
	if status, body := fetch(t, plain, "/"); status != 404 {
		t.Errorf("a new connection in the delay: %d %q, want the 404 of an empty table", status, body)
	}
	select {
	case c := <-code:
		t.Fatalf("the first signal ended it with %d, want it to drain", c)
	default:
	}
	signals <- syscall.SIGTERM
	select {
	case c := <-code:
		if c != exitFailure {
			t.Errorf("exit code %d, want %d", c, exitFailure)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the second signal did not end it")
	}
}

// fetch asks over a connection of its own.
func fetch(t *testing.T, addr, path string) (status int, body string) {
	t.Helper()
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// ingress-nginx's names set the same values as ours.
func TestSynonyms(t *testing.T) {
	for _, args := range [][]string{
		{"--controller-class", "k8s.io/ingress-nginx", "--ingress-class", "nginx", "--publish-status-address", "192.0.2.1,192.0.2.2", "--watch-ingress-without-class"},
		{"--controller-name", "k8s.io/ingress-nginx", "--class", "nginx", "--publish-address", "192.0.2.1,192.0.2.2", "--watch-ingress-without-class=true"},
	} {
		f := newController().Flags()
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"controller-name": "k8s.io/ingress-nginx", "class": "nginx", "publish-address": "[192.0.2.1,192.0.2.2]",
			"watch-ingress-without-class": "true", "external-https-port": "443", "shutdown-delay": "10s", "shutdown-timeout": "4m0s",
		} {
			if got := f.Lookup(name).Value.String(); got != want {
				t.Errorf("%v: --%s = %s, want %s", args, name, got, want)
			}
		}
	}
}

// A waiter is a writer that others wait for.
type waiter struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *waiter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// address waits for the address of a listener.
func (w *waiter) address(t *testing.T, listener string) string {
	t.Helper()
	before := `"msg":"listening","listener":"` + listener + `","addr":"`
	w.wait(t, before)
	w.mu.Lock()
	defer w.mu.Unlock()
	_, rest, _ := strings.Cut(w.text.String(), before)
	addr, _, _ := strings.Cut(rest, `"`)
	return addr
}

func (w *waiter) wait(t *testing.T, part string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		w.mu.Lock()
		found := strings.Contains(w.text.String(), part)
		w.mu.Unlock()
		if found {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %q in the log", part)
		}
	}
}
