package http2

import (
	"errors"
	"os"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A stream is one exchange on a connection, whichever side this is. Its owner
// sends from one goroutine and reads the body from one.
type stream struct {
	c  *conn
	id uint32
	// gone is called when the peer gives the stream up, or the connection ends,
	// from the reader's goroutine, with mu held. It must not wait.
	gone func()

	// Guarded by mu of the connection.

	// opened says that the stream counts in c.streams.
	opened bool
	// sentEnd and receivedEnd say that END_STREAM went out and came in.
	sentEnd, receivedEnd bool
	// err is why the stream ended early, nil if it did not.
	err *outcome.Error
	// peerCode is the code of the RST_STREAM that came.
	peerCode code
	// sendWindow is how much the peer lets us send, receiveWindow how much we let
	// it send; credit is what was consumed since it was last told.
	sendWindow, receiveWindow, credit int64
	// window is what receiveWindow is kept at.
	window int64
	// headless says that the head of the peer's message has not come.
	headless bool
	// queued says that the stream is in c.waiting.
	queued bool
	// urgency is the client's wish, 0 first, 7 last (RFC 9218 §4.1).
	urgency uint8
	// finished says that the owner is done with it.
	finished bool
	// tail is the header of the last frame, as long as it is queued.
	tail tail

	sendTimeout time.Duration
	maySend     chan struct{}
	timer       *time.Timer
	in          body
}

// begin makes s a new stream; mu is held.
func (s *stream) begin(c *conn, id uint32) {
	s.c, s.id = c, id
	s.opened, s.sentEnd, s.receivedEnd = true, false, false
	s.err, s.peerCode = nil, codeNo
	s.sendWindow, s.receiveWindow, s.credit = c.peer.initialWindow, streamWindow, 0
	s.window, s.headless = streamWindow, c.side == outcome.Upstream
	s.queued, s.finished, s.urgency = false, false, defaultUrgency
	s.tail = tail{}
	s.sendTimeout = c.sendTimeout
	if s.maySend == nil {
		s.maySend = make(chan struct{}, 1)
	}
	select {
	case <-s.maySend:
	default:
	}
	s.in.start(s)
	c.streams[id] = s
}

// sendHead sends a header block that fill makes. It is queued only.
func (s *stream) sendHead(end bool, fill func(e *encoder)) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.sendable(); err != nil {
		return err
	}
	c.enc.start()
	fill(&c.enc)
	s.tail = c.putBlock(s.id, c.enc.block, end)
	if end {
		s.ended()
	}
	return nil
}

// send queues body bytes, with end the last ones. It waits where the peer or the
// connection is slow.
func (s *stream) send(p []byte, end bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	// Whoever was woken and did not use its turn passes it on.
	defer c.wakeWaiting()
	for expired := false; ; {
		if err := s.sendable(); err != nil {
			return err
		}
		// A window may be negative (RFC 9113 §6.9.2), and so may the room.
		n := int(max(0, min(int64(len(p)), s.sendWindow, c.sendWindow, int64(c.room()), int64(c.peer.maxFrame))))
		if n == 0 && len(p) > 0 {
			if expired {
				return s.giveUp(codeCancel, s.sendTimedOut())
			}
			expired = s.wait()
			continue
		}
		expired = false
		last := end && n == len(p)
		var flags uint8
		if last {
			flags = flagEndStream
		}
		s.tail = c.out.frame(frameData, flags, s.id, p[:n])
		c.useful(sentBonus)
		s.sendWindow -= int64(n)
		c.sendWindow -= int64(n)
		p = p[n:]
		if last {
			s.ended()
		}
		if len(p) == 0 {
			return nil
		}
	}
}

// end queues END_STREAM: on the last frame if that still waits, else on a frame of
// its own.
func (s *stream) end() error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.sendable(); err != nil {
		return err
	}
	if !c.out.setEndStream(s.tail) {
		c.out.frame(frameData, flagEndStream, s.id, nil)
	}
	s.ended()
	c.kick()
	return nil
}

// flush has the writer send what is queued.
func (s *stream) flush() error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kick()
	if s.err != nil {
		return s.err
	}
	return nil
}

// sendable returns why nothing can be sent any more.
func (s *stream) sendable() error {
	switch {
	case s.err != nil:
		return s.err
	case s.sentEnd:
		return misuse("sending after the end of the stream")
	}
	return nil
}

// wait waits until there may be leave to send, and reports whether the timeout
// came first. It is called with mu held and gives it up meanwhile.
func (s *stream) wait() (expired bool) {
	c := s.c
	c.kick()
	if s.sendWindow > 0 && !s.queued {
		c.enqueue(s)
	}
	var timeout <-chan time.Time
	if s.sendTimeout > 0 {
		if s.timer == nil {
			s.timer = time.NewTimer(s.sendTimeout)
		} else {
			s.timer.Reset(s.sendTimeout)
		}
		timeout = s.timer.C
	}
	c.mu.Unlock()
	select {
	case <-s.maySend:
		if timeout != nil {
			s.timer.Stop()
		}
	case <-timeout:
		expired = true
	}
	c.mu.Lock()
	return expired
}

// wake wakes the goroutine that sends, if it waits.
func (s *stream) wake() {
	select {
	case s.maySend <- struct{}{}:
	default:
	}
}

// ended notes that END_STREAM was sent; mu is held.
func (s *stream) ended() {
	s.sentEnd = true
	s.c.completed()
	if s.receivedEnd {
		s.c.remove(s)
	}
}

// endReceived notes that END_STREAM came; mu is held.
func (s *stream) endReceived() {
	s.receivedEnd = true
	if s.sentEnd {
		s.c.remove(s)
	}
}

// giveUp ends the stream by RST_STREAM, and says why to those who use it; mu is
// held.
func (s *stream) giveUp(c code, err *outcome.Error) error {
	if s.err == nil {
		s.err = err
	}
	if s.opened {
		s.c.reset(s.id, c)
		s.c.remove(s)
	}
	s.in.fail(s.err)
	s.in.signal()
	s.wake()
	return s.err
}

// lost ends the stream because the peer or the connection did; mu is held.
func (s *stream) lost(err *outcome.Error) {
	complete := s.sentEnd && s.receivedEnd
	if s.opened {
		s.c.remove(s)
	}
	if complete {
		return
	}
	if s.err == nil {
		s.err = err
	}
	if !s.in.ended {
		s.in.fail(err)
	}
	s.in.signal()
	s.wake()
	if s.gone != nil {
		s.gone()
	}
}

// consumed gives the peer leave to send n more bytes; mu is held.
func (s *stream) consumed(n int) {
	c := s.c
	c.consumed(n)
	if s.receivedEnd || s.err != nil {
		return
	}
	s.credit += int64(n)
	if s.credit < s.window/4 {
		return
	}
	if c.side == outcome.Upstream && s.window < maxStreamWindow && !s.in.holds() {
		// Who reads is waiting for the peer, not the other way round.
		s.credit += s.window
		s.window *= 2
	}
	c.out.frame32(frameWindowUpdate, s.id, uint32(s.credit))
	s.receiveWindow += s.credit
	s.credit = 0
	c.kick()
}

// finish ends the use of the stream by its owner: what came and was not read is
// dropped; mu is held.
func (s *stream) finish() {
	s.c.consumed(s.in.drop())
	s.gone = nil
	s.finished = true
}

// The errors of a stream.

func (s *stream) interrupted() *outcome.Error {
	return &outcome.Error{Side: s.c.side, Reason: outcome.ClientClosed, Err: errInterrupted}
}

func (s *stream) timedOut() *outcome.Error {
	reason := outcome.BodyTimeout
	if s.c.side == outcome.Upstream {
		reason = outcome.UpstreamTimeout
	}
	return &outcome.Error{Side: s.c.side, Reason: reason, Err: os.ErrDeadlineExceeded}
}

func (s *stream) sendTimedOut() *outcome.Error {
	reason := outcome.SendTimeout
	if s.c.side == outcome.Upstream {
		reason = outcome.UpstreamSend
	}
	return &outcome.Error{Side: s.c.side, Reason: reason, Err: os.ErrDeadlineExceeded}
}

// misuse is the error of a call that does not fit the state of the exchange.
func misuse(detail string) error {
	return &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: errors.New("http2: " + detail)}
}

// errInvalidField is why a head is not sent.
var errInvalidField = errors.New("http2: field with a name or value that is not valid")

// checkFields guards what is sent against names and values that another hop could
// read differently. Interned names need no check.
func checkFields(f *message.Fields) error {
	for i := range f.Len() {
		l := f.At(i)
		if l.ID == message.Other && !message.IsToken(l.Name) || !message.ValidText(l.Value) {
			return &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: errInvalidField}
		}
	}
	return nil
}
