package snapshot

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"
)

// RevocationLists are revocation lists that do not come with the authorities that
// signed them: those of the operator. They count wherever a verified chain has an
// issuer of theirs, at whichever depth, and whichever authorities it was verified
// with. They are immutable but for what they remember of signatures, and safe for
// concurrent use.
type RevocationLists struct {
	// Origin is the file they come from, the first if they are several.
	Origin Origin
	// Digest is the SHA-256, in hex, of the lists in their order.
	Digest string

	// bySubject holds them by the subject of their issuer, in DER.
	bySubject map[string][]*looseList
	count     int
	renewal   time.Time
}

// A looseList is a list of which it is not known yet whose it is: several
// authorities may have one name.
type looseList struct {
	revocationList
	// issued maps a public key, in DER, to whether that key has signed the list.
	issued sync.Map
}

// ParseRevocationLists parses files of revocation lists, in PEM, any number in a
// file, or one in DER. names say where each is from; they are in the error, which
// quotes no content. It does not look at validity dates: [RevocationLists.Check]
// does.
func ParseRevocationLists(names []string, files [][]byte) (*RevocationLists, error) {
	r := &RevocationLists{bySubject: make(map[string][]*looseList)}
	if len(names) > 0 {
		r.Origin = Origin{Kind: "File", Name: names[0]}
	}
	d := digest{}
	d.text("cardea revocation lists 1")
	add := func(der []byte) error {
		list, err := parseList(der)
		if err != nil {
			return err
		}
		d.text(string(der))
		r.bySubject[string(list.RawIssuer)] = append(r.bySubject[string(list.RawIssuer)], &looseList{revocationList: list})
		r.count++
		if end := list.NextUpdate; !end.IsZero() && (r.renewal.IsZero() || end.Before(r.renewal)) {
			r.renewal = end
		}
		return nil
	}
	for i, file := range files {
		err := eachBlock(names[i], file, "X509 CRL", add)
		if len(file) > 0 && !bytes.Contains(file, []byte("-----BEGIN ")) {
			if err = add(file); err != nil {
				err = fmt.Errorf("%s is neither PEM nor a list in DER: %s", names[i], strings.TrimPrefix(err.Error(), "x509: "))
			}
		}
		if err != nil {
			return nil, err
		}
	}
	s := d.sum()
	r.Digest = hex.EncodeToString(s[:])
	return r, nil
}

// Len returns the number of lists.
func (r *RevocationLists) Len() int { return r.count }

// NextUpdate returns when the first of the lists is to have been renewed; from then
// on what its issuer has signed is not accepted. Zero if none says so.
func (r *RevocationLists) NextUpdate() time.Time { return r.renewal }

// Check looks up the certificates of a verified chain, leaf first. Where an issuer
// in the chain has signed any of the lists, one of these must be current, and the
// certificate must not be on any. The error is a [*RevocationError]. A nil r has no
// lists.
func (r *RevocationLists) Check(chain []*x509.Certificate, now time.Time) error {
	if r == nil {
		return nil
	}
	for i := 0; i+1 < len(chain); i++ {
		c, issuer := chain[i], chain[i+1]
		var lists []*revocationList
		for _, l := range r.bySubject[string(issuer.RawSubject)] {
			if l.issuedBy(issuer) {
				lists = append(lists, &l.revocationList)
			}
		}
		if len(lists) == 0 {
			continue
		}
		if err := lookUp(lists, c, issuer, now); err != nil {
			return err
		}
	}
	return nil
}

// issuedBy reports whether the key of issuer has signed the list. Whether it was
// meant to sign lists (KeyUsage) is not asked: a list can only take trust away.
func (l *looseList) issuedBy(issuer *x509.Certificate) bool {
	key := string(issuer.RawSubjectPublicKeyInfo)
	if known, ok := l.issued.Load(key); ok {
		return known.(bool)
	}
	signed := issuer.CheckSignature(l.SignatureAlgorithm, l.RawTBSRevocationList, l.Signature) == nil
	l.issued.Store(key, signed)
	return signed
}

// parseList parses a revocation list that can be used by itself. Its issuer is not
// known yet.
func parseList(der []byte) (revocationList, error) {
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return revocationList{}, err
	}
	scope, err := scopeOf(crl)
	if err != nil {
		return revocationList{}, err
	}
	switch crl.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.UnknownSignatureAlgorithm:
		// crypto/x509 verifies none of these, so that the list would be nobody's.
		return revocationList{}, fmt.Errorf("it is signed with %s, which is not accepted; have it signed with SHA-256", crl.SignatureAlgorithm)
	}
	return revocationList{RevocationList: crl, serials: serials(crl), scope: scope}, nil
}

// serials is the set of the serial numbers on a list.
func serials(crl *x509.RevocationList) map[string]struct{} {
	set := make(map[string]struct{}, len(crl.RevokedCertificateEntries))
	for i := range crl.RevokedCertificateEntries {
		set[string(crl.RevokedCertificateEntries[i].SerialNumber.Bytes())] = struct{}{}
	}
	return set
}
