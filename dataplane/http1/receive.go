package http1

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

const (
	// waitingAfter is when Response, and later Body, calls waiting.
	waitingAfter = 200 * time.Millisecond
	// maxInterims is how many interim responses may come before the final one.
	maxInterims = 32
)

// Response waits for the next response head, interim ones included; call it again
// after one of those (but 101, which is final). It is valid until Close, an
// interim one until the next call. waiting, if not nil, is called once, from this
// goroutine, when no head has arrived for 200 ms; and once more, from the goroutine
// that reads the body, when nothing of that has come for as long.
func (c *ClientConn) Response(waiting func()) (*message.Response, error) {
	if !c.started || c.final {
		return nil, misuse("response outside of an attempt")
	}
	if err := c.parseHead(waiting); err != nil {
		return nil, err
	}
	if err := c.accept(); err != nil {
		return nil, err
	}
	c.body.waiting = waiting
	return &c.res, nil
}

// parseHead reads one response head.
func (c *ClientConn) parseHead(waiting func()) *outcome.Error {
	max := or(c.cfg.MaxHead, DefaultMaxHead)
	rd := &c.rd
	// What was read of an interim response is done with.
	rd.base = 0
	rd.next()
	c.early = time.Time{}
	c.head.reset(&c.res, c.head.maxFields)
	for {
		done, err := c.head.parse(rd.buf.b[:min(rd.w, max)])
		if err != nil {
			return err
		}
		if done {
			rd.r = c.head.lines.pos
			rd.hold()
			return nil
		}
		if rd.w >= max {
			return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamHeadSize, Detail: "the response head is too large"}
		}
		if rd.w == len(rd.buf.b) {
			rd.grow(max)
			c.head.reset(&c.res, c.head.maxFields)
		}
		yield()
		n, rerr := c.await(rd.buf.b[rd.w:], &waiting)
		rd.w += n
		c.heard = c.heard || n > 0
		if rerr != nil {
			return c.receiveError(rerr)
		}
	}
}

// await reads; it calls waiting, and sets it to nil, if that takes long.
func (c *ClientConn) await(p []byte, waiting *func()) (int, error) {
	now := time.Now()
	var until time.Time
	if c.readTimeout > 0 {
		until = now.Add(c.readTimeout)
	}
	if c.early.IsZero() {
		c.early = now.Add(waitingAfter)
	}
	if *waiting == nil || !until.IsZero() && until.Before(c.early) {
		return c.rd.read(p, now, until)
	}
	n, err := c.rd.read(p, now, c.early)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		(*waiting)()
		*waiting = nil
		n, err = c.rd.read(p, time.Now(), until)
	}
	return n, err
}

// accept decides what the head begins: an interim response, a tunnel, a body.
func (c *ClientConn) accept() *outcome.Error {
	res := &c.res
	switch {
	case res.Status < 200 && res.Version == message.HTTP10:
		return invalid("interim response in HTTP/1.0")
	case res.Status == 101:
		// "A server MUST NOT switch to a protocol that was not indicated by the
		// client in the corresponding request's Upgrade header field" (RFC 9110
		// §7.8).
		if len(c.upgrade) == 0 {
			return invalid("101 without an upgrade request")
		}
		if !bytes.EqualFold(c.head.facts.upgrade, c.upgrade) {
			return invalid("101 to a protocol that was not asked for")
		}
		c.final = true
		return nil
	case res.Status < 200:
		if c.interims++; c.interims > maxInterims {
			return invalid("too many interim responses")
		}
		return nil
	}
	c.final = true
	switch {
	case bodyless(c.method, res.Status):
	case c.head.chunked:
		c.body.start(framedChunked, 0)
	case res.Length >= 0:
		c.body.start(framedLength, res.Length)
	default:
		c.body.start(framedClose, 0)
	}
	return nil
}

// receiveError translates the reader's error before the response is complete.
func (c *ClientConn) receiveError(err error) *outcome.Error {
	e := &outcome.Error{Side: outcome.Upstream, Err: err}
	switch {
	case errors.Is(err, errInterrupted):
		e.Reason = outcome.ClientClosed
		return e
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Reason = outcome.UpstreamTimeout
		return e
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = outcome.UpstreamClosed
	default:
		e.Reason = outcome.UpstreamReset
	}
	if !c.heard {
		e.Retry = outcome.RetryIfReused
	}
	return e
}

// Body returns the body of the final response. Its errors are *outcome.Error.
func (c *ClientConn) Body() message.Body { return &c.body }
