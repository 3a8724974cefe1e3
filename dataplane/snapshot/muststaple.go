package snapshot

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// oidFeature is the extension by which a certificate demands features of TLS of
// whoever serves it, and statusRequest the feature of a stapled OCSP response (RFC
// 7633 §4.2.1, RFC 6066 §8).
var oidFeature = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}

const statusRequest = 5

// mustStaple reports whether leaf demands that a response is stapled: clients that
// honour it refuse the certificate without.
func mustStaple(leaf *x509.Certificate) bool {
	for _, e := range leaf.Extensions {
		var features []int
		if e.Id.Equal(oidFeature) {
			if _, err := asn1.Unmarshal(e.Value, &features); err == nil {
				return slices.Contains(features, statusRequest)
			}
		}
	}
	return false
}
