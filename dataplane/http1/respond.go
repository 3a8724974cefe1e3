package http1

import (
	"strconv"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// framingFields are the fields that this package writes itself, from what it
// knows, and never from what it is given.
var framingFields = skip(message.Connection, message.ContentLength, message.TransferEncoding,
	message.KeepAlive, message.ProxyConnection)

func skip(ids ...message.ID) *[256]bool {
	var t [256]bool
	for _, id := range ids {
		t[id] = true
	}
	return &t
}

// Inform sends an interim response at once. One that the client must not get is
// dropped: any by HTTP/1.0 (RFC 9110 §15.2), and 100 unless the client waits for
// it, and then only once.
func (x *Exchange) Inform(res *message.Response) error {
	switch {
	case x.stage != stageNone:
		return misuse("interim response after the final one")
	case res.Status < 100 || res.Status > 199 || res.Status == 101:
		return misuse("interim response with the status of a final one")
	case x.refusal != nil || x.req.Version == message.HTTP10:
		return nil
	case res.Status == 100 && (!x.req.Expect || x.continued):
		return nil
	}
	if err := checkHead(res); err != nil {
		return err
	}
	x.continued = x.continued || res.Status == 100
	w := &x.c.wr
	x.putStatus(res)
	w.putFields(&res.Fields, framingFields)
	w.putString("\r\n")
	w.flush()
	return x.sendError()
}

// Head queues the response head. The body is framed by res.Length and the
// client's version. Date, Content-Length, Transfer-Encoding and Connection are
// added, and nothing else.
func (x *Exchange) Head(res *message.Response) error {
	switch {
	case x.stage != stageNone:
		return misuse("a second response head")
	case res.Status < 200 && res.Status != 101 || res.Status > 999:
		return misuse("response head with status " + strconv.Itoa(res.Status))
	case res.Status == 101 && (x.req.Upgrade == nil || x.refusal != nil):
		return misuse("101 without an upgrade request")
	}
	if err := checkHead(res); err != nil {
		return err
	}
	x.stage, x.status = stageBody, res.Status
	x.last = x.last || res.Status == 101 || x.mustClose()
	w := &x.c.wr
	x.putStatus(res)
	w.putFields(&res.Fields, framingFields)
	if res.Status != 101 && !res.Fields.Has(message.Date) {
		w.putString("Date: ")
		w.put(message.HTTPDate(time.Now()))
		w.putString("\r\n")
	}
	x.putFraming(res)
	x.putConnection(res)
	w.putString("\r\n")
	return x.sendError()
}

// mustClose reports whether the connection ends with this response for a reason
// that is known before it is sent.
func (x *Exchange) mustClose() bool {
	s := x.c.server
	switch {
	case s.draining.Load():
		return true
	case s.MaxRequests > 0 && x.c.requests >= s.MaxRequests:
		return true
	case x.req.Expect && !x.continued && !x.body.begun.Load():
		// The client was not told to go on: whether the body still comes is not
		// known (RFC 9110 §10.1.1).
		return true
	}
	return x.body.broken.Load()
}

// putFraming decides how the body of the answer is framed (RFC 9112 §6) and
// writes the field that says so.
func (x *Exchange) putFraming(res *message.Response) {
	w := &x.c.wr
	x.out, x.remain = framedNone, 0
	switch {
	case res.Status == 101 || res.Status == 204:
		return
	case bodyless(x.req.Method, res.Status):
		// "Content-Length in a response to HEAD, or 304, is the size that the
		// same GET would have had" (RFC 9110 §8.6).
		if res.Length < 0 || res.Length == 0 && res.Status == 304 {
			return
		}
	case res.Length < 0 && x.req.Version == message.HTTP11:
		x.out = framedChunked
		w.putString("Transfer-Encoding: chunked\r\n")
		return
	case res.Length < 0:
		x.out, x.last = framedClose, true
		return
	default:
		x.out, x.remain = framedLength, res.Length
	}
	w.putString("Content-Length: ")
	w.putInt(res.Length, 10)
	w.putString("\r\n")
}

func (x *Exchange) putConnection(res *message.Response) {
	w := &x.c.wr
	switch {
	case res.Status == 101:
		w.putString("Connection: Upgrade\r\n")
	case x.last:
		w.putString("Connection: close\r\n")
	case x.req.Version == message.HTTP10:
		w.putString("Connection: keep-alive\r\n")
	}
	if res.Status == 426 && res.Fields.Has(message.Upgrade) {
		// "A sender of Upgrade MUST also send an "Upgrade" connection option"
		// (RFC 9110 §7.8).
		w.putString("Connection: Upgrade\r\n")
	}
}

// Write queues body bytes. They are dropped where the answer has no body.
func (x *Exchange) Write(p []byte) error {
	w := &x.c.wr
	switch {
	case x.stage != stageBody:
		return misuse("body outside of a response")
	case len(p) == 0:
		return x.sendError()
	}
	switch x.out {
	case framedLength:
		if int64(len(p)) > x.remain {
			return misuse("body longer than its Content-Length")
		}
		x.remain -= int64(len(p))
		w.putBody(p)
	case framedChunked:
		w.putChunk(p)
	case framedClose:
		w.putBody(p)
	}
	return x.sendError()
}

// Flush sends what is queued.
func (x *Exchange) Flush() error {
	x.c.wr.flush()
	return x.sendError()
}

// End completes the response and sends all of it. Trailers are sent after a
// chunked body only. A body shorter than its Content-Length is an error, and the
// response is cut.
func (x *Exchange) End(trailers *message.Fields) error {
	w := &x.c.wr
	switch {
	case x.stage != stageBody:
		return misuse("end outside of a response")
	case x.out == framedLength && x.remain > 0:
		x.Abort()
		return misuse("body shorter than its Content-Length")
	case x.out == framedChunked:
		if trailers != nil && checkFields(trailers) != nil {
			trailers = nil
		}
		w.putLastChunk(trailers)
	}
	x.stage = stageEnd
	w.flush()
	return x.sendError()
}

// checkHead guards against a head that would not be what it seems.
func checkHead(res *message.Response) error {
	err := checkFields(&res.Fields)
	if err == nil && !message.ValidText(res.Reason) {
		err = errInvalidField
	}
	if err != nil {
		return &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: err}
	}
	return nil
}

// putStatus writes the status line. The version is ours, not the client's (RFC
// 9110 §6.2).
func (x *Exchange) putStatus(res *message.Response) {
	w := &x.c.wr
	if len(res.Reason) == 0 && res.Status < len(statusLines) {
		w.putString(statusLines[res.Status])
		return
	}
	w.putString("HTTP/1.1 ")
	w.putInt(int64(res.Status), 10)
	w.putString(" ")
	w.put(res.Reason)
	w.putString("\r\n")
}

var statusLines = func() (t [600]string) {
	for i := range t {
		t[i] = "HTTP/1.1 " + strconv.Itoa(i) + " " + message.StatusText(i) + "\r\n"
	}
	return t
}()

// putChunk appends p as one chunk.
func (w *writer) putChunk(p []byte) {
	w.putInt(int64(len(p)), 16)
	w.putString("\r\n")
	w.putBody(p)
	w.putString("\r\n")
}

// putLastChunk appends the last chunk and the trailers, nil if none.
func (w *writer) putLastChunk(trailers *message.Fields) {
	w.putString("0\r\n")
	if trailers != nil {
		w.putFields(trailers, trailerFields)
	}
	w.putString("\r\n")
}

// trailerFields never stand in a trailer section.
var trailerFields = skip(message.Connection, message.ContentLength, message.TransferEncoding,
	message.KeepAlive, message.ProxyConnection, message.Host, message.Trailer, message.TE, message.Upgrade)
