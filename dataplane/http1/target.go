package http1

import (
	"bytes"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// target takes the request target apart (RFC 9112 §3.2). Its bytes are visible
// ASCII without '#'.
func (h *requestHead) target(t []byte) *outcome.Error {
	if t[0] != '/' && string(t) != "*" {
		var err *outcome.Error
		if t, err = h.absoluteForm(t); err != nil {
			return err
		}
	}
	if problem := h.req.SetTarget(t); problem != "" {
		return refuse(problem)
	}
	return nil
}

// absoluteForm takes scheme and authority off a target in absolute form and
// returns the rest of it. Any other form is refused here: authority form is of
// CONNECT alone.
func (h *requestHead) absoluteForm(t []byte) ([]byte, *outcome.Error) {
	scheme, rest, ok := bytes.Cut(t, []byte("://"))
	if !ok || !message.EqualFold(scheme, "http") && !message.EqualFold(scheme, "https") {
		return nil, refuse("target that is neither a path nor an http URI")
	}
	n := bytes.IndexAny(rest, "/?")
	if n < 0 {
		n = len(rest)
	}
	if !message.ValidAuthority(rest[:n]) {
		return nil, refuse("invalid authority in the target")
	}
	h.absolute = true
	h.req.Authority, rest = rest[:n], rest[n:]
	switch {
	case len(rest) > 0 && rest[0] == '/':
		return rest, nil
	case len(rest) == 0 && h.req.Method == "OPTIONS":
		// RFC 9112 §3.2.4: a target without path and query is * for OPTIONS.
		h.path = append(h.path[:0], '*')
	default:
		h.path = append(append(h.path[:0], '/'), rest...)
	}
	return h.path, nil
}

// authority checks Host, RFC 9112 §3.2: "A server MUST respond with a 400 (Bad
// Request) status code to any HTTP/1.1 request message that lacks a Host header
// field and to any request message that contains more than one Host header field
// line or a Host header field with an invalid field value." That a target in
// absolute form overrides Host (§3.2.2) is where two parsers differ: they must
// agree.
func (h *requestHead) authority() *outcome.Error {
	f := &h.facts
	switch {
	case f.hosts > 1:
		return refuse("more than one Host")
	case f.hosts == 0 && h.req.Version == message.HTTP11:
		return refuse("no Host")
	case f.hosts == 0:
		return nil
	case !message.ValidAuthority(f.host):
		return refuse("Host that is not a host name or address with an optional port")
	case h.absolute && !bytes.EqualFold(f.host, h.req.Authority):
		return refuse("Host that differs from the target's authority")
	}
	h.req.Authority = f.host
	return nil
}

// unhex returns the value of a hexadecimal digit, 255 for anything else.
func unhex(c byte) byte {
	switch {
	case digit(c):
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
