//go:build envtest

package controllers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// The tests with this build tag run against a real etcd and kube-apiserver, one
// pair for the whole binary. Each test has a class and a namespace of its own.

var (
	environment *envtest.Environment
	cluster     *rest.Config
	kube        client.Client
)

func TestMain(m *testing.M) { os.Exit(runMain(m)) }

func runMain(m *testing.M) int {
	logger := logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctrllog.SetLogger(logger)
	klog.SetLogger(logger)
	if ran, code := runChild(); ran {
		return code
	}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "controllers: KUBEBUILDER_ASSETS is not set: it names the folder with etcd and kube-apiserver, which `hack/tools/build etcd kube-apiserver kubectl` builds and prints")
		return 1
	}
	// A folder of our own keeps the certificates when the API server is restarted.
	dir, err := os.MkdirTemp("", "cardea-envtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	environment = &envtest.Environment{ControlPlaneStopTimeout: 5 * time.Second}
	server := environment.ControlPlane.GetAPIServer()
	server.CertDir = dir
	server.SecureServing.Address = "127.0.0.1"
	if server.SecureServing.Port, err = steadyPort(); err != nil {
		fmt.Fprintln(os.Stderr, "controllers:", err)
		return 1
	}
	cluster, err = environment.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "controllers: start etcd and kube-apiserver:", err)
		return 1
	}
	defer environment.Stop()
	cluster.QPS = -1
	kube, err = client.New(cluster, client.Options{Scheme: clientscheme.Scheme})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// A recorder is a Publisher that remembers what is in force.
type recorder struct {
	mu        sync.Mutex
	changed   chan struct{}
	spec      *snapshot.Spec
	endpoints map[string][]snapshot.Endpoint
	updates   []snapshot.Update
	at        []time.Time
}

func newRecorder() *recorder {
	return &recorder{changed: make(chan struct{}), endpoints: make(map[string][]snapshot.Endpoint)}
}

func (r *recorder) Publish(u snapshot.Update) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.Spec != nil {
		r.spec = u.Spec
	}
	for id, endpoints := range u.Endpoints {
		r.endpoints[id] = endpoints
	}
	r.updates = append(r.updates, u)
	r.at = append(r.at, time.Now())
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// host returns what is in force for a host, nil if nothing is. Call it in a
// condition of wait only.
func (r *recorder) host(name string) *snapshot.Host {
	if r.spec == nil {
		return nil
	}
	for _, h := range r.spec.Hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// certificate returns the subject of what is served for a host.
func (r *recorder) certificate(name string) string {
	h := r.host(name)
	if h == nil || h.TLS == nil || len(h.TLS.Certificates) == 0 {
		return ""
	}
	return h.TLS.Certificates[0].Leaf().Subject.CommonName
}

// wait waits until the condition holds for what is in force.
func (r *recorder) wait(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	timeout := time.After(within)
	for {
		r.mu.Lock()
		ok, changed := holds(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func (r *recorder) publishes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.updates)
}

// A replica is a running controller.
type replica struct {
	*recorder
	controller *Controller
	stop       func()
}

func (r *replica) ready(t *testing.T) {
	t.Helper()
	r.wait(t, 20*time.Second, "ready", func() bool { return r.spec != nil })
	if why := r.controller.NotReady(); why != "" {
		// Publish returns before the controller notes it.
		eventually(t, time.Second, "NotReady is empty", func() bool { return r.controller.NotReady() == "" })
	}
}

// A place is where one test lives.
type place struct {
	namespace, class, controllerName string
}

func newPlace(t *testing.T) place {
	t.Helper()
	name := strings.ToLower(strings.TrimPrefix(t.Name(), "Test"))
	if len(name) > 50 {
		name = name[:50]
	}
	p := place{namespace: name, class: name, controllerName: "test.dev/" + name}
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	create(t, &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       networkingv1.IngressClassSpec{Controller: p.controllerName},
	})
	return p
}

// start runs a controller until the test ends.
func (p place) start(t *testing.T, change func(*Config)) *replica {
	t.Helper()
	r := &replica{recorder: newRecorder()}
	cfg := Config{REST: cluster, Publisher: r.recorder, Logger: logr.FromSlogHandler(slog.NewTextHandler(testWriter{t}, nil))}
	cfg.Translate.ControllerName = p.controllerName
	cfg.Translate.Class = p.class
	if change != nil {
		change(&cfg)
	}
	controller, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.controller = controller
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- controller.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		case <-time.After(30 * time.Second):
			pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			t.Error("Run does not return after its context ended")
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (p place) events(t *testing.T, instance string) *Events {
	t.Helper()
	e, err := NewEvents(EventsConfig{REST: cluster, Controller: p.controllerName, Instance: instance})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := kube.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("create %s: %v", o.GetName(), err)
		}
	}
}

func update(t *testing.T, o client.Object) {
	t.Helper()
	if err := kube.Update(t.Context(), o); err != nil {
		t.Fatalf("update %s: %v", o.GetName(), err)
	}
}

// eventually waits for a fact that only asking can tell.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	timeout := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func (p place) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: p.namespace, Name: name}
}

func (p place) service(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: p.meta(name),
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

func (p place) slice(service string, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  p.meta(service + "-1"),
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}},
	}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}})
	}
	return s
}

// ingress sends a host to a Service of the name "web"; with a secret, over TLS.
func (p place) ingress(name, host, secret string) *networkingv1.Ingress {
	in := &networkingv1.Ingress{
		ObjectMeta: p.meta(name),
		Spec: networkingv1.IngressSpec{
			IngressClassName: new(p.class),
			Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: new(networkingv1.PathTypePrefix), Backend: networkingv1.IngressBackend{
					Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}},
				}}},
			}}}},
		},
	}
	if secret != "" {
		in.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{host}, SecretName: secret}}
	}
	return in
}

// secret holds a fresh certificate with the common name cn for all hosts.
func (p place) secret(t *testing.T, name, cn string, hosts ...string) *corev1.Secret {
	t.Helper()
	cert, key := certificate(t, cn, hosts...)
	return &corev1.Secret{
		ObjectMeta: p.meta(name),
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key},
	}
}

// ending is a secret with a certificate of a day's life that ends in a moment.
func (p place) ending(t *testing.T, name, host string, left time.Duration) *corev1.Secret {
	t.Helper()
	s := p.secret(t, name, host, host)
	until := time.Now().Add(left)
	s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey] = certificateFor(t, host, until.Add(-24*time.Hour), until, host)
	return s
}

func certificate(t testing.TB, cn string, hosts ...string) (cert, key []byte) {
	t.Helper()
	return certificateFor(t, cn, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour), hosts...)
}

func certificateFor(t testing.TB, cn string, from, until time.Time, hosts ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: cn},
		DNSNames:     hosts,
		NotBefore:    from,
		NotAfter:     until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// withinWindow waits until no window of Events ends during the test.
func withinWindow(t *testing.T) {
	t.Helper()
	const needed = 20 * time.Second
	eventually(t, needed+time.Second, "a new window of Events", func() bool {
		return time.Until(time.Now().Truncate(eventWindow).Add(eventWindow)) > needed
	})
}

// eventsOf returns the Events on an object.
func eventsOf(t *testing.T, o client.Object) []corev1.Event {
	t.Helper()
	var list corev1.EventList
	if err := kube.List(t.Context(), &list, client.InNamespace(o.GetNamespace())); err != nil {
		t.Fatal(err)
	}
	var of []corev1.Event
	for _, e := range list.Items {
		if e.InvolvedObject.UID == o.GetUID() {
			of = append(of, e)
		}
	}
	return of
}

// A tap counts requests on their way to the API server.
type tap struct {
	mu        sync.Mutex
	requests  map[string]int
	forbidden []string
}

func (c *tap) wrap(config *rest.Config) *rest.Config {
	c.requests = make(map[string]int)
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			c.mu.Lock()
			c.requests[r.Method+" "+r.URL.Path]++
			c.mu.Unlock()
			response, err := next.RoundTrip(r)
			if err == nil && response.StatusCode == http.StatusForbidden {
				c.mu.Lock()
				c.forbidden = append(c.forbidden, r.Method+" "+r.URL.Path)
				c.mu.Unlock()
			}
			return response, err
		})
	})
	return config
}

func (c *tap) count(match func(request string) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for request, times := range c.requests {
		if match(request) {
			n += times
		}
	}
	return n
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// forbid answers requests for a path with 403.
func forbid(config *rest.Config, suffix string) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, suffix) {
				return next.RoundTrip(r)
			}
			const body = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"forbidden"}`
			return &http.Response{
				StatusCode: http.StatusForbidden, Status: "403 Forbidden", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
			}, nil
		})
	})
	return config
}
