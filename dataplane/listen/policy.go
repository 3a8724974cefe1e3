package listen

import (
	"cmp"
	"crypto/tls"
	"slices"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func minVersion(p *snapshot.TLSPolicy) uint16 { return cmp.Or(p.MinVersion, tls.VersionTLS12) }
func maxVersion(p *snapshot.TLSPolicy) uint16 { return cmp.Or(p.MaxVersion, tls.VersionTLS13) }

// suites13 are those of TLS 1.3, between which crypto/tls chooses by itself.
var suites13 = []uint16{
	tls.TLS_AES_128_GCM_SHA256,
	tls.TLS_AES_256_GCM_SHA384,
	tls.TLS_CHACHA20_POLY1305_SHA256,
}

// The groups of crypto/tls's own default.
var (
	groups12 = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	groups13 = append([]tls.CurveID{
		tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
	}, groups12...)
)

// agreed returns the highest version that the client and the policy have in common,
// 0 if there is none.
func agreed(hello *tls.ClientHelloInfo, p *snapshot.TLSPolicy) (version uint16) {
	for _, v := range hello.SupportedVersions {
		if minVersion(p) <= v && v <= maxVersion(p) {
			version = max(version, v)
		}
	}
	return version
}

// cheaper returns the groups of p that the client is to be served from, if these are
// not all: without X25519 where TLS 1.2 leaves the choice between that and P-256. Both
// have the strength of 128 bits, and crypto/tls computes P-256 in three quarters of
// the time, but takes X25519 whatever the order in either list (the client's is a
// preference, RFC 8422 §5.1.1). With TLS 1.3 the client has made its share of the key
// already, and another group would cost a round trip.
func cheaper(hello *tls.ClientHelloInfo, p *snapshot.TLSPolicy) []tls.CurveID {
	if v := agreed(hello, p); v == 0 || v > tls.VersionTLS12 {
		return nil
	}
	groups := p.Curves
	if groups == nil {
		groups = groups12
	}
	for _, id := range []tls.CurveID{tls.X25519, tls.CurveP256} {
		if !slices.Contains(groups, id) || !slices.Contains(hello.SupportedCurves, id) {
			return nil
		}
	}
	return slices.DeleteFunc(slices.Clone(groups), func(id tls.CurveID) bool { return id == tls.X25519 })
}

// mismatch says what of a ClientHello has nothing in common with the policy; nil
// if it fits. It only puts a name to what crypto/tls decides by itself: a client
// that has a certificate to get is never turned away because of it.
func mismatch(hello *tls.ClientHelloInfo, p *snapshot.TLSPolicy) *refusal {
	version := agreed(hello, p)
	if version == 0 {
		return refuseVersion
	}
	suites, groups := suites13, groups13
	if version < tls.VersionTLS13 {
		suites, groups = p.Suites12(), groups12
	}
	if !overlap(hello.CipherSuites, suites) {
		return refuseCipher
	}
	common := func(id tls.CurveID) bool {
		return slices.Contains(groups, id) && (p.Curves == nil || slices.Contains(p.Curves, id))
	}
	if !slices.ContainsFunc(hello.SupportedCurves, common) {
		return refuseCurve
	}
	return nil
}

func overlap[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}
