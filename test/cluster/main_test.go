//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// world is the cluster that the tests run in. The script named run sets the
// environment that it is made from.
var world struct {
	admin *kubernetes.Clientset
	// node is an address of a node, where NodePorts answer.
	node string
	// image is Cardea's, backend that of test/cluster/backend, both in the cluster.
	image, backend string
	// service is the script that kills and starts programs of the cluster; ""
	// where the cluster is not ours to harm.
	service string
	// logs is the folder that has the logs of pods, with service.
	logs string
}

func TestMain(m *testing.M) {
	flag.Parse()
	if err := connect(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// connect fills world.
func connect() error {
	world.image, world.backend = os.Getenv("CARDEA_E2E_IMAGE"), os.Getenv("CARDEA_E2E_BACKEND_IMAGE")
	world.service, world.logs = os.Getenv("CARDEA_E2E_SERVICE"), os.Getenv("CARDEA_E2E_LOGS")
	if world.image == "" || world.backend == "" {
		return fmt.Errorf("no images; run `make e2e`")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	config.WarningHandler = rest.NoWarnings{}
	if world.admin, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := command(ctx, nil, "kubectl", "get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	if err != nil {
		return err
	}
	world.node = out
	return nil
}

// command runs a program and returns its standard output; its error has what the
// program wrote.
func command(ctx context.Context, stdin []byte, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

// must is command that fails the test.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := command(t.Context(), nil, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply is `kubectl apply -f -`.
func apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := command(t.Context(), []byte(manifest), "kubectl", "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, manifest)
	}
}

// objects returns the output of kubectl get -o json.
func objects[T any](t *testing.T, args ...string) T {
	t.Helper()
	var v T
	out := must(t, "kubectl", append([]string{"get", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("kubectl get %v: %v", args, err)
	}
	return v
}

// namespace makes one that enforces Pod Security "restricted" and ends with the
// test.
func namespace(t *testing.T, name string) string {
	t.Helper()
	return namespaceAt(t, "restricted", name)
}

// namespaceAt is namespace with another level of Pod Security.
func namespaceAt(t *testing.T, level, name string) string {
	t.Helper()
	apply(t, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: %s}}\n", name, level))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if _, err := command(ctx, nil, "kubectl", "delete", "namespace", name, "--wait=false"); err != nil {
			t.Error(err)
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
		pause(t, 20*time.Millisecond)
	}
}

// pause waits, or ends the test with its context. Nothing is expected to have
// happened after it.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-time.After(d):
	}
}
