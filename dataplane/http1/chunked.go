package http1

import (
	"bytes"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

const (
	// maxChunkLine is the longest line of size and extensions.
	maxChunkLine = 1 << 10
	// maxExtensions is how many bytes of extensions a body may carry in all:
	// RFC 9112 §7.1.1 asks for a limit.
	maxExtensions = 16 << 10
	// maxTrailers is the largest trailer section.
	maxTrailers = 16 << 10
)

// What the decoder expects next.
type chunkState uint8

const (
	chunkSize    chunkState = iota // a line of size and extensions
	chunkData                      // remain bytes
	chunkEnd                       // the CR LF behind them
	chunkTrailer                   // a trailer line, or the empty one at the end
)

// chunks is the state of decoding a chunked body (RFC 9112 §7.1).
type chunks struct {
	state chunkState
	// scan is how much of the unread bytes holds no line feed.
	scan      int
	maxFields int
	// extensions and trailerBytes count what the limits are about.
	extensions, trailerBytes int
	trailers                 message.Fields
}

func (c *chunks) reset(maxFields int) {
	c.trailers.Reset()
	*c = chunks{maxFields: maxFields, trailers: c.trailers}
}

func (b *body) nextOfChunks() ([]byte, *outcome.Error) {
	for {
		switch b.chunks.state {
		case chunkSize:
			line, err := b.line(maxChunkLine)
			if err != nil {
				return nil, err
			}
			if err := b.chunkLine(line); err != nil {
				return nil, err
			}
		case chunkData:
			if b.rd.buffered() == 0 {
				// The end of the chunk and the next one are likely to come too.
				if err := b.fill(-1); err != nil {
					return nil, b.failed(err)
				}
			}
			p := b.take()
			if b.remain == 0 {
				b.chunks.state = chunkEnd
			}
			return p, nil
		case chunkEnd:
			for b.rd.buffered() < 2 {
				if b.rd.buffered() == 1 && b.rd.unread()[0] != '\r' {
					break
				}
				if err := b.fill(-1); err != nil {
					return nil, b.failed(err)
				}
			}
			if p := b.rd.unread(); p[0] != '\r' || p[1] != '\n' {
				return nil, b.malformed("chunk that does not end in CR LF")
			}
			b.rd.r += 2
			b.chunks.state = chunkSize
		case chunkTrailer:
			line, err := b.line(maxTrailers)
			if err != nil {
				return nil, err
			}
			if len(line) == 0 {
				return nil, nil
			}
			if err := b.trailer(line); err != nil {
				return nil, err
			}
		}
	}
}

// line takes the next line, without its CR LF, of at most max bytes.
func (b *body) line(max int) ([]byte, *outcome.Error) {
	for {
		p := b.rd.unread()
		if i := bytes.IndexByte(p[b.chunks.scan:], '\n'); i >= 0 {
			i += b.chunks.scan
			b.chunks.scan = 0
			if i == 0 || p[i-1] != '\r' {
				return nil, b.malformed("line of a chunked body that does not end in CR LF")
			}
			if i > max {
				return nil, b.malformed("line of a chunked body that is too long")
			}
			b.rd.r += i + 1
			if bytes.IndexByte(p[:i-1], '\r') >= 0 {
				return nil, b.malformed("bare CR in a line of a chunked body")
			}
			return p[:i-1], nil
		}
		if i := bytes.IndexByte(p, '\r'); i >= 0 && i < len(p)-1 {
			return nil, b.malformed("bare CR in a line of a chunked body")
		}
		if b.chunks.scan = len(p); len(p) > max {
			return nil, b.malformed("line of a chunked body that is too long")
		}
		if err := b.fill(-1); err != nil {
			return nil, b.failed(err)
		}
	}
}

// chunkLine begins the chunk of which line gives the size.
func (b *body) chunkLine(line []byte) *outcome.Error {
	size, digits, ok := parseChunkSize(line)
	if !ok {
		return b.malformed("invalid chunk size")
	}
	if b.chunks.extensions += len(line) - digits; b.chunks.extensions > maxExtensions {
		return b.malformed("too many chunk extensions")
	}
	if !validExtensions(line[digits:]) {
		return b.malformed("invalid chunk extension")
	}
	if size == 0 {
		b.chunks.state = chunkTrailer
		return nil
	}
	if b.limit > 0 && size > b.limit-b.count {
		return b.tooLarge()
	}
	b.remain, b.chunks.state = size, chunkData
	return nil
}

// parseChunkSize parses the digits that a chunk line starts with: at most 16 of
// them and not above the largest int64. "Recipients MUST anticipate potentially
// large hexadecimal numerals and prevent parsing errors due to integer conversion
// overflows" (RFC 9112 §7.1).
func parseChunkSize(line []byte) (size int64, digits int, ok bool) {
	for digits < len(line) && unhex(line[digits]) < 16 {
		if digits == 16 || size >= 1<<59 {
			return 0, 0, false
		}
		size = size<<4 | int64(unhex(line[digits]))
		digits++
	}
	return size, digits, digits > 0
}

// validExtensions reports whether p is
//
//	*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
//
// (RFC 9112 §7.1.1). Extensions are dropped: "A recipient MUST ignore
// unrecognized chunk extensions", and none is recognized.
func validExtensions(p []byte) bool {
	for len(p) > 0 {
		if p = skipBlank(p); len(p) == 0 || p[0] != ';' {
			return false
		}
		name := tokenLen(skipBlank(p[1:]))
		if name == 0 {
			return false
		}
		p = skipBlank(p[1:])[name:]
		value := skipBlank(p)
		if len(value) == 0 || value[0] != '=' {
			continue
		}
		value = skipBlank(value[1:])
		n := tokenLen(value)
		if n == 0 {
			n = quotedLen(value)
		}
		if n == 0 {
			return false
		}
		p = value[n:]
	}
	return true
}

func skipBlank(p []byte) []byte {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
		p = p[1:]
	}
	return p
}

// tokenLen returns the length of the token that p starts with.
func tokenLen(p []byte) int {
	n := 0
	for n < len(p) && message.TokenByte(p[n]) {
		n++
	}
	return n
}

// quotedLen returns the length of the quoted string that p starts with, 0 if it
// does not (RFC 9110 §5.6.4).
func quotedLen(p []byte) int {
	if len(p) == 0 || p[0] != '"' {
		return 0
	}
	for i := 1; i < len(p); i++ {
		switch c := p[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i++; i == len(p) {
				return 0
			}
			if c = p[i]; c < ' ' && c != '\t' || c == 0x7f {
				return 0
			}
		case c < ' ' && c != '\t' || c == 0x7f:
			return 0
		}
	}
	return 0
}

// trailer adds a line of the trailer section. It is copied: the lines may have
// come in different reads.
func (b *body) trailer(line []byte) *outcome.Error {
	c := &b.chunks
	if c.trailerBytes += len(line) + 2; c.trailerBytes > maxTrailers {
		return b.malformed("trailer section that is too large")
	}
	name, value, problem := cutField(line)
	if problem != "" {
		return b.malformed("trailer section: " + problem)
	}
	id := message.Lookup(name)
	switch id {
	case message.ContentLength, message.TransferEncoding, message.Host, message.Connection, message.Trailer:
		return b.malformed("framing or routing field in the trailer section")
	}
	if c.trailers.Len() == c.maxFields {
		return b.malformed("too many trailer fields")
	}
	if message.MayTrail(id, name) {
		c.trailers.AddCopy(id, name, value)
	}
	return nil
}

// chunkReady reports whether the next chunk, or the end, can be had from what is
// buffered. It may say no when it is not sure.
func (b *body) chunkReady() bool {
	p := b.rd.unread()
	state := b.chunks.state
	if state == chunkEnd {
		if len(p) < 2 {
			return false
		}
		p, state = p[2:], chunkSize
	}
	if state == chunkSize {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return false
		}
		size, _, ok := parseChunkSize(p[:i])
		if !ok {
			return true
		}
		p, state = p[i+1:], chunkData
		if size == 0 {
			state = chunkTrailer
		}
	}
	if state == chunkTrailer {
		return len(p) >= 2 && p[0] == '\r' || bytes.Contains(p, []byte("\r\n\r\n"))
	}
	return len(p) > 0
}
