package http2

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A requestHead makes a request out of the fields of a header block. What is
// wrong is kept and told at the end: the block must be decoded to its end for the
// sake of those that follow.
type requestHead struct {
	x   *Exchange
	req *message.Request

	// The pseudo-header fields, nil if they did not come.
	method, scheme, path, authority, protocol []byte
	// text holds what is not in the fields.
	text []byte
	// regular says that an ordinary field came.
	regular bool

	hosts, lengths, expects int
	host, length, expect    []byte
	// cookie is the index of the Cookie line; crumbs counts what was joined in it.
	cookie, crumbs int
	cookies        []byte

	// malformed is what RFC 9113 §8.1.1 calls so; refusal is another reason not to
	// serve the request.
	malformed string
	refusal   *outcome.Error
	// last is the method of the request before: most often it is the same.
	last string
}

func (h *requestHead) reset(x *Exchange) {
	*h = requestHead{
		x: x, req: &x.req, text: h.text[:0], cookies: h.cookies[:0],
		last: x.req.Method,
	}
	x.req.Reset()
	x.req.Version = message.HTTP2
}

func refuseAs(reason outcome.Reason, detail string) *outcome.Error {
	return &outcome.Error{Side: outcome.Downstream, Reason: reason, Detail: detail}
}

func (h *requestHead) bad(detail string) {
	if h.malformed == "" {
		h.malformed = detail
	}
}

func (h *requestHead) refuse(reason outcome.Reason, detail string) {
	if h.refusal == nil {
		h.refusal = refuseAs(reason, detail)
	}
}

// keep copies s to memory that stays valid.
func (h *requestHead) keep(s string) []byte {
	n := len(h.text)
	h.text = append(h.text, s...)
	return h.text[n:len(h.text):len(h.text)]
}

// tooLarge implements fieldSink.
func (h *requestHead) tooLarge() {
	h.refuse(outcome.HeadTooLarge, "the request head is too large")
}

// field implements fieldSink.
func (h *requestHead) field(name, value string) {
	if name != "" && name[0] == ':' {
		h.pseudo(name, value)
		return
	}
	h.begun()
	l, problem := appendField(&h.req.Fields, name, value)
	if problem != "" {
		h.bad(problem)
		return
	}
	switch l.ID {
	case message.Connection, message.KeepAlive, message.ProxyConnection, message.TransferEncoding,
		message.Upgrade, message.HTTP2Settings:
		// "An endpoint MUST NOT generate an HTTP/2 message containing
		// connection-specific header fields" (RFC 9113 §8.2.2).
		h.bad("connection-specific field")
	case message.TE:
		if string(l.Value) != "trailers" {
			h.bad("TE other than trailers")
		}
	case message.Host:
		h.hostField(l)
	case message.ContentLength:
		h.lengths++
		h.length = l.Value
	case message.Expect:
		h.expects++
		h.expect = l.Value
	case message.Cookie:
		h.crumb(l)
	case message.Other:
		if string(l.Name) == "priority" {
			h.x.urgency = urgency(l.Value)
		}
	case message.Trailer:
		if problem := message.AnnouncedTrailers(l.Value); problem != "" {
			h.refuse(outcome.BadRequest, problem)
		}
	}
}

// defaultUrgency is that of a request which says nothing (RFC 9218 §4.1).
const defaultUrgency = 3

// urgency returns the urgency in a Priority field, a dictionary of RFC 8941. What
// cannot be read is ignored (RFC 9218 §4).
func urgency(list []byte) uint8 {
	for e, rest := message.NextElement(list); e != nil; e, rest = message.NextElement(rest) {
		if len(e) == 3 && e[0] == 'u' && e[1] == '=' && '0' <= e[2] && e[2] <= '7' {
			return e[2] - '0'
		}
	}
	return defaultUrgency
}

// appendField appends a field that came, if it may.
func appendField(f *message.Fields, name, value string) (l *message.Field, problem string) {
	for i := range len(name) {
		if c := name[i]; !message.TokenByte(c) || 'A' <= c && c <= 'Z' {
			return nil, "field name with a character that is not allowed"
		}
	}
	if name == "" {
		return nil, "field without a name"
	}
	if id := lookup(name); id != message.Other {
		f.Add(id, value)
	} else {
		f.AddName(name, value)
	}
	l = f.At(f.Len() - 1)
	if !message.ValidValue(l.Value) {
		return nil, "field value with a character that is not allowed"
	}
	return l, ""
}

// lookup is message.Lookup of a string.
func lookup(name string) message.ID {
	var b [32]byte
	if len(name) > len(b) {
		return message.Other
	}
	return message.Lookup(b[:copy(b[:], name)])
}

// pseudo takes a pseudo-header field (RFC 9113 §8.3).
func (h *requestHead) pseudo(name, value string) {
	var to *[]byte
	switch name {
	case ":method":
		to = &h.method
	case ":scheme":
		to = &h.scheme
	case ":path":
		to = &h.path
	case ":authority":
		to = &h.authority
	case ":protocol":
		to = &h.protocol
	}
	switch {
	case to == nil:
		h.bad("unknown pseudo-header field")
	case h.regular:
		h.bad("pseudo-header field after another field")
	case *to != nil:
		h.bad("pseudo-header field that comes twice")
	default:
		*to = h.keep(value)
	}
}

// begun is called when the pseudo-header fields are over. It makes Host of
// :authority, so that the fields are those of HTTP/1.1.
func (h *requestHead) begun() {
	if h.regular {
		return
	}
	h.regular = true
	if h.authority != nil {
		h.req.Fields.Append(message.Host, message.Host.Bytes(), h.authority)
	}
}

// hostField takes a Host field. RFC 9113 §8.3.1: "A server SHOULD treat a request
// as malformed if it contains a Host header field that identifies an entity that
// differs from the entity in the ":authority" pseudo-header field."
func (h *requestHead) hostField(l *message.Field) {
	h.hosts++
	h.host = l.Value
	switch {
	case h.hosts > 1:
		h.bad("more than one Host")
	case h.authority != nil && !bytes.EqualFold(h.host, h.authority):
		h.bad("Host that differs from :authority")
	case h.authority != nil:
		// It stands there already.
		f := &h.req.Fields
		f.Truncate(f.Len() - 1)
	}
}

// crumb joins the Cookie lines. RFC 9113 §8.2.3: "these MUST be concatenated into
// a single octet string using the two-octet delimiter of 0x3b, 0x20 (the ASCII
// string "; ") before being passed into a non-HTTP/2 context".
func (h *requestHead) crumb(l *message.Field) {
	f := &h.req.Fields
	if h.crumbs++; h.crumbs == 1 {
		h.cookie = f.Len() - 1
		return
	}
	first := f.At(h.cookie)
	if h.crumbs == 2 {
		h.cookies = append(h.cookies[:0], first.Value...)
	}
	h.cookies = append(h.cookies, "; "...)
	h.cookies = append(h.cookies, l.Value...)
	first.Value = h.cookies
	f.Truncate(f.Len() - 1)
}

// end implements fieldSink: it draws the conclusions and has the request served.
func (h *requestHead) end(endStream bool) *connError {
	h.begun()
	if !endStream && contentless(h.method) && h.x.conn.takeEmptyEnd(h.x.id) {
		endStream = true
	}
	h.req.Length = -1
	if endStream {
		h.req.Length = 0
	}
	h.conclude(endStream)
	return h.x.begun(endStream)
}

// contentless reports whether a request with that method has no content as a rule:
// RFC 9110 §9.3 calls it one without generally defined semantics. How a POST ends means
// something to gRPC, whose servers wait for DATA with END_STREAM however empty.
func contentless(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "DELETE", "OPTIONS":
		return true
	}
	return false
}

func (h *requestHead) conclude(endStream bool) {
	r := h.req
	r.Method = message.InternMethod(h.method, h.last)
	if h.refusal != nil && h.refusal.Reason == outcome.HeadTooLarge || h.malformed != "" {
		return
	}
	h.framing(endStream)
	switch {
	case !message.IsToken(h.method):
		h.bad("no valid :method")
	case h.protocol != nil && r.Method != "CONNECT":
		h.bad(":protocol without CONNECT")
	case r.Method == "CONNECT" && h.protocol == nil:
		h.connect()
	case h.scheme == nil:
		h.bad("no :scheme")
	case len(h.path) == 0:
		h.bad("no :path")
	default:
		h.target()
		h.upgrade()
	}
	if r.Method == "TRACE" && r.Length != 0 {
		h.refuse(outcome.BadRequest, "TRACE with a body") // RFC 9110 §9.3.8
	}
}

// framing compares what the head and the frame say of the body (RFC 9113 §8.1.1).
func (h *requestHead) framing(endStream bool) {
	if h.lengths > 0 {
		n, ok := message.ParseLength(h.length)
		switch {
		case h.lengths > 1 || !ok:
			h.bad("Content-Length that is not one number, once")
		case endStream && n != 0:
			h.bad("Content-Length without a body")
		default:
			h.req.Length = n
		}
	}
	if h.expects > 0 {
		if h.expects > 1 || !message.EqualFold(h.expect, "100-continue") {
			h.refuse(outcome.ExpectationFail, "the only expectation served is 100-continue")
			return
		}
		h.req.Expect = !endStream
	}
}

// connect deals with CONNECT, which is not served (RFC 9113 §8.5).
func (h *requestHead) connect() {
	if h.scheme != nil || h.path != nil || h.authority == nil {
		h.bad("CONNECT with :scheme or :path, or without :authority")
		return
	}
	h.refuse(outcome.MethodRefused, "CONNECT is not served")
}

// target checks what the request is for by the rules of HTTP/1.1.
func (h *requestHead) target() {
	r := h.req
	if !message.EqualFold(h.scheme, "http") && !message.EqualFold(h.scheme, "https") {
		h.refuse(outcome.BadRequest, "scheme other than http and https")
		return
	}
	for _, c := range h.path {
		if !message.TargetByte(c) {
			h.refuse(outcome.BadRequest, "invalid character in the request target")
			return
		}
	}
	if h.authority == nil {
		h.authority = h.host
	}
	if h.authority == nil {
		h.refuse(outcome.BadRequest, "neither :authority nor Host")
		return
	}
	if !message.ValidAuthority(h.authority) {
		h.refuse(outcome.BadRequest, "authority that is not a host name or address with an optional port")
		return
	}
	r.Authority = h.authority
	if problem := r.SetTarget(h.path); problem != "" {
		h.refuse(outcome.BadRequest, problem)
	}
}

// upgrade makes extended CONNECT (RFC 8441) what it is in HTTP/1.1: a request to
// upgrade.
func (h *requestHead) upgrade() {
	if h.protocol == nil {
		return
	}
	r := h.req
	if !message.EqualFold(h.protocol, "websocket") {
		h.refuse(outcome.MethodRefused, "the only protocol served by CONNECT is websocket")
		if h.refusal.Reason == outcome.MethodRefused {
			h.refusal.Status = 501 // RFC 9220 §3
		}
		return
	}
	if r.Length > 0 {
		h.bad("CONNECT with Content-Length")
		return
	}
	r.Method, r.Length = "GET", 0
	r.Upgrade = h.protocol
	// RFC 8441 §5: "Implementations using this extended CONNECT to bootstrap
	// WebSocket do not do the processing of the Sec-WebSocket-Key and
	// Sec-WebSocket-Accept header fields." HTTP/1.1 does.
	var key [16]byte
	_, _ = rand.Read(key[:]) // it never fails
	h.x.key = base64.StdEncoding.EncodeToString(key[:])
	r.Fields.AddName("Sec-WebSocket-Key", h.x.key)
}

// A trailerSink takes a trailer section.
type trailerSink struct {
	s       *stream
	problem string
}

// field implements fieldSink.
func (t *trailerSink) field(name, value string) {
	if t.problem != "" {
		return
	}
	if name != "" && name[0] == ':' {
		// "Pseudo-header fields MUST NOT appear in a trailer section" (RFC 9113 §8.1).
		t.problem = "pseudo-header field in a trailer section"
		return
	}
	_, t.problem = appendField(&t.s.in.trailers, name, value)
}

// tooLarge implements fieldSink.
func (t *trailerSink) tooLarge() { t.problem = "trailer section too large" }

// end implements fieldSink.
func (t *trailerSink) end(bool) *connError {
	s := t.s
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err != nil || s.finished {
		return nil
	}
	if t.problem == "" && !s.in.end() {
		t.problem = "body shorter than its Content-Length"
	}
	if t.problem != "" {
		return c.streamError(s.id, codeProtocol, t.problem)
	}
	s.endReceived()
	return nil
}
