// Package outcome is what the data plane tells.
//
// Every connection, handshake and request ends in exactly one outcome, handed to
// a [Sink]. The [Reason] in it is the one word, from a closed list, that metric,
// log and Kubernetes Event use alike; its Origin names the object behind the fact.
//
// Outcomes are passed by pointer and belong to the data plane: a sink function
// reads what it needs before it returns, keeps no pointer and never blocks.
// They are called from many goroutines at once.
package outcome

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A Sink receives outcomes. Any function may be nil.
type Sink struct {
	// Conn is called once per accepted connection, when it has ended.
	Conn func(*Conn)
	// Handshake is called once per TLS connection. A handshake is decided at the
	// first record that the client sends after it: an alert there is a failure.
	Handshake func(*Handshake)
	// Request is called once per request, malformed and aborted ones included.
	Request func(*Request)
	// UpstreamHandshake is called once per TLS handshake with an endpoint.
	UpstreamHandshake func(*UpstreamHandshake)
	// Health is called when an endpoint or a name changes its state.
	Health func(*Health)
	// Publish is called once per publish, also for one that was refused.
	Publish func(*Publish)
	// Drain is called once, when the data plane has ended.
	Drain func(*Drain)
}

// Result is how a handshake ended.
type Result string

// The results of a handshake.
const (
	Done    Result = "done"
	Failed  Result = "failed"
	Timeout Result = "timeout"
	// Filtered: the connection was turned away before a byte of TLS was read.
	Filtered Result = "filtered"
	// Passthrough: the connection was carried to an endpoint of its host, which did
	// the handshake; what came of that is not known here.
	Passthrough Result = "passthrough"
)

// A Conn is one client connection. What is known at accept is set by listen and
// not written again; the fields below "at the end" are set before Sink.Conn.
type Conn struct {
	// ID is unique in this process and ties log lines together.
	ID uint64
	// Listener is "http" or "https".
	Listener string
	// Remote is the client, Local the address it reached. They are those of the
	// socket, or, where Proxy is valid, those that Proxy names.
	Remote, Local netip.AddrPort
	// Proxy is the peer of the socket if it named the client in a PROXY protocol
	// header and was believed.
	Proxy    netip.AddrPort
	Accepted time.Time
	// Stamp is for those who embed the data plane: what their Admit has to say to
	// their filters and sinks. Cardea itself does not look at it.
	Stamp any
	// TLS is nil on a plain connection and before the handshake has ended.
	TLS *Handshake

	// outdated is set by Outdate, and accessed atomically.
	outdated uint32

	// At the end:

	// Reason is why the connection ended, OK for the ordinary ends.
	Reason   Reason
	Duration time.Duration
	// BytesIn and BytesOut count what crossed the socket, TLS included.
	BytesIn, BytesOut int64
	Requests          int
}

// Outdate notes that the client was asked to leave because the certificate that the
// connection was made with has been replaced. It may be called by any goroutine that
// serves the connection.
func (c *Conn) Outdate() { atomic.StoreUint32(&c.outdated, 1) }

// Outdated reports whether Outdate was called.
func (c *Conn) Outdated() bool { return atomic.LoadUint32(&c.outdated) != 0 }

// A Handshake is one TLS handshake, finished or not.
type Handshake struct {
	// Conn is the connection; its TLS field is this handshake.
	Conn   *Conn
	Result Result
	Reason Reason
	// Err is the underlying error's text, for logs. Empty on success.
	Err string
	// Duration from accept to the end of the handshake (not to the first record); of
	// a passthrough, to the end of the connection.
	Duration time.Duration
	// BytesIn and BytesOut when the outcome was decided.
	BytesIn, BytesOut int64

	// HelloSeen says whether a whole ClientHello was read; the Offered fields and
	// SNI are empty otherwise.
	HelloSeen bool
	// SNI as the client sent it, lower-cased.
	SNI string
	// Host is the declared host that SNI names ("*.example.com" for a wildcard),
	// or "": use it, not SNI, as a metric label.
	Host string
	// Ingress declares Host; zero if no host matched.
	Ingress snapshot.Origin
	// What the client offers, in its order, reserved values (GREASE) included.
	OfferedVersions         []uint16
	OfferedCipherSuites     []uint16
	OfferedCurves           []uint16
	OfferedSignatureSchemes []uint16
	OfferedExtensions       []uint16
	OfferedALPN             []string
	// JA4 is the fingerprint of the ClientHello: what kind of client it is, by what
	// its TLS library offers. "" without a whole ClientHello.
	JA4 string
	// FirstBytes are the first bytes that came, 8 at most, where neither a
	// ClientHello nor HTTP did: enough to tell what the client speaks instead, and
	// too few for what it may say in confidence.
	FirstBytes []byte

	// Policy is the TLS policy in force for the name asked for, Security the digest
	// of what the connection has to prove; unset without a whole ClientHello.
	Policy   *snapshot.TLSPolicy
	Security snapshot.Security

	// What was negotiated, as far as it got; zero if it did not.
	Version     uint16
	CipherSuite uint16
	Curve       uint16
	ALPN        string
	Resumed     bool
	// HelloRetried says that the client had to send a second ClientHello, because
	// the first held no key share for a group of ours: it costs a round trip.
	HelloRetried bool
	// ECHOffered says that the client sent an encrypted ClientHello, or what looks
	// like one: to those who cannot decrypt it, both are the same. ECHAccepted says
	// that it was decrypted: SNI and the Offered fields are those of the encrypted
	// one, which nobody on the way could read.
	ECHOffered, ECHAccepted bool
	// Certificate is the one served, nil if none was chosen. It is also set for
	// a failed handshake: a client that rejects a certificate rejects this one.
	Certificate *snapshot.Certificate
	// DefaultCertificate says that it was the default one, not the host's.
	DefaultCertificate bool
	// Alert is the name of the alert that the client sent ("unknown_ca"), or "";
	// AlertSent that of the one that the client was sent.
	Alert, AlertSent string
	// Pool and Endpoint are where a passthrough goes; Attempts counts the endpoints
	// that were tried.
	Pool     string
	Endpoint netip.AddrPort
	Attempts int
	// ClientCertificate is the leaf the client presented, accepted or not; nil if
	// none.
	ClientCertificate *ClientCertificate
	// ClientVerdict is what the client has proved by its certificate, where the
	// host asks for one and the handshake succeeded: OK, client_cert_missing, or
	// why it does not verify. Empty: the host does not ask.
	ClientVerdict Reason
}

// A ClientCertificate holds the facts of a client's leaf certificate.
type ClientCertificate struct {
	Subject, Issuer, Serial string
	// Digest is the SHA-256 of the certificate in hex.
	Digest              string
	NotBefore, NotAfter time.Time
	// The subject's alternative names, by kind.
	DNSNames, URINames, EmailNames, IPNames []string
	// Verified says that a chain to the host's client CA was found, VerifyErr why
	// the certificate was not accepted.
	Verified  bool
	VerifyErr string
	// Raw is the certificate (DER), which is not to be changed.
	Raw []byte
}

// A Request is one exchange: a client's request and its answer.
type Request struct {
	Conn *Conn
	// Client is whom the request comes from: the peer, or the client that a
	// trusted peer names.
	Client netip.Addr
	// ID is the value of X-Request-ID. Like all byte slices here it is a view
	// that is valid during the call only.
	ID []byte
	// Method, Host (normalised), Path (normalised), Target (as received) and
	// Proto ("HTTP/1.1"). Empty where a malformed head left them unknown.
	Method, Proto      string
	Host, Path, Target []byte
	UserAgent, Referer []byte
	Start              time.Time
	Duration           time.Duration

	// Status is what the client was sent, 0 if no response head was; 499 when
	// the client left first.
	Status int
	// Reason is OK when the backend (or a filter, by its ordinary job) answered.
	Reason Reason
	// Side says who is at fault when Reason is not OK.
	Side Side
	// Err is the underlying error's text, for logs.
	Err string

	// RouteHost is the Host.Name that takes the request, also when none of its
	// paths matches; "" for the catch-all host and for none at all. Matched says
	// whether a route was found.
	RouteHost string
	Matched   bool
	// Route is the Ingress and field that matched, Service its backend.
	Route, Service snapshot.Origin
	Pool           string
	Endpoint       netip.AddrPort
	// Attempts at endpoints; 0 when none was needed. Reused says that the last
	// one went over a kept connection.
	Attempts int
	Reused   bool
	// ConnectTime of the last attempt, and FirstByte: from start to the response
	// head of the upstream.
	ConnectTime, FirstByte time.Duration
	UpstreamStatus         int
	// UpstreamTLS is the handshake of the last attempt's connection, which may be
	// older than the request, or the one that failed; nil if there was none.
	UpstreamTLS *UpstreamHandshake

	// BodyIn and BodyOut count body bytes without framing.
	BodyIn, BodyOut int64
	// FieldsDropped counts the header fields that were not passed on because their
	// name holds an underscore.
	FieldsDropped int
	// Upgraded says that the exchange became a tunnel.
	Upgraded bool
}

// A Drain is the end of a data plane.
type Drain struct {
	Duration time.Duration
	// What had not ended in time and was cut, and has an outcome with the reason
	// shutdown: requests, without tunnels; tunnels; and connections, theirs and those
	// without a request.
	Requests, Tunnels, Connections int
}

// An UpstreamHandshake is one TLS handshake with an endpoint, finished or not.
type UpstreamHandshake struct {
	Pool string
	// Origin is the Service behind the pool.
	Origin   snapshot.Origin
	Endpoint netip.AddrPort
	Result   Result
	// Reason is OK, upstream_tls_handshake, upstream_tls_verify,
	// upstream_tls_common_name, upstream_tls_timeout,
	// or client_closed when the client for whom it was made had left.
	Reason Reason
	// Err says what happened, for logs. Empty on success.
	Err      string
	Duration time.Duration

	// ServerName is what was sent as SNI, "" for none.
	ServerName string
	// Verified says that the certificate was looked at and accepted.
	Verified bool
	// ClientCertificate says that the endpoint asked for a certificate and was
	// shown ours.
	ClientCertificate bool

	// What was negotiated, as far as it got; zero if it did not.
	Version     uint16
	CipherSuite uint16
	Curve       uint16
	ALPN        string
	Resumed     bool
	// CertificateDigest is the SHA-256, in hex, of the leaf that the endpoint
	// showed, accepted or not; "" if none.
	CertificateDigest   string
	CertificateSubject  string
	CertificateNotAfter time.Time
}

// Health is a change of what is known of an endpoint or a name.
type Health struct {
	Pool     string
	Origin   snapshot.Origin
	Endpoint netip.AddrPort
	// Name is set when the fact is about a DNS name of an ExternalName Service.
	Name    string
	Healthy bool
	Reason  Reason
	Err     string
	// Endpoints in the pool now.
	Endpoints int
}

// Publish is one publish of an update.
type Publish struct {
	Generation uint64
	// Err is set when the update was refused; the last good state serves on.
	Err                                 string
	Duration                            time.Duration
	Since                               time.Time
	Hosts, Routes, Pools, Certificates  int
	EndpointsReplaced, EndpointsInForce int
	// Snapshot is now in force (for an accepted update).
	Snapshot *snapshot.Snapshot
}
