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
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cardea-dev/cardea/controllers/secrets"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A fakeCluster stands for the informers of one session and for the API server's
// Secrets and ConfigMaps, so that the loop runs in a synctest bubble.
type fakeCluster struct {
	t       *testing.T
	c       *Controller
	session view

	mu      sync.Mutex
	version int
	secrets map[types.NamespacedName]*corev1.Secret
	bundles map[types.NamespacedName]*corev1.ConfigMap
	// forbidden says that ConfigMaps may not be watched.
	forbidden bool
	err       error
	delay     time.Duration
	gets      int
	lists     int
	updates   []snapshot.Update
	at        []time.Time
	refuse    error
}

// A fakeSession is a session that sees what is in the cluster.
type fakeSession struct{ f *fakeCluster }

func (s *fakeSession) version(kind kind, name types.NamespacedName) (string, bool) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if kind == bundleKind {
		bundle, ok := s.f.bundles[name]
		if !ok {
			return "", false
		}
		return bundle.ResourceVersion, true
	}
	secret, ok := s.f.secrets[name]
	if !ok {
		return "", false
	}
	return secret.ResourceVersion, true
}

func (s *fakeSession) count(kind kind) int {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if kind == bundleKind {
		return len(s.f.bundles)
	}
	return len(s.f.secrets)
}

func (s *fakeSession) blind(kind kind) bool {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return kind == bundleKind && s.f.forbidden
}

// fakeBundles reads the ConfigMaps of a fakeCluster.
type fakeBundles struct{ f *fakeCluster }

func (b fakeBundles) get(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	b.f.gets++
	bundle := b.f.bundles[name]
	switch {
	case b.f.err != nil:
		return nil, b.f.err
	case bundle == nil:
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name.Name)
	}
	return secrets.FromConfigMap(bundle), nil
}

func (f *fakeCluster) Publish(u snapshot.Update) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	f.updates = append(f.updates, u)
	f.at = append(f.at, time.Now())
	return nil
}

func (f *fakeCluster) get(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	f.mu.Lock()
	f.gets++
	secret, err := f.secrets[name], f.err
	f.mu.Unlock()
	select {
	case <-time.After(f.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case err != nil:
		return nil, err
	case secret == nil:
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name.Name)
	}
	return secret, nil
}

func (f *fakeCluster) list(_ context.Context, each func(*corev1.Secret)) error {
	f.mu.Lock()
	f.lists++
	var all []*corev1.Secret
	for _, s := range f.secrets {
		if s.Type == corev1.SecretTypeTLS {
			all = append(all, s)
		}
	}
	err := f.err
	f.mu.Unlock()
	for _, s := range all {
		each(s)
	}
	return err
}

// newFakeCluster starts a loop inside a synctest bubble.
func newFakeCluster(t *testing.T, change ...func(*Config)) *fakeCluster {
	t.Helper()
	f := &fakeCluster{t: t, secrets: make(map[types.NamespacedName]*corev1.Secret), bundles: make(map[types.NamespacedName]*corev1.ConfigMap)}
	cfg := Config{REST: &rest.Config{Host: "https://192.0.2.1"}, Publisher: f, Logger: logr.Discard()}
	for _, c := range change {
		c(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.c = c
	f.begin()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		newLoop(c, f, fakeBundles{f}).run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	f.put(&networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: "cardea"},
		Spec:       networkingv1.IngressClassSpec{Controller: "cardea.dev/ingress-controller"},
	})
	return f
}

// begin starts a new session, finish brings it in step.
func (f *fakeCluster) begin() {
	f.session = &fakeSession{f}
	f.c.changes.begin(f.session)
}

func (f *fakeCluster) finish() {
	f.c.changes.finish(f.session)
	synctest.Wait()
}

func (f *fakeCluster) stamp(o client.Object) {
	f.mu.Lock()
	f.version++
	o.SetResourceVersion(fmt.Sprint(f.version))
	f.mu.Unlock()
}

// put applies objects.
func (f *fakeCluster) put(objects ...client.Object) {
	for _, o := range objects {
		f.stamp(o)
		key := objectKey{name: client.ObjectKeyFromObject(o)}
		switch o := o.(type) {
		case *networkingv1.Ingress:
			key.kind = ingressKind
		case *networkingv1.IngressClass:
			key.kind = classKind
		case *corev1.Service:
			key.kind = serviceKind
		case *discoveryv1.EndpointSlice:
			key.kind = sliceKind
		case *corev1.Secret:
			key.kind = secretKind
			f.mu.Lock()
			f.secrets[key.name] = o
			f.mu.Unlock()
		case *corev1.ConfigMap:
			key.kind = bundleKind
			f.mu.Lock()
			f.bundles[key.name] = o
			f.mu.Unlock()
		}
		f.c.changes.put(f.session, key, o, time.Now())
	}
}

func (f *fakeCluster) remove(k kind, name string) {
	key := objectKey{k, types.NamespacedName{Namespace: "shop", Name: name}}
	f.mu.Lock()
	if k == bundleKind {
		delete(f.bundles, key.name)
	} else {
		delete(f.secrets, key.name)
	}
	f.mu.Unlock()
	f.c.changes.put(f.session, key, nil, time.Now())
}

// settle lets everything happen that needs little time.
func (f *fakeCluster) settle() {
	time.Sleep(200 * time.Millisecond)
	synctest.Wait()
}

func (f *fakeCluster) published() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.updates)
}

// served returns the common name of the certificate in force for a host, "none"
// for a declared host without one, "" for no such host.
func (f *fakeCluster) served(host string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.updates) - 1; i >= 0; i-- {
		if f.updates[i].Spec == nil {
			continue
		}
		for _, h := range f.updates[i].Spec.Hosts {
			switch {
			case h.Name != host:
			case h.TLS == nil || len(h.TLS.Certificates) == 0:
				return "none"
			default:
				return h.TLS.Certificates[0].Leaf().Subject.CommonName
			}
		}
		return ""
	}
	return ""
}

func (f *fakeCluster) want(host, certificate string) {
	f.t.Helper()
	if got := f.served(host); got != certificate {
		f.t.Errorf("certificate in force for %s = %q, want %q", host, got, certificate)
	}
}

func shopIngressOf(name, host, secret string) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("u-" + name)},
		Spec: networkingv1.IngressSpec{
			IngressClassName: new("cardea"),
			TLS:              []networkingv1.IngressTLS{{Hosts: []string{host}, SecretName: secret}},
			Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: new(networkingv1.PathTypePrefix), Backend: networkingv1.IngressBackend{
					Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}},
				}}},
			}}}},
		},
	}
}

func shopSecret(t testing.TB, name, cn string) *corev1.Secret {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: cn},
		DNSNames:     []string{"*.example.com"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(240 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("u-" + name)},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		},
	}
}
