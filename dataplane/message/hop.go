package message

// A set of interned names. All of them fit in one word.
type idSet uint64

func setOf(ids ...ID) (s idSet) {
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

func (s idSet) has(id ID) bool { return s>>id&1 != 0 }

// The check that an idSet has a bit for every ID: this does not compile if not.
const _ = uint(64 - numIDs)

// hopByHop are the fields of one connection, named by Connection or not (RFC
// 9110 §7.6.1), and those that speak of the proxy itself. Trailer stays: the
// trailers that it announces are forwarded.
var hopByHop = setOf(Connection, KeepAlive, ProxyConnection, ProxyAuthenticate, ProxyAuthorization,
	TE, TransferEncoding, Upgrade, HTTP2Settings)

// endToEnd are fields that Connection must not name: "A sender MUST NOT send a
// connection option corresponding to a field that is intended for all recipients
// of the content" (RFC 9110 §7.6.1). A proxy that obeyed would drop what frames,
// routes or authorises the message.
var endToEnd = setOf(Host, ContentLength, TransferEncoding, ContentType, ContentEncoding, Authorization,
	Cookie, SetCookie, CacheControl, Expect, MaxForwards, Range, Via)

// MayNameInConnection reports whether a Connection field may name a field with
// that ID.
func MayNameInConnection(id ID) bool { return !endToEnd.has(id) }

// StripHopByHop removes the fields that end at this connection: the well-known
// ones, and those that the Connection fields name. What Connection must not name
// stays. It goes over the fields, not over the names: once, or twice if some
// name is not interned.
func (f *Fields) StripHopByHop() {
	drop, others := f.connectionNames()
	if others {
		f.stripNamed()
	}
	keep := f.list[:0]
	for i := range f.list {
		if !drop.has(f.list[i].ID) {
			keep = append(keep, f.list[i])
		}
	}
	f.list = keep
}

// connectionNames returns the interned names to drop, and whether Connection
// names some that are not interned.
func (f *Fields) connectionNames() (drop idSet, others bool) {
	drop = hopByHop
	for i := range f.list {
		if f.list[i].ID != Connection {
			continue
		}
		for name, rest := NextElement(f.list[i].Value); name != nil; name, rest = NextElement(rest) {
			switch id := Lookup(name); {
			case id == Other:
				others = others || !EqualFold(name, "close")
			case MayNameInConnection(id):
				drop |= 1 << id
			}
		}
	}
	return drop, others
}

// stripNamed removes the fields without an ID that Connection names. It keeps the
// Connection lines: namedByConnection reads them all the while.
func (f *Fields) stripNamed() {
	keep := f.list[:0]
	for i := range f.list {
		if f.list[i].ID != Other || !f.namedByConnection(f.list[i].Name) {
			keep = append(keep, f.list[i])
		}
	}
	f.list = keep
}

// namedByConnection reports whether a Connection field names name.
func (f *Fields) namedByConnection(name []byte) bool {
	for i := range f.list {
		if f.list[i].ID != Connection {
			continue
		}
		for n, rest := NextElement(f.list[i].Value); n != nil; n, rest = NextElement(rest) {
			if equalFoldBytes(n, name) {
				return true
			}
		}
	}
	return false
}

func equalFoldBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// inHeadOnly are fields that mean something only in a head: those of framing,
// routing, the connection, authentication and content, the conditions and the
// controls of a request (RFC 9110 §6.5.1).
var inHeadOnly = hopByHop | endToEnd | setOf(Trailer, Proxy, IfModifiedSince, IfNoneMatch, IfRange, Pragma,
	Age, Date, Expires, Location, RetryAfter, Vary, ContentType, Forwarded, XForwardedFor, XForwardedHost,
	XForwardedPort, XForwardedPrefix, XForwardedProto, XForwardedScheme, XForwardedServer,
	XOriginalForwardedFor, XOriginalHost, XOriginalMethod, XOriginalURI, XOriginalURL, XRealIP, XRequestID,
	XScheme, SSLClientCert, SSLClientVerify, SSLClientSubjectDN, SSLClientIssuerDN, XForwardedClientCert,
	Origin, Referer)

// MayTrail reports whether a field may stand in a trailer section. What may not
// is dropped: a recipient that merges trailers into the head would otherwise
// believe it.
func MayTrail(id ID, name []byte) bool {
	if id != Other {
		return !inHeadOnly.has(id)
	}
	for _, s := range [...]string{"Content-Range", "If-Match", "If-Unmodified-Since", "WWW-Authenticate", "X-HTTP-Method-Override"} {
		if EqualFold(name, s) {
			return false
		}
	}
	return true
}
