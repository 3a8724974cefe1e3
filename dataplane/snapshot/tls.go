package snapshot

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// A TLSPolicy says which versions, suites, groups and protocols a TLS server
// accepts. It is immutable: hosts with equal policies share one by pointer.
type TLSPolicy struct {
	// Name is "intermediate", "modern" or what the owner called it: it is shown in
	// logs, metrics and verdicts.
	Name string
	// Origin is the object that defines it; zero for a built-in one.
	Origin Origin
	// MinVersion and MaxVersion are versions of crypto/tls. 0 means TLS 1.2 and
	// TLS 1.3.
	MinVersion, MaxVersion uint16
	// CipherSuites are the suites of TLS 1.2 and older. Nil means those of
	// [Intermediate]. Go does not let the suites of TLS 1.3 be chosen.
	CipherSuites []uint16
	// Curves are the key exchange groups. Nil means those of crypto/tls, the
	// hybrid post-quantum ones among them. Go orders them itself.
	Curves []tls.CurveID
	// RejectALPN ends the handshake of a client that offers application protocols
	// and none that is served. Otherwise it is served as if it had not asked.
	RejectALPN bool
	// NoTickets turns session resumption off.
	NoTickets bool
}

// Intermediate is the default policy, after Mozilla's of that name: TLS 1.2 and
// 1.3 and the suites with forward secrecy and authenticated encryption. Mozilla's
// DHE suites do not exist in Go.
var Intermediate = &TLSPolicy{
	Name:       "intermediate",
	MinVersion: tls.VersionTLS12,
	CipherSuites: []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	},
}

// Modern accepts TLS 1.3 only.
var Modern = &TLSPolicy{Name: "modern", MinVersion: tls.VersionTLS13}

// ClientAuthMode says what a client certificate is asked for.
type ClientAuthMode uint8

const (
	// ClientAuthRequire serves only clients whose certificate verifies.
	ClientAuthRequire ClientAuthMode = iota
	// ClientAuthOptional verifies a certificate if the client sends one; a bad one
	// is refused, none is let through.
	ClientAuthOptional
	// ClientAuthOptionalNoCA asks for a certificate and lets every client through;
	// what the verification found is told to the backend.
	ClientAuthOptionalNoCA
)

// String returns "require", "optional" or "optional-no-ca".
func (m ClientAuthMode) String() string {
	return [...]string{"require", "optional", "optional-no-ca"}[m]
}

// ClientAuth is the demand for client certificates on a host (mutual TLS). It is
// immutable.
type ClientAuth struct {
	// Origin is the Ingress and field that demands it.
	Origin Origin
	Mode   ClientAuthMode
	// Authorities must have signed the client's chain. It is nil only with
	// ClientAuthOptionalNoCA.
	Authorities *Authorities
	// RevocationLists count besides those in Authorities. Nil: none.
	RevocationLists *RevocationLists
	// Depth is the most certificates above the leaf in a chain: 1 accepts a leaf
	// that one of Authorities has signed itself. 0 means 1.
	Depth int
	// MatchCN, if set, is an RE2 expression that the whole common name of the
	// subject must match.
	MatchCN string
	// MatchSANs, if any, are DNS names (one-label wildcards allowed), e-mail
	// addresses or URIs (SPIFFE) of which the leaf must have one.
	MatchSANs []string
	// ErrorPage answers a client that fails over HTTP, instead of refusing the
	// handshake: nil refuses the handshake.
	ErrorPage *ClientAuthErrorPage
	// PassCertificate sends the URL-encoded PEM of the leaf to the backend in
	// ssl-client-cert. The other ssl-client-* fields are sent always.
	PassCertificate bool
}

// ClientAuthErrorPage is the HTTP answer to a client whose certificate is missing
// or does not verify.
type ClientAuthErrorPage struct {
	// Redirect is the absolute URL of a 302. "" answers 400.
	Redirect string
}

// Authorities is a bundle of trusted certificates, with the revocation lists that
// came with it, parsed once and immutable.
type Authorities struct {
	// Origin is the Secret, ConfigMap or file it comes from.
	Origin Origin
	Pool   *x509.CertPool
	// Certificates are those in Pool.
	Certificates []*x509.Certificate
	// CRLs are the revocation lists, each signed by one of Certificates. With any
	// CRL there must be one that is current for every issuer in a client's chain
	// that is in Certificates.
	CRLs []*x509.RevocationList
	// Digest is the SHA-256, in hex, of the certificates and CRLs.
	Digest string

	// lists are the CRLs, ready to be looked up.
	lists []revocationList
	// issuers are those of Certificates that have issued others of them.
	issuers map[string]*x509.Certificate
}

// UpstreamTLS is how TLS is spoken to the endpoints of a pool. It is immutable;
// Digest is part of [Pool.ID], so that no connection is reused across different
// trust.
type UpstreamTLS struct {
	// ServerName is sent as SNI (unless NoSNI) and verified (unless Insecure). ""
	// is allowed only with Insecure.
	ServerName string
	NoSNI      bool
	// Insecure accepts any certificate. It is counted and warned about.
	Insecure bool
	// SkipHostname verifies the chain, not the name.
	SkipHostname bool
	// AltNames are accepted besides ServerName.
	AltNames []string
	// Authorities replace the system's trust store. Nil means the system's.
	Authorities *Authorities
	// RevocationLists count besides those in Authorities, and where the system's
	// store is trusted. Nil: none.
	RevocationLists *RevocationLists
	// Depth is as in [ClientAuth]; 0 means no limit.
	Depth int
	// Certificate is presented to endpoints that ask for one.
	Certificate *Certificate
	// MinVersion, MaxVersion and CipherSuites are as in [TLSPolicy].
	MinVersion, MaxVersion uint16
	CipherSuites           []uint16
}

// Security is the digest of what a connection had to prove: the minimum version
// and the demand for a client certificate, with authorities and revocation lists.
// A request is served only on a connection that proved what the request's host
// demands. It is comparable; the zero value is that of a plain connection.
type Security [sha256.Size]byte

// String returns the first 16 hex digits.
func (s Security) String() string { return hex.EncodeToString(s[:8]) }

// EffectivePolicy returns the policy of t, or else def, or else [Intermediate]. A nil
// t is a host that no Ingress declares.
func (t *TLS) EffectivePolicy(def *TLSPolicy) *TLSPolicy {
	if t != nil && t.Policy != nil {
		return t.Policy
	}
	return cmp.Or(def, Intermediate)
}

// Suites12 returns the suites of TLS 1.2 and older that p accepts.
func (p *TLSPolicy) Suites12() []uint16 {
	if p.CipherSuites == nil {
		return Intermediate.CipherSuites
	}
	return p.CipherSuites
}

// Security returns the digest of t with def as the default policy. A nil t is a
// host that no Ingress declares.
func (t *TLS) Security(def *TLSPolicy) Security {
	policy, auth := t.EffectivePolicy(def), (*ClientAuth)(nil)
	if t != nil {
		auth = t.ClientAuth
	}
	d := digest{}
	d.text("cardea security 1")
	d.number(uint64(cmp.Or(policy.MinVersion, tls.VersionTLS12)))
	if auth != nil {
		auth.digest(&d)
	}
	return d.sum()
}

func (a *ClientAuth) digest(d *digest) {
	d.text("client")
	d.number(uint64(a.Mode))
	d.number(uint64(a.Depth))
	d.text(a.MatchCN)
	d.number(uint64(len(a.MatchSANs)))
	for _, name := range a.MatchSANs {
		d.text(name)
	}
	if a.Authorities != nil {
		d.text(a.Authorities.Digest)
	}
	d.flag(a.ErrorPage != nil)
	a.RevocationLists.digest(d)
}

// digest adds nothing where there are no lists.
func (r *RevocationLists) digest(d *digest) {
	if r != nil {
		d.text("revocation lists")
		d.text(r.Digest)
	}
}

// Digest returns the digest of everything in p that a handshake depends on.
func (p *TLSPolicy) Digest() Security {
	d := digest{}
	d.text("cardea policy 1")
	d.number(uint64(p.MinVersion))
	d.number(uint64(p.MaxVersion))
	d.number(uint64(len(p.CipherSuites)))
	for _, id := range p.CipherSuites {
		d.number(uint64(id))
	}
	d.number(uint64(len(p.Curves)))
	for _, id := range p.Curves {
		d.number(uint64(id))
	}
	d.flag(p.RejectALPN)
	d.flag(p.NoTickets)
	return d.sum()
}

// Digest returns the digest, in hex, of everything in u.
func (u *UpstreamTLS) Digest() string {
	d := digest{}
	d.text("cardea upstream 1")
	d.text(u.ServerName)
	d.flag(u.NoSNI)
	d.flag(u.Insecure)
	d.flag(u.SkipHostname)
	names := slices.Sorted(slices.Values(u.AltNames))
	d.number(uint64(len(names)))
	for _, name := range names {
		d.text(name)
	}
	d.flag(u.Authorities != nil)
	if u.Authorities != nil {
		d.text(u.Authorities.Digest)
	}
	d.number(uint64(u.Depth))
	d.flag(u.Certificate != nil)
	if u.Certificate != nil {
		// One that was not parsed from PEM has no bundle.
		d.text(cmp.Or(u.Certificate.Bundle, u.Certificate.Digest))
	}
	d.number(uint64(u.MinVersion))
	d.number(uint64(u.MaxVersion))
	for _, id := range u.CipherSuites {
		d.number(uint64(id))
	}
	u.RevocationLists.digest(&d)
	s := d.sum()
	return hex.EncodeToString(s[:])
}

// digest collects values so that no two lists of values run together.
type digest struct{ b []byte }

func (d *digest) text(s string) {
	d.number(uint64(len(s)))
	d.b = append(d.b, s...)
}

func (d *digest) number(n uint64) { d.b = binary.BigEndian.AppendUint64(d.b, n) }

func (d *digest) flag(f bool) {
	if f {
		d.number(1)
	} else {
		d.number(0)
	}
}

func (d *digest) sum() Security { return sha256.Sum256(d.b) }
