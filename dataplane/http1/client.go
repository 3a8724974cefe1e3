package http1

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// ClientConfig is shared by the connections to an endpoint.
type ClientConfig struct {
	// MaxHead is the size of the largest response head in bytes; default 64 KiB.
	MaxHead int
	// MaxFields is the number of field lines in a response head; default 256.
	MaxFields int
}

// A ClientConn is a connection to an endpoint. It carries one attempt at a time,
// from Head to Close. The sending half (Head, Write, Flush, End) and the
// receiving half (Response, Body) may be used by two goroutines at the same time
// once Head has returned; Interrupt by any.
type ClientConn struct {
	conn net.Conn
	cfg  *ClientConfig
	rd   reader
	wr   writer

	// The request: what decides on the response, and how far it is sent.
	method  string
	upgrade []byte
	out     framing
	remain  int64
	started bool
	ended   bool
	// startSent is what the writer had sent when the attempt began.
	startSent int64

	// The response.
	res      message.Response
	head     responseHead
	body     body
	final    bool
	interims int
	// heard says that some byte of a response came.
	heard       bool
	readTimeout time.Duration
	// early is when the wait for a head is told to be long.
	early  time.Time
	tunnel bool
}

// NewClientConn returns a ClientConn on conn; cfg may be nil.
func NewClientConn(conn net.Conn, cfg *ClientConfig) *ClientConn {
	if cfg == nil {
		cfg = new(ClientConfig)
	}
	c := &ClientConn{conn: conn, cfg: cfg}
	c.rd.conn, c.wr.conn = conn, conn
	return c
}

// NetConn returns the connection underneath.
func (c *ClientConn) NetConn() net.Conn { return c.conn }

// Timeouts sets the time without progress, when receiving and when sending; 0
// means no limit.
func (c *ClientConn) Timeouts(read, send time.Duration) {
	c.readTimeout, c.wr.timeout = read, send
	c.body.timeout = read
}

// Head begins an attempt and queues the request head. The body is framed by
// req.Length; Content-Length or Transfer-Encoding is added, every other field
// stays as it is, but that Host is added from req.Authority if it is missing.
func (c *ClientConn) Head(req *message.Request) error {
	if c.started {
		return misuse("a second request head in one attempt")
	}
	if checkFields(&req.Fields) != nil || !validRequestLine(req) {
		return &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: errInvalidField}
	}
	c.begin(req)
	w := &c.wr
	w.putString(req.Method)
	w.putString(" ")
	w.put(req.Target)
	w.putString(" HTTP/1.1\r\n")
	if !req.Fields.Has(message.Host) {
		w.putString("Host: ")
		w.put(req.Authority)
		w.putString("\r\n")
	}
	w.putFields(&req.Fields, requestFraming)
	c.putFraming(req)
	w.putString("\r\n")
	return c.sendError()
}

var requestFraming = skip(message.ContentLength, message.TransferEncoding)

// begin makes c ready for an attempt.
func (c *ClientConn) begin(req *message.Request) {
	c.method = req.Method
	c.upgrade = append(c.upgrade[:0], req.Fields.Get(message.Upgrade)...)
	c.started, c.ended, c.startSent = true, false, c.wr.sent
	c.final, c.heard, c.tunnel, c.interims = false, false, false, 0
	c.rd.next()
	if c.rd.buf == nil {
		c.rd.buf = takeBuffer(smallSize)
	}
	maxFields := or(c.cfg.MaxFields, DefaultMaxFields)
	c.head.reset(&c.res, maxFields)
	c.body.reset(&c.rd, outcome.Upstream, maxFields)
	c.body.timeout = c.readTimeout
}

// putFraming decides how the body of the request is framed.
func (c *ClientConn) putFraming(req *message.Request) {
	w := &c.wr
	switch {
	case req.Length < 0:
		c.out = framedChunked
		w.putString("Transfer-Encoding: chunked\r\n")
		return
	case req.Length > 0:
		c.out, c.remain = framedLength, req.Length
	default:
		c.out, c.remain = framedNone, 0
		// "A user agent SHOULD send Content-Length in a request when the method
		// defines a meaning for enclosed content" (RFC 9110 §8.6).
		if !req.Fields.Has(message.ContentLength) && !anticipatesBody(req.Method) {
			return
		}
	}
	w.putString("Content-Length: ")
	w.putInt(req.Length, 10)
	w.putString("\r\n")
}

func anticipatesBody(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

// validRequestLine guards against a target that would split the head.
func validRequestLine(req *message.Request) bool {
	for _, b := range req.Target {
		if !message.TargetByte(b) {
			return false
		}
	}
	for i := range len(req.Method) {
		if !message.TokenByte(req.Method[i]) {
			return false
		}
	}
	return len(req.Target) > 0 && len(req.Method) > 0 && message.ValidValue(req.Authority)
}

// Write queues body bytes.
func (c *ClientConn) Write(p []byte) error {
	switch {
	case !c.started || c.ended:
		return misuse("body outside of a request")
	case len(p) == 0:
		return c.sendError()
	case c.out == framedChunked:
		c.wr.putChunk(p)
	case int64(len(p)) > c.remain:
		return misuse("body longer than its Content-Length")
	default:
		c.remain -= int64(len(p))
		c.wr.putBody(p)
	}
	return c.sendError()
}

// Flush sends what is queued.
func (c *ClientConn) Flush() error {
	c.wr.flush()
	return c.sendError()
}

// End completes the request and sends all of it. Trailers are sent after a
// chunked body only; trailers may be nil.
func (c *ClientConn) End(trailers *message.Fields) error {
	switch {
	case !c.started || c.ended:
		return misuse("end outside of a request")
	case c.out == framedLength && c.remain > 0:
		return misuse("body shorter than its Content-Length")
	case c.out == framedChunked:
		if trailers != nil && checkFields(trailers) != nil {
			trailers = nil
		}
		c.wr.putLastChunk(trailers)
	}
	c.wr.flush()
	c.ended = c.wr.err == nil
	return c.sendError()
}

// sendError translates the writer's error.
func (c *ClientConn) sendError() error {
	err := c.wr.err
	if err == nil {
		return nil
	}
	e := &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamSend, Err: err}
	switch {
	case errors.Is(err, errInterrupted):
		e.Reason = outcome.ClientClosed
	case c.wr.sent == c.startSent:
		e.Retry = outcome.RetryYes
	case isReset(err):
		e.Retry = outcome.RetryIfReused
	}
	return e
}

// Tunnel hands over the connection after a 101. What was read already is what
// Read returns first. Close of the ClientConn closes it.
func (c *ClientConn) Tunnel() (io.ReadWriteCloser, error) {
	if !c.final || c.res.Status != 101 {
		return nil, misuse("tunnel without 101")
	}
	c.tunnel = true
	return newTunnel(c.conn, &c.rd), nil
}

// Interrupt ends every call that waits, and fails later ones, with reason
// client_closed. The connection is not kept.
func (c *ClientConn) Interrupt() {
	c.rd.interrupt()
	c.wr.interrupt()
}

// Close ends the attempt. It reports whether the connection may carry another
// one, and closes it if not: the exchange must be complete in both directions,
// with nothing left unread, and neither side may have asked to close.
func (c *ClientConn) Close() (reusable bool) {
	reusable = c.started && c.ended && c.wr.err == nil && c.final && c.body.done && !c.tunnel &&
		c.res.Status != 101 && c.head.keepAlive() && c.body.framing != framedClose &&
		c.rd.buffered() == 0 && c.rd.err == nil && !c.rd.interrupted.Load() && !c.wr.interrupted.Load()
	c.started = false
	c.body.waiting = nil
	c.rd.release()
	c.wr.release()
	if !reusable {
		_ = c.conn.Close()
	}
	return reusable
}
