// The way of the request body.
//
// A body that is there already is sent with the head, in one write, by the
// goroutine of the exchange. What has to be waited for, or is large, is the work
// of a second goroutine, the sender, because the endpoint may answer while the
// body still flows, and may even stop to read it (RFC 9110 §7.5, §15.5.14).
//
// While the body flows there is no limit on the wait for the response: the limits
// of the body hold. When it is sent, the sender becomes the clock of the exchange,
// which began to wait without one, and watches the client; it ends when the
// response head is there.

package proxy

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

const (
	// replayLimit bounds how much of a body is kept for another attempt.
	replayLimit = 64 << 10
	// inlineLimit bounds how much of a body is sent before anybody looks for a
	// response: what a socket takes without its peer.
	inlineLimit = 64 << 10
	// patience is how long an endpoint may take before somebody watches whether
	// the client still waits.
	patience = 200 * time.Millisecond
	// grace is how long the sender may take to find out that it is done.
	grace = 10 * time.Millisecond
)

// send sends the request, or as much of it as is there.
func (x *Exchange) send() *outcome.Error {
	policy := &x.plan.policy
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
	if x.bodyRead.Load() {
		if err := x.up.Write(x.replay); err != nil {
			return err
		}
		return x.up.End(x.trailers)
	}
	body := x.d.Body()
	for sent := 0; sent < inlineLimit && body.Ready(); {
		n, err := x.sendChunk(body)
		if err == io.EOF {
			return x.up.End(x.trailers)
		}
		if err != nil {
			return err
		}
		sent += n
	}
	x.up.Timeouts(0, x.plan.policy.SendTimeout)
	x.sendErr.Store(nil)
	x.requestSent.Store(false)
	x.sending = true
	go x.runSender()
	return nil
}

// sendChunk passes on one chunk. io.EOF itself means that the body is complete; an
// error that wraps it is of a connection that ended too early.
func (x *Exchange) sendChunk(body message.Body) (int, error) {
	chunk, err := body.Next()
	x.touched = true
	if err == io.EOF {
		if x.trailers = body.Trailers(); x.trailers != nil {
			x.trailers.Filter(mayTrail)
		}
		x.bodyRead.Store(true)
		return 0, io.EOF
	}
	if err != nil {
		return 0, downstream(err)
	}
	x.bodyIn.Add(int64(len(chunk)))
	x.keep(chunk)
	return len(chunk), x.up.Write(chunk)
}

// keep keeps a chunk for another attempt. Only a kept connection can fail in a
// way that allows one after the body was touched.
func (x *Exchange) keep(chunk []byte) {
	if !x.out.Reused || len(x.replay)+len(chunk) > replayLimit {
		x.overflow = true
	}
	if !x.overflow {
		x.replay = append(x.replay, chunk...)
	}
}

// replayable reports whether the body can be sent once more.
func (x *Exchange) replayable() bool {
	return x.in.Length == 0 || !x.touched || x.bodyRead.Load() && !x.overflow
}

// bodyTaken reports whether the whole body of the request came from the client.
func (x *Exchange) bodyTaken() bool { return x.in.Length == 0 || x.bodyRead.Load() }

// sender runs while the exchange waits for the response. An error of it is final:
// it ends the attempt.
func (x *Exchange) sender() {
	if err := x.sendRest(); err != nil {
		// The error first: who is interrupted asks for it.
		x.sendErr.Store(err)
		x.up.Interrupt()
	}
	x.sent <- struct{}{}
}

func (x *Exchange) sendRest() (err *outcome.Error) {
	defer x.proxy.recovered(x, &err)

	if failed := typed(x.flow(), outcome.Upstream, outcome.UpstreamSend); failed != nil && final(failed) {
		return failed
	}
	x.requestSent.Store(true)
	return x.clock()
}

// flow passes the body on as it comes.
func (x *Exchange) flow() error {
	body := x.d.Body()
	for {
		if !body.Ready() {
			if err := x.up.Flush(); err != nil {
				return err
			}
		}
		_, err := x.sendChunk(body)
		if err == io.EOF {
			return x.up.End(x.trailers)
		}
		if err != nil {
			return err
		}
	}
}

// clock keeps the limit on the endpoint's silence for an exchange that began to
// wait when there was none, until the exchange takes over or is done.
func (x *Exchange) clock() *outcome.Error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-x.takeOver:
		return nil
	case <-timer.C:
	}
	if x.bodyTaken() {
		x.stopWatch = x.d.Watch(x.onGone)
	}
	for seen := int64(-1); ; {
		now := x.moves.Load()
		if now == seen {
			return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamTimeout, Detail: "no progress of the response"}
		}
		seen = now
		timer.Reset(x.plan.policy.ReadTimeout)
		select {
		case <-x.takeOver:
			return nil
		case <-timer.C:
		}
	}
}

// headArrived takes over from a sender that is done but for the clock. One whose
// body still flows goes on.
func (x *Exchange) headArrived() {
	if x.sending && x.awaitSender() {
		x.up.Timeouts(x.plan.policy.ReadTimeout, x.plan.policy.SendTimeout)
	}
}

// stopSending ends the sender, if it runs.
func (x *Exchange) stopSending() {
	if !x.sending || x.awaitSender() {
		return
	}
	x.d.Body().Interrupt()
	x.up.Interrupt()
	x.takeOver <- struct{}{}
	<-x.sent
	x.senderEnded()
}

// awaitSender ends a sender that has failed or sent all it could, and reports
// whether it had.
func (x *Exchange) awaitSender() bool {
	switch {
	case x.sendErr.Load() != nil:
	case x.requestSent.Load():
		x.takeOver <- struct{}{}
	case x.bodyRead.Load():
		x.takeOver <- struct{}{}
		if !x.sentWithinGrace() {
			return false
		}
	default:
		return false
	}
	<-x.sent
	x.senderEnded()
	return true
}

// sentWithinGrace waits for a sender that may be about to end: the last write may
// have reached the endpoint, and its answer us, before the sender was told that
// it returned. If it does not end, it is not told to either.
func (x *Exchange) sentWithinGrace() bool {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-x.sent:
		x.sent <- struct{}{} // for who asked
		return true
	case <-timer.C:
	}
	select {
	case <-x.takeOver:
		return false
	default: // it has just been told
		return true
	}
}

func (x *Exchange) senderEnded() {
	x.sending = false
	select {
	case <-x.takeOver:
	default:
	}
}

// mayTrail reports whether a field line may be passed on in a trailer section.
func mayTrail(f *message.Field) bool { return message.MayTrail(f.ID, f.Name) && !claims(f.Name) }

// waiting is called when the endpoint has kept the exchange waiting.
func (x *Exchange) waiting() { x.watch() }

// watch begins to watch for the client's leaving. While the body flows that is
// not needed: who reads the body notices.
func (x *Exchange) watch() {
	if x.sending || x.stopWatch != nil || !x.bodyTaken() {
		return
	}
	x.stopWatch = x.d.Watch(x.onGone)
}

// clientGone is called from the watcher's goroutine.
func (x *Exchange) clientGone() {
	x.gone.Store(true)
	x.up.Interrupt()
}
