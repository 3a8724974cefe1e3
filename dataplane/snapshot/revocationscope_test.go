package snapshot_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// element is a DER element of the class context-specific.
func element(tag int, constructed bool, content ...[]byte) []byte {
	b, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: constructed, Bytes: bytes.Join(content, nil)})
	if err != nil {
		panic(err)
	}
	return b
}

// issuingPoint is the extension of RFC 5280 §5.2.5, critical as it must be.
func issuingPoint(fields ...[]byte) pkix.Extension {
	content := bytes.Join(fields, nil)
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: append([]byte{0x30, byte(len(content))}, content...)}
}

var (
	onlyUsers       = element(1, false, []byte{0xff})
	onlyAuthorities = element(2, false, []byte{0xff})
	onlyKeyReasons  = element(3, false, []byte{6, 0x40})
	indirect        = element(4, false, []byte{0xff})
	onlyAttributes  = element(5, false, []byte{0xff})
)

// pointAt is the name of a distribution point: a URL.
func pointAt(url string) []byte {
	return element(0, true, element(0, true, element(6, false, []byte(url))))
}

// list is a list that is current for a day.
func (a *authority) list(t *testing.T, change func(*x509.RevocationList), extensions ...pkix.Extension) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: begun, NextUpdate: begun.AddDate(0, 0, 1), ExtraExtensions: extensions}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateRevocationList(nil, template, a.Certificate, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// TestRow54PartialLists: a list that is about some of the certificates of its issuer
// says nothing of the others, so that they cannot be known not to be revoked. On it
// they are revoked all the same.
func TestRow54PartialLists(t *testing.T) {
	root := newAuthority(t, "root", 1, nil)
	leaf := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(40), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: begun, NotAfter: begun.AddDate(1, 0, 0),
		CRLDistributionPoints: []string{"ldap://a.example/crl", "http://a.example/3.crl"},
	}, root, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)))
	unplaced, middle := root.leaf(t, 40), newAuthority(t, "middle", 40, root).Certificate
	revoking := func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(40), RevocationTime: begun}}
	}
	const other = `the revocation list of "CN=root" is not about the certificate of "CN=`
	const revoked = `" with serial number 28 is revoked`
	for _, c := range []struct {
		name string
		of   *x509.Certificate
		list []byte
		err  string
	}{
		{"complete", leaf, root.list(t, nil), ""},
		{"with an empty extension", leaf, root.list(t, nil, issuingPoint()), ""},
		{"of users, a user", leaf, root.list(t, nil, issuingPoint(onlyUsers)), ""},
		{"of users, an authority", middle, root.list(t, nil, issuingPoint(onlyUsers)), other + `middle"`},
		{"of authorities, a user", leaf, root.list(t, nil, issuingPoint(onlyAuthorities)), other + `leaf"`},
		{"of authorities, an authority", middle, root.list(t, nil, issuingPoint(onlyAuthorities)), ""},
		{"both", leaf, join(root.list(t, nil, issuingPoint(onlyAuthorities)), root.list(t, nil, issuingPoint(onlyUsers))), ""},
		{"of some reasons", leaf, root.list(t, nil, issuingPoint(onlyKeyReasons)), other + `leaf"`},
		{"of attributes", leaf, root.list(t, nil, issuingPoint(onlyAttributes)), other + `leaf"`},
		{"of its point", leaf, root.list(t, nil, issuingPoint(pointAt("http://a.example/3.crl"), onlyUsers)), ""},
		{"of another point", leaf, root.list(t, nil, issuingPoint(pointAt("http://a.example/4.crl"))), other + `leaf"`},
		{"of a point, of which the certificate names none", unplaced, root.list(t, nil, issuingPoint(pointAt("http://a.example/3.crl"))), other + `leaf"`},
		{"of another point, and on it", leaf, root.list(t, revoking, issuingPoint(pointAt("http://a.example/4.crl"))), `the certificate of "CN=leaf` + revoked},
		{"of authorities, and on it", leaf, root.list(t, revoking, issuingPoint(onlyAuthorities)), `the certificate of "CN=leaf` + revoked},
	} {
		chain := []*x509.Certificate{c.of, root.Certificate}
		bundle, err := snapshot.ParseAuthorities(snapshot.Origin{}, root.pem(), c.list)
		if err != nil {
			t.Errorf("%s: ParseAuthorities = %v", c.name, err)
			continue
		}
		lists, err := snapshot.ParseRevocationLists([]string{"crl"}, [][]byte{c.list})
		if err != nil {
			t.Errorf("%s: ParseRevocationLists = %v", c.name, err)
			continue
		}
		for check, err := range map[string]error{
			"CheckRevocation": bundle.CheckRevocation(chain, begun.Add(time.Hour)),
			"Check":           lists.Check(chain, begun.Add(time.Hour)),
		} {
			if (err == nil) != (c.err == "") {
				t.Errorf("%s: %s = %v, want %q", c.name, check, err, c.err)
			} else if got, ok := errors.AsType[*snapshot.RevocationError](err); err != nil && (!ok || got.Error() != c.err || got.Revoked != strings.HasSuffix(c.err, "revoked")) {
				t.Errorf("%s: %s = %v, want %q", c.name, check, err, c.err)
			}
		}
	}
}

// TestRow54ListsThatMustNotBeUsed: a list whose meaning depends on what is not
// understood is refused where its owner sees it.
func TestRow54ListsThatMustNotBeUsed(t *testing.T) {
	root := newAuthority(t, "root", 1, nil)
	foreign := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1}, Critical: true, Value: []byte{5, 0}}
	entry := func(e pkix.Extension) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(2), RevocationTime: begun, ExtraExtensions: []pkix.Extension{e}}}
		}
	}
	harmless := foreign
	harmless.Critical = false
	for _, c := range []struct {
		name string
		list []byte
		err  string
	}{
		{"indirect", root.list(t, nil, issuingPoint(indirect)), "it is an indirect list"},
		{"malformed", root.list(t, nil, pkix.Extension{Id: issuingPoint().Id, Critical: true, Value: []byte("\x30\x03\x81")}), "its issuing distribution point is malformed"},
		{"an extension", root.list(t, nil, foreign), "it has the critical extension 1.3.6.1.4.1.1, which is not understood"},
		{"an extension that is not critical", root.list(t, nil, harmless), ""},
		{"an extension of an entry", root.list(t, entry(foreign)), "its entry 1 has the critical extension 1.3.6.1.4.1.1, which is not understood"},
		{"an extension of an entry that is not critical", root.list(t, entry(harmless)), ""},
	} {
		_, bundled := snapshot.ParseAuthorities(snapshot.Origin{}, root.pem(), c.list)
		_, loose := snapshot.ParseRevocationLists([]string{"crl"}, [][]byte{c.list})
		for where, err := range map[string]error{"ca.crl": bundled, "crl": loose} {
			if want := where + ": PEM block 1: " + c.err; c.err == "" && err != nil || c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", c.name, err, want)
			}
		}
	}
}
