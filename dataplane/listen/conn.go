package listen

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/socket"
)

// A conn is an accepted connection. It is what the handler of a plain listener
// gets, and the transport under the TLS of the others. Around the socket it only
// counts; it holds no buffer.
type conn struct {
	net.Conn
	l    *Listener
	info outcome.Conn
	// hs is nil on a plain listener.
	hs *handshake

	// ahead is what was read ahead and is not yet given to Read; nil if nothing is.
	ahead *ahead
	// preface is the length of the PROXY header.
	preface int64
	// place counts the connection against the limits of its address, if any.
	place *place

	in, out atomic.Int64
	// more says that what is written is followed by more; see secured.
	more atomic.Bool
}

func (l *Listener) newConn(nc net.Conn) *conn {
	c := &conn{Conn: socket.Wrap(nc), l: l}
	c.info = outcome.Conn{
		ID:       lastID.Add(1),
		Listener: l.cfg.Name,
		Remote:   addrPort(nc.RemoteAddr()),
		Local:    addrPort(nc.LocalAddr()),
		Accepted: time.Now(),
	}
	if l.cfg.TLS {
		c.hs = &handshake{Handshake: outcome.Handshake{Conn: &c.info}, timeout: l.cfg.HandshakeTimeout}
	}
	return c
}

// addrPort returns the address with IPv4 in its own form, also when it was
// accepted on an IPv6 socket.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Read counts, and lets the handshake see what comes.
func (c *conn) Read(p []byte) (int, error) {
	if c.ahead != nil {
		return c.reread(p)
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.in.Add(int64(n))
		if c.hs != nil && c.hs.running {
			c.received(p[:n])
		}
	}
	return n, err
}

// AwaitInput waits until Read has something to return, the end or an error
// included. It is for who waits long and should hold little. Its errors are those
// of Read's deadline and of Close, and errors.ErrUnsupported.
func (c *conn) AwaitInput() error {
	if c.ahead != nil {
		return nil
	}
	if a, ok := c.Conn.(interface{ AwaitInput() error }); ok {
		return a.AwaitInput()
	}
	return errors.ErrUnsupported
}

// ahead is what was read of a connection before its time. Read gives b, then err,
// if there is one, and then reads on.
type ahead struct {
	b   []byte
	err error
}

// reread reads what was read ahead.
func (c *conn) reread(p []byte) (int, error) {
	n, err := copy(p, c.ahead.b), error(nil)
	if len(c.ahead.b) == 0 {
		err = c.ahead.err
	}
	c.consume(n)
	if n > 0 && c.hs != nil && c.hs.running {
		c.received(p[:n])
	}
	return n, err
}

// consume takes n bytes off what was read ahead. An error stays until it is alone
// and was given.
func (c *conn) consume(n int) {
	a := c.ahead
	if a.b = a.b[n:]; len(a.b) == 0 && (n == 0 || a.err == nil) {
		c.ahead = nil
	}
}

// Write counts.
func (c *conn) Write(p []byte) (int, error) {
	if c.hs != nil && c.hs.running {
		p = c.hs.alertOut(p)
	}
	if w, ok := c.Conn.(moreWriter); ok && c.more.Load() {
		n, err := w.WriteMore(p)
		c.out.Add(int64(n))
		return n, err
	}
	n, err := c.Conn.Write(p)
	c.out.Add(int64(n))
	return n, err
}

// A moreWriter can be told that what it writes is followed by more.
type moreWriter interface {
	WriteMore(p []byte) (int, error)
}

// ReadFrom lets the socket take the bytes from r without a copy, where the
// kernel can.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.Conn, r)
	c.out.Add(n)
	return n, err
}

// CloseWrite sends the end of the stream and leaves the other direction open.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return fmt.Errorf("listen: %T cannot close one direction", c.Conn)
}

// NetConn returns the socket. What crosses it directly is not counted.
func (c *conn) NetConn() net.Conn { return c.Conn }

// SyscallConn gives access to the socket's file descriptor.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, fmt.Errorf("listen: %T has no file descriptor", c.Conn)
}

// reset turns the connection away before anything was read from it. The reset
// instead of an orderly close leaves no TIME_WAIT behind.
func (c *conn) reset(f failure) {
	if t, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Conn.Close()
	if c.hs != nil {
		c.fail(f)
	}
	c.info.Reason = f.reason
	c.report()
}

// report gives the outcome of the connection.
func (c *conn) report() {
	if c.info.Reason == "" {
		c.info.Reason = outcome.OK
	}
	c.info.Duration = time.Since(c.info.Accepted)
	c.info.BytesIn, c.info.BytesOut = c.in.Load(), c.out.Load()
	if c.l.cfg.Sink.Conn != nil {
		c.l.cfg.Sink.Conn(&c.info)
	}
}

// serve runs the handler on nc, which is c or the TLS on it. It is the last
// goroutine of the connection.
func (l *Listener) serve(c *conn, nc net.Conn) {
	defer l.end(c, nc)
	defer c.rescue()
	if c.hs == nil && l.cfg.Current() == nil {
		c.info.Reason = outcome.NotReady
		return
	}
	l.cfg.Handler(nc, &c.info)
}

// servePlain is the goroutine of a connection without TLS.
func (l *Listener) servePlain(c *conn) {
	if f := l.admitted(c); f.reason != outcome.OK {
		l.refuse(c, f)
		return
	}
	l.serve(c, c)
}

// admitted is admit for a function of the embedder's that may panic.
func (l *Listener) admitted(c *conn) (f failure) {
	f.reason = outcome.Panic
	defer c.rescue()
	return l.admit(c)
}

// refuse turns away a connection that was not admitted.
func (l *Listener) refuse(c *conn, f failure) {
	if f.reason == outcome.Panic {
		l.end(c, c.Conn)
		return
	}
	if c.hs == nil && (f.reason == outcome.EOF || f.reason == outcome.Reset) {
		f.reason = outcome.OK // as of a client that connects and leaves
	}
	c.reset(f)
	l.remove(c)
}

// rescue is deferred around what may panic: the connection ends, the process
// does not.
func (c *conn) rescue() {
	if v := recover(); v != nil {
		c.info.Reason = outcome.Panic
		c.l.panics.Log(c.l.cfg.Logger, "panic in a connection", v)
	}
}

// end is the last act of the last goroutine of a connection: whatever happened,
// it is closed, and its outcomes are given once each.
func (l *Listener) end(c *conn, nc net.Conn) {
	// The error of closing a connection that is done with tells nobody anything.
	_ = nc.Close()
	if c.hs != nil {
		c.settle()
	}
	switch {
	case c.info.Reason == outcome.Panic:
	case c.hs != nil && c.hs.Result != outcome.Done:
		// The engine saw no more than a read that failed.
		c.info.Reason = c.hs.Reason
	case l.cutting.Load() && byCut(c.info.Reason):
		c.info.Reason = outcome.Shutdown
	case c.info.Outdated() && byLeaving(c.info.Reason):
		c.info.Reason = outcome.CertificateReplaced
	}
	if c.info.Reason == outcome.Shutdown {
		l.cut.Add(1)
	}
	c.report()
	l.remove(c)
}

// byLeaving reports whether a connection whose client was asked to leave may end
// with the reason.
func byLeaving(reason outcome.Reason) bool {
	return reason == "" || reason == outcome.OK || reason == outcome.Draining
}

// byCut reports whether a connection that is cut may end with the reason: its
// handler sees no more than a socket that fails.
func byCut(reason outcome.Reason) bool {
	switch reason {
	case "", outcome.OK, outcome.Reset, outcome.ClientClosed, outcome.Draining:
		return true
	}
	return false
}
