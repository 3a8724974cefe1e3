// The head that an endpoint gets.
//
// The client's fields are copied once, in their order, as views; what the table
// below says is left out or replaced. Then follow the fields that every backend
// gets, as ingress-nginx sends them.

package proxy

import (
	"bytes"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// treatment is what becomes of a request field; zero: it is passed on.
type treatment uint8

const (
	// drop: it belongs to this hop alone (RFC 9110 §7.6.1), or is written anew.
	drop treatment = iota + 1
	// claim: it says on whose behalf somebody speaks, so it is kept only from a
	// trusted peer.
	claim
	// other: a name that is not interned is looked at.
	other
	// expect: kept if it means something.
	expect
	// forwards: reduced by one for the methods that it is about.
	forwards
)

var treatments = [256]treatment{
	message.Other: other,

	message.Connection:         drop,
	message.KeepAlive:          drop,
	message.ProxyConnection:    drop,
	message.ProxyAuthorization: drop,
	message.TE:                 drop,
	message.TransferEncoding:   drop,
	message.ContentLength:      drop,
	message.Upgrade:            drop,
	message.HTTP2Settings:      drop,
	// CGI programs would take it for HTTP_PROXY: https://httpoxy.org.
	message.Proxy: drop,

	message.Expect:      expect,
	message.MaxForwards: forwards,

	message.XRequestID:            drop,
	message.XRealIP:               drop,
	message.XForwardedFor:         drop,
	message.XForwardedHost:        drop,
	message.XForwardedPort:        drop,
	message.XForwardedProto:       drop,
	message.XForwardedScheme:      drop,
	message.XScheme:               drop,
	message.XOriginalForwardedFor: drop,
	message.XOriginalHost:         drop,

	message.Forwarded:          claim,
	message.XForwardedPrefix:   claim,
	message.XForwardedServer:   claim,
	message.XOriginalMethod:    claim,
	message.XOriginalURI:       claim,
	message.XOriginalURL:       claim,
	message.SSLClientCert:      claim,
	message.SSLClientVerify:    claim,
	message.SSLClientSubjectDN: claim,
	message.SSLClientIssuerDN:  claim,

	message.XForwardedClientCert: claim,
}

// upstreamRequest makes the head for this attempt, from the client's: every
// attempt starts from the same.
func (x *Exchange) upstreamRequest() *outcome.Error {
	req := &x.req
	req.Reset()
	req.Version = message.HTTP11
	req.Method = x.in.Method
	req.Authority = x.in.Authority
	req.Length = x.in.Length
	req.Expect = x.in.Expect
	x.head = x.head[:0]
	x.target(req)
	x.copyFields(req)
	x.addFields(req)
	for _, phase := range x.plan.upstreamRequest {
		if err := phase(x, req); err != nil {
			return err
		}
	}
	return nil
}

// target sets the target that was matched: the normalised path, and the query as
// the client wrote it.
func (x *Exchange) target(req *message.Request) {
	in := x.in
	req.Path, req.Query, req.HasQuery = x.path, in.Query, in.HasQuery
	if x.asterisk {
		req.Target, req.Path = in.Target, in.Path
		return
	}
	if bytes.Equal(x.path, in.Path) {
		req.Target = in.Target
		return
	}
	n := len(x.head)
	x.head = append(x.head, x.path...)
	if in.HasQuery {
		x.head = append(x.head, '?')
		x.head = append(x.head, in.Query...)
	}
	req.Target = x.head[n:len(x.head):len(x.head)]
}

func (x *Exchange) copyFields(req *message.Request) {
	in := &x.in.Fields
	listed := connectionOptions(in)
	x.out.FieldsDropped = 0 // or a retry would count them again
	for i := range in.Len() {
		f := in.At(i)
		switch treatments[f.ID] {
		case drop:
			continue
		case claim:
			if !x.trusted {
				continue
			}
		case other:
			if bytes.IndexByte(f.Name, '_') >= 0 {
				// CGI and its heirs read "X_Real_IP" and "X-Real-IP" as one name,
				// so that a client could speak past the fields replaced here.
				x.out.FieldsDropped++
				continue
			}
			if !x.trusted && claims(f.Name) {
				continue
			}
		case expect:
			if !x.in.Expect {
				continue
			}
		case forwards:
			if x.in.Method == "OPTIONS" {
				x.decrement(req, f)
				continue
			}
		}
		if listed && x.isOption(f) {
			continue
		}
		req.Fields.Append(f.ID, f.Name, f.Value)
	}
}

// decrement appends f with its number reduced by one. Zero was answered before,
// unless it stands in a further line.
func (x *Exchange) decrement(req *message.Request, f *message.Field) {
	n, ok := maxForwards(f.Value)
	if !ok || n == 0 {
		req.Fields.Append(f.ID, f.Name, f.Value)
		return
	}
	at := len(x.head)
	x.head = appendPort(x.head, n-1)
	req.Fields.Append(f.ID, f.Name, x.view(at))
}

// connectionOptions reports whether a Connection field names anything beyond the
// connection's own persistence.
func connectionOptions(fields *message.Fields) bool {
	for i := range fields.Len() {
		f := fields.At(i)
		if f.ID != message.Connection {
			continue
		}
		for option, rest := message.NextElement(f.Value); option != nil; option, rest = message.NextElement(rest) {
			switch {
			case message.EqualFold(option, "close"),
				message.EqualFold(option, "keep-alive"),
				message.EqualFold(option, "upgrade"):
			default:
				return true
			}
		}
	}
	return false
}

// isOption reports whether a Connection field of the request names f, and may.
func (x *Exchange) isOption(f *message.Field) bool {
	return message.MayNameInConnection(f.ID) && isOption(&x.in.Fields, f.Name)
}

func isOption(fields *message.Fields, name []byte) bool {
	for i := range fields.Len() {
		f := fields.At(i)
		if f.ID != message.Connection {
			continue
		}
		for option, rest := message.NextElement(f.Value); option != nil; option, rest = message.NextElement(rest) {
			if len(option) == len(name) && bytes.EqualFold(option, name) {
				return true
			}
		}
	}
	return false
}

// claims reports whether a name that is not interned belongs to a family that
// says on whose behalf somebody speaks.
func claims(name []byte) bool {
	switch name[0] | 0x20 {
	case 'x':
		return hasPrefixFold(name, "x-forwarded-") || hasPrefixFold(name, "x-original-")
	case 's':
		return hasPrefixFold(name, "ssl-client-")
	}
	return false
}

func hasPrefixFold(name []byte, prefix string) bool {
	return len(name) >= len(prefix) && message.EqualFold(name[:len(prefix)], prefix)
}

// addFields adds what every backend gets.
func (x *Exchange) addFields(req *message.Request) {
	f := &req.Fields
	if !f.Has(message.Host) {
		f.Append(message.Host, message.Host.Bytes(), x.in.Authority)
	}
	if len(x.upgrade()) > 0 {
		f.Append(message.Connection, message.Connection.Bytes(), upgradeOption)
		f.Append(message.Upgrade, message.Upgrade.Bytes(), x.in.Upgrade)
	} else if takesTrailers(&x.in.Fields) {
		// RFC 9110 §10.1.4: "A sender of TE MUST also send a "TE" connection option".
		f.Append(message.Connection, message.Connection.Bytes(), message.TE.Bytes())
		f.Append(message.TE, message.TE.Bytes(), trailersCoding)
	}
	f.Append(message.XRequestID, message.XRequestID.Bytes(), x.id)
	x.addForwarded(f)
}

var (
	upgradeOption  = []byte("Upgrade")
	trailersCoding = []byte("trailers")
)

// takesTrailers reports whether a TE field says that trailers are welcome.
func takesTrailers(fields *message.Fields) bool {
	for i := range fields.Len() {
		f := fields.At(i)
		if f.ID != message.TE {
			continue
		}
		for coding, rest := message.NextElement(f.Value); coding != nil; coding, rest = message.NextElement(rest) {
			if message.EqualFold(coding, "trailers") {
				return true
			}
		}
	}
	return false
}

// upgrade returns the protocol that the backend is asked to change to; empty if
// it is not asked. An upgrade that is not passed on is an ordinary request: RFC
// 9110 §7.8, "A server MAY ignore a received Upgrade header field".
func (x *Exchange) upgrade() []byte {
	protocol := x.in.Upgrade
	switch {
	case len(protocol) == 0, x.in.Length != 0:
		return nil
	case hasPrefixFold(protocol, "h2"), hasPrefixFold(protocol, "http"):
		// A tunnel of HTTP would carry requests that nobody matches to a route.
		return nil
	}
	return protocol
}

// view returns what was appended to x.head from at.
func (x *Exchange) view(at int) []byte { return x.head[at:len(x.head):len(x.head)] }
