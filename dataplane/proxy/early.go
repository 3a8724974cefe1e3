package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// maxID bounds the request ID that a client may choose.
const maxID = 128

// allowed are the methods that are served, for the Allow field of a 405 and of an
// OPTIONS request that goes no further. Others that are not refused are served
// too: a proxy does not know what its backends understand.
const allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

var (
	errNotReady    = &outcome.Error{Side: outcome.Internal, Reason: outcome.NotReady, Status: 503}
	errNoRoute     = &outcome.Error{Side: outcome.Downstream, Reason: outcome.NoRoute}
	errMethod      = &outcome.Error{Side: outcome.Downstream, Reason: outcome.MethodRefused}
	errTarget      = &outcome.Error{Side: outcome.Downstream, Reason: outcome.BadRequest, Detail: "the target * is for OPTIONS alone"}
	errMisdirected = &outcome.Error{Side: outcome.Downstream, Reason: outcome.Misdirected}
	errTooLarge    = &outcome.Error{Side: outcome.Downstream, Reason: outcome.BodyTooLarge}
)

// early establishes what holds for every exchange, whatever its route: an ID, who
// speaks, and one form of host and path for matching and forwarding.
func (x *Exchange) early() *outcome.Error {
	x.identify()
	peer := x.conn.Remote.Addr().Unmap().WithZone("")
	x.out.Client = peer
	if refusal := x.d.Refusal(); refusal != nil {
		return refusal
	}
	switch x.in.Method {
	case "CONNECT", "TRACE":
		// Neither is proxied: CONNECT would open a way to anywhere, TRACE shows
		// scripts the credentials that were sent along (RFC 9110 §9.3.8).
		return errMethod
	}

	x.host = snapshot.NormalizeHost(x.hostMemory[:0], x.in.Authority)
	if err := x.normalizePath(); err != nil {
		return err
	}

	if x.snap == nil {
		return errNotReady
	}
	x.secure = x.conn.TLS != nil
	x.trusted = contains(x.snap.Spec.TrustedCIDRs, peer)
	if x.trusted {
		x.out.Client = x.clientAddr(peer)
		if proto := x.in.Fields.Get(message.XForwardedProto); proto != nil {
			x.secure = message.EqualFold(proto, "https")
		}
	}
	return nil
}

// identify takes the client's request ID if it is one that every log can hold,
// else makes one of 128 random bits.
func (x *Exchange) identify() {
	if id := x.in.Fields.Get(message.XRequestID); wellFormedID(id) {
		x.id = id
		return
	}
	var random [16]byte
	binary.NativeEndian.PutUint64(random[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(random[8:], rand.Uint64())
	hex.Encode(x.idMemory[:], random[:])
	x.id = x.idMemory[:]
}

func wellFormedID(id []byte) bool {
	if len(id) == 0 || len(id) > maxID {
		return false
	}
	for _, c := range id {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

func (x *Exchange) normalizePath() *outcome.Error {
	if string(x.in.Path) == "*" {
		// RFC 9110 §7.1: the asterisk-form asks about the server as a whole; the
		// nearest thing that a host has is its root.
		if x.in.Method != "OPTIONS" {
			return errTarget
		}
		x.path, x.asterisk = append(x.pathMemory[:0], '/'), true
		return nil
	}
	path, err := snapshot.NormalizePath(x.pathMemory[:0], x.in.Path)
	if err != nil {
		return &outcome.Error{Side: outcome.Downstream, Reason: outcome.BadRequest, Detail: err.Error()}
	}
	x.path = path
	return nil
}

// contains reports whether one of the prefixes holds addr, which has no zone and
// is not an IPv4 address in the form of an IPv6 one.
func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// match finds the route.
func (x *Exchange) match() *outcome.Error {
	auth, err := x.prove()
	if err != nil {
		return err
	}
	m, ok := x.snap.Match(x.host, x.path)
	if m.Host != nil {
		// Known also when none of its paths matches.
		x.out.RouteHost = m.Host.Name
	}
	if !ok {
		return errNoRoute
	}
	x.plan, x.route = m.Plan.(*plan), m.Route
	if !x.plan.policy.ACME {
		x.auth = auth
	}
	o := &x.out
	o.Matched = true
	o.Route, o.Service, o.Pool = m.Route.Origin, m.Route.Service, m.Route.Pool
	if limit := x.plan.policy.MaxBody; limit > 0 {
		x.d.Limit(limit, 0, 0)
		if x.in.Length > limit {
			return errTooLarge
		}
	}
	return nil
}

// prove compares what the connection proved in its handshake with what the host of
// the request demands now. A connection that was made for another name, or before
// the demand changed, is not good for it: the client is asked to make another.
//
// RFC 9110 §15.5.20: "The 421 (Misdirected Request) status code indicates that the
// request was directed at a server that is unable or unwilling to produce an
// authoritative response for the target URI."
func (x *Exchange) prove() (*snapshot.ClientAuth, *outcome.Error) {
	security, auth := x.snap.HostDemand(x.host)
	if t := x.conn.TLS; t != nil && t.Security != security {
		x.d.Retire()
		return nil, errMisdirected
	}
	if x.snap.Spec.DrainOnRotate {
		x.leaveIfOutdated()
	}
	return auth, nil
}

// leaveIfOutdated asks the client to leave, behind this answer, if the certificate
// of the connection is not served any more. The connections of a host go one after
// the other that way, each as it is used; what is idle carries nothing.
func (x *Exchange) leaveIfOutdated() {
	t := x.conn.TLS
	if t == nil || t.Certificate == nil || x.snap.Serves(t.SNI, t.Certificate.Digest) {
		return
	}
	x.conn.Outdate()
	x.d.Retire()
}

// lastForward answers an OPTIONS request that may go no further.
//
// RFC 9110 §7.6.2: "Each intermediary that receives a TRACE or OPTIONS request
// containing a Max-Forwards header field MUST check and update its value prior to
// forwarding the request. If the received value is zero (0), the intermediary
// MUST NOT forward the request; instead, the intermediary MUST respond as the
// final recipient."
func (x *Exchange) lastForward() (answered bool, err *outcome.Error) {
	if x.in.Method != "OPTIONS" {
		return false, nil
	}
	if n, ok := maxForwards(x.in.Fields.Get(message.MaxForwards)); !ok || n > 0 {
		return false, nil
	}
	return true, x.Answer(200, "", "Allow", allowed)
}

// maxForwards parses the value of a Max-Forwards field.
func maxForwards(v []byte) (n int, ok bool) {
	if len(v) == 0 || len(v) > 9 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}
