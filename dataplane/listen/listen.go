// Package listen turns sockets into authenticated connections.
//
// A [Listener] accepts connections, counts their bytes and, on a TLS listener,
// does the handshake with the certificate that the current snapshot declares for
// the server name. A connection that got that far is handed to Config.Handler
// together with what is known of it; a connection that did not is closed, with
// an alert where TLS has one for the case.
//
// Every accepted connection ends in exactly one [outcome.Conn], and every
// connection to a TLS listener in exactly one [outcome.Handshake] before it:
// shed, silent, half-open, plain HTTP and refused ones included. A handshake is
// decided at the first record that the client sends after it, because a TLS 1.3
// client finishes its handshake before the server can learn that it does not
// like the certificate; see the type secured.
//
// All methods may be called from any goroutine. HTTP is unknown here, but for
// the one-line answer to a client that speaks it on the TLS port.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Config says what a Listener does. Current and Handler are required.
type Config struct {
	// Name is "http" or "https": [outcome.Conn.Listener].
	Name string
	// Addr is the TCP address to listen on, as of [net.Listen]; "" is ":http"
	// or, with TLS, ":https".
	Addr string
	// TLS says that clients speak TLS.
	TLS bool
	// Current returns the snapshot in force, nil before the first one: until then
	// every connection is closed with the reason not_ready.
	Current func() *snapshot.Snapshot
	// Sink receives the outcomes of connections and handshakes.
	Sink outcome.Sink
	// Handler runs a connection until it ends. The net.Conn is closed when it
	// returns, if it has not done so itself. It may set Reason and Requests of the
	// outcome.Conn.
	Handler func(net.Conn, *outcome.Conn)
	// HandshakeTimeout bounds the time from accept to the end of the handshake.
	// 0 means 60 s.
	HandshakeTimeout time.Duration
	// FirstByteTimeout bounds the time in which a TLS client sends its first byte.
	// 0 means 10 s.
	FirstByteTimeout time.Duration
	// MaxHandshakes is the most handshakes that run at once, MaxConns the most
	// connections that are open at once. What comes in addition is reset with the
	// reason shed. 0 means no limit.
	MaxHandshakes, MaxConns int
	// Admit, if not nil, is asked about every connection that the policy of the
	// snapshot lets in, before a byte of TLS or HTTP is read from it. OK lets it in;
	// any other reason turns it away, and is filtered if the list does not have it.
	// It runs in the connection's goroutine, may block that one alone, and may set
	// Stamp.
	Admit func(*outcome.Conn) outcome.Reason
	// Passthrough, if not nil, carries a connection to a host that is passed through
	// to one of its endpoints, from the ClientHello on, until it ends; it sets
	// Endpoint and Attempts. An error says that no endpoint got it. With nil no host
	// is passed through, and clients that ask for one are refused.
	Passthrough func(client net.Conn, host *snapshot.Host, h *outcome.Handshake) *outcome.Error
	// Limits counts connections for the limits of the policy. Listeners that share
	// one are limited together. Nil means one of its own.
	Limits *Limits
	// KeyLog, if not nil, is written the secrets of TLS sessions in the NSS key log
	// format, a line a call, one call at a time.
	KeyLog io.Writer
	// Staples, if not nil, are sent along with the certificates that they are for.
	Staples *Staples
	// NextProtos are the application protocols offered by ALPN, best first. Nil
	// means http/1.1. A client that offers only others is served without ALPN.
	NextProtos []string
	// Logger receives what is not an outcome: trouble with accept, panics. Nil
	// means none.
	Logger *slog.Logger
}

const (
	defaultHandshakeTimeout = 60 * time.Second
	defaultFirstByteTimeout = 10 * time.Second
)

var defaultNextProtos = []string{"http/1.1"}

// withDefaults returns c with every zero value that has a meaning replaced by it.
func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = ":http"
		if c.TLS {
			c.Addr = ":https"
		}
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = defaultHandshakeTimeout
	}
	if c.FirstByteTimeout == 0 {
		c.FirstByteTimeout = defaultFirstByteTimeout
	}
	c.FirstByteTimeout = min(c.FirstByteTimeout, c.HandshakeTimeout)
	if c.Limits == nil {
		c.Limits = NewLimits()
	}
	if c.NextProtos == nil {
		c.NextProtos = defaultNextProtos
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("listener", c.Name)
	return c
}

// A Listener is one listening socket and the connections accepted from it.
type Listener struct {
	cfg     Config
	ln      net.Listener
	tls     *tls.Config // nil on a plain listener
	configs configs

	handshakes atomic.Int64 // running now
	panics     outcome.Panics

	goroutines sync.WaitGroup
	// cutting says that the time of the connections that are open is over; cut
	// counts those that ended by it.
	cutting atomic.Bool
	cut     atomic.Int64
	stop    chan struct{} // closed when no more connections are accepted

	mu      sync.Mutex
	conns   map[*conn]struct{} // open and counted in goroutines
	stopped bool
	closed  bool
	idle    chan struct{} // closed when stopped and conns is empty
}

// lastID is the last [outcome.Conn.ID] given, over all listeners.
var lastID atomic.Uint64

// Listen opens the socket. Connections wait in the kernel until Serve is called.
func Listen(cfg Config) (*Listener, error) {
	if cfg.Current == nil || cfg.Handler == nil {
		return nil, errors.New("listen: Config.Current and Config.Handler are required")
	}
	cfg = cfg.withDefaults()
	// ListenConfig turns TCP keep-alive on by default.
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %s: %w", cfg.Name, err)
	}
	return newListener(cfg, ln), nil
}

// newListener wants cfg with its defaults.
func newListener(cfg Config, ln net.Listener) *Listener {
	l := &Listener{
		cfg:   cfg,
		ln:    ln,
		stop:  make(chan struct{}),
		conns: make(map[*conn]struct{}),
		idle:  make(chan struct{}),
	}
	if cfg.TLS {
		l.configs.keyLog = cfg.KeyLog
		l.configs.staples = cfg.Staples
		l.configs.init(cfg.NextProtos)
		// configFor replaces it as soon as a ClientHello is there.
		l.tls = &tls.Config{GetConfigForClient: l.configFor, GetEncryptedClientHelloKeys: l.echFor, MinVersion: tls.VersionTLS10}
	}
	return l
}

// Addr is the address listened on, with the port that the kernel chose if
// Config.Addr left it open.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// SetTicketKeys replaces the secrets of session tickets, at once and for all
// handshakes that follow. With none, which is the state at the beginning, keys
// are made and rotated by crypto/tls and good for this process alone.
func (l *Listener) SetTicketKeys(keys *snapshot.TicketKeys) {
	if l.cfg.TLS {
		l.configs.setKeys(keys)
	}
}

// Open returns the number of connections that are open now, those in their
// handshake included.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// StopAccepting closes the listening socket. Open connections, also those in
// their handshake, go on.
func (l *Listener) StopAccepting() {
	l.mu.Lock()
	first := !l.stopped
	l.stopped = true
	if first {
		close(l.stop)
	}
	l.signalIdle()
	l.mu.Unlock()
	if first {
		// The kernel's answer changes nothing: the socket is gone either way.
		_ = l.ln.Close()
	}
}

// Wait returns nil once StopAccepting was called and the last connection has
// ended, or the context's error.
func (l *Listener) Wait(ctx context.Context) error {
	select {
	case <-l.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Cutting announces that whatever is open is about to be cut, by Close or by who
// handles it: what ends from now on ends with the reason shutdown, unless it has one
// of its own.
func (l *Listener) Cutting() { l.cutting.Store(true) }

// Cut returns how many connections ended with the reason shutdown.
func (l *Listener) Cut() int { return int(l.cut.Load()) }

// Close stops accepting, cuts every open connection and waits until the last
// handler has returned and the last outcome was given.
func (l *Listener) Close() {
	l.StopAccepting()
	l.Cutting()
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		// What closing says changes nothing.
		_ = c.Conn.Close()
	}
	l.mu.Unlock()
	l.goroutines.Wait()
}
