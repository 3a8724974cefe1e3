package http1

import (
	"errors"
	"os"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// How far the answer has come.
type stage uint8

const (
	stageNone   stage = iota // nothing but interim responses
	stageBody                // the head is queued
	stageEnd                 // all is sent
	stageCut                 // given up
	stageTunnel              // the connection is the tunnel's
)

// An Exchange is one request of a client and its answer. It is valid until the
// Handler returns. It belongs to the Handler's goroutine; one other may read the
// body, and any may interrupt it.
type Exchange struct {
	c       *serverConn
	req     message.Request
	head    requestHead
	body    body
	refusal *outcome.Error

	stage stage
	// status is that of the answer, 0 before Head.
	status int
	// last makes this exchange the last of its connection.
	last bool
	// continued says that the client was told to send its body.
	continued bool
	// The framing of the answer, and how many bytes of its body are missing.
	out    framing
	remain int64
}

// start makes x ready for the next request of c.
func (x *Exchange) start(c *serverConn) {
	s := c.server
	x.c = c
	x.head.reset(&x.req, or(s.MaxFields, DefaultMaxFields))
	x.body.reset(&c.rd, outcome.Downstream, x.head.maxFields)
	x.body.timeout = or(s.BodyTimeout, DefaultBodyTimeout)
	c.wr.timeout = or(s.SendTimeout, DefaultSendTimeout)
	x.refusal = nil
	x.stage, x.last, x.continued = stageNone, false, false
	x.status, x.out, x.remain = 0, framedNone, 0
}

// drop lets go of the connection and of everything that views its buffers.
func (x *Exchange) drop() {
	x.c, x.refusal = nil, nil
	x.head.reset(&x.req, 0)
	x.body.reset(nil, outcome.Downstream, 0)
}

// readHead reads the request head; what is wrong with it becomes the refusal.
func (x *Exchange) readHead() {
	if x.refusal = x.parseHead(); x.refusal != nil {
		x.last = true
		x.c.info.Reason = x.refusal.Reason
		return
	}
	x.last = !x.head.keepAlive()
	switch {
	case x.req.Length > 0:
		x.body.start(framedLength, x.req.Length)
	case x.req.Length < 0:
		x.body.start(framedChunked, 0)
	}
}

func (x *Exchange) parseHead() *outcome.Error {
	rd := &x.c.rd
	max := or(x.c.server.MaxHead, DefaultMaxHead)
	var now, until time.Time
	for {
		done, err := x.head.parse(rd.buf.b[:min(rd.w, max)])
		if err != nil {
			return err
		}
		if done {
			rd.r = x.head.lines.pos
			rd.hold()
			return nil
		}
		if rd.w >= max {
			return x.tooLarge()
		}
		if rd.w == len(rd.buf.b) {
			// The views of what was parsed so far point to the old buffer.
			rd.grow(max)
			x.head.reset(&x.req, x.head.maxFields)
		}
		if now = time.Now(); until.IsZero() {
			until = now.Add(or(x.c.server.HeadTimeout, DefaultHeadTimeout))
		}
		n, rerr := rd.read(rd.buf.b[rd.w:], now, until)
		rd.w += n
		switch {
		case errors.Is(rerr, os.ErrDeadlineExceeded):
			return refuseAs(outcome.HeadTimeout, "the request head did not arrive in time")
		case rerr != nil:
			return &outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed, Err: rerr}
		}
	}
}

// tooLarge refuses a head beyond the limit: "A server that receives a
// request-target longer than any URI it wishes to parse MUST respond with a 414
// (URI Too Long) status code" (RFC 9112 §3).
func (x *Exchange) tooLarge() *outcome.Error {
	err := refuseAs(outcome.HeadTooLarge, "the request head is too large")
	if x.head.lines.n == 0 {
		err.Status, err.Detail = 414, "the request target is too long"
	}
	return err
}

// finish ends the exchange after the handler has returned, and reports whether
// the connection can carry another one.
func (x *Exchange) finish() bool {
	c := x.c
	switch x.stage {
	case stageTunnel:
		return false
	case stageNone, stageBody:
		x.Abort()
		return false
	case stageCut:
		return false
	}
	if !x.last && !x.body.done {
		x.last = !x.body.drain(drainBytes, time.Now().Add(drainTime))
	}
	c.rd.resume()
	if !x.last && (c.rd.err == nil || c.rd.buffered() > 0) {
		// A client may have closed its half and still wait for answers.
		return true
	}
	if c.rd.err == nil && c.wr.err == nil && x.moreToCome() {
		c.linger()
	}
	return false
}

// moreToCome reports whether input may be on its way to a connection that ends: a
// client that let it persist may have sent its next request already.
func (x *Exchange) moreToCome() bool {
	return x.refusal != nil || !x.body.done || x.c.rd.buffered() > 0 || x.head.keepAlive()
}

// Conn returns the connection that carries the exchange.
func (x *Exchange) Conn() *outcome.Conn { return x.c.info }

// Request returns the head. Fields and views are valid until the Handler returns.
func (x *Exchange) Request() *message.Request { return &x.req }

// Refusal says why the head was not acceptable, nil if it was. Request holds what
// could be read of it.
func (x *Exchange) Refusal() *outcome.Error { return x.refusal }

// Body returns the request's body, never nil. Its errors are *outcome.Error.
func (x *Exchange) Body() message.Body { return &x.body }

// Limit sets the limits of this exchange: the size of the request body (0: no
// limit), and the time without progress while the body is read and the response
// sent (0: the server's).
func (x *Exchange) Limit(maxBody int64, body, send time.Duration) {
	s := x.c.server
	x.body.limit = max(maxBody, 0)
	x.body.timeout = or(body, or(s.BodyTimeout, DefaultBodyTimeout))
	x.c.wr.timeout = or(send, or(s.SendTimeout, DefaultSendTimeout))
}

// Close makes this exchange the last one of its connection. It has no effect
// after Head.
func (x *Exchange) Close() {
	if x.stage == stageNone {
		x.last = true
	}
}

// Retire is Close: a connection carries one exchange after the other.
func (x *Exchange) Retire() { x.Close() }

// Abort cuts the response so that the client can tell that it is incomplete. It
// does nothing after End.
func (x *Exchange) Abort() {
	if x.stage == stageEnd || x.stage == stageCut {
		return
	}
	x.stage, x.last = stageCut, true
	x.c.wr.n = 0
	// The client can tell from Content-Length and chunks; else from a reset.
	cut(x.c.conn, x.out == framedClose || x.out == framedNone)
}

// Cancel is Abort: HTTP/1.1 cannot say why.
func (x *Exchange) Cancel() { x.Abort() }

// sendError translates the writer's error.
func (x *Exchange) sendError() error {
	err := x.c.wr.err
	if err == nil {
		return nil
	}
	e := &outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed, Err: err}
	if isTimeout(err) {
		e.Reason = outcome.SendTimeout
	}
	x.last = true
	x.c.info.Reason = e.Reason
	return e
}

// misuse is the error of a call that does not fit the state of the exchange.
func misuse(detail string) error {
	return &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: errors.New("http1: " + detail)}
}
