package cli

import (
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The first signal drains, the second ends at once.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	signals := make(chan os.Signal, 2)
	var log waiter
	args := []string{
		"serve", "--manifests", t.TempDir(), "--shutdown-delay", "1h",
		"--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0", "--admin-addr", "", "--debug-addr", "",
	}
	code := make(chan int, 1)
	go func() { code <- run(t.Context(), args, io.Discard, &log, signals) }()
	log.wait(t, "listening")
	signals <- syscall.SIGTERM
	log.wait(t, "shutting down")
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
			"watch-ingress-without-class": "true", "external-https-port": "443", "shutdown-delay": "5s",
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
