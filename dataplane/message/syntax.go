package message

import "encoding/binary"

// tokenBytes marks the bytes of a token (RFC 9110 §5.6.2).
var tokenBytes = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// TokenByte reports whether c may stand in a token: a method, a field name, a
// transfer coding.
func TokenByte(c byte) bool { return tokenBytes[c] }

// IsToken reports whether b is a token, thus not empty.
func IsToken(b []byte) bool {
	for _, c := range b {
		if !tokenBytes[c] {
			return false
		}
	}
	return len(b) > 0
}

// ValidValue reports whether b may be the value of a field: visible characters,
// obs-text, spaces and tabs, and neither starting nor ending with white space
// (RFC 9110 §5.5). Eight bytes are looked at in one step.
func ValidValue(b []byte) bool {
	if n := len(b); n > 0 && (blank(b[0]) || blank(b[n-1])) {
		return false
	}
	return ValidText(b)
}

// ValidText is ValidValue for text whose ends do not matter: a reason phrase.
func ValidText(b []byte) bool {
	for len(b) >= 8 {
		if oddBytes(binary.LittleEndian.Uint64(b)) && !validBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return validBytes(b)
}

// oddBytes reports whether some byte of x is below 0x20 or is 0x7f. It may also
// report so when none is, next to one with the high bit; validBytes then decides.
func oddBytes(x uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	del := x ^ 0x7f*ones
	return ((x-0x20*ones)&^x|(del-ones)&^del)&tops != 0
}

func validBytes(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// Trim returns b without the white space (RFC 9110 §5.6.3) around it.
func Trim(b []byte) []byte {
	for len(b) > 0 && blank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && blank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// NextElement cuts the first element, trimmed, off a list with commas; empty
// elements are skipped (RFC 9110 §5.6.1.2). It returns nil, nil at the end. It
// knows nothing of quoted strings: use it for lists of tokens.
func NextElement(list []byte) (element, rest []byte) {
	for len(list) > 0 {
		end := 0
		for end < len(list) && list[end] != ',' {
			end++
		}
		element, rest = Trim(list[:end]), nil
		if end < len(list) {
			rest = list[end+1:]
		}
		if len(element) > 0 {
			return element, rest
		}
		list = rest
	}
	return nil, nil
}

// ParseLength parses the value of Content-Length: nothing but digits, at most 19
// of them, and not above the largest int64. Leading zeros are refused: there are
// parsers that take them for octal.
func ParseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 19 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, n >= 0
}
