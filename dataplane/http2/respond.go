package http2

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it, as no protection
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// errCut is the cause of a stream that we gave up.
var errCut = errors.New("http2: response cut")

// Inform sends an interim response at once. 100 is dropped unless the client waits
// for it, and after the first one.
func (x *Exchange) Inform(res *message.Response) error {
	switch {
	case x.stage != stageNone:
		return misuse("interim response after the final one")
	case res.Status < 100 || res.Status > 199 || res.Status == 101:
		// 101 does not exist in HTTP/2 (RFC 9113 §8.6).
		return misuse("interim response with the status of a final one")
	case x.refusal != nil, res.Status == 100 && (!x.req.Expect || x.continued):
		return nil
	}
	if err := checkFields(&res.Fields); err != nil {
		return err
	}
	x.continued = x.continued || res.Status == 100
	err := x.sendHead(false, func(e *encoder) {
		e.status(res.Status)
		e.fields(&res.Fields, connectionFields)
	})
	if err != nil {
		return err
	}
	return x.flush()
}

// Head queues the response head. Date and Content-Length are added, and nothing
// else. 101 becomes the 200 that answers extended CONNECT.
func (x *Exchange) Head(res *message.Response) error {
	switch {
	case x.stage != stageNone:
		return misuse("a second response head")
	case res.Status < 200 && res.Status != 101 || res.Status > 999:
		return misuse("response head with status " + strconv.Itoa(res.Status))
	case res.Status == 101 && (x.req.Upgrade == nil || x.refusal != nil):
		return misuse("101 without an upgrade request")
	}
	if err := checkFields(&res.Fields); err != nil {
		return err
	}
	if len(x.req.Upgrade) > 0 && !x.fits(res) {
		return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamInvalid, Detail: "answer to an upgrade request that does not accept it"}
	}
	x.stage = stageBody
	if x.mute {
		return nil
	}
	if len(x.req.Upgrade) > 0 {
		return x.answerConnect(res)
	}
	x.bodyless = x.req.Method == "HEAD" || res.Status == 204 || res.Status == 304
	if !x.bodyless {
		x.remain = res.Length
	}
	// A body of known length has no trailers, unless HTTP/2 brought it.
	end := x.bodyless || res.Length == 0 && res.Version != message.HTTP2
	return x.sendHead(end, func(e *encoder) {
		e.status(res.Status)
		e.fields(&res.Fields, connectionFields)
		if !res.Fields.Has(message.Date) {
			e.field(message.Date, message.Date.Bytes(), message.HTTPDate(time.Now()))
		}
		if tellsLength(x.req.Method, res) {
			e.number(message.ContentLength, res.Length)
		}
	})
}

// tellsLength reports whether the head has Content-Length.
func tellsLength(method string, res *message.Response) bool {
	switch {
	case res.Length < 0 || res.Status == 204:
		return false
	case res.Length == 0 && res.Status == 304:
		return false // not the length of what a GET would have got
	}
	return true
}

// fits reports whether res may answer extended CONNECT: only 101 opens the tunnel, and
// a status that the client would take for it must not pass (RFC 8441 §5).
func (x *Exchange) fits(res *message.Response) bool {
	if res.Status == 101 {
		return x.accepted(&res.Fields)
	}
	return res.Status >= 300
}

// answerConnect answers extended CONNECT.
func (x *Exchange) answerConnect(res *message.Response) error {
	status := res.Status
	if status == 101 {
		status = 200
	} else {
		x.remain = res.Length
	}
	return x.sendHead(false, func(e *encoder) {
		e.status(status)
		for l := range res.Fields.All() {
			if !connectionFields[l.ID] && !message.EqualFold(l.Name, "Sec-WebSocket-Accept") {
				e.field(l.ID, l.Name, l.Value)
			}
		}
		if status != 200 && tellsLength(x.req.Method, res) {
			e.number(message.ContentLength, res.Length)
		}
	})
}

// accepted checks the answer to the key that we made up (RFC 6455 §4.1).
func (x *Exchange) accepted(f *message.Fields) bool {
	return string(f.Named("Sec-WebSocket-Accept")) == acceptKey(x.key)
}

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Write queues body bytes. They are dropped where the answer has no body.
func (x *Exchange) Write(p []byte) error {
	switch {
	case x.stage != stageBody:
		return misuse("body outside of a response")
	case x.mute || x.bodyless || len(p) == 0:
		return nil
	case x.remain >= 0 && int64(len(p)) > x.remain:
		return misuse("body longer than its Content-Length")
	}
	if x.remain > 0 {
		x.remain -= int64(len(p))
	}
	return x.send(p, false)
}

// Flush sends what is queued.
func (x *Exchange) Flush() error {
	if x.mute {
		return nil
	}
	return x.flush()
}

// End completes the response and sends all of it. A body shorter than its
// Content-Length is an error, and the response is cut.
func (x *Exchange) End(trailers *message.Fields) error {
	switch {
	case x.stage != stageBody:
		return misuse("end outside of a response")
	case x.mute:
		x.stage = stageEnd
		return nil
	case x.remain > 0:
		x.Abort()
		return misuse("body shorter than its Content-Length")
	}
	x.stage = stageEnd
	if trailers != nil && checkFields(trailers) != nil {
		trailers = nil
	}
	switch {
	case x.endedEarly():
		return x.flush()
	case trailers == nil || trailers.Len() == 0:
		return x.end()
	}
	err := x.sendHead(true, func(e *encoder) { e.fields(trailers, trailerFields) })
	if err != nil {
		return err
	}
	return x.flush()
}

// endedEarly reports whether END_STREAM went out with the head.
func (x *Exchange) endedEarly() bool {
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	return x.sentEnd
}
