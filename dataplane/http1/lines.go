package http1

import "bytes"

// lines finds the lines of a head in a buffer that fills up, so that every byte
// is looked at once and a bad line is refused before the rest has come.
type lines struct {
	// pos is where the next line starts; up to scan no line feed was found.
	pos, scan int
	// n counts the lines; blank says that an empty one came before the first.
	n     int
	blank bool
}

// What lines.next found.
const (
	lineMore  = iota // the buffer ends before the line does
	lineFound        // a line without its CR LF
	lineBlank        // the empty line that ends the head
	lineBad          // CR and LF that do not stand together at the end of a line
)

// next returns the next line of buf; a bare CR in it is left to those who look at
// every byte. Only CR LF ends a line: "A recipient of such
// a bare CR MUST consider that element to be invalid" (RFC 9112 §2.2), and the
// bare LF that the RFC lets through is where parsers differ.
func (l *lines) next(buf []byte) ([]byte, int) {
	for {
		i := bytes.IndexByte(buf[l.scan:], '\n')
		if i < 0 {
			return nil, l.more(buf)
		}
		end := l.scan + i
		if end == l.pos || buf[end-1] != '\r' {
			return nil, lineBad
		}
		line := buf[l.pos : end-1]
		if len(line) > 0 {
			l.pos, l.scan = end+1, end+1
			l.n++
			return line, lineFound
		}
		l.pos, l.scan = end+1, end+1
		if l.n > 0 {
			return nil, lineBlank
		}
		// "A server that is expecting to receive and parse a request-line SHOULD
		// ignore at least one empty line (CRLF) received prior to the
		// request-line" (RFC 9112 §2.2): one.
		if l.blank {
			return nil, lineBad
		}
		l.blank = true
	}
}

// more notes that buf holds no whole line, unless it holds one that can no longer
// become good.
func (l *lines) more(buf []byte) int {
	if rest := buf[l.scan:]; len(rest) > 0 {
		if i := bytes.IndexByte(rest, '\r'); i >= 0 && i < len(rest)-1 {
			return lineBad
		}
		// The last byte is looked at again: it may be the CR of a bare one.
		l.scan = len(buf)
		if rest[len(rest)-1] == '\r' {
			l.scan--
		}
	}
	return lineMore
}
