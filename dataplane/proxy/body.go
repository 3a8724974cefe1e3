// The way of the request body.
//
// A body that is there already is sent with the head, in one write, by the
// goroutine of the exchange. What has to be waited for, or is large, is the work
// of a second goroutine, the sender, because the endpoint may answer while the
// body still flows, and may even stop to read it (RFC 9110 §7.5, §15.5.14).

package proxy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

const (
	// replayLimit bounds how much of a body is kept for another attempt.
	replayLimit = 64 << 10
	// replayKept bounds the memory for that which an exchange leaves to the next;
	// beyond it the memory is lent from replays.
	replayKept = 16 << 10
	// inlineLimit bounds how much of a body is sent before anybody looks for a
	// response: what a socket takes without its peer.
	inlineLimit = 64 << 10
	// inlineWait bounds the time, all in all, for which the exchange itself waits
	// for a body within inlineLimit: what has left the client is there by then.
	inlineWait = 2 * time.Millisecond
)

// replays has room for bodies beyond replayKept, so that an upload does not cost a
// large allocation each time.
var replays = sync.Pool{New: func() any { return new([replayLimit]byte) }}

// send sends the request, or as much of it as is there.
func (x *Exchange) send() *outcome.Error {
	policy := &x.plan.policy
	x.sendErr.Store(nil)
	x.requestSent.Store(false)
	x.heard.Store(false)
	x.up.Timeouts(policy.ReadTimeout, policy.SendTimeout)
	err := x.up.Head(&x.req)
	if err == nil {
		err = x.sendBody()
	}
	if failed := typed(err, outcome.Upstream, outcome.UpstreamSend); failed != nil && final(failed) {
		return failed
	}
	return nil
}

// final reports whether an error of sending ends the attempt. An endpoint that
// takes no more of the request may have answered without reading all of it, and
// the answer may still be there (RFC 9112 §9.5); if it is not, receive says why.
func final(err *outcome.Error) bool {
	return err.Side != outcome.Upstream || err.Retry == outcome.RetryYes || errors.Is(err.Err, os.ErrDeadlineExceeded)
}

func (x *Exchange) sendBody() error {
	if x.in.Length == 0 {
		return x.up.End(nil)
	}
	if len(x.replay) > 0 {
		// The attempt before had read that much.
		if err := x.up.Write(x.replay); err != nil {
			return err
		}
	}
	if x.bodyRead.Load() {
		return x.up.End(x.trailers)
	}
	if body, ok := x.d.Body().(interface{ Resume() }); ok && x.touched {
		body.Resume() // the end of the attempt before has interrupted it
	}
	if whole, err := x.sendSoon(x.d.Body()); whole || err != nil {
		return err
	}
	x.up.Timeouts(0, x.plan.policy.SendTimeout)
	x.sending = true
	go x.runSender()
	return nil
}

// sendSoon sends what is there or comes soon, and reports whether that was all.
// What is kept for another attempt is sent from there, together.
func (x *Exchange) sendSoon(body message.Body) (whole bool, err error) {
	sent := len(x.replay)
	sendKept := func() error {
		p := x.replay[sent:]
		sent = len(x.replay)
		return x.up.Write(p)
	}
	var until time.Time
	for taken := int64(0); (taken < inlineLimit || taken == x.in.Length) && x.comes(body, &until); {
		chunk, err := x.next(body)
		if err == io.EOF {
			if err := sendKept(); err != nil {
				return false, err
			}
			return true, x.up.End(x.trailers)
		}
		if err != nil {
			return false, err
		}
		taken += int64(len(chunk))
		if !x.overflow {
			continue
		}
		if err := sendKept(); err != nil {
			return false, err
		}
		if err := x.up.Write(chunk); err != nil {
			return false, err
		}
	}
	return false, sendKept()
}

// comes reports whether the next chunk is there. For a small body it waits, until
// a time that the first wait sets: that costs less than a second goroutine, and
// keeps an early answer of the endpoint back no longer than inlineWait.
func (x *Exchange) comes(body message.Body, until *time.Time) bool {
	if body.Ready() {
		return true
	}
	b, ok := body.(interface{ Await(d time.Duration) bool })
	if !ok || x.in.Length < 0 || x.in.Length > inlineLimit || x.in.Expect {
		return false
	}
	now := time.Now()
	if until.IsZero() {
		*until = now.Add(inlineWait)
	}
	return now.Before(*until) && b.Await(until.Sub(now))
}

// next takes one chunk. io.EOF itself means that the body is complete; an error
// that wraps it is of a connection that ended too early.
func (x *Exchange) next(body message.Body) ([]byte, error) {
	chunk, err := body.Next()
	x.touched = true
	if err == io.EOF {
		if x.trailers = body.Trailers(); x.trailers != nil {
			x.trailers.Filter(mayTrailRequest)
		}
		x.bodyRead.Store(true)
		return nil, io.EOF
	}
	if err != nil {
		return nil, downstream(err)
	}
	n := x.bodyIn.Add(int64(len(chunk)))
	x.keep(chunk)
	if n == x.in.Length {
		// Now, not when Next says so: the endpoint may have answered by then, and
		// it would look like an answer to half a request.
		x.bodyRead.Store(true)
	}
	return chunk, nil
}

// keep keeps a chunk for another attempt. After the body was touched there is one
// only if a kept connection turns out to be dead, or if the endpoint can refuse what
// it has not looked at.
func (x *Exchange) keep(chunk []byte) {
	size := len(x.replay) + len(chunk)
	if !x.out.Reused && !x.up.Refusable() || x.in.Length > replayLimit || size > replayLimit {
		x.overflow = true
	}
	if x.overflow {
		return
	}
	if size > replayKept && x.lent == nil {
		x.lent = replays.Get().(*[replayLimit]byte)
		x.replay = append(x.lent[:0], x.replay...)
	}
	x.replay = append(x.replay, chunk...)
}

// replayable reports whether the body can be sent once more: all that was read of it
// is kept, and the rest is yet to come.
func (x *Exchange) replayable() bool { return !x.overflow }

// bodyTaken reports whether the whole body of the request came from the client.
func (x *Exchange) bodyTaken() bool { return x.in.Length == 0 || x.bodyRead.Load() }

// mayTrailRequest is mayTrail for a request. A CGI program that merges trailers
// into the head would read "X_Real_IP" as X-Real-IP there too.
func mayTrailRequest(f *message.Field) bool {
	return mayTrail(f) && (f.ID != message.Other || bytes.IndexByte(f.Name, '_') < 0)
}

// mayTrail reports whether a field line may be passed on in a trailer section.
func mayTrail(f *message.Field) bool { return message.MayTrail(f.ID, f.Name) && !claims(f.Name) }
