package http2

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

const (
	// waitingAfter is when Response calls waiting.
	waitingAfter = 200 * time.Millisecond
	// maxInterims is how many interim responses may come before the final one.
	maxInterims = 32
)

// A ClientStream carries one attempt, from Head to Close. The sending half (Head,
// Write, Flush, End) and the receiving half (Response, Body) may be used by two
// goroutines at the same time once Head has returned; Interrupt by any.
type ClientStream struct {
	stream
	cc *ClientConn

	// Of the sending half. remain is what is missing of a body of known length, -1
	// if it is not known.
	method         string
	begun, endSent bool
	remain         int64
	tunnelled      upgrade

	// Of the receiving half.

	readTimeout time.Duration
	waitingTime *time.Timer

	// Guarded by mu.

	interrupt bool
	// interims came and were not handed out; counted, all that came.
	interims []*message.Response
	counted  int
	// res is the final response: it has come, and was handed out.
	res          message.Response
	final, given bool
}

func newClientStream(c *ClientConn) *ClientStream {
	s := &ClientStream{cc: c}
	s.c = &c.conn
	return s
}

// Timeouts sets the time without progress, when receiving and when sending; 0
// means no limit.
func (s *ClientStream) Timeouts(read, send time.Duration) {
	s.readTimeout, s.sendTimeout, s.in.timeout = read, send, read
}

// Head begins the attempt and queues the request head.
func (s *ClientStream) Head(req *message.Request) error {
	if s.begun {
		return misuse("a second request head in one attempt")
	}
	if err := checkRequest(req); err != nil {
		return err
	}
	c := s.cc
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.interrupt:
		return s.interrupted()
	case c.ended != nil || c.away || c.nextID > maxStreamID:
		c.draining = true
		return notProcessed("the connection is closing")
	}
	s.start(req)
	end := req.Length == 0 && !s.tunnelled.asked()
	c.enc.start()
	s.putHead(&c.enc, req)
	c.putBlock(s.id, c.enc.block, end)
	c.useful(requestBonus)
	if end {
		s.endSent = true
		s.ended()
	}
	return nil
}

// start gives s its identifier; mu is held.
func (s *ClientStream) start(req *message.Request) {
	c := s.cc
	send := s.sendTimeout
	s.stream.begin(&c.conn, c.nextID)
	s.sendTimeout, s.in.timeout = send, s.readTimeout
	c.live[s.id] = s
	c.nextID += 2
	s.begun, s.method, s.remain = true, req.Method, req.Length
	s.tunnelled.ask(req, c.peer.connectProtocol)
	s.res.Reset()
}

// Write queues body bytes. It waits where the endpoint's flow control or the
// connection is slow.
func (s *ClientStream) Write(p []byte) error {
	switch {
	case !s.begun || s.endSent && len(p) > 0:
		return misuse("body outside of a request")
	case len(p) == 0:
		return nil
	case s.remain >= 0 && int64(len(p)) > s.remain:
		return misuse("body longer than its Content-Length")
	case s.remain >= 0:
		s.remain -= int64(len(p))
	}
	return s.sendError(s.send(p, false))
}

// Flush sends what is queued.
func (s *ClientStream) Flush() error { return s.sendError(s.flush()) }

// End completes the request and sends all of it.
func (s *ClientStream) End(trailers *message.Fields) error {
	switch {
	case !s.begun:
		return misuse("end outside of a request")
	case s.remain > 0:
		return misuse("body shorter than its Content-Length")
	case s.endSent, s.tunnelled.asked():
		return s.Flush()
	}
	s.endSent = true
	var err error
	if trailers == nil || trailers.Len() == 0 || checkFields(trailers) != nil {
		err = s.stream.end()
	} else {
		err = s.sendHead(true, func(e *encoder) { e.fields(trailers, trailerFields) })
	}
	if err != nil {
		return s.sendError(err)
	}
	return s.Flush()
}

// sendError translates what ended the stream for who sends.
func (s *ClientStream) sendError(err error) error {
	if err == nil {
		return nil
	}
	e := explained(err)
	if e.Retry == outcome.RetryYes {
		return e
	}
	switch e.Reason {
	case outcome.UpstreamReset, outcome.UpstreamClosed, outcome.UpstreamTimeout:
		sent := *e
		sent.Reason = outcome.UpstreamSend
		return &sent
	}
	return e
}

// explained says what the peer's RST_STREAM means, if that was it.
func explained(err error) *outcome.Error {
	e, ok := err.(*outcome.Error)
	if !ok {
		return &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: err}
	}
	reset, ok := e.Err.(*resetByPeer)
	if !ok {
		return e
	}
	switch reset.code {
	case codeRefusedStream:
		// RFC 9113 §8.7: it "can be used to indicate that the stream is being closed
		// prior to any processing having occurred".
		return notProcessed("stream reset by peer: " + reset.code.String())
	case codeHTTP11Required:
		return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamInvalid, Detail: "the endpoint wants HTTP/1.1", Err: reset}
	}
	return e
}

// Response waits for the next response head, interim ones included; call it again
// after one of those. It is valid until Close. waiting, if not nil, is called once,
// from this goroutine, when nothing has arrived for 200 ms.
func (s *ClientStream) Response(waiting func()) (*message.Response, error) {
	if !s.begun {
		return nil, misuse("response outside of an attempt")
	}
	start := time.Time{}
	c := s.cc
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kick()
	for {
		switch {
		case s.interrupt:
			return nil, s.interrupted()
		case len(s.interims) > 0:
			res := s.interims[0]
			s.interims = s.interims[1:]
			return res, nil
		case s.given:
			return nil, misuse("response after the final one")
		case s.final:
			s.given = true
			return s.accept()
		case s.err != nil:
			return nil, explained(s.err)
		}
		now := time.Now()
		if start.IsZero() {
			start = now
		}
		passed := now.Sub(start)
		if s.readTimeout > 0 && passed >= s.readTimeout {
			return nil, s.giveUp(codeCancel, s.timedOut())
		}
		if waiting != nil && passed >= waitingAfter {
			c.mu.Unlock()
			waiting()
			c.mu.Lock()
			waiting = nil
			continue
		}
		s.awaitHead(waiting != nil, passed)
	}
}

// awaitHead waits for something to arrive, or for the next thing to do. It is
// called with mu held and gives it up meanwhile.
func (s *ClientStream) awaitHead(early bool, passed time.Duration) {
	var limit time.Duration
	if s.readTimeout > 0 {
		limit = s.readTimeout - passed
	}
	if wait := waitingAfter - passed; early && (limit == 0 || wait < limit) {
		limit = wait
	}
	var timeout <-chan time.Time
	if limit > 0 {
		if s.waitingTime == nil {
			s.waitingTime = time.NewTimer(limit)
		} else {
			s.waitingTime.Reset(limit)
		}
		timeout = s.waitingTime.C
	}
	s.cc.mu.Unlock()
	select {
	case <-s.in.arrived:
		if timeout != nil {
			s.waitingTime.Stop()
		}
	case <-timeout:
	}
	s.cc.mu.Lock()
}

// Body returns the body of the final response. Its errors are *outcome.Error.
func (s *ClientStream) Body() message.Body { return &s.in }

// Interrupt ends every call that waits, and fails later ones, with reason
// client_closed. The endpoint is told by RST_STREAM, at the latest by Close.
func (s *ClientStream) Interrupt() {
	c := s.cc
	c.mu.Lock()
	defer c.mu.Unlock()
	s.interrupt = true
	if s.begun {
		s.in.interrupted = true
		_ = s.giveUp(codeCancel, s.interrupted())
	}
}

// Close ends the attempt and gives the stream's place back. An attempt that is not
// complete is reset. It reports whether the connection takes more streams.
func (s *ClientStream) Close() (reusable bool) {
	c := s.cc
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.begun {
		s.over()
	}
	c.places--
	if c.draining {
		c.drain()
	}
	return !c.draining
}

// over ends an attempt that has begun; mu is held.
func (s *ClientStream) over() {
	c := s.cc
	complete := s.receivedEnd && s.err == nil
	if e, ok := errors.AsType[*outcome.Error](cause(s)); ok && errors.Is(e.Err, os.ErrDeadlineExceeded) {
		c.doubt()
	}
	if s.opened {
		_ = s.giveUp(codeCancel, s.interrupted())
	}
	s.finish()
	delete(c.live, s.id)
	if s.tunnelled.open || !complete || len(c.free) >= c.cfg.MaxStreams {
		return // the reader may still hold it
	}
	s.clear()
	c.free = append(c.free, s)
}

// cause is why the stream or its body ended early, nil if neither did.
func cause(s *ClientStream) error {
	switch {
	case s.in.err != nil:
		return s.in.err
	case s.err != nil:
		return s.err
	}
	return nil
}

// clear makes s ready for another attempt.
func (s *ClientStream) clear() {
	s.begun, s.endSent, s.interrupt = false, false, false
	s.final, s.given, s.counted = false, false, 0
	s.interims = nil
	s.tunnelled = upgrade{}
	s.readTimeout, s.sendTimeout = 0, 0
}

// brokenOff is what the stream is told when the connection ended with err.
func (s *ClientStream) brokenOff(err *outcome.Error) *outcome.Error {
	if s.final || s.counted > 0 || err.Retry != outcome.RetryNo {
		return err
	}
	switch err.Reason {
	case outcome.UpstreamClosed, outcome.UpstreamReset:
		e := *err
		e.Retry = outcome.RetryIfReused
		return &e
	}
	return err
}

// Tunnel hands over the stream after a 101.
func (s *ClientStream) Tunnel() (io.ReadWriteCloser, error) {
	if !s.given || !s.tunnelled.open {
		return nil, misuse("tunnel without 101")
	}
	s.sendTimeout, s.in.timeout = 0, 0
	return &clientTunnel{s: s}, nil
}
