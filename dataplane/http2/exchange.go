package http2

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
	stageTunnel              // the stream is the tunnel's
)

// An Exchange is one request of a client and its answer. It is valid until the
// Handler returns. It belongs to the Handler's goroutine; one other may read the
// body, and any may interrupt it.
type Exchange struct {
	stream
	conn *serverConn
	// work wakes the goroutine of the exchange; live says that it has one.
	work chan struct{}
	live bool

	req     message.Request
	head    requestHead
	refusal *outcome.Error
	// mute says that the answer is dropped, because the stream is reset.
	mute bool
	// openEnd says that Content-Length promises no body and END_STREAM has not come.
	openEnd bool
	// key is the Sec-WebSocket-Key that was made up.
	key string

	stage stage
	// continued says that the client was told to send its body.
	continued bool
	// bodyless says that the answer has no body; remain is how many bytes of it
	// are missing, -1 if not known.
	bodyless bool
	remain   int64

	// watcher is called when the client leaves; watched is closed when that was
	// done. Guarded by mu.
	watcher func()
	watched chan struct{}
	// onGone is notify, made once.
	onGone func()
}

func newExchange() *Exchange {
	x := &Exchange{work: make(chan struct{}, 1)}
	x.onGone = x.notify
	return x
}

// start makes x ready for the request on a new stream; mu is held.
func (x *Exchange) start(c *serverConn, id uint32) {
	x.conn = c
	x.stream.begin(&c.conn, id)
	x.stream.gone = x.onGone
	x.in.timeout = or(c.server.BodyTimeout, DefaultBodyTimeout)
	x.head.reset(x)
	x.refusal, x.mute, x.openEnd, x.key = nil, false, false, ""
	x.stage, x.continued = stageNone, false
	x.bodyless, x.remain = false, -1
	x.watcher, x.watched = nil, nil
}

// begun is called when the head is complete. A malformed request is reset; the
// Handler is called all the same, for the sake of its outcome, and what it answers
// goes nowhere. Any other refusal is answered.
func (x *Exchange) begun(endStream bool) *connError {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
	var err *connError
	h := &x.head
	switch {
	case h.malformed != "":
		x.refusal = refuseAs(outcome.BadRequest, h.malformed)
		x.mute = true
		x.in.fail(x.refusal)
		c.reset(x.id, codeProtocol)
		c.remove(&x.stream)
		if err = c.replied(); err == nil {
			err = c.brokenOff()
		}
	case h.refusal != nil:
		x.refusal = h.refusal
	}
	if h.lengths > 0 {
		x.in.declared = max(0, x.req.Length)
		x.openEnd = x.req.Length == 0 && !endStream && len(x.req.Upgrade) == 0
	}
	if endStream {
		x.in.end()
		x.receivedEnd = true
	}
	if x.req.Length == 0 && len(x.req.Upgrade) == 0 {
		x.in.done = true
	}
	c.dispatch(x)
	return err
}

// cutOff is called when the connection ends within the head. The Handler is called all
// the same, for the sake of the outcome; what it answers goes nowhere. mu is held.
func (x *Exchange) cutOff(err error) {
	x.refusal = &outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed, Err: err}
	broken, isBroken := errors.AsType[*connError](err)
	switch {
	case isBroken && broken.reason == outcome.HeadTooLarge:
		x.refusal.Reason, x.refusal.Detail = outcome.HeadTooLarge, broken.detail
	case isBroken:
		x.refusal.Reason, x.refusal.Detail = outcome.BadRequest, broken.detail
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.refusal.Reason, x.refusal.Detail = outcome.HeadTimeout, "the request head did not arrive in time"
	}
	x.mute = true
	x.in.fail(x.refusal)
	if message.IsToken(x.head.method) {
		x.req.Method = message.InternMethod(x.head.method, x.head.last)
	}
	x.conn.dispatch(x)
}

// endTime is how long a request that promises no body may take to end its stream.
const endTime = 100 * time.Millisecond

// awaitEnd waits for the end of a stream that has no body according to its head. DATA
// comes instead if the request is malformed (RFC 9113 §8.1.1), and then it is not served.
// Some clients never end such a stream: net/http's, if trailers are announced
// for no body. They are served when the time is over.
func (x *Exchange) awaitEnd() {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	timeout := x.in.timeout
	x.in.timeout = endTime
	for expired := false; !x.receivedEnd && x.err == nil && !expired; {
		expired = x.in.wait()
	}
	x.in.timeout = timeout
	if x.err != nil && x.refusal == nil {
		x.refusal, x.mute = x.err, true
	}
}

// finish ends the exchange after the handler has returned; mu is held.
func (x *Exchange) finish() {
	s := &x.stream
	switch {
	case !s.opened:
	case !s.sentEnd:
		_ = s.giveUp(codeInternal, &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: errCut})
	case !s.receivedEnd:
		// "A server MAY request that the client abort transmission of a request
		// without error by sending a RST_STREAM with an error code of NO_ERROR
		// after sending a complete response" (RFC 9113 §8.1).
		s.c.reset(s.id, codeNo)
		s.c.remove(s)
	}
	s.finish()
	x.watcher = nil
}

// Conn returns the connection that carries the exchange.
func (x *Exchange) Conn() *outcome.Conn { return x.conn.info }

// Request returns the head. Fields and views are valid until the Handler returns.
func (x *Exchange) Request() *message.Request { return &x.req }

// Refusal says why the head was not acceptable, nil if it was. Request holds what
// could be read of it.
func (x *Exchange) Refusal() *outcome.Error { return x.refusal }

// Body returns the request's body, never nil. Its errors are *outcome.Error.
func (x *Exchange) Body() message.Body {
	if len(x.req.Upgrade) > 0 {
		return message.NoBody // what comes is the tunnel's
	}
	return &x.in
}

// Limit sets the limits of this exchange: the size of the request body (0: no
// limit), and the time without progress while the body is read and the response
// sent (0: the server's).
func (x *Exchange) Limit(maxBody int64, body, send time.Duration) {
	s := x.conn.server
	x.in.limit = max(maxBody, 0)
	x.in.timeout = or(body, or(s.BodyTimeout, DefaultBodyTimeout))
	x.sendTimeout = or(send, or(s.SendTimeout, DefaultSendTimeout))
}

// Close does nothing: an exchange has its stream for itself. If its request body
// is not wanted, the stream is reset after the response, and the connection goes
// on.
func (x *Exchange) Close() {}

// Retire begins to end the connection, as a shutdown of the server would: by
// GOAWAY in two steps, behind which this stream and the others that are open go
// on.
func (x *Exchange) Retire() { x.conn.shutdown() }

// Abort cuts the response so that the client can tell that it is incomplete. It
// does nothing after End.
func (x *Exchange) Abort() { x.cut(codeInternal) }

// Cancel is Abort with the code CANCEL: the stream "is no longer needed" (RFC 9113
// §7) by the one who was to answer.
func (x *Exchange) Cancel() { x.cut(codeCancel) }

func (x *Exchange) cut(code code) {
	if x.stage == stageEnd || x.stage == stageCut {
		return
	}
	x.stage = stageCut
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.opened {
		_ = x.giveUp(code, &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: errCut})
	}
}

// Watch calls gone, from a goroutine of its own and at most once, when the client
// resets the stream or the connection ends, until stop is called. stop waits for
// that goroutine.
func (x *Exchange) Watch(gone func()) (stop func()) {
	c := x.conn
	done := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	x.watcher, x.watched = gone, done
	if x.err != nil {
		x.notify()
	}
	return func() {
		c.mu.Lock()
		called := x.watcher == nil
		x.watcher = nil
		c.mu.Unlock()
		if called {
			<-done
		}
	}
}

// notify tells the watcher, if there is one; mu is held.
func (x *Exchange) notify() {
	gone, done := x.watcher, x.watched
	if gone == nil {
		return
	}
	x.watcher = nil
	go func() {
		defer close(done)
		gone()
	}()
}
