package upstream

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A Conn is a connection to an endpoint, handed out for one attempt. It belongs
// to who got it until Done.
type Conn struct {
	// Stream carries the attempt. Call Done, never the Close of it.
	Stream
	Endpoint *Endpoint
	// Reused says that the connection was kept from an earlier exchange, or carries
	// others.
	Reused bool
	// ConnectTime is how long the dial took, or the wait for another attempt's; 0 if
	// there was none.
	ConnectTime time.Duration
	// TLS is the handshake of the connection; nil in plain text.
	TLS *outcome.UpstreamHandshake

	// shared is the connection if it carries other attempts too. Then nc is nil, and
	// so is all that follows but out.
	shared *shared
	nc     net.Conn
	out    atomic.Bool
	// keeps is how long the endpoint has told to keep the connection idle, if it
	// has told; until is when it is not to be used any more, zero if nothing is
	// known of that. See keepalive.go.
	keeps time.Duration
	told  bool
	until time.Time
	// keptAt is the epoch in which the connection was last put on the stack;
	// guarded by Endpoint.mu.
	keptAt uint32

	// raw is nil if the socket cannot be looked at; peek is c.peekFD, made once
	// because a method value is an allocation. See probe_unix.go.
	raw  syscall.RawConn
	peek func(fd uintptr)
	seen condition
	// secure is nc if that is TLS.
	secure *secureConn
}

func newConn(e *Endpoint, nc net.Conn, took time.Duration) *Conn {
	c := &Conn{Stream: e.pool.set.cfg.Stream(nc), Endpoint: e, nc: nc}
	socket := nc
	if secure, ok := nc.(*secureConn); ok {
		c.secure, socket = secure, secure.wire.Conn
	}
	if sc, ok := socket.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw, c.peek = raw, c.peekFD
		}
	}
	c.handOut(false)
	c.ConnectTime = took
	return c
}

// Refusable reports whether the endpoint can refuse an attempt that has begun and say
// that it has not looked at it: by REFUSED_STREAM or GOAWAY of HTTP/2 (RFC 9113 §8.7).
func (c *Conn) Refusable() bool { return c.shared != nil }

func (c *Conn) handOut(reused bool) {
	c.Reused, c.ConnectTime = reused, 0
	c.told = false
	c.out.Store(true)
	c.Endpoint.busy.Add(1)
}

// Done ends the attempt. The connection is kept if the stream says that it may
// carry another one, the endpoint has not told that it will close it right away,
// is still in force, and there is room; else it is closed. Calling it again does
// nothing, but c may by then be another's: call it once.
func (c *Conn) Done() {
	if !c.out.CompareAndSwap(true, false) {
		return
	}
	reusable := c.Stream.Close()
	c.Endpoint.busy.Add(-1)
	if c.shared != nil {
		c.shared.release(c)
		return
	}
	if !reusable || !c.setLimit() || !c.Endpoint.keep(c) {
		c.nc.Close()
	}
}

// A condition is what a look at an idle socket found.
type condition uint8

const (
	alive condition = iota
	closedByPeer
	unexpectedData
)

// look returns the condition of an idle connection without waiting. Between two
// exchanges of HTTP/1.1 the peer has nothing to say: RFC 9112 §9.2 lets a client
// that receives data with no request outstanding treat it as no response.
func (c *Conn) look() condition {
	c.seen = alive
	if c.raw != nil {
		c.seen = closedByPeer
		// Control, not Read: Read fails at once when an old read deadline is past.
		if err := c.raw.Control(c.peek); err != nil {
			return closedByPeer
		}
	}
	if c.secure != nil {
		return c.secure.look(c.seen)
	}
	return c.seen
}
