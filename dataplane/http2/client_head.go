package http2

import (
	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// checkRequest guards against a head that another hop could read differently.
func checkRequest(req *message.Request) error {
	if err := checkFields(&req.Fields); err != nil {
		return err
	}
	valid := len(req.Target) > 0 && len(req.Method) > 0 && message.ValidValue(req.Authority)
	for i := range len(req.Method) {
		valid = valid && message.TokenByte(req.Method[i])
	}
	for _, b := range req.Target {
		valid = valid && b > ' ' && b != 0x7f
	}
	if !valid {
		return &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: errInvalidField}
	}
	return nil
}

// requestSkips are the fields that putHead leaves out or writes itself. Host is
// :authority: "Clients that generate HTTP/2 requests directly MUST use the
// ":authority" pseudo-header field" (RFC 9113 §8.3.1).
var requestSkips = func() *[256]bool {
	t := *connectionFields
	t[message.Host], t[message.TE] = true, true
	return &t
}()

// putHead makes the header block of req.
func (s *ClientStream) putHead(e *encoder, req *message.Request) {
	connect := s.tunnelled.asked()
	switch {
	case connect:
		e.literal(staticMethodGet, []byte("CONNECT"))
		e.named(":protocol", s.tunnelled.protocol)
	case req.Method == "GET":
		e.indexed(staticMethodGet)
	case req.Method == "POST":
		e.indexed(staticMethodPost)
	default:
		e.literal(staticMethodGet, []byte(req.Method))
	}
	if s.cc.cfg.Secure {
		e.indexed(staticScheme)
	} else {
		e.indexed(staticSchemeHTTP)
	}
	authority := req.Fields.Get(message.Host)
	if authority == nil {
		authority = req.Authority
	}
	if len(authority) > 0 {
		e.literal(staticAuthority, authority)
	}
	if len(req.Target) == 1 && req.Target[0] == '/' {
		e.indexed(staticPath)
	} else {
		e.literal(staticPath, req.Target)
	}
	for i := range req.Fields.Len() {
		f := req.Fields.At(i)
		switch {
		case requestSkips[f.ID]:
			// RFC 9113 §8.2.2: TE "MUST NOT contain any value other than
			// "trailers"".
			if f.ID == message.TE && message.EqualFold(f.Value, "trailers") {
				e.field(f.ID, f.Name, f.Value)
			}
		case connect && f.ID == message.Other && message.EqualFold(f.Name, websocketKey):
		default:
			e.field(f.ID, f.Name, f.Value)
		}
	}
	if req.Length > 0 || req.Length == 0 && !connect && anticipatesBody(req.Method) {
		e.number(message.ContentLength, req.Length)
	}
}

// named appends a field by its name, which is in lower case.
func (e *encoder) named(name string, value []byte) {
	e.block = append(e.block, 0)
	e.integer(0, 7, uint64(len(name)))
	e.block = append(e.block, name...)
	e.bytes(value)
}

// anticipatesBody: "A user agent SHOULD send Content-Length in a request when the
// method defines a meaning for enclosed content" (RFC 9110 §8.6).
func anticipatesBody(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

// A responseSink takes the header blocks of a connection, one after the other: the
// heads of responses, interim and final, and trailer sections. What the peer must
// not send makes the response malformed (RFC 9113 §8.1.1), and its stream ends.
type responseSink struct {
	c *ClientConn
	s *ClientStream
	// trailer says that it is a trailer section.
	trailer bool
	res     message.Response
	regular bool
	lengths int
	large   bool
	problem string
}

// begin makes it ready for a block of s; mu of the connection is held.
func (k *responseSink) begin(s *ClientStream) {
	k.s, k.trailer = s, s.final
	k.res.Reset()
	k.res.Version, k.res.Length = message.HTTP2, -1
	k.regular, k.lengths, k.large, k.problem = false, 0, false, ""
}

// tooLarge implements fieldSink.
func (k *responseSink) tooLarge() { k.large = true }

// field implements fieldSink.
func (k *responseSink) field(name, value string) {
	if k.problem != "" {
		return
	}
	if name != "" && name[0] == ':' {
		k.problem = k.pseudo(name, value)
		return
	}
	k.regular = true
	k.problem = k.ordinary(name, value)
}

// pseudo takes a pseudo-header field. ":status" is the only one of a response, and
// all of them come "before all regular field lines" (RFC 9113 §8.3).
func (k *responseSink) pseudo(name, value string) (problem string) {
	switch {
	case k.trailer:
		return "pseudo-header field in a trailer section"
	case name != ":status" || k.regular || k.res.Status != 0:
		return "pseudo-header field that does not belong there"
	case len(value) != 3 || value[0] < '1' || value[0] > '5' || !digit(value[1]) || !digit(value[2]):
		return "status that is not a number from 100 to 599"
	}
	k.res.Status = int(value[0]-'0')*100 + int(value[1]-'0')*10 + int(value[2]-'0')
	return ""
}

func digit(b byte) bool { return '0' <= b && b <= '9' }

// ordinary takes another field (RFC 9113 §8.2).
func (k *responseSink) ordinary(name, value string) (problem string) {
	for i := range len(name) {
		if b := name[i]; !message.TokenByte(b) || 'A' <= b && b <= 'Z' {
			return "invalid character in a field name"
		}
	}
	if name == "" {
		return "field without a name"
	}
	f := &k.res.Fields
	f.AddName(name, value)
	line := f.At(f.Len() - 1)
	if !message.ValidValue(line.Value) {
		return "invalid character in a field value"
	}
	switch line.ID {
	case message.Connection, message.KeepAlive, message.ProxyConnection, message.TransferEncoding, message.Upgrade:
		return "field of the connection"
	case message.Trailer:
		return message.AnnouncedTrailers(line.Value)
	case message.ContentLength:
		n, ok := message.ParseLength(line.Value)
		if k.lengths++; k.lengths > 1 || !ok {
			return "Content-Length that is not one number, once"
		}
		k.res.Length = n
	}
	return ""
}

// end implements fieldSink.
func (k *responseSink) end(endStream bool) *connError {
	c, s := k.c, k.s
	k.s = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !s.opened || c.live[s.id] != s:
		return nil // given up meanwhile
	case k.large:
		_ = s.giveUp(codeCancel, &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamHeadSize, Detail: "the response head or trailer section is too large"})
		return nil
	case k.problem != "":
		return c.streamError(s.id, codeProtocol, k.problem)
	}
	if k.trailer {
		return k.trailers(s, endStream)
	}
	return k.head(s, endStream)
}

// trailers takes the end of a response that has a trailer section.
func (k *responseSink) trailers(s *ClientStream, endStream bool) *connError {
	if !endStream {
		return k.c.streamError(s.id, codeProtocol, "trailer section without END_STREAM")
	}
	s.in.trailers, k.res.Fields = k.res.Fields, s.in.trailers
	return k.complete(s)
}

// head takes the head of a response.
func (k *responseSink) head(s *ClientStream, endStream bool) *connError {
	status := k.res.Status
	switch {
	case status == 0:
		return k.c.streamError(s.id, codeProtocol, "response without a status")
	case status == 101:
		// RFC 9113 §8.6: "HTTP/2 removes support for the 101 (Switching Protocols)
		// informational status code".
		return k.c.streamError(s.id, codeProtocol, "101 in HTTP/2")
	case status < 200 && endStream:
		return k.c.streamError(s.id, codeProtocol, "interim response with END_STREAM")
	case status < 200 && s.counted == maxInterims:
		return k.c.streamError(s.id, codeProtocol, "too many interim responses")
	case status < 200:
		// A final one is to be had without an allocation; these are rare.
		interim := new(message.Response)
		*interim, k.res = k.res, message.Response{}
		interim.Length = 0
		interim.Fields.Del(message.ContentLength)
		s.counted++
		s.interims = append(s.interims, interim)
		s.in.signal()
		return nil
	}
	s.res, k.res = k.res, s.res
	k.length(s, endStream)
	if endStream && s.in.declared > 0 {
		return k.c.streamError(s.id, codeProtocol, "no body where Content-Length promises one")
	}
	s.final, s.headless = true, false
	if endStream {
		return k.complete(s)
	}
	s.in.signal()
	return nil
}

// length decides how long the body is (RFC 9110 §6.4.1, RFC 9113 §8.1.1).
func (k *responseSink) length(s *ClientStream, endStream bool) {
	res := &s.res
	s.in.declared = res.Length
	switch {
	case s.method == "HEAD" || res.Status == 304:
		s.in.declared = 0
	case res.Status == 204:
		s.in.declared, res.Length = 0, 0
		res.Fields.Del(message.ContentLength)
	case s.tunnelled.asked() && res.Status < 300:
		s.in.declared = -1
	case endStream && res.Length < 0:
		s.in.declared, res.Length = 0, 0
	case !endStream && res.Fields.Has(message.Trailer):
		// HTTP/1.1 has no trailers behind a body of known length.
		res.Length = -1
	}
}

// complete takes END_STREAM.
func (k *responseSink) complete(s *ClientStream) *connError {
	if !s.in.end() {
		return k.c.streamError(s.id, codeProtocol, "body shorter than its Content-Length")
	}
	s.endReceived()
	return nil
}

// accept hands out the final response; mu is held.
func (s *ClientStream) accept() (*message.Response, error) {
	if s.tunnelled.asked() && s.res.Status < 300 {
		s.tunnelled.accepted(&s.res)
	}
	return &s.res, nil
}
