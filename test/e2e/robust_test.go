//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// outage is how long the API server stays away.
const outage = time.Minute

// killAPIServer ends the API server without a farewell: asked politely it waits
// for those who watch it.
func killAPIServer(t *testing.T) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		// "PID (NAME) STATE PPID ...", see proc(5); the kernel cuts NAME at 15 bytes.
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var n, parent int
		var name, state string
		if _, err := fmt.Sscanf(string(data), "%d %s %s %d", &n, &name, &state, &parent); err != nil ||
			name != "(kube-apiserver)" || parent != os.Getpid() {
			continue
		}
		if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, "envtest notices the end of the API server", cluster.env.ControlPlane.APIServer.Stop)
		return
	}
	t.Fatal("no kube-apiserver among the children of the test")
}

// TestAPIOutage: with kube-apiserver and etcd gone traffic flows on, Cardea does
// not exit, and what changed afterwards is picked up.
func TestAPIOutage(t *testing.T) {
	p := start(t)
	ca := newAuthority(t)
	ns := namespace(t, "outage")
	host := "outage.example.com"
	certPEM, keyPEM, _ := ca.issue(t, host)
	apply(t, service(ns, backend(t, "outage"))+secret(ns, "tls", certPEM, keyPEM)+ingress(ns, host))
	c := newClient(p.https, host, ca.pool)
	eventually(t, 5*time.Second, "the host is served", func() error { _, _, err := c.once("/"); return err })

	l := startLoad(t, p.https, host, ca.pool, 2)
	api := cluster.env.ControlPlane.APIServer
	killAPIServer(t)
	// Longer than one period of every retry and resync involved.
	for end := time.Now().Add(outage); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		select {
		case <-p.exited:
			t.Fatalf("cardea exited during the outage: %v", p.waitErr)
		default:
		}
	}

	// One started meanwhile says that it is not ready and why.
	second := launch(t)
	eventually(t, 10*time.Second, "a new process says why it is not ready", func() error {
		_, err := second.get("/readyz")
		if err == nil {
			return fmt.Errorf("it is ready without an API server")
		}
		if !strings.Contains(err.Error(), "API server") {
			return fmt.Errorf("readyz: %w, want it to name the API server", err)
		}
		return nil
	})

	if err := api.Start(); err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, serial := ca.issue(t, host)
	eventually(t, 30*time.Second, "kubectl works again", func() error {
		out, err := kubectl(t.Context(), []byte(secret(ns, "tls", certPEM, keyPEM)), "apply", "-f", "-")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	took := eventually(t, 60*time.Second, "a change made afterwards is served", func() error {
		_, got, err := c.once("/")
		if err == nil && got != serial {
			err = fmt.Errorf("serial %d, want %d", got, serial)
		}
		return err
	})
	eventually(t, 60*time.Second, "the second process gets ready", func() error { _, err := second.get("/readyz"); return err })
	l.end()
	t.Logf("change after the outage seen after %v; %d requests, %d failed", took.Round(time.Millisecond), l.total(), l.failed.Load())
	if err := l.err(); err != nil {
		t.Errorf("%d of %d requests failed; the first: %v", l.failed.Load(), l.total(), err)
	}
}

// TestUnrelatedSecrets: Secrets that no Ingress names cost almost nothing.
func TestUnrelatedSecrets(t *testing.T) {
	const (
		count = 10_000
		limit = 25 << 20
	)
	ca := newAuthority(t)
	ns := namespace(t, "unrelated")
	host := "unrelated.example.com"
	certPEM, keyPEM, _ := ca.issue(t, host)
	apply(t, service(ns, backend(t, "unrelated"))+secret(ns, "tls", certPEM, keyPEM)+ingress(ns, host))

	measure := func() int64 {
		p := start(t)
		eventually(t, 5*time.Second, "the host is served", func() error {
			_, _, err := newClient(p.https, host, ca.pool).once("/")
			return err
		})
		rss := p.rss(t)
		if code := p.terminate(t); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		return rss
	}
	without := measure()

	data := map[string][]byte{"blob": []byte(strings.Repeat("0123456789abcdef", 640))}
	secrets := cluster.admin.CoreV1().Secrets(ns)
	var wg errgroup
	const workers = 16
	for w := range workers {
		wg.Go(func() error {
			for i := w; i < count; i += workers {
				s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("unrelated-%d", i)}, Data: data}
				if i%2 == 0 {
					s.Type = corev1.SecretTypeTLS
					s.Data = map[string][]byte{"tls.crt": data["blob"], "tls.key": data["blob"]}
				}
				if _, err := secrets.Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := wg.Wait(); err != nil {
		t.Fatal(err)
	}
	with := measure()
	// One request; kubectl would delete them one by one.
	if err := secrets.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	t.Logf("resident set: %d KiB without, %d KiB with %d unrelated Secrets of 10 KiB", without>>10, with>>10, count)
	if with-without > limit {
		t.Errorf("%d unrelated Secrets cost %d KiB, want at most %d", count, (with-without)>>10, int64(limit)>>10)
	}
}

// TestSignals: SIGTERM drains and exits 0 while a request is under way; a second
// one ends at once.
func TestSignals(t *testing.T) {
	for _, twice := range []bool{false, true} {
		t.Run(fmt.Sprintf("twice=%v", twice), func(t *testing.T) {
			p := start(t, "--shutdown-delay", "0s")
			// A request whose head is not complete keeps the drain waiting.
			c, err := net.Dial("tcp", p.http)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: signals.example.com\r\n")
			eventually(t, 5*time.Second, "the connection is open", func() error {
				if got := p.metric(t, "cardea_connections_open"); got < 1 {
					return fmt.Errorf("cardea_connections_open = %v", got)
				}
				return nil
			})
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			eventually(t, 5*time.Second, "it is not ready any more", func() error {
				if _, err := p.get("/readyz"); err == nil {
					return fmt.Errorf("still ready")
				}
				return nil
			})
			want := 0
			if twice {
				want = 1
				if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			} else {
				fmt.Fprint(c, "\r\n")
			}
			select {
			case <-p.exited:
			case <-time.After(20 * time.Second):
				t.Fatal("still running after 20 s")
			}
			if got := p.cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
		})
	}
}
