package http1

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A framing is how the end of a body is found.
type framing uint8

const (
	framedNone    framing = iota // there is no body
	framedLength                 // after a number of bytes
	framedChunked                // after the last chunk and the trailers
	framedClose                  // with the connection
)

// A body is the body of a received message; it implements message.Body. Chunks
// are views of the reader's buffer.
type body struct {
	rd *reader
	// side is who sends the body: Downstream or Upstream.
	side    outcome.Side
	framing framing
	// remain is the number of bytes that are missing: of the body if framed by
	// length, of the chunk if chunked.
	remain int64
	// limit is the largest body allowed, 0 for any; count what was received.
	limit, count int64
	// timeout is the time without progress, 0 for no limit; deadline, if not
	// zero, an end for the whole.
	timeout  time.Duration
	deadline time.Time
	// waiting, if not nil, is called once, when nothing has come for waitingAfter.
	waiting func()

	done bool
	// err ended the body before its end.
	err *outcome.Error
	// begun says that Next was called, broken that it failed for good. Others
	// than the reader of the body want to know.
	begun, broken atomic.Bool

	chunks chunks
}

func (b *body) reset(rd *reader, side outcome.Side, maxFields int) {
	b.rd, b.side, b.framing, b.done, b.err = rd, side, framedNone, true, nil
	b.remain, b.limit, b.count = 0, 0, 0
	b.timeout, b.deadline, b.waiting = 0, time.Time{}, nil
	b.begun.Store(false)
	b.broken.Store(false)
	b.chunks.reset(maxFields)
}

// start begins a body with the framing given.
func (b *body) start(f framing, length int64) {
	b.framing, b.remain = f, 0
	if f == framedLength {
		b.remain = length
	}
	b.done = f == framedNone || f == framedLength && length == 0
	if b.done {
		b.framing = framedNone
	}
}

// Next implements message.Body.
func (b *body) Next() ([]byte, error) {
	if b.done {
		return nil, io.EOF
	}
	b.begun.Store(true)
	if b.err == nil && b.rd.interrupted.Load() {
		return nil, b.failed(errInterrupted)
	}
	var p []byte
	if b.err == nil {
		switch b.framing {
		case framedChunked:
			p, b.err = b.nextOfChunks()
		case framedLength:
			p, b.err = b.nextOfLength()
		default:
			p, b.err = b.nextUntilClose()
		}
	}
	switch {
	case b.err != nil:
		if !errors.Is(b.err.Err, errInterrupted) {
			b.broken.Store(true)
		}
		return nil, b.err
	case p == nil:
		b.done = true
		return nil, io.EOF
	}
	return p, nil
}

// nextOfLength, like nextOfChunks and nextUntilClose, returns nil at the end.
func (b *body) nextOfLength() ([]byte, *outcome.Error) {
	if b.limit > 0 && b.count+b.remain > b.limit {
		return nil, b.tooLarge()
	}
	if b.rd.buffered() == 0 {
		if err := b.fill(b.remain); err != nil {
			return nil, b.failed(err)
		}
	}
	p := b.take()
	if b.remain == 0 {
		b.done = true
	}
	return p, nil
}

func (b *body) nextUntilClose() ([]byte, *outcome.Error) {
	if b.rd.buffered() == 0 {
		err := b.fill(-1)
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, b.failed(err)
		}
	}
	p := b.rd.unread()
	b.rd.r = b.rd.w
	b.count += int64(len(p))
	return p, nil
}

// take returns what is buffered of the next remain bytes.
func (b *body) take() []byte {
	p := b.rd.unread()
	if int64(len(p)) > b.remain {
		p = p[:b.remain]
	}
	b.rd.r += len(p)
	b.remain -= int64(len(p))
	b.count += int64(len(p))
	return p
}

// fill waits for more input.
func (b *body) fill(want int64) error {
	now := time.Now()
	until := b.deadline
	if b.timeout > 0 {
		if t := now.Add(b.timeout); until.IsZero() || t.Before(until) {
			until = t
		}
	}
	if early := now.Add(waitingAfter); b.waiting != nil && (until.IsZero() || early.Before(until)) {
		err := b.rd.fill(now, early, want)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		b.waiting()
		b.waiting = nil
		now = time.Now()
	}
	return b.rd.fill(now, until, want)
}

// Ready implements message.Body.
func (b *body) Ready() bool {
	if b.done || b.err != nil {
		return true
	}
	if b.framing == framedChunked {
		return b.chunkReady()
	}
	return b.rd.buffered() > 0
}

// Await is Ready after waiting for the network for d at most. Of a body in chunks
// it asks no more than Ready.
func (b *body) Await(d time.Duration) bool {
	if b.Ready() || b.framing != framedLength {
		return b.Ready()
	}
	b.begun.Store(true)
	now := time.Now()
	// Next will meet any other error again.
	return !errors.Is(b.rd.fill(now, now.Add(d), b.remain), os.ErrDeadlineExceeded)
}

// Trailers implements message.Body.
func (b *body) Trailers() *message.Fields {
	if !b.done || b.chunks.trailers.Len() == 0 {
		return nil
	}
	return &b.chunks.trailers
}

// Interrupt implements message.Body.
func (b *body) Interrupt() { b.rd.interrupt() }

// Resume undoes Interrupt: the next Next goes on where the last one was. Nobody may
// be reading the body meanwhile.
func (b *body) Resume() {
	if b.err != nil && errors.Is(b.err.Err, errInterrupted) {
		b.err = nil
	}
	b.rd.resume()
}

// drain reads on to the end of the body, but not more than max bytes and not
// longer than until. It reports whether it got there.
func (b *body) drain(max int64, until time.Time) bool {
	// Its owner had no more use for it; the connection has.
	b.Resume()
	b.deadline, b.limit = until, b.count+max
	for {
		if _, err := b.Next(); err != nil {
			return b.done
		}
	}
}

// tooLarge is the error of a body beyond its limit.
func (b *body) tooLarge() *outcome.Error {
	return &outcome.Error{Side: b.side, Reason: outcome.BodyTooLarge, Detail: "the body is larger than allowed"}
}

// malformed is the error of a body whose framing is not valid.
func (b *body) malformed(detail string) *outcome.Error {
	if b.side == outcome.Upstream {
		return invalid(detail)
	}
	return refuseAs(outcome.BadBody, detail)
}

// failed translates an error of the reader.
func (b *body) failed(err error) *outcome.Error {
	e := &outcome.Error{Side: b.side, Err: err}
	upstream := b.side == outcome.Upstream
	switch {
	case errors.Is(err, errInterrupted):
		e.Reason = outcome.ClientClosed
	case errors.Is(err, os.ErrDeadlineExceeded) && upstream:
		e.Reason = outcome.UpstreamTimeout
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Reason = outcome.BodyTimeout
	case errors.Is(err, errFull):
		return b.malformed("chunk line or trailer section without an end")
	case upstream:
		e.Reason = outcome.UpstreamCut
	default:
		e.Reason = outcome.ClientClosed
	}
	return e
}

// isReset reports whether err says that the peer reset the connection or had
// closed it when we wrote.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
