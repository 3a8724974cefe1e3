package http2

import (
	"io"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A body is the body of a received message; it implements message.Body. The
// connection's reader puts in what comes, one other goroutine takes it out. What
// is taken gives the peer leave to send as much again, so that an owner who does
// not read holds the peer back.
type body struct {
	s *stream

	// Guarded by mu of the connection.

	// chunks hold what came, oldest first.
	chunks []*buffer
	// filling says that the reader is about to write to the last of chunks;
	// orphan, that it shall then drop it.
	filling, orphan bool
	// declared is the length that the head promises, -1 if none; got what came.
	declared, got int64
	ended         bool
	err           *outcome.Error
	interrupted   bool
	trailers      message.Fields

	// Of the goroutine that takes.

	done bool
	// limit is the largest body allowed, 0 for any; count what was handed out.
	limit, count int64
	timeout      time.Duration
	arrived      chan struct{}
	timer        *time.Timer
}

// start makes b ready for a new message.
func (b *body) start(s *stream) {
	b.s = s
	b.declared, b.got = -1, 0
	b.ended, b.filling, b.orphan, b.interrupted = false, false, false, false
	b.err = nil
	b.trailers.Reset()
	b.done = false
	b.limit, b.count, b.timeout = 0, 0, 0
	if b.arrived == nil {
		b.arrived = make(chan struct{}, 1)
	}
	select {
	case <-b.arrived:
	default:
	}
}

// Next implements message.Body.
func (b *body) Next() ([]byte, error) {
	if b.done {
		return nil, io.EOF
	}
	c := b.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for expired := false; ; expired = b.wait() {
		if b.interrupted {
			return nil, b.s.interrupted()
		}
		if b.limit > 0 && max(b.count, b.declared) > b.limit {
			return nil, b.fail(&outcome.Error{Side: c.side, Reason: outcome.BodyTooLarge, Detail: "the body is larger than allowed"})
		}
		if p := b.takeUnlessLast(); p != nil {
			b.count += int64(len(p))
			if b.limit > 0 && b.count > b.limit {
				continue
			}
			b.s.consumed(len(p))
			return p, nil
		}
		switch {
		case b.err != nil:
			return nil, b.err
		case b.ended:
			b.done = true
			return nil, io.EOF
		case expired:
			return nil, b.fail(b.s.timedOut())
		}
	}
}

// takeUnlessLast is take, but for the last of a client's body of known length: that is
// kept back until END_STREAM says that no more comes. Who passed it on before would have
// made a whole request of one that may turn out to be malformed (RFC 9113 §8.1.1).
func (b *body) takeUnlessLast() []byte {
	if b.withheld() {
		return nil
	}
	return b.take()
}

// withheld reports whether all has come but the end of the stream; mu is held.
func (b *body) withheld() bool {
	return b.declared > 0 && b.got == b.declared && !b.ended && b.s.c.side == outcome.Downstream && len(b.chunks) <= 1
}

// take returns what came and was not yet handed out, nil if nothing.
func (b *body) take() []byte {
	for len(b.chunks) > 0 {
		first := b.chunks[0]
		if p := first.unread(); len(p) > 0 {
			first.r = first.w
			return p
		}
		if b.filling && len(b.chunks) == 1 {
			return nil
		}
		giveBuffer(first)
		n := copy(b.chunks, b.chunks[1:])
		b.chunks[n] = nil
		b.chunks = b.chunks[:n]
	}
	return nil
}

// wait waits for something to happen, and reports whether the timeout came first.
// It is called with mu held and gives it up meanwhile.
func (b *body) wait() (expired bool) {
	c := b.s.c
	c.kick()
	var timeout <-chan time.Time
	if b.timeout > 0 {
		if b.timer == nil {
			b.timer = time.NewTimer(b.timeout)
		} else {
			b.timer.Reset(b.timeout)
		}
		timeout = b.timer.C
	}
	c.mu.Unlock()
	select {
	case <-b.arrived:
		if timeout != nil {
			b.timer.Stop()
		}
	case <-timeout:
		expired = true
	}
	c.mu.Lock()
	return expired
}

// fail ends the body with an error.
func (b *body) fail(err *outcome.Error) *outcome.Error {
	if b.err == nil {
		b.err = err
	}
	return b.err
}

// signal wakes the goroutine that takes, if it waits.
func (b *body) signal() {
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// Ready implements message.Body.
func (b *body) Ready() bool {
	if b.done {
		return true
	}
	c := b.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.ended || b.err != nil || b.interrupted {
		return true
	}
	return b.holds() && !b.withheld()
}

// holds reports whether something came that was not taken; mu is held.
func (b *body) holds() bool {
	for _, chunk := range b.chunks {
		if chunk.r < chunk.w {
			return true
		}
	}
	return false
}

// Trailers implements message.Body.
func (b *body) Trailers() *message.Fields {
	if !b.done || b.trailers.Len() == 0 {
		return nil
	}
	return &b.trailers
}

// Interrupt implements message.Body.
func (b *body) Interrupt() {
	c := b.s.c
	c.mu.Lock()
	b.interrupted = true
	c.mu.Unlock()
	b.signal()
}

// Resume undoes Interrupt: the next Next goes on where the last one was. Nobody may
// be reading the body meanwhile.
func (b *body) Resume() {
	c := b.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	b.interrupted = false
}

// The methods below are the reader's; mu is held.

// room returns where up to n more bytes may be put.
func (b *body) room(n int) []byte {
	if k := len(b.chunks); k > 0 {
		if free := b.chunks[k-1].free(); len(free) > 0 {
			return free[:min(n, len(free))]
		}
	}
	chunk := takeBuffer(n)
	b.chunks = append(b.chunks, chunk)
	free := chunk.free()
	return free[:min(n, len(free))]
}

// filled says that n bytes were put where room said.
func (b *body) filled(n int) { b.chunks[len(b.chunks)-1].w += n }

// end notes that all has come; it reports whether as much as was declared.
func (b *body) end() bool {
	b.ended = true
	b.signal()
	return b.declared < 0 || b.got == b.declared
}

// drop gives up what was not taken and returns how much it was.
func (b *body) drop() int {
	n := 0
	last := len(b.chunks) - 1
	for i, chunk := range b.chunks {
		n += chunk.w - chunk.r
		chunk.r = chunk.w
		if b.filling && i == last {
			b.orphan = true
			b.chunks[0] = chunk
			b.chunks = b.chunks[:1]
			return n
		}
		giveBuffer(chunk)
		b.chunks[i] = nil
	}
	b.chunks = b.chunks[:0]
	return n
}
