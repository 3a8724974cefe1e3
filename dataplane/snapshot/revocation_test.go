package snapshot_test

import (
	"bytes"
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

func TestParseRevocationLists(t *testing.T) {
	a, b := newAuthority(t, "a", 1, nil), newAuthority(t, "b", 2, nil)
	der, _ := pem.Decode(a.crl(t, 7))
	change := &x509.RevocationList{
		Number: big.NewInt(2), ThisUpdate: begun, NextUpdate: begun.AddDate(0, 0, 1),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}},
	}
	delta, err := x509.CreateRevocationList(nil, change, a.Certificate, a.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		files [][]byte
		err   string
		count int
	}{
		{"none", nil, "", 0},
		{"PEM", [][]byte{a.crl(t)}, "", 1},
		{"DER", [][]byte{der.Bytes}, "", 1},
		{"two in a file, one in another", [][]byte{join(a.crl(t), []byte("# b\n"), b.crl(t)), der.Bytes}, "", 3},

		{"empty", [][]byte{nil}, "0.crl is empty", 0},
		{"half of one", [][]byte{a.crl(t), b.crl(t)[:100]}, "1.crl holds 1 PEM blocks of which 0 can be read", 0},
		{"half of DER", [][]byte{der.Bytes[:50]}, "0.crl is neither PEM nor a list in DER: malformed crl", 0},
		{"a certificate", [][]byte{a.pem()}, `0.crl holds a PEM block of type "CERTIFICATE", want "X509 CRL" only`, 0},
		{"a delta list", [][]byte{delta}, "0.crl is neither PEM nor a list in DER: it is a delta list", 0},
		{"a delta list in PEM", [][]byte{pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: delta})}, "0.crl: PEM block 1: it is a delta list", 0},
	} {
		got, err := snapshot.ParseRevocationLists([]string{"0.crl", "1.crl"}[:len(c.files)], c.files)
		if c.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("%s: ParseRevocationLists = %v, want error %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || got.Len() != c.count {
			t.Errorf("%s: ParseRevocationLists = %v, %v, want %d lists", c.name, got, err, c.count)
		}
		if c.count > 0 && !got.NextUpdate().Equal(begun.AddDate(0, 0, 1)) {
			t.Errorf("%s: NextUpdate = %v, want that of the first list to end", c.name, got.NextUpdate())
		}
	}
}

// TestRow54ListsOfTheOperator: a list that did not come with the authorities
// counts for what its issuer has signed, an intermediate that no bundle holds
// included, and for nothing else.
func TestRow54ListsOfTheOperator(t *testing.T) {
	root := newAuthority(t, "root", 1, nil)
	middle := newAuthority(t, "middle", 2, root)
	namesake := newAuthority(t, "middle", 3, nil)
	namesake.key = newAuthority(t, "x", 4, nil).key
	namesake.Certificate = sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "middle"}, NotBefore: begun, NotAfter: begun.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, root, namesake.key)
	chain := []*x509.Certificate{middle.leaf(t, 40), middle.Certificate, root.Certificate}
	noon := begun.Add(12 * time.Hour)
	for _, c := range []struct {
		name    string
		lists   []byte
		at      time.Time
		err     string
		revoked bool
	}{
		{"of nobody in the chain", newAuthority(t, "other", 5, nil).crl(t, 40, 2), noon, "", false},
		{"of one issuer, and clean", middle.crl(t, 41), noon, "", false},
		{"the leaf", middle.crl(t, 40), noon, `the certificate of "CN=leaf" with serial number 28 is revoked`, true},
		{"the intermediate", root.crl(t, 2), noon, `the certificate of "CN=middle" with serial number 2 is revoked`, true},
		{"of a namesake", namesake.crl(t, 40), noon, "", false},
		{"of a namesake, too", join(namesake.crl(t), middle.crl(t, 40)), noon, `the certificate of "CN=leaf" with serial number 28 is revoked`, true},
		{"out of date", middle.crl(t), begun.AddDate(0, 0, 2), `the revocation list of "CN=middle" was to be renewed by 2026-01-02T00:00:00Z`, false},
		{"a list of a namesake is current", join(namesake.crl(t), middle.crl(t)), begun.Add(-time.Hour), `the revocation list of "CN=middle" is valid from 2026-01-01T00:00:00Z on`, false},
	} {
		lists, err := snapshot.ParseRevocationLists([]string{"lists"}, [][]byte{c.lists})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from memory
			err = lists.Check(chain, c.at)
			if c.err == "" {
				if err != nil {
					t.Errorf("%s: Check = %v, want nil", c.name, err)
				}
				continue
			}
			got, ok := errors.AsType[*snapshot.RevocationError](err)
			if !ok || got.Error() != c.err || got.Revoked != c.revoked {
				t.Errorf("%s: Check = %v, want %q with Revoked %v", c.name, err, c.err, c.revoked)
			}
		}
	}
	var none *snapshot.RevocationLists
	if err := none.Check(chain, noon); err != nil {
		t.Errorf("Check of no lists = %v, want nil", err)
	}
}

// Lists are part of what a connection has to prove, and of what a pool trusts.
func TestRevocationListsAreInTheDigests(t *testing.T) {
	a := newAuthority(t, "a", 1, nil)
	parse := func(crl []byte) *snapshot.RevocationLists {
		lists, err := snapshot.ParseRevocationLists([]string{"f"}, [][]byte{crl})
		if err != nil {
			t.Fatal(err)
		}
		return lists
	}
	one, two := parse(a.crl(t, 1)), parse(a.crl(t, 2))
	security := func(l *snapshot.RevocationLists) string {
		s := (&snapshot.TLS{ClientAuth: &snapshot.ClientAuth{RevocationLists: l}}).Security(nil)
		return string(s[:])
	}
	pool := func(l *snapshot.RevocationLists) string {
		return (&snapshot.UpstreamTLS{ServerName: "x", RevocationLists: l}).Digest()
	}
	for name, digest := range map[string]func(*snapshot.RevocationLists) string{"Security": security, "UpstreamTLS.Digest": pool} {
		if digest(one) == digest(two) || digest(one) == digest(nil) || digest(one) != digest(parse(a.crl(t, 1))) {
			t.Errorf("%s does not tell lists apart by their content", name)
		}
	}
	if bytes.Contains([]byte(one.Digest), []byte("BEGIN")) || len(one.Digest) != 64 {
		t.Errorf("Digest = %q, want a SHA-256 in hex", one.Digest)
	}
}
