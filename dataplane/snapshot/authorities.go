package snapshot

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ParseAuthorities parses a bundle of PEM certificates and, if crlPEM is not
// empty, PEM revocation lists, each of which must be signed by one of the
// certificates. It is strict, because what it leaves out would not be trusted, or
// not be revoked: every block must parse and be of the right kind. It does not look
// at validity dates. The error is for the owner of the object: it names the key
// ("ca.crt", "ca.crl"), or the file if origin is one, and never quotes its content.
//
// A certificate that is not an authority's is accepted: it is trusted by itself and
// signs nothing.
func ParseAuthorities(origin Origin, caPEM, crlPEM []byte) (*Authorities, error) {
	a := &Authorities{Origin: origin, Pool: x509.NewCertPool()}
	key := "ca.crt"
	if origin.Kind == "File" {
		key = origin.Name
	}
	err := eachBlock(key, caPEM, "CERTIFICATE", func(der []byte) error {
		c, err := x509.ParseCertificate(der)
		if err == nil && !slices.ContainsFunc(a.Certificates, c.Equal) {
			a.Certificates = append(a.Certificates, c)
			a.Pool.AddCert(c)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(crlPEM) > 0 {
		err = eachBlock("ca.crl", crlPEM, "X509 CRL", a.addList)
	}
	if err != nil {
		return nil, err
	}
	a.issuers = issuersWithin(a.Certificates)
	a.Digest = a.digest()
	return a, nil
}

// issuersWithin maps those of certificates that another one has issued, in DER, to
// that one. Whether it was meant to sign (KeyUsage) is not asked: what it says of a
// certificate can only take trust away.
func issuersWithin(certificates []*x509.Certificate) map[string]*x509.Certificate {
	var issuers map[string]*x509.Certificate
	for _, c := range certificates {
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			continue
		}
		for _, by := range certificates {
			if !bytes.Equal(by.RawSubject, c.RawIssuer) || by.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
				continue
			}
			if issuers == nil {
				issuers = make(map[string]*x509.Certificate)
			}
			issuers[string(c.Raw)] = by
			break
		}
	}
	return issuers
}

// Lineage returns a verified chain, leaf first, led on from the authority at which
// it ends to those of a that have issued it. A certificate of the bundle is trusted
// by itself, so that a chain ends at it also if it is an intermediate; whether it is
// revoked is for its issuer to say. chain is not changed; a may be nil.
func (a *Authorities) Lineage(chain []*x509.Certificate) []*x509.Certificate {
	if a == nil || len(a.issuers) == 0 || len(chain) == 0 {
		return chain
	}
	whole := slices.Clip(chain)
	for range a.issuers { // each leads on once, or they are a circle
		issuer := a.issuers[string(whole[len(whole)-1].Raw)]
		if issuer == nil {
			break
		}
		whole = append(whole, issuer)
	}
	return whole
}

// From returns the same authorities as those of another object. It shares all that
// they are made of.
func (a *Authorities) From(origin Origin) *Authorities {
	same := *a
	same.Origin = origin
	return &same
}

// eachBlock calls each for the blocks of text, all of which must be of one type.
// Text between blocks is a comment, as OpenSSL writes it.
func eachBlock(key string, text []byte, kind string, each func(der []byte) error) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return fmt.Errorf("%s is empty", key)
	}
	begun := bytes.Count(text, []byte("-----BEGIN "))
	read := 0
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		read++
		if block.Type != kind {
			return fmt.Errorf("%s holds a PEM block of type %q, want %q only", key, block.Type, kind)
		}
		if err := each(block.Bytes); err != nil {
			return fmt.Errorf("%s: PEM block %d: %s", key, read, strings.TrimPrefix(err.Error(), "x509: "))
		}
	}
	switch {
	case begun == 0:
		return fmt.Errorf("%s holds no PEM", key)
	case read != begun:
		return fmt.Errorf("%s holds %d PEM blocks of which %d can be read", key, begun, read)
	}
	return nil
}

// A revocationList is a CRL with its issuer, its serial numbers and what it is about.
type revocationList struct {
	*x509.RevocationList
	issuer  *x509.Certificate
	serials map[string]struct{}
	scope   revocationScope
}

// addList takes in a CRL, if one of the certificates has signed it.
func (a *Authorities) addList(der []byte) error {
	list, err := parseList(der)
	if err != nil {
		return err
	}
	crl := list.RevocationList
	err = fmt.Errorf("its issuer %q is not in ca.crt", crl.Issuer)
	for _, c := range a.Certificates {
		if !bytes.Equal(c.RawSubject, crl.RawIssuer) {
			continue
		}
		if err = crl.CheckSignatureFrom(c); err != nil {
			err = fmt.Errorf("%q in ca.crt has not signed it: %s", crl.Issuer, strings.TrimPrefix(err.Error(), "x509: "))
			continue
		}
		list.issuer = c
		a.CRLs = append(a.CRLs, crl)
		a.lists = append(a.lists, list)
		return nil
	}
	return err
}

func (a *Authorities) digest() string {
	d := digest{}
	d.text("cardea authorities 1")
	d.number(uint64(len(a.Certificates)))
	for _, c := range a.Certificates {
		d.text(string(c.Raw))
	}
	for _, l := range a.CRLs {
		d.text(string(l.Raw))
	}
	s := d.sum()
	return hex.EncodeToString(s[:])
}

// A RevocationError says that a certificate is revoked, or that it cannot be told
// whether it is. Its text is for the owner of the bundle.
type RevocationError struct {
	// Certificate is the one in the chain; Issuer has signed it.
	Certificate, Issuer *x509.Certificate
	// Revoked is false if there is no current list of Issuer.
	Revoked bool
	problem string
}

func (e *RevocationError) Error() string { return e.problem }

// CheckRevocation looks up the certificates of a verified chain, leaf first, in
// the CRLs. If there is any CRL, each certificate in its [Authorities.Lineage] must
// have a current list of its issuer, and not be on it. What an intermediate has
// signed that is in the chain alone and not in a.Certificates has none, and is not
// accepted. The error is a [*RevocationError]. Nothing is fetched.
func (a *Authorities) CheckRevocation(chain []*x509.Certificate, now time.Time) error {
	if len(a.CRLs) == 0 {
		return nil
	}
	if len(a.lists) != len(a.CRLs) {
		return errors.New("snapshot: authorities with revocation lists that ParseAuthorities did not make")
	}
	chain = a.Lineage(chain)
	for i := 0; i+1 < len(chain); i++ {
		c, issuer := chain[i], chain[i+1]
		if err := a.revoked(c, issuer, now); err != nil {
			return err
		}
	}
	return nil
}

// sameAuthority reports whether a and b are one authority: its certificate may
// have been renewed with the same key.
func sameAuthority(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

func (a *Authorities) revoked(c, issuer *x509.Certificate, now time.Time) error {
	var lists []*revocationList
	for i := range a.lists {
		if sameAuthority(a.lists[i].issuer, issuer) {
			lists = append(lists, &a.lists[i])
		}
	}
	return lookUp(lists, c, issuer, now)
}

// lookUp looks c up in the lists of its issuer, one of which must be current and about
// c.
func lookUp(lists []*revocationList, c, issuer *x509.Certificate, now time.Time) error {
	err := &RevocationError{Certificate: c, Issuer: issuer}
	err.problem = fmt.Sprintf("there is no revocation list of %q", issuer.Subject)
	current := false
	for _, l := range lists {
		if _, ok := l.serials[string(c.SerialNumber.Bytes())]; ok {
			// Also by a list that is out of date: a revocation is not taken back.
			err.Revoked = true
			err.problem = fmt.Sprintf("the certificate of %q with serial number %x is revoked", c.Subject, c.SerialNumber)
			return err
		}
		switch {
		case !l.scope.covers(c):
			err.problem = fmt.Sprintf("the revocation list of %q is not about the certificate of %q", issuer.Subject, c.Subject)
		case now.Before(l.ThisUpdate):
			err.problem = fmt.Sprintf("the revocation list of %q is valid from %s on", issuer.Subject, l.ThisUpdate.UTC().Format(time.RFC3339))
		case !l.NextUpdate.IsZero() && now.After(l.NextUpdate):
			err.problem = fmt.Sprintf("the revocation list of %q was to be renewed by %s", issuer.Subject, l.NextUpdate.UTC().Format(time.RFC3339))
		default:
			current = true
		}
	}
	if current {
		return nil
	}
	return err
}
