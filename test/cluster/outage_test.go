//go:build cluster

package cluster

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/harness"
)

// A release is judged with 2m.
var outage = flag.Duration("outage", 30*time.Second, "how long etcd and kube-apiserver are gone")

// TestOutage: etcd and kube-apiserver are killed. Traffic goes on unharmed; what
// changes as soon as they are back is served; a pod that starts meanwhile is not
// ready and says why, in its log and on /readyz, and serves when they are back.
func TestOutage(t *testing.T) {
	if world.service == "" {
		t.Skip("the cluster is not ours to harm: KUBECONFIG names it")
	}
	r := install(t, "outage")
	const host = "outage.example.com"
	authority := harness.NewAuthority(t)
	deployBackend(t, r.namespace, "web", 2, "web")
	apply(t, authority.Secret(r.namespace, "tls", harness.Leaf{Names: []string{host}})+"---"+r.tlsIngress(host))
	f := r.front.trusting(authority.Pool())
	eventually(t, 20*time.Second, "the Ingress is served", func() error { return f.ok("https://" + host + "/") })
	// The pod that restarts is another release's: kube-proxy cannot learn in an
	// outage that a pod is not ready, so whatever restarts then is still sent
	// connections.
	restarted := onePod(t, install(t, "outage-restarted", "--set", "controller.replicaCount=1"))

	l := startLoad(t, f, host)
	must(t, world.service, "kill", "kube-apiserver", "etcd")
	t.Cleanup(func() {
		// Also where the test failed in between: the next one needs them. The other
		// programs wait up to a minute between two attempts, and begin anew.
		others := []string{"kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"}
		for _, args := range [][]string{{"start", "etcd", "kube-apiserver"}, append([]string{"kill"}, others...), append([]string{"start"}, others...)} {
			if _, err := command(context.Background(), nil, world.service, args...); err != nil {
				t.Error(err)
			}
		}
	})
	began := time.Now()
	if _, err := command(t.Context(), nil, "kubectl", "get", "--raw", "/readyz"); err == nil {
		t.Error("kube-apiserver answers after it was killed")
	}

	restarted.kill(t)
	status, body := restarted.readyz(t, "the pod that restarted says that it is not ready", http.StatusServiceUnavailable, func(body string) bool { return strings.Contains(body, "API server") })
	t.Logf("/readyz of the pod that restarted: %d %q", status, body)
	eventually(t, time.Minute, "the log of the pod that restarted says why it is not ready", func() error {
		for _, line := range restarted.log(t) {
			if strings.Contains(line, "not ready") && strings.Contains(line, "connection refused") {
				t.Logf("its log: %s", line)
				return nil
			}
		}
		return fmt.Errorf("no line says that it is not ready since the connection to the API server is refused")
	})

	pause(t, *outage-time.Since(began))
	must(t, world.service, "start", "etcd", "kube-apiserver")
	eventually(t, time.Minute, "kube-apiserver is back", func() error {
		_, err := command(t.Context(), nil, "kubectl", "get", "--raw", "/readyz")
		return err
	})
	t.Logf("etcd and kube-apiserver were gone for %v", time.Since(began).Round(time.Second))
	apply(t, plainIngress(r, "later."+host))
	took := eventually(t, time.Minute, "what was applied after the outage is served", func() error { return f.ok("http://later." + host + "/") })
	t.Logf("an Ingress applied after the outage was served after %v", took.Round(time.Millisecond))
	restarted.readyz(t, "the pod that restarted is ready after the outage", http.StatusOK, func(string) bool { return true })
	l.judge(t)
}

// pod is one pod of Cardea, reached without the API server.
type pod struct {
	namespace, name, uid, ip string
	container                string // its ID
}

func onePod(t *testing.T, r *release) *pod {
	t.Helper()
	fields := strings.Fields(must(t, "kubectl", "-n", r.namespace, "get", "pods", "-l", "app.kubernetes.io/instance="+r.name, "-o",
		"jsonpath={.items[0].metadata.name} {.items[0].metadata.uid} {.items[0].status.podIP} {.items[0].status.containerStatuses[0].containerID}"))
	return &pod{r.namespace, fields[0], fields[1], fields[2], strings.TrimPrefix(fields[3], "containerd://")}
}

// kill ends the container, as a crash would; kubelet starts it again. The
// process is found by its cgroup, which has the container's ID for a name.
func (p *pod) kill(t *testing.T) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, file := range dirs {
		data, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(data), p.container) {
			continue // ended meanwhile, or another's
		}
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/cgroup", &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed++
	}
	if killed != 1 {
		t.Fatalf("container %q of pod %q had %d processes, want 1", p.container, p.name, killed)
	}
}

// readyz waits for an answer of /readyz.
func (p *pod) readyz(t *testing.T, what string, status int, body func(string) bool) (int, string) {
	t.Helper()
	var got int
	var text []byte
	eventually(t, 2*time.Minute, what, func() error {
		client := http.Client{Timeout: 2 * time.Second}
		res, err := client.Get("http://" + p.ip + ":10254/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		got = res.StatusCode
		if text, err = io.ReadAll(res.Body); err != nil {
			return err
		}
		if got != status || !body(string(text)) {
			return fmt.Errorf("/readyz = %d %q, want %d", got, text, status)
		}
		return nil
	})
	return got, strings.TrimSpace(string(text))
}

// log returns what the container that runs now has logged, from kubelet's file.
func (p *pod) log(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(world.logs, p.namespace+"_"+p.name+"_"+p.uid, "controller", "1.log")
	data, err := os.ReadFile(file)
	if err != nil {
		return nil // not started yet
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		// kubelet puts a time, a stream and a mark before each line.
		if _, text, ok := strings.Cut(line, "{"); ok && json.Valid([]byte("{"+text)) {
			lines = append(lines, "{"+strings.TrimSpace(text))
		}
	}
	return lines
}
