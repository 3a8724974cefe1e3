package snapshot

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// A revocationScope says which certificates of its issuer a list is about: only
// those can be known from it not to be revoked. The zero value is about all.
type revocationScope struct {
	// users and authorities say that it is about certificates of that kind alone,
	// partial that it never tells all, as it leaves out some reasons, or is about
	// attribute certificates.
	users, authorities, partial bool
	// names, if any, are those of the distribution point, in DER: it is about
	// certificates that name it.
	names [][]byte
}

// The extensions of RFC 5280 §4.2.1.13, §5.2 and §5.3 that are looked at.
var (
	oidAuthorityKey       = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidListNumber         = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReasonCode         = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidityDate     = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidDeltaIndicator     = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingPoint       = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidDistributionPoints = asn1.ObjectIdentifier{2, 5, 29, 31}
)

// The types of RFC 5280 §4.2.1.13 and §5.2.5.
type (
	distributionPointName struct {
		FullName     []asn1.RawValue `asn1:"optional,tag:0"`
		RelativeName asn1.RawValue   `asn1:"optional,tag:1"`
	}
	distributionPoint struct {
		Name      distributionPointName `asn1:"optional,tag:0"`
		Reasons   asn1.BitString        `asn1:"optional,tag:1"`
		CRLIssuer asn1.RawValue         `asn1:"optional,tag:2"`
	}
	issuingPoint struct {
		Name            distributionPointName `asn1:"optional,tag:0"`
		OnlyUsers       bool                  `asn1:"optional,tag:1"`
		OnlyAuthorities bool                  `asn1:"optional,tag:2"`
		OnlySomeReasons asn1.BitString        `asn1:"optional,tag:3"`
		Indirect        bool                  `asn1:"optional,tag:4"`
		OnlyAttributes  bool                  `asn1:"optional,tag:5"`
	}
)

// scopeOf reads what the extensions of a list say about its scope, and refuses a list
// that cannot be used by itself.
//
// RFC 5280 §5.2: "If a CRL contains a critical extension that the application cannot
// process, then the application MUST NOT use that CRL to determine the status of
// certificates." §5.3 says the same of entries.
func scopeOf(crl *x509.RevocationList) (s revocationScope, err error) {
	for _, e := range crl.Extensions {
		switch {
		case e.Id.Equal(oidDeltaIndicator):
			return s, errors.New("it is a delta list, which says only what changed since another one; the complete list is needed")
		case e.Id.Equal(oidIssuingPoint):
			if s, err = readIssuingPoint(e.Value); err != nil {
				return s, err
			}
		case e.Critical && !e.Id.Equal(oidAuthorityKey) && !e.Id.Equal(oidListNumber):
			return s, fmt.Errorf("it has the critical extension %s, which is not understood, so that it must not be used", e.Id)
		}
	}
	for i := range crl.RevokedCertificateEntries {
		entry := &crl.RevokedCertificateEntries[i]
		if j := slices.IndexFunc(entry.Extensions, foreignToEntries); j >= 0 {
			return s, fmt.Errorf("its entry %d has the critical extension %s, which is not understood, so that it must not be used", i+1, entry.Extensions[j].Id)
		}
	}
	return s, nil
}

// foreignToEntries reports whether an extension of an entry keeps the list from being
// used.
func foreignToEntries(e pkix.Extension) bool {
	return e.Critical && !e.Id.Equal(oidReasonCode) && !e.Id.Equal(oidInvalidityDate)
}

func readIssuingPoint(der []byte) (s revocationScope, err error) {
	var p issuingPoint
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return s, errors.New("its issuing distribution point is malformed")
	}
	if p.Indirect {
		return s, errors.New("it is an indirect list, which is about certificates of others, too; the list of the issuer itself is needed")
	}
	s.users, s.authorities = p.OnlyUsers, p.OnlyAuthorities
	// A name that is relative to the issuer's is in no use that we know of, and a list
	// that has one is about nothing that could be recognised.
	s.partial = p.OnlyAttributes || p.OnlySomeReasons.BitLength > 0 || len(p.Name.RelativeName.FullBytes) > 0
	for _, name := range p.Name.FullName {
		s.names = append(s.names, name.FullBytes)
	}
	return s, nil
}

// covers reports whether a list of that scope says all about c, which its issuer has
// issued.
func (s *revocationScope) covers(c *x509.Certificate) bool {
	switch {
	case s.partial, s.users && c.IsCA, s.authorities && !c.IsCA:
		return false
	case len(s.names) == 0:
		return true
	}
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidDistributionPoints) })
	if i < 0 {
		return false
	}
	var points []distributionPoint
	if rest, err := asn1.Unmarshal(c.Extensions[i].Value, &points); err != nil || len(rest) > 0 {
		return false
	}
	return slices.ContainsFunc(points, func(p distributionPoint) bool {
		return len(p.CRLIssuer.FullBytes) == 0 && slices.ContainsFunc(p.Name.FullName, func(name asn1.RawValue) bool {
			return slices.ContainsFunc(s.names, func(of []byte) bool { return bytes.Equal(name.FullBytes, of) })
		})
	})
}
