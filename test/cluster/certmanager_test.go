//go:build cluster

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/cardea-dev/cardea/test/harness"
)

// A release is judged with 10m.
var rotateFor = flag.Duration("rotate", 65*time.Second, "how long cert-manager rotates a certificate every 30 s")

// servedWithin is the time from a Secret's change to all replicas serving it.
const servedWithin = time.Second

// TestCertManager: with cert-manager's own controllers, an annotated Ingress gets
// its certificate, and each one that follows is served at once, by every replica,
// without a failed handshake: by time, when the Secret is deleted, and on demand.
func TestCertManager(t *testing.T) {
	roots := certManager(t)
	r := install(t, "cert-manager-e2e")
	deployBackend(t, r.namespace, "web", 2, "web")
	f := r.front.trusting(roots)

	// A certificate of an hour that is renewed 59 minutes and a half before its
	// end is renewed every 30 s; the other one is not while the test lasts.
	const short, long = "short.example.com", "long.example.com"
	apply(t, issuedIngress(r, "short", short, "cert-manager.io/duration: 1h, cert-manager.io/renew-before: 59m30s")+"---"+issuedIngress(r, "long", long, ""))
	for _, host := range []string{short, long} {
		took := eventually(t, time.Minute, "the certificate is issued and served", func() error { return f.ok("https://" + host + "/") })
		t.Logf("%s: served with its certificate %v after the Ingress was applied", host, took.Round(time.Millisecond))
	}
	l := startLoad(t, f, short)

	t.Run("by time", func(t *testing.T) {
		w := watchCertificate(t, f, r.namespace, "short-tls", short)
		pause(t, *rotateFor)
		if got, want := w.judge(t), int(*rotateFor/(30*time.Second))-1; got < want {
			t.Errorf("%d rotations in %v, want at least %d", got, *rotateFor, want)
		}
	})
	for _, c := range []struct {
		name string
		args []string
	}{
		{"by deletion", []string{"delete", "secret", "long-tls"}},
		// What `cmctl renew` does.
		{"by condition", []string{"patch", "certificate", "long-tls", "--subresource=status", "--type=json", "-p", `[{"op":"add","path":"/status/conditions/-","value":` +
			`{"type":"Issuing","status":"True","reason":"ManuallyTriggered","message":"renewed on demand","lastTransitionTime":"` + time.Now().UTC().Format(time.RFC3339) + `"}}]`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			others := startLoad(t, f, long)
			w := watchCertificate(t, f, r.namespace, "long-tls", long)
			must(t, "kubectl", append([]string{"-n", r.namespace}, c.args...)...)
			eventually(t, time.Minute, "there is a new certificate", func() error {
				rotations, failures := w.count()
				if rotations < 1 {
					return fmt.Errorf("none yet, failures: %q", failures)
				}
				return nil
			})
			pause(t, 2*servedWithin)
			w.judge(t)
			others.judge(t)
		})
	}
	l.judge(t)
}

// TestSolver: the Ingress that cert-manager makes for an HTTP-01 challenge is its
// own, with one path of a host that others have; that path is answered over plain
// HTTP, whatever the host's own Ingress redirects, closes or protects.
func TestSolver(t *testing.T) {
	r := install(t, "solver")
	deployBackend(t, r.namespace, "pods", 1, "web", "cm-acme-http-solver")
	authority := harness.NewAuthority(t)
	for _, c := range []struct {
		name, annotations, pathType string
		want                        int // of the host's other paths over HTTP
	}{
		{"redirected", "cardea.dev/force-ssl-redirect: \"true\"", "Exact", http.StatusPermanentRedirect},
		{"closed", "nginx.ingress.kubernetes.io/auth-url: https://auth.example.com/check, nginx.ingress.kubernetes.io/ssl-redirect: \"false\"", "Exact", http.StatusServiceUnavailable},
		{"old-path-type", "cardea.dev/force-ssl-redirect: \"true\"", "ImplementationSpecific", http.StatusPermanentRedirect},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, token := c.name+".example.com", "/.well-known/acme-challenge/token-of-"+c.name
			apply(t, authority.Secret(r.namespace, c.name, harness.Leaf{Names: []string{host}})+fmt.Sprintf(`---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: %[1]s, name: %[2]s, annotations: {%[3]s}}
spec:
  ingressClassName: %[4]s
  tls: [{hosts: [%[5]s], secretName: %[2]s}]
  rules:
%[6]s---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  namespace: %[1]s
  name: cm-acme-http-solver-%[2]s
  # cert-manager says so on each of them, for ingress-nginx.
  annotations: {nginx.ingress.kubernetes.io/whitelist-source-range: "0.0.0.0/0,::/0"}
  labels: {acme.cert-manager.io/http01-solver: "true"}
spec:
  ingressClassName: %[4]s
  rules:
%[7]s`, r.namespace, c.name, c.annotations, r.class, host,
				rule(host, path{"/", "Prefix", "web", "name: http"}),
				rule(host, path{token, c.pathType, "cm-acme-http-solver", "number: 8080"})))
			eventually(t, 20*time.Second, "the solver answers", func() error {
				for range 5 {
					a, err := r.front.get("http://" + host + token)
					if err != nil {
						return err
					}
					if a.status != http.StatusOK || a.seen.Port != "9001" || a.seen.Path != token {
						return fmt.Errorf("GET %s: status %d from port %q: %s", token, a.status, a.seen.Port, a.body)
					}
				}
				return nil
			})
			for _, other := range []string{"/", "/.well-known/acme-challenge"} {
				if err := r.front.status("http://"+host+other, c.want); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// issuedIngress is an Ingress whose certificate is cert-manager's to make.
func issuedIngress(r *release, name, host, annotations string) string {
	return fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  namespace: %[1]s
  name: %[2]s
  annotations: {cert-manager.io/cluster-issuer: cardea-e2e, %[3]s}
spec:
  ingressClassName: %[4]s
  tls: [{hosts: [%[5]s], secretName: %[2]s-tls}]
  rules:
%[6]s`, r.namespace, name, annotations, r.class, host, rule(host, path{"/", "Prefix", "web", "name: http"}))
}

// certManager starts cert-manager's controllers beside the cluster, which to it is
// no difference, makes an authority of its own and a ClusterIssuer "cardea-e2e"
// for it, and returns what clients trust.
func certManager(t *testing.T) *x509.CertPool {
	t.Helper()
	tools := os.Getenv("CARDEA_E2E_CERT_MANAGER")
	must(t, "kubectl", "apply", "--server-side", "-f", tools+"/cert-manager-crds/") // the slash follows a link
	apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: cert-manager}\n")
	for _, kind := range []string{"certificates", "certificaterequests", "issuers", "clusterissuers"} {
		must(t, "kubectl", "wait", "--for=condition=Established", "crd/"+kind+".cert-manager.io")
	}
	logFile, err := os.Create(filepath.Join(t.TempDir(), "cert-manager.log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(tools, "cert-manager-controller"))
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		_ = logFile.Close()
		if log, err := os.ReadFile(logFile.Name()); err == nil && t.Failed() {
			t.Logf("cert-manager:\n%s", log[max(0, len(log)-4000):])
		}
	})
	apply(t, `
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: cardea-e2e-root}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {namespace: cert-manager, name: cardea-e2e}
spec:
  isCA: true
  commonName: Cardea's tests
  secretName: cardea-e2e
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: cardea-e2e-root, kind: ClusterIssuer}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: cardea-e2e}
spec: {ca: {secretName: cardea-e2e}}
`)
	roots := x509.NewCertPool()
	eventually(t, time.Minute, "cert-manager has made its authority", func() error {
		out, err := command(t.Context(), nil, "kubectl", "-n", "cert-manager", "get", "secret", "cardea-e2e", "-o", `jsonpath={.data.tls\.crt}`)
		if err != nil {
			return err
		}
		if data, err := base64.StdEncoding.DecodeString(out); err != nil || !roots.AppendCertsFromPEM(data) {
			return fmt.Errorf("no certificate in the Secret yet: %w", err)
		}
		return nil
	})
	return roots
}

// A certificateWatch holds when the API server told of each certificate of a
// Secret against when clients got it.
type certificateWatch struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex
	written  []version            // after the first, which was there
	first    map[string]time.Time // serial number: first and last connection with it
	last     map[string]time.Time
	probes   int
	failures []string
}

type version struct {
	serial string
	at     time.Time
}

// watchCertificate watches a Secret and opens one connection after the other to
// its host, until judge.
func watchCertificate(t *testing.T, f front, namespace, secret, host string) *certificateWatch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &certificateWatch{stop: cancel, first: map[string]time.Time{}, last: map[string]time.Time{}}
	t.Cleanup(func() { cancel(); w.wg.Wait() })
	secrets := world.admin.CoreV1().Secrets(namespace)
	// A list, for its version is that of now: that of a Secret may be too old to
	// begin a watch with.
	only := metav1.ListOptions{FieldSelector: "metadata.name=" + secret}
	list, err := secrets.List(ctx, only)
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("Secret %q: %d found, want 1 (%v)", secret, len(list.Items), err)
	}
	known := serialOf(&list.Items[0])
	only.ResourceVersion = list.ResourceVersion
	events, err := secrets.Watch(ctx, only)
	if err != nil {
		t.Fatal(err)
	}
	w.wg.Go(func() {
		defer events.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case e, ok := <-events.ResultChan():
				if !ok {
					if ctx.Err() == nil {
						w.fail("the watch of the Secret ended")
					}
					return
				}
				s, isSecret := e.Object.(*corev1.Secret)
				if !isSecret {
					w.fail(fmt.Sprintf("the watch of the Secret failed: %+v", e.Object))
					return
				}
				if e.Type == watch.Deleted {
					continue
				}
				if serial := serialOf(s); serial != "" && serial != known {
					known = serial
					w.mu.Lock()
					w.written = append(w.written, version{serial, time.Now()})
					w.mu.Unlock()
				}
			}
		}
	})
	for range 2 {
		w.wg.Go(func() {
			for ctx.Err() == nil {
				w.probe(f, host)
				select {
				case <-ctx.Done():
				case <-time.After(pace):
				}
			}
		})
	}
	return w
}

// probe opens one connection.
func (w *certificateWatch) probe(f front, host string) {
	began := time.Now()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", f.https, &tls.Config{ServerName: host, RootCAs: f.roots, MinVersion: tls.VersionTLS12})
	if err != nil {
		w.fail("handshake: " + err.Error())
		return
	}
	serial := conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	_ = conn.Close()
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes++
	if _, ok := w.first[serial]; !ok {
		w.first[serial] = now
	}
	// What counts against a replica is a connection that began late.
	if w.last[serial].Before(began) {
		w.last[serial] = began
	}
}

func (w *certificateWatch) fail(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, text)
}

func (w *certificateWatch) count() (rotations int, failures []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.written), slices.Clone(w.failures)
}

// judge ends the watch and returns the number of rotations. Each certificate must
// have been served within the time, and the one before by nobody after it.
func (w *certificateWatch) judge(t *testing.T) int {
	t.Helper()
	ended := time.Now()
	w.stop()
	w.wg.Wait()
	for _, text := range w.failures {
		t.Error(text)
	}
	var slowest, longest time.Duration
	rotations := 0
	for i, v := range w.written {
		if ended.Sub(v.at) < servedWithin {
			continue // too young to be judged
		}
		rotations++
		at, ok := w.first[v.serial]
		if !ok {
			t.Errorf("certificate %s was never served", v.serial)
			continue
		}
		if took := at.Sub(v.at); took > servedWithin {
			t.Errorf("certificate %s was served %v after its Secret was written, want at most %v", v.serial, took, servedWithin)
		} else {
			slowest = max(slowest, took)
		}
		for serial, last := range w.last {
			if w.after(serial, i) {
				continue
			}
			if late := last.Sub(v.at); late > servedWithin {
				t.Errorf("certificate %s was still served %v after the Secret had another, want at most %v", serial, late, servedWithin)
			} else {
				longest = max(longest, late)
			}
		}
	}
	t.Logf("%d rotations, %d connections, %d failed; the new certificate served after at most %v, the old one for at most %v",
		rotations, w.probes, len(w.failures), slowest.Round(time.Millisecond), longest.Round(time.Millisecond))
	return rotations
}

// after is whether a serial number is that of the i-th certificate written, or of
// one after it.
func (w *certificateWatch) after(serial string, i int) bool {
	for _, v := range w.written[i:] {
		if v.serial == serial {
			return true
		}
	}
	return false
}

// serialOf returns the serial number of the certificate in a Secret, "" if none.
func serialOf(s *corev1.Secret) string {
	block, _ := pem.Decode(s.Data[corev1.TLSCertKey])
	if block == nil {
		return ""
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	return cert.SerialNumber.String()
}
