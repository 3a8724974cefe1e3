// Package snapshot is what the data plane is told.
//
// A [Spec] is a plain, printable description of what to serve; whoever feeds the
// data plane (a Kubernetes controller, a folder of YAML, an embedder) writes one.
// [Compile] turns it into a [Snapshot]: the matcher and the certificate table,
// immutable, safe for use by any number of goroutines, loaded once per handshake
// and once per request.
//
// A Spec is a tree of pointers to values that are never written again once they
// are in a Spec. A new Spec shares the values that did not change, and Compile
// compiles only those that are new: its cost grows with the change, not with the
// size of the table.
package snapshot

import (
	"net/netip"
	"time"
)

// An Update is one change of what the data plane serves. A nil part is unchanged.
type Update struct {
	// Spec replaces the routes and certificates as a whole.
	Spec *Spec
	// Endpoints replaces the endpoint list of each pool it names, by [Pool.ID].
	// A pool that it does not name keeps its list; an empty list empties the pool.
	// Pools that the Spec in force does not hold are ignored.
	Endpoints map[string][]Endpoint
	// Keys replaces the secrets of session tickets.
	Keys *TicketKeys
	// ECH replaces the keys of Encrypted ClientHello.
	ECH *ECHKeys
	// Since is when the oldest change in this update was first seen; zero if
	// unknown. The time from Since to the publish is the propagation time.
	Since time.Time
}

// A Spec says what to serve.
type Spec struct {
	// Hosts are sorted by Name, one Host a name.
	Hosts []*Host
	// Pools are sorted by ID. Every pool that a route names is here.
	Pools []*Pool
	// UnknownSNI says what a client gets that names no declared host with a
	// usable certificate; the zero value is UnknownSNIReject.
	UnknownSNI UnknownSNI
	// DefaultCertificate is what UnknownSNIDefaultCert serves. Nil: reject.
	DefaultCertificate *Certificate
	// TLSPolicy is that of every host that has none of its own, and of clients that
	// name no declared host. Nil means [Intermediate].
	TLSPolicy *TLSPolicy
	// DrainOnRotate asks the clients of connections to leave, each with its next
	// answer, whose certificate is not served any more.
	DrainOnRotate bool
	// HandshakeTimeout, FirstByteTimeout and MaxHandshakes replace those that the
	// listeners were made with; 0 leaves them.
	HandshakeTimeout, FirstByteTimeout time.Duration
	MaxHandshakes                      int
	// TrustedCIDRs are the peers whose X-Forwarded-*, Forwarded and X-Real-IP
	// fields are believed. Default none.
	TrustedCIDRs []netip.Prefix
	// Connections says which connections are let in. Nil: all.
	Connections *ConnectionPolicy
}

// UnknownSNI is the treatment of a TLS client that asks for no declared host.
type UnknownSNI uint8

const (
	// UnknownSNIReject ends the handshake with the alert unrecognized_name.
	UnknownSNIReject UnknownSNI = iota
	// UnknownSNIDefaultCert serves [Spec.DefaultCertificate].
	UnknownSNIDefaultCert
)

// A Host is everything served under one host name.
type Host struct {
	// Name is lower case, without port or trailing dot: "shop.example.com", a
	// one-label wildcard "*.example.com", or "" for requests that no other host
	// takes.
	Name string
	// Origin is the Ingress that owns the host (the oldest that names it).
	Origin Origin
	// TLS is set iff an Ingress declares the host in spec.tls.
	TLS *TLS
	// Routes in no particular order; no two have the same Path and Kind. A host
	// without routes takes part in TLS only: its requests go to the next less
	// specific host.
	Routes []*Route
}

// TLS is how a declared host is served over TLS.
type TLS struct {
	// Origin is the Ingress and field that declares the host (spec.tls[i]).
	Origin Origin
	// Certificates in order of preference: those of the Ingress that owns the
	// host's TLS, at most one a key type. Empty: the host is declared but has no
	// usable certificate and gets the UnknownSNI treatment.
	Certificates []*Certificate
	// Passthrough, if set, is the ID of the pool to which connections are carried
	// as they are: the endpoints do the handshake. Nothing else here, and no route,
	// applies to them then; certificates are none.
	Passthrough string
	// PassthroughProxyHeader puts a PROXY protocol header, version 2, before what
	// is carried to the endpoint.
	PassthroughProxyHeader bool
	// Policy is nil for [Spec.TLSPolicy].
	Policy *TLSPolicy
	// NoHTTP2 offers HTTP/1.1 only.
	NoHTTP2 bool
	// ClientAuth is nil if no client certificate is asked for.
	ClientAuth *ClientAuth
}

// PathKind is how Route.Path is compared.
type PathKind uint8

const (
	// Exact matches the whole normalised path, byte for byte.
	Exact PathKind = iota
	// Prefix matches by path element: "/a" matches "/a", "/a/" and "/a/b", not
	// "/ab". A trailing slash of the prefix is ignored.
	Prefix
)

// String returns "Exact" or "Prefix", as in the Ingress API.
func (k PathKind) String() string {
	if k == Exact {
		return "Exact"
	}
	return "Prefix"
}

// A Route sends the requests of one path of a host to a backend.
type Route struct {
	// Path begins with a slash and is in the normal form of [NormalizePath]. Of
	// the prefixes "/a" and "/a/", which match the same paths, the longer one is
	// in force.
	Path string
	Kind PathKind
	// Origin is the Ingress and field (spec.rules[i].http.paths[j]) behind it.
	Origin Origin
	// Service is the Service behind the pool, for metrics and logs; zero for a
	// fixed answer.
	Service Origin
	// Pool is the ID of the pool that serves the route; "" if Answer is set.
	Pool string
	// Answer, if set, answers every request instead of a pool.
	Answer *Answer
	Policy Policy
}

// An Answer is a fixed response.
type Answer struct {
	// Status is the HTTP status.
	Status int
	// Reason is one of outcome's reasons: "config_rejected", "no_service", ...
	Reason string
}

// A Policy is what happens to a route's requests besides matching. It is
// comparable: routes with equal policies share one list of compiled phases.
type Policy struct {
	// RedirectHTTPS redirects plain HTTP requests to HTTPS (308). The paths of
	// ACME HTTP-01 challenges that have a route of their own (ACME) are exempt.
	RedirectHTTPS bool
	// ACME marks the exact token path of an HTTP-01 solver: no redirect applies.
	ACME bool
	// HSTS is the value of Strict-Transport-Security in answers over TLS (RFC 6797
	// §6.1); "" sends none.
	HSTS string
	// ConnectTimeout bounds one connect to an endpoint. 0 means 5 s.
	ConnectTimeout time.Duration
	// ReadTimeout bounds the wait for the next bytes of the response. 0 means 60 s.
	ReadTimeout time.Duration
	// SendTimeout bounds the time in which the upstream takes the next bytes of
	// the request. 0 means 60 s.
	SendTimeout time.Duration
	// MaxBody is the most bytes of a request body; more is 413. 0 means no limit.
	MaxBody int64
	// Tries is the most attempts at endpoints, the first included. 0 means 3.
	Tries int
}

// A Pool is a set of interchangeable endpoints.
type Pool struct {
	// ID is unique in a Spec and stable over time: live state (endpoints,
	// connections) is kept by it. It holds everything that makes connections of
	// two pools not interchangeable.
	ID string
	// Origin is the Service behind it.
	Origin Origin
	// ExternalName, if set, is a DNS name whose addresses are the endpoints, with
	// port ExternalPort. It is resolved by the data plane, again every 30 s.
	ExternalName string
	ExternalPort uint16
	// Protocol is what the endpoints speak; the zero value is HTTP1.
	Protocol Protocol
	// TLS, if set, is spoken below Protocol: with HTTP1 it is HTTPS, with H2C it is
	// HTTP/2 by ALPN. Its digest is part of ID.
	TLS *UpstreamTLS
}

// Protocol is what is spoken on the connections to an endpoint.
type Protocol uint8

const (
	// HTTP1 is HTTP/1.1 in plain text.
	HTTP1 Protocol = iota
	// H2C is HTTP/2 in plain text by prior knowledge (RFC 9113 §3.3): the
	// appProtocol kubernetes.io/h2c, and gRPC without TLS.
	H2C
)

// String returns "http/1.1" or "h2c".
func (p Protocol) String() string {
	if p == H2C {
		return "h2c"
	}
	return "http/1.1"
}

// An Endpoint is one address of a pool.
type Endpoint struct {
	Addr netip.AddrPort
	// Target names the object behind it for logs ("Pod shop/web-1"), or "".
	Target string
}

// An Origin names the Kubernetes object, and the field in it, behind a fact.
type Origin struct {
	Kind      string // "Ingress", "Service", "Secret", ...
	Namespace string
	Name      string
	// UID of the object, where it has one.
	UID string
	// Field is a path such as "spec.rules[0].http.paths[1]", or "".
	Field string
}

// IsZero reports whether o names nothing.
func (o Origin) IsZero() bool { return o.Kind == "" }

// String returns "Ingress shop/web spec.rules[0]"; without namespace or field,
// without it.
func (o Origin) String() string {
	if o.IsZero() {
		return ""
	}
	s := o.Kind + " "
	if o.Namespace != "" {
		s += o.Namespace + "/"
	}
	s += o.Name
	if o.Field != "" {
		s += " " + o.Field
	}
	return s
}

// Object returns o without its field.
func (o Origin) Object() Origin {
	o.Field = ""
	return o
}
