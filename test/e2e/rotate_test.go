//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestApplyIsServed: an Ingress, a Service and a Secret applied with kubectl are
// served within a second.
func TestApplyIsServed(t *testing.T) {
	p := start(t)
	ca := newAuthority(t)
	ns := namespace(t, "apply")
	host := "apply.example.com"
	certPEM, keyPEM, serial := ca.issue(t, host)
	apply(t, service(ns, backend(t, "apply"))+secret(ns, "tls", certPEM, keyPEM)+ingress(ns, host))
	applied := time.Now()
	c := newClient(p.https, host, ca.pool)
	eventually(t, time.Second, "applied objects are served", func() error {
		body, got, err := c.once("/x")
		if err == nil && (body != "apply /x" || got != serial) {
			err = fmt.Errorf("body %q, serial %d", body, got)
		}
		return err
	})
	t.Logf("kubectl apply to served: %v", time.Since(applied).Round(time.Millisecond))
}

// TestRotation replaces a Secret 100 times under constant load. Every new serial
// number is seen by a prober soon after the write, and nothing fails.
func TestRotation(t *testing.T) {
	const (
		rotations = 100
		requests  = 100_000
	)
	p := start(t)
	ca := newAuthority(t)
	ns := namespace(t, "rotation")
	host := "rotation.example.com"
	certPEM, keyPEM, _ := ca.issue(t, host)
	apply(t, service(ns, backend(t, "rotation"))+secret(ns, "tls", certPEM, keyPEM)+ingress(ns, host))
	eventually(t, 5*time.Second, "first certificate is served", func() error {
		_, _, err := newClient(p.https, host, ca.pool).once("/")
		return err
	})

	l := startLoad(t, p.https, host, ca.pool, 4)
	pr := startProber(t, p.https, host, ca.pool)
	secrets := cluster.admin.CoreV1().Secrets(ns)
	began := time.Now()
	var took []time.Duration
	for i := range rotations {
		// Spread over the load: rotation i when its share of requests is done.
		for l.total() < int64(i)*requests/rotations && l.err() == nil {
			time.Sleep(time.Millisecond)
		}
		certPEM, keyPEM, serial := ca.issue(t, host)
		s, err := secrets.Get(t.Context(), "tls", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Data["tls.crt"], s.Data["tls.key"] = certPEM, keyPEM
		if _, err := secrets.Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		written := time.Now()
		eventually(t, 10*time.Second, "new certificate is served", func() error {
			at, ok := pr.when(serial)
			if !ok {
				return fmt.Errorf("serial %d not seen", serial)
			}
			took = append(took, max(0, at.Sub(written)))
			return nil
		})
	}
	for l.total() < requests && l.err() == nil {
		time.Sleep(time.Millisecond)
	}
	l.end()
	slices.Sort(took)
	p99 := took[(len(took)*99+99)/100-1] // nearest rank
	t.Logf("%d rotations in %v: write to seen median %v, p99 %v, max %v", rotations, time.Since(began).Round(time.Second),
		took[len(took)/2].Round(time.Millisecond), p99.Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	t.Logf("%d requests on kept connections, %d on new ones, %d failed", l.kept.Load(), l.fresh.Load(), l.failed.Load())
	if err := l.err(); err != nil {
		t.Errorf("%d of %d requests failed; the first: %v", l.failed.Load(), l.total(), err)
	}
	// The aim is 200 ms; on a machine that others use too, only what no noise
	// explains is a failure.
	if p99 > time.Second {
		t.Errorf("write to seen p99 = %v, want at most 1s", p99)
	}
}

// TestBadSecret: garbage in a Secret leaves the old certificate in service and is
// told on the Ingress and on the Secret; repairing it serves the new one.
func TestBadSecret(t *testing.T) {
	p := start(t)
	ca := newAuthority(t)
	ns := namespace(t, "badsecret")
	host := "badsecret.example.com"
	certPEM, keyPEM, serial := ca.issue(t, host)
	apply(t, service(ns, backend(t, "bad"))+secret(ns, "tls", certPEM, keyPEM)+ingress(ns, host))
	c := newClient(p.https, host, ca.pool)
	serves := func(want int64) func() error {
		return func() error {
			_, got, err := c.once("/")
			if err == nil && got != want {
				err = fmt.Errorf("serial %d, want %d", got, want)
			}
			return err
		}
	}
	eventually(t, 5*time.Second, "first certificate is served", serves(serial))

	apply(t, secret(ns, "tls", []byte("garbage"), []byte("garbage")))
	eventually(t, 5*time.Second, "a Warning names the Secret on both objects", func() error {
		// `kubectl describe` shows no Events for Secrets, `kubectl events` does.
		for _, args := range [][]string{{"describe", "ingress", "web"}, {"events", "--for", "secret/tls"}} {
			out, err := kubectl(t.Context(), nil, append([]string{"-n", ns}, args...)...)
			if err != nil {
				return err
			}
			if !strings.Contains(out, "Warning") || !strings.Contains(out, "tls.crt") {
				return fmt.Errorf("kubectl %q shows no Warning about tls.crt:\n%s", args, out)
			}
		}
		return nil
	})
	out, _ := kubectl(t.Context(), nil, "-n", ns, "describe", "ingress", "web")
	t.Logf("kubectl describe ingress:\n%s", out)
	if out, err := kubectl(t.Context(), nil, "-n", ns, "events", "--for", "secret/tls"); err == nil {
		t.Logf("kubectl events --for secret/tls:\n%s", out)
	}
	if err := serves(serial)(); err != nil {
		t.Errorf("with garbage in the Secret: %v", err)
	}
	if got := p.metric(t, "cardea_secret_last_good", `secret="tls"`, `namespace="`+ns+`"`); got != 1 {
		t.Errorf("cardea_secret_last_good = %v, want 1", got)
	}

	certPEM, keyPEM, serial = ca.issue(t, host)
	apply(t, secret(ns, "tls", certPEM, keyPEM))
	eventually(t, time.Second, "repaired certificate is served", serves(serial))
	eventually(t, 5*time.Second, "the metric is lowered", func() error {
		if got := p.metric(t, "cardea_secret_last_good", `secret="tls"`, `namespace="`+ns+`"`); got != 0 {
			return fmt.Errorf("cardea_secret_last_good = %v, want 0 or absent", got)
		}
		return nil
	})
}
