//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cardea-dev/cardea/test/harness"
)

// failing is an Ingress whose hosts failing clients ask for: those under the
// wildcard have a certificate, the other names a Secret that is not there.
const failing = `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: %[1]s, name: web}
spec:
  ingressClassName: cardea
  tls:
  - {hosts: ["*.failing.example.com"], secretName: tls}
  - {hosts: [bare.example.com], secretName: none}
  rules:
  - host: "*.failing.example.com"
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
  - host: bare.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
`

// guarded is an Ingress that demands client certificates; the data of the Secret
// with their authority follows it.
const guarded = `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: %[1]s, name: guarded, annotations: {cardea.dev/auth-tls-secret: clients, cardea.dev/auth-tls-match-cn: CN=alice}}
spec:
  ingressClassName: cardea
  tls:
  - {hosts: ["*.guarded.example.com"], secretName: tls}
  rules:
  - host: "*.guarded.example.com"
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
---
apiVersion: v1
kind: Secret
metadata: {namespace: %[1]s, name: clients}
stringData: `

// TestHandshakeFailures has every client fail at each of two replicas. The reason
// is the same in log, metric and Event, to the letter; the Events are one for a
// reason, whatever the number of clients and replicas, and count all of them.
func TestHandshakeFailures(t *testing.T) {
	// The other clients have to be done within the time of a handshake.
	flags := []string{"--handshake-first-byte-timeout", "2s", "--handshake-timeout", "15s"}
	replicas := []*process{start(t, flags...), start(t, flags...)}
	ca := newAuthority(t)
	ns := namespace(t, "handshake")
	certPEM, keyPEM, _ := ca.issue(t, "*.failing.example.com", "*.guarded.example.com")
	clientCA := harness.NewAuthority(t)
	revoked := clientCA.Client("alice")
	apply(t, service(ns, backend(t, "handshake"))+secret(ns, "tls", certPEM, keyPEM)+fmt.Sprintf(failing, ns)+
		fmt.Sprintf(guarded, ns)+clientCA.Bundle(revoked)+"\n")
	for _, p := range replicas {
		eventually(t, 5*time.Second, "the host is served", func() error {
			_, _, err := newClient(p.https, "good.failing.example.com", ca.pool).once("/")
			return err
		})
	}

	clients := harness.FailingClients()
	t.Run("clients", func(t *testing.T) {
		for i, p := range replicas {
			for _, c := range clients {
				t.Run(fmt.Sprintf("replica %d/%s", i, c.Name), func(t *testing.T) {
					t.Parallel()
					fail(t, p, clientCA, revoked, c)
				})
			}
		}
	})
	wantEvents(t, ns, clients, len(replicas))
}

// fail runs a client and looks for its reason in the log and the metrics.
func fail(t *testing.T, p *process, clientCA *harness.Authority, revoked tls.Certificate, c harness.FailingClient) {
	fields := c.Fail(t, harness.Front{
		Addr: p.https, Wildcard: "*.failing.example.com", Bare: "bare.example.com",
		Guarded: "*.guarded.example.com", Clients: clientCA, Revoked: revoked,
	})
	var record map[string]any
	eventually(t, 20*time.Second, "the log knows the handshake", func() error {
		found := p.handshakes(func(r map[string]any) bool {
			for k, v := range fields {
				if r[k] != v {
					return false
				}
			}
			return true
		})
		if len(found) != 1 {
			return fmt.Errorf("%d records of the handshake with %v, want 1", len(found), fields)
		}
		record = found[0]
		return nil
	})
	if err := c.Check(record); err != nil {
		t.Error(err)
	}
	eventually(t, 5*time.Second, "the metric names the reason", func() error {
		if got := p.metric(t, "cardea_tls_handshakes_total", `reason="`+c.Reason+`"`); got < 1 {
			return fmt.Errorf("cardea_tls_handshakes_total{reason=%q} = %v", c.Reason, got)
		}
		return nil
	})
}

// wantEvents waits for the Events of all clients at so many replicas. A replica
// adds to an Event after a minute at the latest.
func wantEvents(t *testing.T, ns string, clients []harness.FailingClient, replicas int) {
	t.Helper()
	counts := map[string]int32{} // by reason; 0: no Event at all
	for _, c := range clients {
		if counts[c.Reason] += 0; c.Event != "" {
			counts[c.Reason] += int32(replicas)
		}
	}
	var events []corev1.Event
	eventually(t, 2*time.Minute, "the Events count every handshake", func() error {
		list, err := cluster.admin.CoreV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		events = list.Items
		got := map[string]int32{}
		for reason := range counts {
			got[reason] = 0
		}
		for _, e := range events {
			if _, ok := counts[e.Reason]; ok {
				got[e.Reason] += e.Count
			}
		}
		if diff := cmp.Diff(counts, got); diff != "" {
			return fmt.Errorf("counts of the Events by reason (-want +got):\n%s", diff)
		}
		return nil
	})
	type window struct {
		reason string
		begin  time.Time
	}
	seen := map[window]bool{}
	for _, e := range events {
		if _, ok := counts[e.Reason]; !ok {
			continue // a verdict
		}
		w := window{e.Reason, e.FirstTimestamp.Truncate(10 * time.Minute)}
		if seen[w] {
			t.Errorf("two Events of reason %s in ten minutes: the replicas do not share one", e.Reason)
		}
		seen[w] = true
		owner := "web"
		if strings.HasPrefix(e.Reason, "client_cert_") {
			owner = "guarded"
		}
		if e.InvolvedObject.Kind != "Ingress" || e.InvolvedObject.Name != owner || e.Type != corev1.EventTypeWarning || len(e.Message) > 1024 {
			t.Errorf("Event %s is on %s %s, %s, %d bytes, want a warning on Ingress %s in 1,024", e.Reason, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Type, len(e.Message), owner)
		}
		for _, c := range clients {
			if c.Reason == e.Reason && !strings.Contains(e.Message, c.Event) {
				t.Errorf("Event of %s = %q, want %q in it", c.Name, e.Message, c.Event)
			}
		}
	}
	// What the owner of the Ingress sees.
	out, err := kubectl(t.Context(), nil, "-n", ns, "describe", "ingress", "web")
	if err != nil || !strings.Contains(out, "clients reject the certificate of *.failing.example.com: unknown authority; it is ") {
		t.Errorf("kubectl describe ingress (%v):\n%s", err, out)
	}
	t.Logf("kubectl describe ingress:\n%s", out)
}

// TestSNIFlood: server names that nobody declares make no new series and no
// Events, however many there are.
func TestSNIFlood(t *testing.T) {
	const names = 100_000
	p := start(t)
	ca := newAuthority(t)
	ns := namespace(t, "flood")
	host := "flood.example.com"
	certPEM, keyPEM, _ := ca.issue(t, host)
	apply(t, service(ns, backend(t, "flood"))+secret(ns, "tls", certPEM, keyPEM)+ingress(ns, host))
	eventually(t, 5*time.Second, "the host is served", func() error {
		_, _, err := newClient(p.https, host, ca.pool).once("/")
		return err
	})
	events := func() int {
		out, err := kubectl(t.Context(), nil, "get", "events", "-A", "-o", "name")
		if err != nil {
			t.Fatalf("kubectl get events: %v\n%s", err, out)
		}
		return strings.Count(out, "\n")
	}
	if _, _, err := newClient(p.https, "first.flood.invalid", ca.pool).once("/"); err == nil {
		t.Fatal("an undeclared host was served")
	}
	series, before := p.series(t), events()
	hello := clientHello(t, "XXXXXXXX.flood.invalid")
	var wg errgroup
	const workers = 8
	for w := range workers {
		wg.Go(func() error {
			for i := w; i < names; i += workers {
				if err := sendHello(p.https, hello, fmt.Sprintf("%08d", i)); err != nil {
					return fmt.Errorf("name %d: %w", i, err)
				}
			}
			return nil
		})
	}
	if err := wg.Wait(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "every handshake was counted", func() error {
		if got := p.metric(t, "cardea_tls_handshakes_total", `reason="unknown_sni"`); got < names {
			return fmt.Errorf("cardea_tls_handshakes_total{reason=unknown_sni} = %v, want at least %d", got, names)
		}
		return nil
	})
	if got := p.series(t); got != series {
		t.Errorf("%d series after %d server names, %d before", got, names, series)
	}
	if got := events(); got != before {
		t.Errorf("%d Events after %d server names, %d before", got, names, before)
	}
	if _, _, err := newClient(p.https, host, ca.pool).once("/"); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}
