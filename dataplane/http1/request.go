package http1

import (
	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A requestHead is the state of parsing one request head.
type requestHead struct {
	lines lines
	facts facts
	req   *message.Request
	// maxFields is the number of field lines allowed.
	maxFields int
	// absolute says that the target came in absolute form; path holds the one
	// that a target without a path stands for.
	absolute bool
	path     []byte
	// method is that of the request before: most often it is the same.
	method string
}

func (h *requestHead) reset(req *message.Request, maxFields int) {
	*h = requestHead{req: req, maxFields: maxFields, path: h.path[:0], method: req.Method}
	req.Reset()
}

func refuse(detail string) *outcome.Error {
	return &outcome.Error{Side: outcome.Downstream, Reason: outcome.BadRequest, Detail: detail}
}

func refuseAs(reason outcome.Reason, detail string) *outcome.Error {
	return &outcome.Error{Side: outcome.Downstream, Reason: reason, Detail: detail}
}

// parse goes on where it stopped and reports whether the head is complete. buf is
// the same as before but for more bytes at its end.
func (h *requestHead) parse(buf []byte) (done bool, err *outcome.Error) {
	for {
		line, found := h.lines.next(buf)
		switch found {
		case lineMore:
			return false, nil
		case lineBad:
			return false, refuse("line that does not end in CR LF, or an empty one before the request line")
		case lineBlank:
			return true, h.finish()
		}
		if h.lines.n == 1 {
			if err := h.requestLine(line); err != nil {
				return false, err
			}
			continue
		}
		if h.req.Fields.Len() == h.maxFields {
			return false, refuseAs(outcome.HeadTooLarge, "too many fields")
		}
		if problem := h.facts.field(&h.req.Fields, line); problem != "" {
			return false, refuse(problem)
		}
	}
}

// requestLine parses "method SP request-target SP HTTP-version" (RFC 9112 §3).
// The lenient parsing on white space that §3 allows is not used.
func (h *requestHead) requestLine(line []byte) *outcome.Error {
	n := 0
	for n < len(line) && message.TokenByte(line[n]) {
		n++
	}
	if n == 0 || n == len(line) || line[n] != ' ' {
		return refuse("request line that does not start with a method and one space")
	}
	method, rest := line[:n], line[n+1:]
	h.req.Method = message.InternMethod(method, h.method)

	n = 0
	for n < len(rest) && message.TargetByte(rest[n]) {
		n++
	}
	switch {
	case n == 0:
		return refuse("request line without a target")
	case n == len(rest):
		return refuse("request line without a version")
	case rest[n] != ' ':
		return refuse("invalid character in the request target")
	}
	target := rest[:n]
	// The version first: it decides how to look at all the rest.
	if err := h.version(rest[n+1:]); err != nil {
		return err
	}
	if h.req.Method == "CONNECT" {
		return refuseAs(outcome.MethodRefused, "CONNECT is not served")
	}
	return h.target(target)
}

func (h *requestHead) version(b []byte) *outcome.Error {
	switch string(b) {
	case "HTTP/1.1":
		h.req.Version = message.HTTP11
		return nil
	case "HTTP/1.0":
		h.req.Version = message.HTTP10
		return nil
	}
	if len(b) == len("HTTP/1.1") && string(b[:5]) == "HTTP/" && digit(b[5]) && b[6] == '.' && digit(b[7]) {
		if b[5] == '1' {
			// "A recipient that receives a message with a major version number that it
			// implements and a minor version number higher than what it implements SHOULD
			// process the message as if it was in the highest minor version" (RFC 9110
			// §2.5).
			h.req.Version = message.HTTP11
			return nil
		}
		return refuseAs(outcome.VersionRefused, "HTTP/1.1 and HTTP/1.0 are served")
	}
	return refuse("malformed HTTP version")
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// finish draws the conclusions when the head is complete.
func (h *requestHead) finish() *outcome.Error {
	if err := h.authority(); err != nil {
		return err
	}
	if err := h.framing(); err != nil {
		return err
	}
	if h.req.Method == "TRACE" && h.req.Length != 0 {
		return refuse("TRACE with a body") // RFC 9110 §9.3.8
	}
	h.upgrade()
	return h.expect()
}

// framing decides how long the body is (RFC 9112 §6.3).
func (h *requestHead) framing() *outcome.Error {
	f := &h.facts
	if f.codings > 0 {
		switch {
		case f.lengths > 0:
			return refuse("both Transfer-Encoding and Content-Length")
		case h.req.Version == message.HTTP10:
			return refuse("Transfer-Encoding in HTTP/1.0")
		}
		ok, known := f.chunked()
		if !ok && known {
			return refuseAs(outcome.CodingRefused, "the only transfer coding served is chunked")
		}
		if !ok {
			return refuse("Transfer-Encoding other than chunked, once")
		}
		h.req.Length = -1
		return nil
	}
	if f.lengths == 0 {
		return nil
	}
	n, ok := message.ParseLength(f.length)
	if f.lengths > 1 || !ok {
		return refuse("Content-Length that is not one number, once")
	}
	h.req.Length = n
	return nil
}

// upgrade notes the protocol of an upgrade request. One that is not made properly
// is as good as none (RFC 9110 §7.8: a server MAY ignore it). So is one with a
// body, which would have to end before the tunnel begins, and one to h2c, which
// would let requests pass unseen.
func (h *requestHead) upgrade() {
	f := &h.facts
	if f.upgrades != 1 || !f.upgradeOption || h.req.Version != message.HTTP11 || h.req.Length != 0 {
		return
	}
	if message.IsToken(f.upgrade) && !message.EqualFold(f.upgrade, "h2c") && !message.EqualFold(f.upgrade, "h2") {
		h.req.Upgrade = f.upgrade
	}
}

// expect notes whether the client waits for 100 (Continue), RFC 9110 §10.1.1: "A
// server that receives a 100-continue expectation in an HTTP/1.0 request MUST
// ignore that expectation."
func (h *requestHead) expect() *outcome.Error {
	f := &h.facts
	if f.expects == 0 || h.req.Version == message.HTTP10 {
		return nil
	}
	if f.expects > 1 || !message.EqualFold(f.expect, "100-continue") {
		return refuseAs(outcome.ExpectationFail, "the only expectation served is 100-continue")
	}
	h.req.Expect = h.req.Length != 0
	return nil
}

// keepAlive reports whether the client lets the connection persist (RFC 9112
// §9.3).
func (h *requestHead) keepAlive() bool {
	if h.req.Version == message.HTTP10 {
		return h.facts.keepAlive && !h.facts.close
	}
	return !h.facts.close
}
