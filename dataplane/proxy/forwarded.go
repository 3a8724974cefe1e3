package proxy

import (
	"bytes"
	"net/netip"

	"github.com/cardea-dev/cardea/dataplane/message"
)

var (
	schemeHTTP  = []byte("http")
	schemeHTTPS = []byte("https")
)

// addForwarded adds the fields that tell a backend who asks, and by which way. A
// trusted peer's word is taken over; anybody else's is not passed on, but for
// X-Original-Forwarded-For, which says by its name that it is a mere claim.
func (x *Exchange) addForwarded(f *message.Fields) {
	in := &x.in.Fields
	peer := x.conn.Remote.Addr().Unmap().WithZone("")

	at := len(x.head)
	x.head = x.out.Client.AppendTo(x.head)
	client := x.view(at)
	f.Append(message.XRealIP, message.XRealIP.Bytes(), client)

	claimed := x.joined(message.XForwardedFor)
	forwardedFor := client
	if x.trusted && claimed != nil {
		at = len(x.head)
		x.head = append(x.head, claimed...)
		x.head = append(x.head, ", "...)
		x.head = peer.AppendTo(x.head)
		forwardedFor = x.view(at)
	}
	f.Append(message.XForwardedFor, message.XForwardedFor.Bytes(), forwardedFor)

	x.addClaim(f, message.XForwardedHost, x.in.Authority)
	at = len(x.head)
	x.head = appendPort(x.head, x.port())
	x.addClaim(f, message.XForwardedPort, x.view(at))
	scheme := schemeHTTP
	if x.secure {
		scheme = schemeHTTPS
	}
	f.Append(message.XForwardedProto, message.XForwardedProto.Bytes(), scheme)
	f.Append(message.XForwardedScheme, message.XForwardedScheme.Bytes(), scheme)
	f.Append(message.XScheme, message.XScheme.Bytes(), scheme)

	x.addClaim(f, message.XOriginalHost, x.in.Authority)
	if v := in.Get(message.XOriginalForwardedFor); x.trusted && v != nil {
		claimed = v
	}
	if claimed != nil {
		f.Append(message.XOriginalForwardedFor, message.XOriginalForwardedFor.Bytes(), claimed)
	}
}

// addClaim adds what a trusted peer says, else own, unless that is empty.
func (x *Exchange) addClaim(f *message.Fields, id message.ID, own []byte) {
	if x.trusted {
		if v := x.in.Fields.Get(id); v != nil {
			own = v
		}
	}
	if len(own) > 0 {
		f.Append(id, id.Bytes(), own)
	}
}

// port is the one that the client connected to, as it sees it.
func (x *Exchange) port() int {
	port := x.proxy.ports[0]
	if x.secure {
		port = x.proxy.ports[1]
	}
	if port == 0 {
		port = int(x.conn.Local.Port())
	}
	return port
}

// joined returns the values of all lines with id as one list (RFC 9110 §5.3), nil
// if there is none.
func (x *Exchange) joined(id message.ID) []byte {
	in := &x.in.Fields
	if in.Count(id) < 2 {
		return in.Get(id)
	}
	at := len(x.head)
	for i := range in.Len() {
		if f := in.At(i); f.ID == id {
			if len(x.head) > at {
				x.head = append(x.head, ", "...)
			}
			x.head = append(x.head, f.Value...)
		}
	}
	return x.view(at)
}

// clientAddr is whom a request from a trusted proxy comes from: the last address in
// X-Forwarded-For that is not a trusted proxy itself. What stands before that
// address may be anybody's invention.
func (x *Exchange) clientAddr(peer netip.Addr) netip.Addr {
	client := peer
	list := x.joined(message.XForwardedFor)
	for len(list) > 0 {
		var last []byte
		if i := bytes.LastIndexByte(list, ','); i >= 0 {
			list, last = list[:i], list[i+1:]
		} else {
			list, last = nil, list
		}
		addr, ok := parseAddr(bytes.Trim(last, " \t"))
		if !ok {
			break
		}
		client = addr
		if !contains(x.snap.Spec.TrustedCIDRs, addr) {
			break
		}
	}
	return client
}

// parseAddr parses an address as proxies write it, with or without a port.
func parseAddr(b []byte) (netip.Addr, bool) {
	s := string(b)
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}
