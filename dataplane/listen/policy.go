package listen

import (
	"crypto/tls"
	"slices"
)

// The policy is Mozilla's "intermediate": TLS 1.2 with ECDHE and AEAD suites
// only, and TLS 1.3. The groups are crypto/tls's own default, post-quantum
// hybrids included.
const policyMinVersion = tls.VersionTLS12

var policySuites12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

var policySuites13 = []uint16{
	tls.TLS_AES_128_GCM_SHA256,
	tls.TLS_AES_256_GCM_SHA384,
	tls.TLS_CHACHA20_POLY1305_SHA256,
}

var (
	policyGroups12 = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	policyGroups13 = append([]tls.CurveID{
		tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
	}, policyGroups12...)
)

// mismatch says what of a ClientHello has nothing in common with the policy; nil
// if it fits. It only puts a name to what crypto/tls decides by itself: a client
// that has a certificate to get is never turned away because of it.
func mismatch(hello *tls.ClientHelloInfo) *refusal {
	suites, groups := policySuites13, policyGroups13
	if !slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
		if !slices.Contains(hello.SupportedVersions, tls.VersionTLS12) {
			return refuseVersion
		}
		suites, groups = policySuites12, policyGroups12
	}
	if !overlap(hello.CipherSuites, suites) {
		return refuseCipher
	}
	if !overlap(hello.SupportedCurves, groups) {
		return refuseCurve
	}
	return nil
}

func overlap[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}
