// The sender: the goroutine that passes on a request body which has to be waited
// for.
//
// While the body flows there is no limit on the wait for the response: the limits
// of the body hold. When it is sent, the sender becomes the clock of the exchange,
// which began to wait without one, and watches the client; it ends when it is told
// that the response head is there.

package proxy

import (
	"io"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// grace is how long the sender may take to find out that it is done.
const grace = 10 * time.Millisecond

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

	failed := typed(x.flow(), outcome.Upstream, outcome.UpstreamSend)
	if failed != nil && final(failed) && !(failed.Side == outcome.Upstream && x.heard.Load()) {
		// Once there is an answer it counts, and not how much of the request the
		// endpoint has cared to take.
		return failed
	}
	x.requestSent.Store(true)
	return x.clock()
}

// flow passes the body on as it comes.
func (x *Exchange) flow() error {
	body := x.d.Body()
	pace := x.pace()
	// Who waits for 100 (Continue) waits for the endpoint.
	for asked := x.in.Expect; ; asked = false {
		var since time.Time
		if !body.Ready() {
			if err := x.up.Flush(); err != nil {
				return err
			}
			since = time.Now()
		}
		chunk, err := x.next(body)
		if err == io.EOF {
			return x.up.End(x.trailers)
		}
		if err != nil {
			return err
		}
		var waited time.Duration
		if !since.IsZero() && !asked {
			waited = time.Since(since)
		}
		if !pace.add(len(chunk), waited) && !x.heard.Load() {
			return errTooSlow // an endpoint that has answered has the say itself
		}
		if err := x.up.Write(chunk); err != nil {
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
		if now == seen && now%2 == 0 {
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
