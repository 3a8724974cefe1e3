package http1

import (
	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A responseHead is the state of parsing one response head.
type responseHead struct {
	lines     lines
	facts     facts
	res       *message.Response
	maxFields int
	// chunked says how a body of unknown length is framed: in chunks, or else by
	// the end of the connection.
	chunked bool
}

func (h *responseHead) reset(res *message.Response, maxFields int) {
	res.Reset()
	*h = responseHead{res: res, maxFields: maxFields}
}

func invalid(detail string) *outcome.Error {
	return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamInvalid, Detail: detail}
}

// parse is requestHead.parse for a response.
func (h *responseHead) parse(buf []byte) (done bool, err *outcome.Error) {
	for {
		line, found := h.lines.next(buf)
		switch {
		case found == lineMore:
			return false, nil
		case found == lineBad || h.lines.blank:
			return false, invalid("line that does not end in CR LF, or an empty one before the status line")
		case found == lineBlank:
			return true, h.framing()
		case h.lines.n == 1:
			if problem := h.statusLine(line); problem != "" {
				return false, invalid(problem)
			}
			continue
		case h.res.Fields.Len() == h.maxFields:
			return false, &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamHeadSize, Detail: "too many fields"}
		}
		if problem := h.facts.field(&h.res.Fields, line); problem != "" {
			return false, invalid(problem)
		}
	}
}

// statusLine parses "HTTP-version SP status-code SP [ reason-phrase ]" (RFC 9112
// §4). The second space may be missing where the phrase is: many servers do that.
func (h *responseHead) statusLine(line []byte) (problem string) {
	const prefix = len("HTTP/1.1 ")
	if len(line) < prefix+3 {
		return "malformed status line"
	}
	switch string(line[:prefix]) {
	case "HTTP/1.1 ":
		h.res.Version = message.HTTP11
	case "HTTP/1.0 ":
		h.res.Version = message.HTTP10
	default:
		return "status line that does not start with HTTP/1.1 or HTTP/1.0 and one space"
	}
	code, reason := line[prefix:prefix+3], line[prefix+3:]
	if !digit(code[0]) || !digit(code[1]) || !digit(code[2]) || code[0] < '1' || code[0] > '5' {
		return "status that is not a number from 100 to 599"
	}
	h.res.Status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	if len(reason) > 0 {
		if reason[0] != ' ' {
			return "status that is not a number of three digits"
		}
		reason = reason[1:]
	}
	if !message.ValidText(reason) {
		return "control character in the reason phrase"
	}
	h.res.Reason = reason
	return ""
}

// framing decides how long the body is (RFC 9112 §6.3).
func (h *responseHead) framing() *outcome.Error {
	f := &h.facts
	length := int64(-1)
	switch {
	case f.codings > 0 && f.lengths > 0:
		return invalid("both Transfer-Encoding and Content-Length")
	case f.codings > 0 && h.res.Version == message.HTTP10:
		return invalid("Transfer-Encoding in HTTP/1.0")
	case f.codings > 0:
		if ok, _ := f.chunked(); !ok {
			return invalid("Transfer-Encoding other than chunked, once")
		}
		h.chunked = true
	case f.lengths > 0:
		n, ok := message.ParseLength(f.length)
		if f.lengths > 1 || !ok {
			return invalid("Content-Length that is not one number, once")
		}
		length = n
	}
	h.res.Length = length
	if s := h.res.Status; s < 200 || s == 204 {
		// Neither field may be there (RFC 9110 §8.6, RFC 9112 §6.1); what they
		// say is not so.
		h.res.Fields.Del(message.ContentLength)
		h.res.Fields.Del(message.TransferEncoding)
		h.res.Length = 0
	}
	return nil
}

// bodyless reports whether a response has no body whatever its fields say (RFC
// 9112 §6.3, first rule).
func bodyless(method string, status int) bool {
	return method == "HEAD" || status < 200 || status == 204 || status == 304
}

// keepAlive reports whether the server lets the connection persist.
func (h *responseHead) keepAlive() bool {
	if h.res.Version == message.HTTP10 {
		return h.facts.keepAlive && !h.facts.close
	}
	return !h.facts.close
}
