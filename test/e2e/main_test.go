//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// cluster is the one API server of this test binary.
var cluster struct {
	env        *envtest.Environment
	admin      *kubernetes.Clientset
	rest       *rest.Config
	kubectl    string
	kubeconfig string // admin's
	// cardeaKubeconfig is for a user that has the rights of config/rbac and no
	// others.
	cardeaKubeconfig string
	dir              string
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	log.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if os.Getenv("CARDEA_E2E_NAMESPACE") == "" {
		fmt.Fprintln(os.Stderr, "e2e: not inside the test's network namespace; run `make e2e`")
		return 2
	}
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	cluster.kubectl = filepath.Join(assets, "kubectl")
	dir, err := os.MkdirTemp("", "cardea-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 2
	}
	defer os.RemoveAll(dir)
	cluster.dir = dir

	env := &envtest.Environment{ControlPlaneStopTimeout: 20 * time.Second}
	// A folder of our own keeps the certificates when the API server is restarted.
	server := env.ControlPlane.GetAPIServer()
	server.CertDir = filepath.Join(dir, "apiserver")
	// The namespace has nobody else who would take the port while the API server is away.
	server.SecureServing.Address, server.SecureServing.Port = "127.0.0.1", "6443"
	if err := os.Mkdir(filepath.Join(dir, "apiserver"), 0o700); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 2
	}
	args := server.Configure()
	args.Set("advertise-address", "198.18.0.1")
	args.Set("service-cluster-ip-range", "198.19.0.0/16")
	args.Set("endpoint-reconciler-type", "none")
	cfg, err := env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: start etcd and kube-apiserver:", err)
		return 2
	}
	defer func() { _ = env.Stop() }()
	cfg.QPS, cfg.Burst = 1000, 2000
	cfg.WarningHandler = rest.NoWarnings{}
	cluster.env, cluster.rest = env, cfg
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: prepare the cluster:", err)
		return 2
	}
	return m.Run()
}

// prepare makes the kubeconfigs and installs Cardea's rights and class.
func prepare() error {
	var err error
	if cluster.admin, err = kubernetes.NewForConfig(cluster.rest); err != nil {
		return err
	}
	write := func(name string, user envtest.User) (string, error) {
		u, err := cluster.env.AddUser(user, cluster.rest)
		if err != nil {
			return "", err
		}
		data, err := u.KubeConfig()
		if err != nil {
			return "", err
		}
		path := filepath.Join(cluster.dir, name)
		return path, os.WriteFile(path, data, 0o600)
	}
	if cluster.kubeconfig, err = write("admin.kubeconfig", envtest.User{Name: "admin", Groups: []string{"system:masters"}}); err != nil {
		return err
	}
	if cluster.cardeaKubeconfig, err = write("cardea.kubeconfig", envtest.User{Name: "system:serviceaccount:cardea:cardea", Groups: []string{"system:serviceaccounts"}}); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"create", "namespace", "cardea"},
		{"apply", "-f", "../../config/crd"},
		{"apply", "-f", "../../config/rbac"},
		{"apply", "-f", "../../config/ingressclass.yaml"},
	} {
		if out, err := kubectl(context.Background(), nil, args...); err != nil {
			return fmt.Errorf("kubectl %q: %w: %s", args, err, out)
		}
	}
	return nil
}

func kubectl(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, cluster.kubectl, append([]string{"--kubeconfig", cluster.kubeconfig}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// apply is `kubectl apply -f -`; it fails the test when the server refuses.
func apply(t *testing.T, manifest string) {
	t.Helper()
	if out, err := kubectl(t.Context(), []byte(manifest), "apply", "-f", "-"); err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// namespace makes one for the test and deletes what is in it at the end.
func namespace(t *testing.T, name string) string {
	t.Helper()
	if out, err := kubectl(t.Context(), nil, "create", "namespace", name); err != nil {
		t.Fatalf("kubectl create namespace: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		// No namespace controller runs here: the objects are deleted by hand.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if out, err := kubectl(ctx, nil, "-n", name, "delete", "ingress,service,endpointslice,secret,event", "--all", "--wait=false"); err != nil {
			t.Errorf("kubectl delete: %v\n%s", err, out)
		}
	})
	return name
}

// eventually polls f until it returns nil; after limit it fails the test with the
// last error. It returns how long it took.
func eventually(t *testing.T, limit time.Duration, what string, f func() error) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		err := f()
		took := time.Since(start)
		if err == nil {
			return took
		}
		if took > limit {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

var nextHost byte

// backendAddr returns a new address of the namespace's test range.
func backendAddr() netip.AddrPort {
	nextHost++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 1, nextHost}), 8080)
}
