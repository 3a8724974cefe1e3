// The normal form of a path, in which paths are compared and forwarded.
//
//   - An escape of an unreserved octet (letters, digits, "-", ".", "_", "~") is
//     decoded: RFC 3986 §6.2.2.2. Every other escape stays one, in upper case
//     (§6.2.2.1): "%2F" and "%5C" are data and never separators.
//   - An octet that a URI cannot hold (RFC 3986 appendix A: non-ASCII, space and
//     "<>^`{|}) is escaped, so that "/é" and "/%C3%A9" are one path and what is
//     forwarded is valid. Delimiters, square brackets among them, stay as they are.
//   - Dot segments are removed (§5.2.4), those that were escaped as well. Empty
//     segments are segments: "//" is kept.
//
// Refused is what two parsers could read differently: a raw backslash (browsers
// and some servers take it for a slash), control characters, a raw or escaped
// NUL, "#" and "?", an incomplete escape, ".." above the root (§5.2.4 would drop
// it silently), a dot segment with parameters ("/..;/"), which servlet containers
// take for a plain one, and one beside an escaped separator ("/..%2F"): a backend
// that decodes before it resolves would leave the path that was matched.
//
// One pass over the usual path finds that nothing is to do.

package snapshot

import (
	"bytes"
	"errors"
	"fmt"
)

// What a class says of an octet in a path.
const (
	refused    = iota // zero: control characters, '#', '?' and '\\'
	plain             // stays
	unreserved        // stays, and its escape is decoded
	escape            // '%'
	dot               // '.': unreserved, and perhaps a dot segment
	foreign           // is escaped
)

var pathClass = func() (t [256]uint8) {
	for c := range t {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '~':
			t[c] = unreserved
		case bytes.IndexByte([]byte("/:@!$&'()*+,;=[]"), byte(c)) >= 0:
			t[c] = plain
		case bytes.IndexByte([]byte(" \"<>^`{|}"), byte(c)) >= 0, c >= 0x80:
			t[c] = foreign
		case c == '%':
			t[c] = escape
		case c == '.':
			t[c] = dot
		}
	}
	return t
}()

var (
	errNoSlash    = errors.New("the path does not begin with a slash")
	errBadEscape  = errors.New("the path has a % without two hex digits")
	errNUL        = errors.New("the path has an escaped NUL")
	errAboveRoot  = errors.New("the path climbs above the root")
	errDotSegment = errors.New("the path has a dot segment with parameters")
	errHiddenDot  = errors.New("the path has a dot segment beside an escaped slash or backslash")
)

// NormalizePath returns the normal form of a path: unreserved octets decoded, the
// remaining percent-escapes in upper case, octets that a URI cannot hold escaped,
// dot segments removed; an escaped slash or backslash stays escaped and "//" is
// kept. If the form differs from path it is written behind buf, whose memory is
// used as far as it goes; else path itself is returned. The error says what is
// wrong: a path that does not begin with a slash, a character that no path may
// have, a bad escape, or a path that climbs above the root.
func NormalizePath(buf, path []byte) ([]byte, error) {
	if len(path) == 0 || path[0] != '/' {
		return nil, errNoSlash
	}
	for i, c := range path {
		switch pathClass[c] {
		case plain, unreserved:
		case dot:
			if path[i-1] == '/' {
				return normalizePath(buf, path)
			}
		case escape, foreign:
			return normalizePath(buf, path)
		default:
			return nil, refusedOctet(c)
		}
	}
	return path, nil
}

func refusedOctet(c byte) error {
	return fmt.Errorf("the path has the character %q", rune(c))
}

// normalizePath is NormalizePath for a path that may have something to do.
func normalizePath(buf, path []byte) ([]byte, error) {
	out, err := decodePath(buf, path)
	if err != nil {
		return nil, err
	}
	form, err := removeDotSegments(out[len(buf):])
	if err != nil {
		return nil, err
	}
	if bytes.Equal(form, path) {
		return path, nil
	}
	return form, nil
}

// decodePath appends path to out with its octets in normal form.
func decodePath(out, path []byte) ([]byte, error) {
	const upper = "0123456789ABCDEF"
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch pathClass[c] {
		case plain, unreserved, dot:
			out = append(out, c)
		case foreign:
			out = append(out, '%', upper[c>>4], upper[c&15])
		case escape:
			if i+2 >= len(path) {
				return nil, errBadEscape
			}
			hi, lo := unhex(path[i+1]), unhex(path[i+2])
			if hi > 15 || lo > 15 {
				return nil, errBadEscape
			}
			octet := hi<<4 | lo
			switch class := pathClass[octet]; {
			case class == unreserved || class == dot:
				out = append(out, octet)
			case octet == 0:
				return nil, errNUL
			default:
				out = append(out, '%', upper[hi], upper[lo])
			}
			i += 2
		default:
			return nil, refusedOctet(c)
		}
	}
	return out, nil
}

// unhex returns the value of a hex digit, or 255.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// removeDotSegments is RFC 3986 §5.2.4 in place, for a path that begins with a
// slash; p[:w] is the output buffer of that algorithm. A dot segment at the end
// leaves the slash before it.
func removeDotSegments(p []byte) ([]byte, error) {
	w := 0
	for r := 0; r < len(p); {
		end := len(p) // of the segment that begins with the slash at r
		if next := bytes.IndexByte(p[r+1:], '/'); next >= 0 {
			end = r + 1 + next
		}
		segment := p[r+1 : end]
		up := len(segment) == 2 && segment[0] == '.' && segment[1] == '.'
		switch {
		case up && w == 0:
			return nil, errAboveRoot
		case up:
			w = bytes.LastIndexByte(p[:w], '/')
		case len(segment) == 1 && segment[0] == '.':
		case bytes.HasPrefix(segment, []byte(".;")) || bytes.HasPrefix(segment, []byte("..;")):
			return nil, errDotSegment
		case hidesDotSegment(segment):
			return nil, errHiddenDot
		default:
			w += copy(p[w:], p[r:end])
			r = end
			continue
		}
		if end == len(p) {
			p[w] = '/'
			w++
		}
		r = end
	}
	return p[:w], nil
}

// hidesDotSegment reports whether a segment has a dot segment in it once its
// escaped separators are decoded.
func hidesDotSegment(segment []byte) bool {
	for rest, more := segment, bytes.IndexByte(segment, '%') >= 0; more; {
		i := 0
		for i < len(rest) && !escapedSeparator(rest[i:]) {
			i++
		}
		part := rest[:i]
		if more = i < len(rest); more {
			rest = rest[i+3:]
		}
		part, _, _ = bytes.Cut(part, []byte{';'})
		// The whole segment is no dot segment: that was seen to before.
		if len(part) < len(segment) && (string(part) == "." || string(part) == "..") {
			return true
		}
	}
	return false
}

// escapedSeparator reports whether b, in normal form, begins with an escaped
// slash or backslash.
func escapedSeparator(b []byte) bool {
	return len(b) >= 3 && b[0] == '%' && (b[1] == '2' && b[2] == 'F' || b[1] == '5' && b[2] == 'C')
}

// NormalizeHost returns the normal form of host[:port]: lower case, without port
// and without one trailing dot; an IPv6 literal keeps its brackets. If the form
// is not a part of host it is written behind buf. What is not a valid host[:port]
// comes back in lower case and is nobody's name.
func NormalizeHost(buf, host []byte) []byte {
	host = trimPort(host)
	if n := len(host); n > 0 && host[n-1] == '.' {
		host = host[:n-1]
	}
	for i, c := range host {
		if 'A' <= c && c <= 'Z' {
			return lowerFrom(buf, host, i)
		}
	}
	return host
}

// lowerFrom appends host to buf in lower case; it is so before i.
func lowerFrom(buf, host []byte, i int) []byte {
	out := append(buf, host...)[len(buf):]
	for ; i < len(out); i++ {
		if c := out[i]; 'A' <= c && c <= 'Z' {
			out[i] = c | 0x20
		}
	}
	return out
}

// trimPort removes ":port", where port may be empty (RFC 3986 §3.2.3). A colon
// inside brackets belongs to an IPv6 address; several outside are no port.
func trimPort(host []byte) []byte {
	colon := bytes.LastIndexByte(host, ':')
	if colon < 0 {
		return host
	}
	if bracket := bytes.LastIndexByte(host, ']'); bracket >= 0 {
		if colon == bracket+1 {
			return host[:colon]
		}
		return host
	}
	if bytes.IndexByte(host, ':') != colon {
		return host
	}
	return host[:colon]
}
