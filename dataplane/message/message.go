// Package message holds the heads and bodies of HTTP messages, apart from any
// version of the protocol and without any I/O.
//
// A head is an ordered list of fields over the buffer it was parsed from: case
// and order are kept, look-ups ignore case, and the names that a proxy acts on
// are interned as an [ID] so that finding them is a comparison of bytes, not of
// strings. A body is pulled in chunks. Both are views: they are valid until the
// exchange ends (heads) or the next call (chunks), and the engine reuses them.
//
// Nothing here is safe for use by several goroutines at once.
package message

// Version is an HTTP version: major<<8 | minor.
type Version uint16

// The versions that Cardea speaks.
const (
	HTTP10 Version = 1 << 8
	HTTP11 Version = 1<<8 | 1
	HTTP2  Version = 2 << 8
)

// String returns "HTTP/1.1" and the like.
func (v Version) String() string {
	switch v {
	case HTTP10:
		return "HTTP/1.0"
	case HTTP11:
		return "HTTP/1.1"
	case HTTP2:
		return "HTTP/2.0"
	}
	return ""
}

// A Request is the head of a request.
type Request struct {
	Version Version
	// Method is interned for the methods of RFC 9110.
	Method string
	// Target is the request target in origin form or "*", as received; for a
	// target in absolute form, the path and query of it.
	Target []byte
	// Path and Query are the parts of Target before and after the first '?', as
	// received. HasQuery tells an empty query from none.
	Path, Query []byte
	HasQuery    bool
	// Authority is the validated host[:port] of the Host field, or of a target in
	// absolute form (then both agree). Empty only in HTTP/1.0.
	Authority []byte
	// Fields of the head. Host is among them, but for HTTP/1.0 without one.
	Fields Fields
	// Length of the body as declared: 0 none, -1 unknown (chunked).
	Length int64
	// Upgrade is the protocol that a valid upgrade request names ("websocket");
	// empty otherwise.
	Upgrade []byte
	// Expect says that the client waits for 100 (Continue).
	Expect bool
}

// Reset empties r and keeps its memory.
func (r *Request) Reset() {
	f := r.Fields
	f.Reset()
	*r = Request{Fields: f}
}

// A Response is the head of a response.
type Response struct {
	Version Version
	Status  int
	// Reason phrase as received; empty means the standard one.
	Reason []byte
	Fields Fields
	// Length of the body: 0 none, -1 unknown (chunked, or until the connection
	// closes). For an answer to HEAD and for 304 it is the length that a GET
	// would have had, -1 if not told; no body follows.
	Length int64
}

// Reset empties r and keeps its memory.
func (r *Response) Reset() {
	f := r.Fields
	f.Reset()
	*r = Response{Fields: f}
}

// A Body is pulled in chunks by one goroutine.
type Body interface {
	// Next waits for the next chunk and returns it; it is valid until the next
	// call. After the last chunk it returns io.EOF, never together with bytes.
	// Any other error means that the body is incomplete.
	Next() ([]byte, error)
	// Ready reports whether Next would return at once, without waiting for the
	// network.
	Ready() bool
	// Trailers returns the trailer section once Next has returned io.EOF; nil if
	// there was none.
	Trailers() *Fields
	// Interrupt makes a Next that waits, and every later one, return an error.
	// It may be called from any goroutine.
	Interrupt()
}

// NoBody is the body of a message without one.
var NoBody Body = noBody{}
