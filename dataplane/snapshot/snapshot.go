// How a host is found.
//
// All hosts are in one table by name; a wildcard "*.example.com" is there under
// ".example.com", so that the name to look for is a part of the name asked for
// and nothing is copied. A request takes the first of exact name, wildcard and
// catch-all that has routes, and stays with it; a handshake takes the first of
// exact name and wildcard that is declared for TLS.

package snapshot

import (
	"bytes"
	"strings"
)

// A Snapshot is a compiled Spec. It is immutable and safe for concurrent use.
type Snapshot struct {
	// Generation counts publishes, from 1.
	Generation uint64
	Spec       *Spec
	// Connections is Spec.Connections, compiled; nil if that is nil.
	Connections *Connections

	hosts table[*host]
	// catchAll is the host "" if it has routes; it is not in hosts.
	catchAll *host
	pools    table[poolRef]
	// certificates counts the hosts that serve a certificate, by digest.
	certificates table[int]
	routes       int
	// passthroughs counts the hosts that are passed through.
	passthroughs int
	// security is that of the hosts that demand nothing of their own, special the
	// number of hosts that demand something else.
	security Security
	special  int
}

// A Match is the route that takes a request, with what the layer above made of
// it.
type Match struct {
	Host  *Host
	Route *Route
	// Plan is what bind returned for Route when the Spec was compiled.
	Plan any
}

// Match returns the route for a normalised host and path: exact host before
// one-label wildcard before the catch-all; Exact before Prefix; longer before
// shorter. A host that has no matching path does not fall back to a less
// specific host; the Match then holds the Host alone. Match does not allocate.
func (s *Snapshot) Match(host, path []byte) (Match, bool) {
	h := s.routed(host)
	if h == nil {
		return Match{}, false
	}
	b := h.match(path)
	if b == nil {
		return Match{Host: h.spec}, false
	}
	return Match{Host: h.spec, Route: b.route, Plan: b.plan}, true
}

// routed returns the host that takes the requests for name, nil if none does.
func (s *Snapshot) routed(name []byte) *host {
	dot := bytes.IndexByte(name, '.')
	// A name that begins with a dot is nobody's, and the key of a wildcard.
	if dot != 0 {
		if h, ok := s.hosts.find(name); ok && len(h.bound) > 0 {
			return h
		}
	}
	if dot > 0 {
		if h, ok := s.hosts.find(name[dot:]); ok && len(h.bound) > 0 {
			return h
		}
	}
	return s.catchAll
}

// ServerName returns the declared host that a (lower-case) server name asks for:
// the exact one, else the one-label wildcard; nil if neither is declared. It does
// not allocate.
func (s *Snapshot) ServerName(sni string) *Host {
	if h := s.declared(sni); h != nil {
		return h.spec
	}
	return nil
}

// Serves reports whether a client that asks for a (lower-case) server name can still
// be served the certificate with that digest: by the declared host, or, if it has
// none, as the default one. It does not allocate.
func (s *Snapshot) Serves(sni, digest string) bool {
	if h := s.declared(sni); h != nil && len(h.spec.TLS.Certificates) > 0 {
		for _, c := range h.spec.TLS.Certificates {
			if c.Digest == digest {
				return true
			}
		}
		return false
	}
	d := s.Spec.DefaultCertificate
	return d != nil && d.Digest == digest
}

// ServerNameSecurity returns what a connection for a (lower-case) server name has
// to prove: the demand of the host that [Snapshot.ServerName] returns. It does
// not allocate.
func (s *Snapshot) ServerNameSecurity(sni string) Security {
	if s.special > 0 {
		if h := s.declared(sni); h != nil {
			return h.security
		}
	}
	return s.security
}

// HostDemand returns what the connection of a request must have proved, if it is
// one over TLS, and what is demanded of client certificates (nil: nothing), by the
// normalised host of the request. It does not allocate.
func (s *Snapshot) HostDemand(host []byte) (Security, *ClientAuth) {
	if s.special == 0 {
		return s.security, nil
	}
	dot := bytes.IndexByte(host, '.')
	if dot != 0 {
		if h, ok := s.hosts.find(host); ok && h.spec.TLS != nil {
			return h.security, h.spec.TLS.ClientAuth
		}
	}
	if dot > 0 {
		if h, ok := s.hosts.find(host[dot:]); ok && h.spec.TLS != nil {
			return h.security, h.spec.TLS.ClientAuth
		}
	}
	return s.security, nil
}

func (s *Snapshot) declared(sni string) *host {
	dot := strings.IndexByte(sni, '.')
	if dot != 0 {
		if h, ok := s.hosts.findString(sni); ok && h.spec.TLS != nil {
			return h
		}
	}
	if dot > 0 {
		if h, ok := s.hosts.findString(sni[dot:]); ok && h.spec.TLS != nil {
			return h
		}
	}
	return nil
}

// Pool returns the pool with that ID, nil if there is none.
func (s *Snapshot) Pool(id string) *Pool {
	ref, _ := s.pools.findString(id)
	return ref.pool
}

// Passthroughs returns the number of hosts that are passed through.
func (s *Snapshot) Passthroughs() int { return s.passthroughs }

// Counts says how much a snapshot holds.
type Counts struct {
	Hosts, Routes, Pools int
	// Certificates counts leaf certificates; one that serves several hosts is one.
	Certificates int
}

// Counts returns how much s holds. It costs nothing.
func (s *Snapshot) Counts() Counts {
	c := Counts{
		Hosts:        len(s.Spec.Hosts),
		Routes:       s.routes,
		Pools:        len(s.Spec.Pools),
		Certificates: s.certificates.len,
	}
	if d := s.Spec.DefaultCertificate; d != nil {
		if _, ok := s.certificates.findString(d.Digest); !ok {
			c.Certificates++
		}
	}
	return c
}
