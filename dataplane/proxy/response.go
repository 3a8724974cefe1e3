package proxy

import (
	"io"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// respond passes the response on: head, body, trailers. What the endpoint has
// sent is never held back while more of it is awaited.
func (x *Exchange) respond(res *message.Response) *outcome.Error {
	if !x.bodyTaken() {
		// An early response. The rest of the body has no use and may be of any
		// length, so that the connection cannot go on behind it: RFC 9112 §9.3.
		x.d.Close()
	}
	if err := x.sendHead(res); err != nil {
		return err
	}
	body := x.up.Body()
	x.move()
	for queued := true; ; {
		if queued && !body.Ready() {
			if err := x.d.Flush(); err != nil {
				return downstream(err)
			}
			queued = false
		}
		x.move()
		chunk, err := body.Next()
		x.move()
		if err == io.EOF { // itself: an error may wrap it
			break
		}
		if err != nil {
			return x.cut(typed(err, outcome.Upstream, outcome.UpstreamCut))
		}
		if err := x.d.Write(chunk); err != nil {
			return downstream(err)
		}
		x.out.BodyOut += int64(len(chunk))
		queued = true
	}
	return x.end(body.Trailers())
}

// end completes the response.
func (x *Exchange) end(trailers *message.Fields) *outcome.Error {
	x.quiet()
	if trailers != nil {
		trailers.Filter(mayTrail)
	}
	return downstream(x.d.End(trailers))
}

// move tells the sender's clock that the exchange has gone from waiting for the
// endpoint to work of its own, or back.
func (x *Exchange) move() {
	if x.sending {
		x.moves.Add(1)
	}
}

// cut gives the error of a response that ended too early its reason. A timeout
// keeps its own: it says more.
func (x *Exchange) cut(err *outcome.Error) *outcome.Error {
	err = x.cause(err)
	switch err.Reason {
	case outcome.UpstreamClosed, outcome.UpstreamReset:
		return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamCut, Err: err}
	}
	return err
}
