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

// mismatch says what of a ClientHello has nothing in common with the policy; nil
// if it fits. It only puts a name to what crypto/tls decides by itself: a client
// that has a certificate to get is never turned away because of it.
func mismatch(hello *tls.ClientHelloInfo, p *snapshot.TLSPolicy) *refusal {
	version := uint16(0)
	for _, v := range hello.SupportedVersions {
		if minVersion(p) <= v && v <= maxVersion(p) {
			version = max(version, v)
		}
	}
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
