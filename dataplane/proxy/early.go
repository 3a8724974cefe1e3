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
	errNotReady = &outcome.Error{Side: outcome.Internal, Reason: outcome.NotReady, Status: 503}
	errNoRoute  = &outcome.Error{Side: outcome.Downstream, Reason: outcome.NoRoute}
	errMethod   = &outcome.Error{Side: outcome.Downstream, Reason: outcome.MethodRefused}
	errTarget   = &outcome.Error{Side: outcome.Downstream, Reason: outcome.BadRequest, Detail: "the target * is for OPTIONS alone"}
	errTooLarge = &outcome.Error{Side: outcome.Downstream, Reason: outcome.BodyTooLarge}
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
	m, ok := x.snap.Match(x.host, x.path)
	if m.Host != nil {
		// Known also when none of its paths matches.
		x.out.RouteHost = m.Host.Name
	}
	if !ok {
		return errNoRoute
	}
	// All hosts have one TLS policy: what the connection proved under the SNI of
	// its handshake holds for every host. A policy of a host's own is compared
	// here with the connection's, and a difference is 421 (RFC 9110 §15.5.20).
	x.plan, x.route = m.Plan.(*plan), m.Route
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
