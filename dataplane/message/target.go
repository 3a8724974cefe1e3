package message

import (
	"bytes"
	"net/netip"
)

// SetTarget takes a target in origin form, or "*", apart and returns what is
// wrong with it, "" if nothing. Method must be set before. r keeps t.
func (r *Request) SetTarget(t []byte) (problem string) {
	switch {
	case len(t) > 0 && t[0] == '/':
	case len(t) == 1 && t[0] == '*':
		if r.Method != "OPTIONS" {
			return "target * with a method other than OPTIONS"
		}
	default:
		return "target that is not a path"
	}
	r.Target, r.Path = t, t
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		r.Path, r.Query, r.HasQuery = t[:i], t[i+1:], true
	}
	if !validEscapes(r.Path) {
		return "target with % that two hexadecimal digits do not follow"
	}
	// No URI holds one (RFC 3986 §2), and some servers take it for a slash.
	if bytes.IndexByte(r.Path, '\\') >= 0 {
		return "target with a backslash in its path"
	}
	return ""
}

// TargetByte reports whether c may stand in a request target: visible ASCII. A
// fragment is never sent (RFC 9110 §7.1).
func TargetByte(c byte) bool { return c > ' ' && c < 0x7f && c != '#' }

// ValidAuthority reports whether b is host or host:port of an http URI (RFC 3986
// §3.2): a name of unreserved characters, an IPv4 address or an IPv6 address in
// brackets. User information, percent encoding and sub-delimiters are not
// accepted in a host: no such name can be served, and '@' and ',' are where
// parsers differ.
func ValidAuthority(b []byte) bool {
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

func digit(c byte) bool { return '0' <= c && c <= '9' }

func hostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || digit(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

func validIPv6(b []byte) bool {
	a, err := netip.ParseAddr(string(b))
	return err == nil && a.Is6() && a.Zone() == ""
}

// validPort: "port = *DIGIT" (RFC 3986 §3.2.3), so that it may be empty.
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
	return len(b) <= len("65535")
}

// validEscapes reports whether every '%' in a path starts a triplet.
func validEscapes(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if len(path) < i+3 || !hexDigit(path[i+1]) || !hexDigit(path[i+2]) {
			return false
		}
		path = path[i+3:]
	}
}

func hexDigit(c byte) bool { return digit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// InternMethod returns the method as a string without allocating if it is a known
// one, or last.
func InternMethod(b []byte, last string) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "OPTIONS":
		return "OPTIONS"
	case "PATCH":
		return "PATCH"
	case "TRACE":
		return "TRACE"
	case "CONNECT":
		return "CONNECT"
	case last:
		return last
	}
	return string(b)
}

// AnnouncedTrailers returns what is wrong with a Trailer field, "" if nothing: it
// must not announce framing.
func AnnouncedTrailers(list []byte) (problem string) {
	for name, rest := NextElement(list); name != nil; name, rest = NextElement(rest) {
		if !IsToken(name) {
			return "Trailer names something that is not a field"
		}
		switch Lookup(name) {
		case ContentLength, TransferEncoding, Trailer, Host:
			return "Trailer names a field that cannot be a trailer"
		}
	}
	return ""
}
