package dataplane_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A callLog keeps what the callbacks were given.
type callLog struct {
	mu           sync.Mutex
	done, failed []*outcome.Handshake
}

func (l *callLog) callbacks(cfg *dataplane.Config) {
	cfg.HandshakeDone = func(h *outcome.Handshake) { l.mu.Lock(); defer l.mu.Unlock(); l.done = append(l.done, h) }
	cfg.HandshakeFailed = func(h *outcome.Handshake) { l.mu.Lock(); defer l.mu.Unlock(); l.failed = append(l.failed, h) }
}

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

// fail does a handshake of a client that does not know the authority.
func (w *world) fail() {
	w.t.Helper()
	c, err := tls.Dial("tcp", w.Addr("https").String(), &tls.Config{ServerName: "shop.example", RootCAs: x509.NewCertPool()})
	if err == nil {
		c.Close()
		w.t.Fatal("the handshake of a client that trusts nobody succeeded")
	}
}

// TestRow1HandshakeDone: one call for a connection, whatever it carries, with
// what was negotiated.
func TestRow1HandshakeDone(t *testing.T) {
	var log callLog
	w := secureWorldWith(t, log.callbacks, hello)
	c, r := w.dialTLS()
	for range 3 {
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
	c.Close()
	w.ended()
	if len(log.done) != 1 || len(log.failed) != 0 {
		t.Fatalf("%d calls of done and %d of failed for a good connection with three requests, want 1 and 0", len(log.done), len(log.failed))
	}
	h, state := log.done[0], c.ConnectionState()
	if h.Result != outcome.Done || h.Reason != outcome.OK || h.SNI != "shop.example" || h.Host != "shop.example" || h.Policy == nil ||
		h.Version != state.Version || h.CipherSuite != state.CipherSuite || h.Curve != uint16(state.CurveID) || h.Certificate == nil || h.JA4 == "" {
		t.Errorf("done was given %+v, want what the client negotiated: %+v", h, state)
	}
	if h.Conn == nil || h.Conn.ID == 0 || h.Conn.Listener != "https" || h.Conn.Remote.String() != c.LocalAddr().String() || h.Conn.Local.String() != c.RemoteAddr().String() {
		t.Errorf("done was given the connection %+v, want that of %v to %v", h.Conn, c.LocalAddr(), c.RemoteAddr())
	}
}

// TestRow2HandshakeFailed: the reason and the peer of a handshake that failed.
func TestRow2HandshakeFailed(t *testing.T) {
	var log callLog
	w := secureWorldWith(t, log.callbacks, hello)
	w.fail()
	w.ended()
	if len(log.done) != 0 || len(log.failed) != 1 {
		t.Fatalf("%d calls of done and %d of failed for a handshake that failed, want 0 and 1", len(log.done), len(log.failed))
	}
	h := log.failed[0]
	if h.Result != outcome.Failed || h.Reason != outcome.AlertBadCertificate || h.Alert != "bad_certificate" || h.Err == "" || !h.Conn.Remote.IsValid() || h.SNI != "shop.example" {
		t.Errorf("failed was given %+v, want the alert of the client", h)
	}
}

// TestRow11CallbacksNeverBlock: while a callback sleeps, clients are served as
// ever; what finds no place in the queue is counted; what did is delivered.
func TestRow11CallbacksNeverBlock(t *testing.T) {
	const n, queue = 30, 4
	entered, wake := make(chan struct{}, n), make(chan struct{})
	var called []uint64
	w := secureWorldWith(t, func(cfg *dataplane.Config) {
		cfg.HandshakeQueue = queue
		cfg.HandshakeDone = func(h *outcome.Handshake) {
			called = append(called, h.Conn.ID)
			entered <- struct{}{}
			<-wake
		}
	}, hello)
	for i := range n {
		c, r := w.dialTLS()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
		if _, err := http.ReadResponse(r, nil); err != nil {
			t.Fatalf("connection %d, while a callback sleeps: %v", i, err)
		}
		c.Close()
		if i == 0 {
			<-entered
		}
	}
	if got := w.HandshakesDropped(); got != n-1-queue {
		t.Errorf("HandshakesDropped() = %d of %d with room for %d, want %d", got, n, 1+queue, n-1-queue)
	}
	close(wake)
	w.ended()
	if len(called) != 1+queue || !slices.IsSorted(called) {
		t.Errorf("the callback saw connections %v, want the first %d in order", called, 1+queue)
	}
}

// TestCallbackPanics: it costs the one call.
func TestCallbackPanics(t *testing.T) {
	var log callLog
	w := secureWorldWith(t, func(cfg *dataplane.Config) {
		log.callbacks(cfg)
		failed := cfg.HandshakeFailed
		cfg.HandshakeFailed = func(h *outcome.Handshake) {
			failed(h)
			panic("from outside")
		}
	}, hello)
	w.fail()
	w.fail()
	w.ended()
	if len(log.failed) != 2 {
		t.Errorf("%d calls after two failures and a panic in each, want 2", len(log.failed))
	}
}
