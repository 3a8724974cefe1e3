package listen

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func TestPlainConnection(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Name, cfg.TLS = "http", false })
	c := w.dial()
	if err := ping(c); err != nil {
		t.Fatal(err)
	}
	local := c.LocalAddr().String()
	c.Close()
	got := w.conn()
	if got.Reason != outcome.OK || got.Listener != "http" || got.BytesIn != 4 || got.BytesOut != 4 || got.Requests != 1 || got.TLS != nil {
		t.Errorf("connection = %+v, want ok, http, 4 bytes each way, 1 request, no TLS", got)
	}
	if got.Remote.String() != local || got.Local.String() != w.l.Addr().String() || got.ID == 0 || got.Duration <= 0 {
		t.Errorf("connection = %+v, want from %s to %s, with ID and duration", got, local, w.l.Addr())
	}
}

func TestPlainConnectionPassesFilesThrough(t *testing.T) {
	body := strings.Repeat("x", 100_000)
	w := newWorld(t, func(cfg *Config) {
		cfg.TLS = false
		cfg.Handler = func(c net.Conn, _ *outcome.Conn) {
			if _, err := io.Copy(c, strings.NewReader(body)); err != nil {
				t.Errorf("Copy() = %v, want nil", err)
			}
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Errorf("CloseWrite() = %v, want nil", err)
			}
			if _, err := c.(syscall.Conn).SyscallConn(); err != nil {
				t.Errorf("SyscallConn() = %v, want nil", err)
			}
		}
	})
	if got := readAll(w.dial()); string(got) != body {
		t.Errorf("the client got %d bytes, want %d", len(got), len(body))
	}
	if got := w.conn(); got.BytesOut != int64(len(body)) {
		t.Errorf("BytesOut = %d, want %d", got.BytesOut, len(body))
	}
}

func TestKeepAlive(t *testing.T) {
	keepAlive := make(chan int, 1)
	w := newWorld(t, func(cfg *Config) {
		cfg.TLS = false
		cfg.Handler = func(c net.Conn, _ *outcome.Conn) {
			raw, err := c.(syscall.Conn).SyscallConn()
			if err != nil {
				t.Error(err)
			}
			_ = raw.Control(func(fd uintptr) {
				v, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
				if err != nil {
					t.Error(err)
				}
				keepAlive <- v
			})
		}
	})
	w.dial()
	if got := <-keepAlive; got != 1 {
		t.Errorf("SO_KEEPALIVE = %d, want 1", got)
	}
	w.conn()
}

func TestBeforeTheFirstSnapshot(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		w := newWorld(t, func(cfg *Config) { cfg.TLS = false })
		w.snap.Store(nil)
		if got := readAll(w.dial()); len(got) > 0 {
			t.Errorf("the client got %q, want nothing", got)
		}
		if got := w.conn(); got.Reason != outcome.NotReady {
			t.Errorf("Reason = %s, want not_ready", got.Reason)
		}
	})
	t.Run("TLS", func(t *testing.T) {
		w := newWorld(t, nil)
		w.snap.Store(nil)
		_, err := w.visit(client("ec.example.com"))
		if err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Errorf("the client got %v, want the alert internal_error", err)
		}
		h := w.want(outcome.Failed, outcome.NotReady)
		if h.SNI != "ec.example.com" || h.Certificate != nil {
			t.Errorf("SNI, Certificate = %q, %v, want ec.example.com and none", h.SNI, h.Certificate)
		}
	})
}

func TestMaxConns(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS=%v", withTLS), func(t *testing.T) {
			w := newWorld(t, func(cfg *Config) { cfg.TLS, cfg.MaxConns = withTLS, 1 })
			var first net.Conn = w.dial()
			if withTLS {
				first = tls.Client(first, client("ec.example.com"))
			}
			if err := ping(first); err != nil {
				t.Fatal(err)
			}
			if withTLS {
				w.handshake()
			}
			// The reset may reach the client while it still connects.
			if second, err := net.Dial("tcp", w.l.Addr().String()); err == nil {
				if got := readAll(second); len(got) > 0 {
					t.Errorf("the second client got %q, want nothing", got)
				}
				second.Close()
			}
			if withTLS {
				w.want(outcome.Failed, outcome.Shed)
			} else if got := w.conn(); got.Reason != outcome.Shed {
				t.Errorf("Reason = %s, want shed", got.Reason)
			}
			first.Close()
			if got := w.conn(); got.Reason != outcome.OK {
				t.Errorf("Reason = %s, want ok", got.Reason)
			}
		})
	}
}

// TestRow12MaxHandshakes: what is too much is reset and counted, and takes no place
// from those that are established.
func TestRow12MaxHandshakes(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.MaxHandshakes = 1 })
	// An established connection takes no place.
	idle := tls.Client(w.dial(), client("ec.example.com"))
	if err := ping(idle); err != nil {
		t.Fatal(err)
	}
	if h := w.handshake(); h.Result != outcome.Done {
		t.Fatalf("handshake = %s, want done", h.Reason)
	}
	silent := w.dial()
	w.until(func() bool { return w.l.handshakes.Load() == 1 })
	// The reset may reach the client while it still connects.
	if second, err := net.Dial("tcp", w.l.Addr().String()); err == nil {
		readAll(second)
		second.Close()
	}
	w.want(outcome.Failed, outcome.Shed)
	silent.Close()
	w.want(outcome.Failed, outcome.EOF)
	if n := w.l.handshakes.Load(); n != 0 {
		t.Errorf("%d handshakes count after the last has ended, want 0", n)
	}
	idle.Close()
	w.conn()
}

func TestPanicInHandler(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(cfg *Config) {
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		cfg.Handler = func(net.Conn, *outcome.Conn) { panic("a bug") }
	})
	for range 3 {
		c := tls.Client(w.dial(), client("ec.example.com"))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		readAll(c)
		h, got := w.handshake(), w.conn()
		if h.Result != outcome.Done || got.Reason != outcome.Panic {
			t.Errorf("handshake, connection = %s, %s, want done, panic", h.Result, got.Reason)
		}
	}
	w.l.Close()
	if n := strings.Count(log.String(), "a bug"); n != 1 || !strings.Contains(log.String(), "listen_test.go:") {
		t.Errorf("the log has the panic %d times, want once and with the place:\n%s", n, &log)
	}
}

func TestPanicInHandshake(t *testing.T) {
	w := newWorld(t, func(cfg *Config) {
		cfg.Current = func() *snapshot.Snapshot { panic("a bug") }
	})
	_, _ = w.visit(client("ec.example.com"))
	h, c := w.handshake(), w.conn()
	if h.Result != outcome.Failed || h.Reason != outcome.HandshakeInternal || c.Reason != outcome.Panic {
		t.Errorf("handshake, connection = %s %s, %s, want failed handshake_internal, panic", h.Result, h.Reason, c.Reason)
	}
	if n := w.l.handshakes.Load(); n != 0 {
		t.Errorf("%d handshakes still count, want 0", n)
	}
}

func TestAcceptRidesOutTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := prepare(t)
		ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		ln.errs = append(ln.errs, os.NewSyscallError("accept4", syscall.ECONNABORTED), syscall.ENFILE)
		for range 78 {
			ln.errs = append(ln.errs, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)})
		}
		w.run(newListener(w.config(func(cfg *Config) {
			cfg.TLS = false
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		}).withDefaults(), ln))
		start := time.Now()
		c := ln.dial()
		if err := ping(c); err != nil {
			t.Fatal(err)
		}
		if spent := time.Since(start); spent < 70*time.Second || spent > 80*time.Second {
			t.Errorf("80 errors took %v, want a growing delay of at most 1 s", spent)
		}
		c.Close()
		w.conn()
		w.l.Close()
		if n := strings.Count(log.String(), "accept fails"); n != 2 || !strings.Contains(log.String(), "failures=1\n") || !strings.Contains(log.String(), "listener=https") {
			t.Errorf("the log has the trouble %d times, want once a minute:\n%s", n, &log)
		}
	})
}

func TestServeEndsWithABrokenSocket(t *testing.T) {
	w := prepare(t)
	ln := &pipeListener{errs: []error{syscall.EBADF}, closed: make(chan struct{})}
	l := newListener(w.config(nil).withDefaults(), ln)
	defer l.Close()
	if err := l.Serve(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("Serve() = %v, want EBADF", err)
	}
}

func TestStopDuringTrouble(t *testing.T) {
	w := prepare(t)
	ln := &pipeListener{closed: make(chan struct{})}
	for range 1000 {
		ln.errs = append(ln.errs, syscall.EMFILE)
	}
	w.run(newListener(w.config(nil).withDefaults(), ln))
	w.l.StopAccepting()
}

func TestStopAccepting(t *testing.T) {
	w := newWorld(t, nil)
	c := tls.Client(w.dial(), client("ec.example.com"))
	if err := ping(c); err != nil {
		t.Fatal(err)
	}
	w.handshake()
	w.l.StopAccepting()
	if _, err := net.Dial("tcp", w.l.Addr().String()); err == nil {
		t.Error("Dial() after StopAccepting = nil, want an error")
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.l.Wait(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait() with an open connection = %v, want context.Canceled", err)
	}
	if err := ping(c); err != nil {
		t.Errorf("an open connection after StopAccepting: %v, want it to go on", err)
	}
	if n := w.l.Open(); n != 1 {
		t.Errorf("Open() = %d, want 1", n)
	}
	c.Close()
	if err := w.l.Wait(t.Context()); err != nil {
		t.Errorf("Wait() = %v, want nil", err)
	}
	if n := w.l.Open(); n != 0 {
		t.Errorf("Open() = %d, want 0", n)
	}
	w.conn()
}

func TestCloseCutsEverything(t *testing.T) {
	w := newWorld(t, nil)
	open := tls.Client(w.dial(), client("ec.example.com"))
	if err := ping(open); err != nil {
		t.Fatal(err)
	}
	if h := w.handshake(); h.Result != outcome.Done {
		t.Errorf("handshake = %s, want done", h.Reason)
	}
	silent := w.dial()
	w.until(func() bool { return w.l.handshakes.Load() == 1 })
	w.l.Close()
	for range 2 {
		if c := w.conn(); c.Reason != outcome.Shutdown {
			t.Errorf("connection = %s, want shutdown", c.Reason)
		}
	}
	if h := w.handshake(); h.Reason != outcome.Shutdown || h.Result != outcome.Failed {
		t.Errorf("handshake = %s %s, want failed shutdown", h.Result, h.Reason)
	}
	if n := w.l.Cut(); n != 2 {
		t.Errorf("Cut() = %d, want 2", n)
	}
	readAll(open)
	readAll(silent)
}

// TestPlainHTTPGetsItsAnswer is a request that is still on its way when the
// answer is sent: a close would reset the connection and take the answer along.
func TestPlainHTTPGetsItsAnswer(t *testing.T) {
	w := newWorld(t, nil)
	for range 20 {
		c := w.dial()
		if _, err := c.Write([]byte("POST / HTTP/1.1\r\nContent-Length: 40000\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(make([]byte, 40_000)); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(got), httpText) {
			t.Errorf("the client got %q, %v, want the whole answer and an orderly end", got, err)
		}
		c.Close()
		w.want(outcome.Failed, outcome.NotTLSHTTP)
	}
}

func TestAddrPort(t *testing.T) {
	mapped := &net.TCPAddr{IP: net.ParseIP("192.0.2.1").To16(), Port: 7}
	if got := addrPort(mapped); got.String() != "192.0.2.1:7" {
		t.Errorf("addrPort(%v) = %v, want 192.0.2.1:7", mapped, got)
	}
	if got := addrPort(&net.UnixAddr{}); got.IsValid() {
		t.Errorf("addrPort of a unix address = %v, want none", got)
	}
}

func TestDefaults(t *testing.T) {
	got := Config{TLS: true, HandshakeTimeout: time.Second}.withDefaults()
	if got.Addr != ":https" || got.FirstByteTimeout != time.Second || len(got.NextProtos) != 1 {
		t.Errorf("withDefaults() = %+v, want :https, a first byte within the handshake's 1s, http/1.1", got)
	}
	if got := (Config{}).withDefaults(); got.Addr != ":http" || got.HandshakeTimeout != time.Minute || got.FirstByteTimeout != 10*time.Second {
		t.Errorf("withDefaults() = %+v, want :http, 1m, 10s", got)
	}
}

func TestListenErrors(t *testing.T) {
	if _, err := Listen(Config{}); err == nil {
		t.Error("Listen() without Current and Handler = nil, want an error")
	}
	w := newWorld(t, nil)
	cfg := w.config(nil)
	cfg.Addr = w.l.Addr().String()
	if _, err := Listen(cfg); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Listen(%q) = %v, want address in use", cfg.Addr, err)
	}
}

// TestOneOutcomeEach is the promise of the package: whatever clients do at the
// same time, each connection ends in one outcome of each kind.
func TestOneOutcomeEach(t *testing.T) {
	w := newWorld(t, nil)
	kinds := []func() net.Conn{
		func() net.Conn { c := tls.Client(w.dial(), client("ec.example.com")); _ = ping(c); return c },
		func() net.Conn { c := tls.Client(w.dial(), client("nobody.example.com")); _ = ping(c); return c },
		func() net.Conn { c := tls.Client(w.dial(), client("other.example.com")); _ = ping(c); return c },
		func() net.Conn { c := tls.Client(w.dial(), client("both.example.com")); _ = c.Handshake(); return c },
		func() net.Conn { c := w.dial(); c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); readAll(c); return c },
		func() net.Conn { c := w.dial(); c.Write([]byte{22, 3, 1}); return c },
		func() net.Conn { c := w.dial(); c.SetLinger(0); return c },
		func() net.Conn { return w.dial() },
	}
	const each = 12
	var clients sync.WaitGroup
	for _, visit := range kinds {
		for range each {
			clients.Go(func() { visit().Close() })
		}
	}
	clients.Wait()
	w.l.StopAccepting()
	if err := w.l.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.l.Close()
	// A connection that was reset before it was accepted never reached us, so the
	// connections are the measure, not the clients.
	conns, handshakes := map[uint64]int{}, map[uint64]int{}
	for range len(w.conns) {
		conns[w.conn().ID]++
	}
	for range len(w.handshakes) {
		h := w.handshake()
		handshakes[h.Conn.ID]++
		if !h.Reason.Known() {
			t.Errorf("reason %q is not in the list", h.Reason)
		}
	}
	if len(conns) < (len(kinds)-1)*each || len(conns) > len(kinds)*each {
		t.Errorf("%d connections were reported, want about %d", len(conns), len(kinds)*each)
	}
	for id, n := range conns {
		if n != 1 || handshakes[id] != 1 {
			t.Errorf("connection %d has %d outcomes and %d handshakes, want 1 and 1", id, n, handshakes[id])
		}
	}
	if len(handshakes) != len(conns) {
		t.Errorf("%d handshakes, want %d", len(handshakes), len(conns))
	}
}

// TestRow12Defaults: a silent client does not hang for ever.
func TestRow12Defaults(t *testing.T) {
	cfg := Config{TLS: true}.withDefaults()
	if cfg.HandshakeTimeout != 60*time.Second || cfg.FirstByteTimeout != 10*time.Second {
		t.Errorf("a handshake may take %v and its first byte %v, want 60s and 10s", cfg.HandshakeTimeout, cfg.FirstByteTimeout)
	}
	if cfg = (Config{TLS: true, HandshakeTimeout: 5 * time.Second}).withDefaults(); cfg.FirstByteTimeout != 5*time.Second {
		t.Errorf("the first byte may take %v of a handshake of 5s, want no more", cfg.FirstByteTimeout)
	}
}
