package upstream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// A secureConn is a TLS connection whose idle state can be looked at.
//
// A look at the socket alone is not enough. What lies there may be a session ticket,
// which a server may send at any time (RFC 8446 §4.6.1) and which is no answer to
// anything; and what does not lie there any more may wait in crypto/tls, read ahead
// together with the end of the last response, and would pass for the beginning of the
// next one.
type secureConn struct {
	*tls.Conn
	wire *wire
	// full says that the last Read filled its buffer, so that a part of a record may
	// be left in crypto/tls.
	full bool
}

// newWire makes a wire of nc.
func newWire(nc net.Conn) *wire {
	w := &wire{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			w.raw = raw
			w.now = w.readNow
		}
	}
	return w
}

// Read is that of crypto/tls.
func (c *secureConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.full = n == len(p)
	return n, err
}

// look returns the condition of an idle connection; socket is that of the socket.
func (c *secureConn) look(socket condition) condition {
	if socket != unexpectedData && !c.full && !c.wire.ahead {
		return socket
	}
	seen, _ := c.read()
	return seen
}

// confirmTime is the longest wait for an endpoint's judgement on our certificate.
const confirmTime = 50 * time.Millisecond

// confirm waits for a sign that the endpoint accepts our certificate. In TLS 1.3 the
// handshake is over for us before the endpoint has looked at it (RFC 8446 §4.4.2); a
// request sent right away would be lost together with the reason, because a server
// that closes on unread data resets the connection. Servers that accept it send a
// session ticket as a rule, so that this takes one round trip; one that sends nothing
// in confirmTime is taken to accept it.
func (c *secureConn) confirm(ctx context.Context) error {
	if c.wire.raw == nil {
		return nil
	}
	until := time.Now().Add(confirmTime)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	c.wire.Conn.SetReadDeadline(until)
	defer c.wire.Conn.SetReadDeadline(time.Time{})
	if c.wire.ahead {
		// That is still from before our certificate was sent.
		if seen, err := c.read(); seen == closedByPeer {
			return err
		}
	}
	if c.wire.raw.Read(c.wire.readable) != nil {
		return nil
	}
	switch seen, err := c.read(); seen {
	case closedByPeer:
		return err
	case unexpectedData:
		return errors.New("the endpoint sent data before there was a request")
	}
	return nil
}

// read lets crypto/tls read what has arrived, without waiting.
func (c *secureConn) read() (condition, error) {
	c.wire.waitless.Store(true)
	defer c.wire.waitless.Store(false)
	var b [1]byte
	n, err := c.Conn.Read(b[:])
	c.full = false
	switch {
	case n > 0:
		return unexpectedData, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		// Nothing, or what only crypto/tls has to know, was there.
		c.wire.ahead = false
		return alive, nil
	}
	return closedByPeer, err
}

// A wire is what crypto/tls reads from.
type wire struct {
	net.Conn
	// ahead says that the last read went beyond the record that it was to complete:
	// then crypto/tls may hold another one.
	ahead bool
	// head holds the first bytes of the header of the record that is being read, and
	// rest is what is missing of its content.
	head [5]byte
	have int
	rest int

	// waitless makes reads return at once.
	waitless atomic.Bool
	raw      syscall.RawConn
	now      func(fd uintptr)
	p        []byte
	n        int
	err      error
}

// Read reads from the socket, without waiting if it is waitless.
func (w *wire) Read(p []byte) (n int, err error) {
	switch {
	case !w.waitless.Load():
		n, err = w.Conn.Read(p)
	case w.raw == nil:
		return 0, os.ErrDeadlineExceeded
	default:
		w.p, w.n, w.err = p, 0, nil
		if err = w.raw.Control(w.now); err == nil {
			n, err = w.n, w.err
		}
		w.p = nil
	}
	w.follow(p[:n])
	return n, err
}

// follow keeps track of the boundaries of records.
func (w *wire) follow(p []byte) {
	w.ahead = false
	for len(p) > 0 {
		if w.have < len(w.head) {
			n := copy(w.head[w.have:], p)
			w.have += n
			p = p[n:]
			if w.have < len(w.head) {
				return
			}
			w.rest = int(binary.BigEndian.Uint16(w.head[3:]))
		}
		n := min(w.rest, len(p))
		w.rest -= n
		p = p[n:]
		if w.rest == 0 {
			w.have = 0
			w.ahead = w.ahead || len(p) > 0
		}
	}
}

// took turns the result of a read that does not wait into that of one that does.
func (w *wire) took(n int, err error) {
	switch {
	case err == syscall.EAGAIN:
		w.err = os.ErrDeadlineExceeded
	case err != nil:
		w.err = os.NewSyscallError("recvfrom", err)
	case n <= 0:
		w.err = io.EOF
	default:
		w.n = n
	}
}
