package http2

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// This file is about how connections end: asked to leave, by themselves, or cut.

// The steps of a connection's shutdown.
type drainStep uint8

const (
	drainNot   drainStep = iota
	drainTold            // GOAWAY for streams to come was sent
	drainFinal           // GOAWAY with the last stream that is served was sent
)

// shutdown begins to end the connection.
func (c *serverConn) shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drain != drainNot || c.stopped {
		return
	}
	c.drain = drainTold
	c.goAwayFrame(maxStreamID, codeNo, "")
	c.out.frame(framePing, 0, 0, []byte("shutdown"))
	c.kick()
	time.AfterFunc(shutdownTime, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.drain == drainTold {
			c.shutdownFinal()
		}
	})
}

// shutdownFinal says which stream is the last; mu is held.
func (c *serverConn) shutdownFinal() {
	c.drain = drainFinal
	if c.stopped {
		return
	}
	c.goAwayFrame(c.lastID, codeNo, "")
	c.removed()
}

// endReason translates why the connection ended.
func (c *serverConn) endReason(err error) outcome.Reason {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, errInterrupted) && c.err != nil {
		err = c.err // the writer's
		if isTimeout(err) {
			return outcome.SendTimeout
		}
	}
	if e, ok := errors.AsType[*connError](err); ok {
		return e.reason
	}
	switch {
	case c.panicked != nil:
		return outcome.Panic
	case errors.Is(err, errInterrupted):
		return outcome.Draining
	case errors.Is(err, io.EOF), errors.Is(err, errIdle):
		return outcome.OK
	case errors.Is(err, errPing):
		return outcome.PingTimeout
	case errors.Is(err, os.ErrDeadlineExceeded):
		return outcome.HeadTimeout
	}
	return outcome.Reset
}

// end ends the connection after serve has returned err: what is queued is sent,
// with GOAWAY behind it, and every stream is told.
func (c *serverConn) end(err error) {
	// Whatever happens below happens within this time.
	bound := time.AfterFunc(lingerTime, func() { cut(c.nc) })
	defer bound.Stop()
	c.mu.Lock()
	c.stopped = true
	c.closing = true
	code, detail := codeNo, ""
	if e, ok := errors.AsType[*connError](err); ok {
		code, detail = e.code, e.detail
	}
	if c.panicked != nil {
		code = codeInternal
	}
	if c.err == nil && c.drain != drainFinal {
		c.goAwayFrame(c.lastID, code, detail)
	}
	c.lostAll(&outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed, Err: err})
	c.releaseWriter()
	if x := c.current; x != nil {
		c.current = nil
		x.cutOff(err)
	}
	c.mu.Unlock()
	c.wr.goroutine.Wait()

	c.mu.Lock()
	if c.err == nil {
		c.err = err
		defer c.linger()
	}
	c.mu.Unlock()
	c.rest()
	c.goroutines.Wait()
	c.rd.drop()
	c.out.drop()
	if c.panicked != nil {
		panic(c.panicked)
	}
}

// linger lets the client read what was sent: a connection that is closed with
// input left is reset, and what is on its way is lost.
func (c *serverConn) linger() {
	if closeWrite(c.nc) != nil {
		return
	}
	c.rd.resume()
	b := takeBuffer(largeSize)
	defer giveBuffer(b)
	until := time.Now().Add(lingerTime)
	for {
		if _, err := c.rd.read(b.b, until); err != nil {
			return
		}
	}
}

// closeWrite closes the sending half, over TLS with close_notify.
func closeWrite(nc net.Conn) error {
	for {
		if half, ok := nc.(interface{ CloseWrite() error }); ok {
			return half.CloseWrite()
		}
		wrapped, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return errors.ErrUnsupported
		}
		nc = wrapped.NetConn()
	}
}

// cut closes the connection below TLS, without waiting for anybody.
func cut(nc net.Conn) {
	for {
		wrapped, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = wrapped.NetConn()
	}
	_ = nc.Close()
}
