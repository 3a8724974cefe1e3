package chart

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// cluster is the one API server of this test binary, started when a test first
// needs it.
var cluster struct {
	once       sync.Once
	env        *envtest.Environment
	kubeconfig string
	err        error
}

func TestMain(m *testing.M) { os.Exit(runMain(m)) }

func runMain(m *testing.M) int {
	log.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	defer func() {
		if cluster.env != nil {
			_ = cluster.env.Stop()
		}
		if cluster.kubeconfig != "" {
			_ = os.Remove(cluster.kubeconfig)
		}
	}()
	return m.Run()
}

// kubeconfig starts etcd and kube-apiserver, if they do not run yet, and returns
// the path of an administrator's kubeconfig.
func kubeconfig(t *testing.T) string {
	t.Helper()
	cluster.once.Do(func() { cluster.err = startCluster() })
	if cluster.err != nil {
		t.Fatalf("start etcd and kube-apiserver: %v", cluster.err)
	}
	return cluster.kubeconfig
}

func startCluster() error {
	env := &envtest.Environment{ControlPlaneStopTimeout: 20 * time.Second}
	args := env.ControlPlane.GetAPIServer().Configure()
	args.Set("endpoint-reconciler-type", "none")
	args.Set("service-cluster-ip-range", "10.0.0.0/24,fd00:10::/112")
	cfg, err := env.Start()
	if err != nil {
		return err
	}
	cluster.env = env
	admin, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, cfg)
	if err != nil {
		return err
	}
	data, err := admin.KubeConfig()
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "cardea-chart-*.kubeconfig")
	if err != nil {
		return err
	}
	cluster.kubeconfig = file.Name()
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.Close()
}

func kubectl(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	return run(t, stdin, "kubectl", append([]string{"--kubeconfig", kubeconfig(t)}, args...)...)
}

func mustKubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := kubectl(t, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// mustKubectlAfter is for the end of a test, whose context is done then.
func mustKubectlAfter(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(t, "kubectl"), append([]string{"--kubeconfig", kubeconfig(t)}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("kubectl %q: %v: %s", args, err, out)
	}
}

func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return run(t, "", "helm", append([]string{"--kubeconfig", kubeconfig(t)}, args...)...)
}

// namespaces makes namespaces, if they are not there; the first enforces
// Pod Security as strictly as it can.
func namespaces(t *testing.T, restricted string, others ...string) {
	t.Helper()
	manifest := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted}}\n", restricted)
	for _, name := range others {
		manifest += fmt.Sprintf("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", name)
	}
	mustKubectl(t, manifest, "apply", "-f", "-")
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
