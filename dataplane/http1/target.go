package http1

import (
	"bytes"
	"net/netip"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// target takes the request target apart (RFC 9112 §3.2). Its bytes are visible
// ASCII without '#'.
func (h *requestHead) target(t []byte) *outcome.Error {
	r := h.req
	switch {
	case t[0] == '/':
	case len(t) == 1 && t[0] == '*':
		if r.Method != "OPTIONS" {
			return refuse("target * with a method other than OPTIONS")
		}
	default:
		var err *outcome.Error
		if t, err = h.absoluteForm(t); err != nil {
			return err
		}
	}
	r.Target, r.Path = t, t
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		r.Path, r.Query, r.HasQuery = t[:i], t[i+1:], true
	}
	if !validEscapes(r.Path) {
		return refuse("target with % that two hexadecimal digits do not follow")
	}
	// No URI holds one (RFC 3986 §2), and some servers take it for a slash.
	if bytes.IndexByte(r.Path, '\\') >= 0 {
		return refuse("target with a backslash in its path")
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
	if !validAuthority(rest[:n]) {
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
	case !validAuthority(f.host):
		return refuse("Host that is not a host name or address with an optional port")
	case h.absolute && !bytes.EqualFold(f.host, h.req.Authority):
		return refuse("Host that differs from the target's authority")
	}
	h.req.Authority = f.host
	return nil
}

// validAuthority reports whether b is host or host:port of an http URI (RFC 3986
// §3.2): a name of unreserved characters, an IPv4 address or an IPv6 address in
// brackets. User information, percent encoding and sub-delimiters are not
// accepted in a host: no such name can be served, and '@' and ',' are where
// parsers differ.
func validAuthority(b []byte) bool {
	const maxHost = 255
	if len(b) > maxHost+len(":65535") {
		return false
	}
	n := 0
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || !validIPv6(b[1:end]) {
			return false
		}
		n = end + 1
	} else {
		for n < len(b) && hostByte(b[n]) {
			n++
		}
	}
	return n > 0 && n <= maxHost && (n == len(b) || b[n] == ':' && validPort(b[n+1:]))
}

func hostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || digit(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

func validIPv6(b []byte) bool {
	a, err := netip.ParseAddr(string(b))
	return err == nil && a.Is6() && a.Zone() == ""
}

func validPort(b []byte) bool {
	n := 0
	for _, c := range b {
		if !digit(c) {
			return false
		}
		n = n*10 + int(c-'0')
		if n > 65535 {
			return false
		}
	}
	return len(b) > 0 && len(b) <= len("65535")
}

// validEscapes reports whether every '%' in a path starts a triplet.
func validEscapes(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if len(path) < i+3 || unhex(path[i+1]) > 15 || unhex(path[i+2]) > 15 {
			return false
		}
		path = path[i+3:]
	}
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
