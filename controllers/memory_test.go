//go:build envtest

package controllers

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// childEnv makes the test binary a controller that says how much memory it
// needed to become ready, so that nothing else of the binary is counted.
const childEnv = "CARDEA_TEST_MEMORY_CHILD"

type childConfig struct {
	Host           string
	CA, Cert, Key  []byte
	ControllerName string
}

// A footprint is what the kernel and the runtime say about the child, in KiB.
type footprint struct{ RSS, Peak, Heap int }

func runChild() (ran bool, code int) {
	text := os.Getenv(childEnv)
	if text == "" {
		return false, 0
	}
	var c childConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true, 1
	}
	cfg := Config{
		REST:      &rest.Config{Host: c.Host, TLSClientConfig: rest.TLSClientConfig{CAData: c.CA, CertData: c.Cert, KeyData: c.Key}},
		Publisher: newRecorder(),
		Logger:    logr.Discard(),
	}
	cfg.Translate.ControllerName = c.ControllerName
	controller, err := New(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true, 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	go func() {
		for controller.NotReady() != "" && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * time.Second) // what comes right after the start counts too
		cancel()
	}()
	_ = controller.Run(ctx)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	_ = json.NewEncoder(os.Stdout).Encode(footprint{RSS: procStatus("VmRSS"), Peak: procStatus("VmHWM"), Heap: int(memory.HeapAlloc >> 10)})
	return true, 0
}

func procStatus(field string) int {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// measure returns the least footprint of three children.
func measure(t *testing.T, controllerName string) footprint {
	t.Helper()
	config, err := json.Marshal(childConfig{Host: cluster.Host, CA: cluster.CAData, Cert: cluster.CertData, Key: cluster.KeyData, ControllerName: controllerName})
	if err != nil {
		t.Fatal(err)
	}
	var all []footprint
	for range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+string(config))
		child.Stderr = os.Stderr
		out, err := child.Output()
		if err != nil {
			t.Fatal(err)
		}
		var f footprint
		if err := json.NewDecoder(bytes.NewReader(out)).Decode(&f); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	least := all[0]
	for _, f := range all[1:] {
		least = footprint{min(least.RSS, f.RSS), min(least.Peak, f.Peak), min(least.Heap, f.Heap)}
	}
	t.Logf("%+v of %+v", least, all)
	return least
}

// TestUnrelatedSecretsCostLittle reports and bounds what 10,000 Secrets of 10 KiB
// cost that no Ingress names.
func TestUnrelatedSecretsCostLittle(t *testing.T) {
	p := newPlace(t)
	create(t, p.service("web"), p.secret(t, "tls", "named", "shop.example.com"), p.ingress("shop", "shop.example.com", "tls"))
	p.unrelated(t, 10000, 25, func(meta metav1.ObjectMeta, data []byte) client.Object {
		return &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"data": data}}
	})
}

// TestUnrelatedConfigMapsCostLittle is the same of 3,000 ConfigMaps.
func TestUnrelatedConfigMapsCostLittle(t *testing.T) {
	p := newPlace(t)
	create(t, p.service("web"), p.bundle(t, "ca", "named"), p.verified("shop", "ca"))
	p.unrelated(t, 3000, 15, func(meta metav1.ObjectMeta, data []byte) client.Object {
		return &corev1.ConfigMap{ObjectMeta: meta, BinaryData: map[string][]byte{"ca.crt": data}}
	})
}

// unrelated measures what n objects of 10 KiB cost, which may be most MiB at the peak.
func (p place) unrelated(t *testing.T, n, most int, object func(metav1.ObjectMeta, []byte) client.Object) {
	t.Helper()
	without := measure(t, p.controllerName)
	const size = 10 << 10
	var creating sync.WaitGroup
	for w := range 8 {
		creating.Go(func() {
			for i := w; i < n; i += 8 {
				data := make([]byte, size)
				_, _ = rand.Read(data)
				meta := p.meta(fmt.Sprint("unrelated-", i))
				// kubectl apply leaves a copy of the data in an annotation.
				meta.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: fmt.Sprintf("%x", data[:size/2])}
				if err := kube.Create(t.Context(), object(meta, data)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	creating.Wait()
	if t.Failed() {
		return
	}
	with := measure(t, p.controllerName)
	t.Logf("%d objects of 10 KiB cost %.1f MiB RSS, %.1f MiB at the peak, %.1f MiB heap", n,
		float64(with.RSS-without.RSS)/1024, float64(with.Peak-without.Peak)/1024, float64(with.Heap-without.Heap)/1024)
	if more := with.Peak - without.Peak; more > most<<10 {
		t.Errorf("%d unrelated objects of 10 KiB cost %d KiB at the peak, want at most %d MiB", n, more, most)
	}
	if err := kube.DeleteAllOf(t.Context(), object(metav1.ObjectMeta{}, nil), client.InNamespace(p.namespace)); err != nil {
		t.Fatal(err)
	}
}
