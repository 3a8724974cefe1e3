package message

// An ID is an interned field name.
type ID uint8

// The names that some part of Cardea acts on. Other is every other name.
const (
	Other ID = iota
	Accept
	AcceptEncoding
	Age
	Authorization
	CacheControl
	Connection
	ContentEncoding
	ContentLength
	ContentType
	Cookie
	Date
	ETag
	Expect
	Expires
	Forwarded
	Host
	IfModifiedSince
	IfNoneMatch
	IfRange
	KeepAlive
	LastModified
	Location
	MaxForwards
	Origin
	Pragma
	ProxyAuthenticate
	ProxyAuthorization
	ProxyConnection
	Proxy
	Range
	Referer
	RetryAfter
	Server
	SetCookie
	TE
	Trailer
	TransferEncoding
	Upgrade
	UserAgent
	Vary
	Via
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedPrefix
	XForwardedProto
	XForwardedScheme
	XForwardedServer
	XOriginalForwardedFor
	XOriginalHost
	XOriginalMethod
	XOriginalURI
	XOriginalURL
	XRealIP
	XRequestID
	XScheme
	SSLClientCert
	SSLClientVerify
	SSLClientSubjectDN
	SSLClientIssuerDN
	XForwardedClientCert
	HTTP2Settings
	numIDs
)

var names = [numIDs]string{
	Accept: "Accept", AcceptEncoding: "Accept-Encoding", Age: "Age", Authorization: "Authorization",
	CacheControl: "Cache-Control", Connection: "Connection", ContentEncoding: "Content-Encoding",
	ContentLength: "Content-Length", ContentType: "Content-Type", Cookie: "Cookie", Date: "Date",
	ETag: "ETag", Expect: "Expect", Expires: "Expires", Forwarded: "Forwarded", Host: "Host",
	IfModifiedSince: "If-Modified-Since", IfNoneMatch: "If-None-Match", IfRange: "If-Range",
	KeepAlive: "Keep-Alive", LastModified: "Last-Modified", Location: "Location",
	MaxForwards: "Max-Forwards", Origin: "Origin", Pragma: "Pragma",
	ProxyAuthenticate: "Proxy-Authenticate", ProxyAuthorization: "Proxy-Authorization",
	ProxyConnection: "Proxy-Connection", Proxy: "Proxy", Range: "Range", Referer: "Referer",
	RetryAfter: "Retry-After", Server: "Server", SetCookie: "Set-Cookie", TE: "TE",
	Trailer: "Trailer", TransferEncoding: "Transfer-Encoding", Upgrade: "Upgrade",
	UserAgent: "User-Agent", Vary: "Vary", Via: "Via", XForwardedFor: "X-Forwarded-For",
	XForwardedHost: "X-Forwarded-Host", XForwardedPort: "X-Forwarded-Port",
	XForwardedPrefix: "X-Forwarded-Prefix", XForwardedProto: "X-Forwarded-Proto",
	XForwardedScheme: "X-Forwarded-Scheme", XForwardedServer: "X-Forwarded-Server",
	XOriginalForwardedFor: "X-Original-Forwarded-For", XOriginalHost: "X-Original-Host",
	XOriginalMethod: "X-Original-Method", XOriginalURI: "X-Original-URI",
	XOriginalURL: "X-Original-URL", XRealIP: "X-Real-IP", XRequestID: "X-Request-ID",
	XScheme: "X-Scheme", SSLClientCert: "ssl-client-cert", SSLClientVerify: "ssl-client-verify",
	SSLClientSubjectDN: "ssl-client-subject-dn", SSLClientIssuerDN: "ssl-client-issuer-dn",
	XForwardedClientCert: "X-Forwarded-Client-Cert", HTTP2Settings: "HTTP2-Settings",
}

var nameBytes = func() (b [numIDs][]byte) {
	for i, s := range names {
		b[i] = []byte(s)
	}
	return b
}()

// String returns the name in its usual case, "" for Other.
func (id ID) String() string { return names[id] }

// Bytes is String as bytes that nobody may change.
func (id ID) Bytes() []byte { return nameBytes[id] }

// Lookup returns the ID of name in any case, Other if it is not interned.
//
// The bucket of a name is its length; few interned names share one, so that a
// look-up compares one or two candidates, first byte first.
func Lookup(name []byte) ID {
	if len(name) >= len(byLength) {
		return Other
	}
	for _, id := range byLength[len(name)] {
		if EqualFold(name, names[id]) {
			return id
		}
	}
	return Other
}

var byLength = func() (t [32][]ID) {
	for id := Other + 1; id < numIDs; id++ {
		n := len(names[id])
		t[n] = append(t[n], id)
	}
	return t
}()
