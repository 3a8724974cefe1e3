// Package grpc_test runs gRPC's own client and server through the data plane. It
// is a module of its own, so that the product's needs no gRPC.
package grpc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

const (
	hostName = "grpc.example.com"
	poolID   = "shop/grpc:80+h2c"
)

// A world is a running data plane with gRPC backends.
type world struct {
	*dataplane.DataPlane
	ca []byte
	// over is nil for backends in plain text.
	over *upstreamTLS

	mu      sync.Mutex
	reasons map[outcome.Reason]int
}

func newWorld(t *testing.T, backends int) *world { return newWorldOver(t, backends, nil) }

// newWorldOver speaks TLS to the backends, with a certificate of theirs, unless that
// is nil.
func newWorldOver(t *testing.T, backends int, over *upstreamTLS) *world {
	t.Helper()
	w := &world{over: over, reasons: make(map[outcome.Reason]int)}
	d, err := dataplane.New(dataplane.Config{
		HTTPAddr: "127.0.0.1:0", HTTPSAddr: "127.0.0.1:0", AllowLoopback: true,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Sink: outcome.Sink{Request: func(o *outcome.Request) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reasons[o.Reason]++
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.DataPlane = d
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
	var endpoints []snapshot.Endpoint
	for range backends {
		endpoints = append(endpoints, snapshot.Endpoint{Addr: newBackend(t, "127.0.0.1:0", over.options()...).addr})
	}
	w.publish(t, endpoints)
	return w
}

// publish sends everything on the host to the endpoints.
func (w *world) publish(t *testing.T, endpoints []snapshot.Endpoint) {
	t.Helper()
	var key []byte
	w.ca, key = certificate(t)
	cert, err := snapshot.ParseCertificate(snapshot.Origin{}, w.ca, key)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Publish(snapshot.Update{
		Spec: &snapshot.Spec{
			Hosts: []*snapshot.Host{{
				Name:   hostName,
				TLS:    &snapshot.TLS{Certificates: []*snapshot.Certificate{cert}},
				Routes: []*snapshot.Route{{Path: "/", Kind: snapshot.Prefix, Pool: poolID}},
			}},
			Pools: []*snapshot.Pool{{ID: poolID, Protocol: snapshot.H2C, TLS: w.over.spec()}},
		},
		Endpoints: map[string][]snapshot.Endpoint{poolID: endpoints},
	})
	if err != nil {
		t.Fatalf("Publish() = %v, want nil", err)
	}
}

// upstreamTLS is TLS between the data plane and the backends.
type upstreamTLS struct {
	pair        tls.Certificate
	authorities *snapshot.Authorities
}

func newUpstreamTLS(t *testing.T) *upstreamTLS {
	t.Helper()
	certPEM, keyPEM := certificate(t)
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	authorities, err := snapshot.ParseAuthorities(snapshot.Origin{}, certPEM, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &upstreamTLS{pair, authorities}
}

// options are those of a backend.
func (u *upstreamTLS) options() []grpc.ServerOption {
	if u == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.Creds(credentials.NewServerTLSFromCert(&u.pair))}
}

// spec is what the pool of the backends says.
func (u *upstreamTLS) spec() *snapshot.UpstreamTLS {
	if u == nil {
		return nil
	}
	return &snapshot.UpstreamTLS{ServerName: hostName, Authorities: u.authorities}
}

// certificate makes one for the host under test, and its key, in PEM.
func certificate(t *testing.T) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{hostName}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// failures returns the requests that did not end well, by reason.
func (w *world) failures() map[outcome.Reason]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	bad := maps.Clone(w.reasons)
	delete(bad, outcome.OK)
	return bad
}

// A backend is gRPC's interoperability server, in plain text.
type backend struct {
	addr netip.AddrPort
	*grpc.Server
}

func newBackend(t *testing.T, addr string, opts ...grpc.ServerOption) *backend {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	testpb.RegisterTestServiceServer(s, interop.NewTestServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return &backend{netip.MustParseAddrPort(l.Addr().String()), s}
}
