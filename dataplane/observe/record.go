package observe

import (
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// maxValue is the most bytes of a value that a client or an error chose; the rest
// is cut off, so that a record has a bounded size.
const maxValue = 2048

// maxList is the most bytes of a list before its last value: several times what
// clients send. The rest is left out, and "…" in its place.
const maxList = 8 << 10

// A record is one line in the making. Fields without a value are left out, and so
// are those that are not wanted.
type record struct {
	buf    []byte
	format Format
	// only holds the fields that are wanted; nil means all.
	only map[string]bool
}

var records = sync.Pool{New: func() any { return new(record) }}

// newRecord begins a record; done ends it. Its time and the name of its log are
// always in it.
func newRecord(format Format, log string, at time.Time) *record {
	r := records.Get().(*record)
	r.buf, r.format, r.only = r.buf[:0], format, nil
	if format == JSON {
		r.buf = append(r.buf, `{"time":"`...)
		r.buf = appendTime(r.buf, at)
		r.buf = append(r.buf, '"')
	} else {
		r.buf = append(r.buf, "time="...)
		r.buf = appendTime(r.buf, at)
	}
	r.str("log", log)
	return r
}

// done queues the record and gives its memory back.
func (r *record) done(l *lines) {
	if r.format == JSON {
		r.buf = append(r.buf, '}')
	}
	r.buf = append(r.buf, '\n')
	l.add(r.buf)
	records.Put(r)
}

// key begins a field, or reports that it is not wanted.
func (r *record) key(key string) (wanted bool) {
	if r.only != nil && !r.only[key] {
		return false
	}
	if r.format == JSON {
		r.buf = append(r.buf, `,"`...)
		r.buf = append(r.buf, key...)
		r.buf = append(r.buf, `":`...)
		return true
	}
	r.buf = append(r.buf, ' ')
	r.buf = append(r.buf, key...)
	r.buf = append(r.buf, '=')
	return true
}

func (r *record) str(key, value string) {
	if value != "" && r.key(key) {
		r.buf = appendValue(r.buf, r.format, value)
	}
}

func (r *record) bytes(key string, value []byte) {
	if len(value) != 0 && r.key(key) {
		r.buf = appendValue(r.buf, r.format, value)
	}
}

// octets writes bytes that need not be text: what is not printable ASCII comes
// out as \xNN.
func (r *record) octets(key string, value []byte) {
	if len(value) == 0 || !r.key(key) {
		return
	}
	quoted := make([]byte, 0, 4*len(value))
	for _, c := range value {
		if c < ' ' || c > '~' {
			quoted = append(quoted, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		} else {
			quoted = append(quoted, c)
		}
	}
	r.buf = appendValue(r.buf, r.format, quoted)
}

// list writes values with a comma between them.
func (r *record) list(key string, n int, value func(int) string) {
	if n == 0 || !r.key(key) {
		return
	}
	if r.format == JSON {
		r.buf = append(r.buf, '[')
	}
	begun := len(r.buf)
	for i := range n {
		if i > 0 {
			r.buf = append(r.buf, ',')
		}
		if len(r.buf)-begun > maxList {
			r.buf = appendValue(r.buf, r.format, "…")
			break
		}
		r.buf = appendValue(r.buf, r.format, value(i))
	}
	if r.format == JSON {
		r.buf = append(r.buf, ']')
	}
}

func (r *record) int(key string, value int64) {
	if r.key(key) {
		r.buf = strconv.AppendInt(r.buf, value, 10)
	}
}

// flag writes key=true, and nothing for false.
func (r *record) flag(key string, value bool) {
	if value && r.key(key) {
		r.buf = append(r.buf, "true"...)
	}
}

// seconds writes a duration in seconds with six digits, without a detour over
// floating point.
func (r *record) seconds(key string, d time.Duration) {
	if !r.key(key) {
		return
	}
	us := max(d.Microseconds(), 0)
	r.buf = append(strconv.AppendInt(r.buf, us/1e6, 10), '.')
	r.buf = appendDigits(r.buf, int(us%1e6))
}

func (r *record) addr(key string, a netip.AddrPort) {
	if !a.IsValid() || !r.key(key) {
		return
	}
	if r.format == JSON {
		r.buf = append(r.buf, '"')
	}
	r.buf = a.AppendTo(r.buf)
	if r.format == JSON {
		r.buf = append(r.buf, '"')
	}
}

func (r *record) ip(key string, a netip.Addr) {
	if !r.key(key) {
		return
	}
	if r.format == JSON {
		r.buf = append(r.buf, '"')
	}
	r.buf = a.AppendTo(r.buf)
	if r.format == JSON {
		r.buf = append(r.buf, '"')
	}
}

// object writes "namespace/name" of an origin.
func (r *record) object(key string, o *snapshot.Origin) {
	if o.IsZero() || !r.key(key) {
		return
	}
	if r.format == JSON {
		r.buf = append(r.buf, '"')
	}
	r.buf = append(r.buf, o.Namespace...)
	r.buf = append(r.buf, '/')
	r.buf = append(r.buf, o.Name...)
	if r.format == JSON {
		r.buf = append(r.buf, '"')
	}
}

func (r *record) time(key string, t time.Time) {
	if t.IsZero() || !r.key(key) {
		return
	}
	if r.format == JSON {
		r.buf = append(r.buf, '"')
	}
	r.buf = t.UTC().AppendFormat(r.buf, time.RFC3339)
	if r.format == JSON {
		r.buf = append(r.buf, '"')
	}
}

// appendTime appends t in UTC with microseconds. The part down to the second is
// formatted once a second.
func appendTime(b []byte, t time.Time) []byte {
	unix := t.Unix()
	s := lastSecond.Load()
	if s == nil || s.unix != unix {
		s = &second{unix: unix, text: t.UTC().Format("2006-01-02T15:04:05.")}
		lastSecond.Store(s)
	}
	b = append(b, s.text...)
	return append(appendDigits(b, t.Nanosecond()/1e3), 'Z')
}

type second struct {
	unix int64
	text string
}

var lastSecond atomic.Pointer[second]

// appendDigits appends the six digits of us, which is less than a million.
func appendDigits(b []byte, us int) []byte {
	return append(b, byte('0'+us/1e5), byte('0'+us/1e4%10), byte('0'+us/1e3%10),
		byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}

// plain says which octets are written as they are in quotes, bare which ones are
// in text without quotes too.
var plain, bare = func() (plain, bare [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		plain[c] = c != '"' && c != '\\'
		bare[c] = plain[c] && c != ' ' && c != '='
	}
	return plain, bare
}()

// appendValue appends s, cut off at maxValue: quoted for JSON, and for text if it
// holds anything but plain characters. What is not printable (controls, marks
// that turn the direction of text) comes out escaped in either format, so that
// nobody can forge a record or steer a terminal; invalid UTF-8 becomes U+FFFD.
func appendValue[S string | []byte](b []byte, format Format, s S) []byte {
	cut := len(s) > maxValue
	if cut {
		s = s[:maxValue]
	}
	if format == Text && !cut && isBare(s) {
		return append(b, s...)
	}
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			char, n := decodeRune(s[i:])
			if size = n; char != utf8.RuneError && unicode.IsPrint(char) {
				i += size
				continue
			}
			b = append(b, s[start:i]...)
			b = appendEscape(b, char)
		} else {
			b = append(b, s[start:i]...)
			b = appendEscape(b, rune(c))
		}
		i += size
		start = i
	}
	b = append(b, s[start:]...)
	if cut {
		b = append(b, "…"...)
	}
	return append(b, '"')
}

// isBare reports whether s needs no quotes in text.
func isBare[S string | []byte](s S) bool {
	for i := range len(s) {
		if !bare[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// decodeRune decodes the first character; at most four bytes are copied.
func decodeRune[S string | []byte](s S) (rune, int) {
	return utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
}

const hexDigits = "0123456789abcdef"

// appendEscape appends c as JSON (RFC 8259 §7) escapes it.
func appendEscape(b []byte, c rune) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', byte(c))
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	if c > 0xffff {
		high, low := utf16.EncodeRune(c)
		return appendEscape(appendEscape(b, high), low)
	}
	return append(b, '\\', 'u', hexDigits[c>>12&15], hexDigits[c>>8&15], hexDigits[c>>4&15], hexDigits[c&15])
}
