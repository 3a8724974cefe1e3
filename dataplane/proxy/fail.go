package proxy

import (
	"strconv"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// statusClientClosed is what a log says when the client left first; it is never
// sent.
const statusClientClosed = 499

// fail turns an error into what the client sees, and into the outcome. It is the
// only place that does.
func (x *Exchange) fail(err *outcome.Error) {
	err = x.blame(err)
	x.note(err)
	if err.Reason == outcome.UpstreamCanceled && x.grpc() {
		// gRPC gives the code of a reset a meaning (its "HTTP2 Transport Mapping":
		// CANCEL is the status CANCELLED, or DEADLINE_EXCEEDED once the client's own
		// deadline has passed), and any HTTP status would replace it by another one.
		if x.headSent {
			_ = x.d.Flush()
		}
		x.d.Cancel()
		return
	}
	if x.headSent {
		// Half an answer must not look like a whole one. The client gets what there
		// is of it, and with it the status that the outcome has.
		if err.Side != outcome.Downstream {
			_ = x.d.Flush()
		}
		x.d.Abort()
		return
	}
	status := err.Status
	if status == 0 {
		status = err.Reason.Status()
	}
	if status == 0 && err.Side == outcome.Upstream {
		status = 502
	}
	if status == statusClientClosed {
		x.out.Status = status
	}
	if status == 0 || status == statusClientClosed {
		x.d.Abort()
		return
	}
	if !x.bodyTaken() && x.touched {
		x.d.Close() // the rest of the body is behind what was read of it
	}

	x.res.Reset()
	x.res.Status = status
	f := &x.res.Fields
	f.AddName("Content-Type", "text/plain; charset=utf-8")
	f.AddName("Cache-Control", "no-store")
	f.AddName("X-Content-Type-Options", "nosniff")
	if status == 405 {
		// RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field
		// in a 405 response".
		f.AddName("Allow", allowed)
	}
	x.text = failText(x.text[:0], status, err, x.id)
	// The outcome has its reason already; that the answer could not be sent
	// either adds nothing to it.
	if err := x.answer(); err != nil {
		x.d.Abort()
	}
}

// blame says whose fault it is that the client is lost: when the drain is over its
// connection is cut by ourselves, which looks to an engine as if it had left.
func (x *Exchange) blame(err *outcome.Error) *outcome.Error {
	if err.Reason != outcome.ClientClosed || !x.proxy.closed() {
		return err
	}
	return &outcome.Error{Side: outcome.Internal, Reason: outcome.Shutdown, Err: err.Err}
}

// note writes the error into the outcome.
func (x *Exchange) note(err *outcome.Error) {
	o := &x.out
	o.Reason, o.Side = err.Reason, err.Side
	switch {
	case err.Err != nil && err.Detail != "":
		o.Err = err.Detail + ": " + err.Err.Error()
	case err.Err != nil:
		o.Err = err.Err.Error()
	default:
		o.Err = err.Detail
	}
}

// failText writes what the client reads: what happened and the name under which
// the log has it, and nothing of the inside.
func failText(b []byte, status int, err *outcome.Error, id []byte) []byte {
	b = strconv.AppendInt(b, int64(status), 10)
	if text := message.StatusText(status); text != "" {
		b = append(b, ' ')
		b = append(b, text...)
	}
	b = append(b, "\nreason: "...)
	b = append(b, err.Reason...)
	if err.Detail != "" && status < 500 {
		b = append(b, "\ndetail: "...)
		b = append(b, err.Detail...)
	}
	b = append(b, "\nrequest id: "...)
	b = append(b, id...)
	return append(b, '\n')
}
