package snapshot_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

var begun = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// An authority of the tests signs certificates and revocation lists.
type authority struct {
	*x509.Certificate
	key ed25519.PrivateKey
}

// newAuthority makes one signed by parent, or by itself.
func newAuthority(t *testing.T, name string, serial int64, parent *authority) *authority {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{name[0]}, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: begun, NotAfter: begun.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	signer := &authority{template, key}
	if parent != nil {
		signer = parent
	}
	return &authority{sign(t, template, signer, key), key}
}

func sign(t *testing.T, template *x509.Certificate, by *authority, key ed25519.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(nil, template, by.Certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (a *authority) leaf(t *testing.T, serial int64) *x509.Certificate {
	t.Helper()
	return sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: begun, NotAfter: begun.AddDate(1, 0, 0),
	}, a, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)))
}

// crl makes a list of serial numbers that is current for a day.
func (a *authority) crl(t *testing.T, serials ...int64) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: begun, NextUpdate: begun.AddDate(0, 0, 1)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: big.NewInt(s), RevocationTime: begun,
		})
	}
	der, err := x509.CreateRevocationList(nil, list, a.Certificate, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Raw})
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestParseAuthorities(t *testing.T) {
	a, b := newAuthority(t, "a", 1, nil), newAuthority(t, "b", 2, nil)
	impostor := &authority{a.Certificate, b.key}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")})
	noSign := newAuthority(t, "c", 3, nil)
	noSign.KeyUsage = x509.KeyUsageCertSign
	noSign.Certificate = sign(t, noSign.Certificate, &authority{noSign.Certificate, noSign.key}, noSign.key)
	for _, c := range []struct {
		name        string
		ca, crl     []byte
		err         string
		count, crls int
	}{
		{"one", a.pem(), nil, "", 1, 0},
		{"two with comments", join([]byte("# a\n"), a.pem(), []byte("# b\n"), b.pem()), nil, "", 2, 0},
		{"the same twice is one", join(a.pem(), a.pem()), nil, "", 1, 0},
		{"a leaf", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.leaf(t, 9).Raw}), nil, "", 1, 0},
		{"a list of each", join(a.pem(), b.pem()), join(b.crl(t), a.crl(t, 1, 2)), "", 2, 2},

		{"nothing", nil, nil, "ca.crt is empty", 0, 0},
		{"space", []byte(" \n"), nil, "ca.crt is empty", 0, 0},
		{"no PEM", []byte("trust me"), nil, "ca.crt holds no PEM", 0, 0},
		{"a key", join(a.pem(), key), nil, `ca.crt holds a PEM block of type "PRIVATE KEY", want "CERTIFICATE" only`, 0, 0},
		{"a block that is cut", join(a.pem(), b.pem()[:100]), nil, "ca.crt holds 2 PEM blocks of which 1 can be read", 0, 0},
		{"a block that is no certificate", join(a.pem(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), nil, "ca.crt: PEM block 2: malformed certificate", 0, 0},
		{"bytes after a certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(bytes.Clone(a.Raw), 0)}), nil, "ca.crt: PEM block 1: trailing data", 0, 0},
		{"a list that is space", a.pem(), []byte("\n"), "ca.crl is empty", 0, 0},
		{"a certificate as a list", a.pem(), a.pem(), `ca.crl holds a PEM block of type "CERTIFICATE", want "X509 CRL" only`, 0, 0},
		{"a list of another", a.pem(), b.crl(t), `ca.crl: PEM block 1: its issuer "CN=b" is not in ca.crt`, 0, 0},
		{"a list that is forged", a.pem(), impostor.crl(t), `ca.crl: PEM block 1: "CN=a" in ca.crt has not signed it: Ed25519 verification failure`, 0, 0},
		{"a list of one that may not", noSign.pem(), (&authority{newAuthority(t, "c", 3, nil).Certificate, noSign.key}).crl(t), `ca.crl: PEM block 1: "CN=c" in ca.crt has not signed it: `, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := snapshot.ParseAuthorities(snapshot.Origin{Kind: "Secret"}, c.ca, c.crl)
			if c.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.err) {
					t.Fatalf("ParseAuthorities = %v, want error %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatalf("ParseAuthorities = %v", err)
			}
			if len(got.Certificates) != c.count || len(got.CRLs) != c.crls || got.Origin.Kind != "Secret" {
				t.Errorf("ParseAuthorities = %d certificates and %d lists of %v, want %d, %d of Secret", len(got.Certificates), len(got.CRLs), got.Origin, c.count, c.crls)
			}
			if opts := (x509.VerifyOptions{Roots: got.Pool, CurrentTime: begun.Add(time.Hour)}); c.name == "one" {
				if _, err := a.leaf(t, 5).Verify(opts); err != nil {
					t.Errorf("Verify with the pool = %v", err)
				}
			}
		})
	}
}

// Whatever is trusted or revoked differently has another digest, and nothing else.
func TestAuthoritiesDigest(t *testing.T) {
	a, b := newAuthority(t, "a", 1, nil), newAuthority(t, "b", 2, nil)
	seen := map[string]int{}
	for i, c := range [][2][]byte{
		{a.pem(), nil},
		{b.pem(), nil},
		{join(a.pem(), b.pem()), nil},
		{a.pem(), a.crl(t)},
		{a.pem(), a.crl(t, 7)},
	} {
		got, err := snapshot.ParseAuthorities(snapshot.Origin{}, c[0], c[1])
		if err != nil {
			t.Fatal(err)
		}
		again, err := snapshot.ParseAuthorities(snapshot.Origin{Name: "other"}, join([]byte("# comment\n"), c[0]), c[1])
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[got.Digest]; ok || got.Digest != again.Digest {
			t.Errorf("Digest of %d = %s, that of %d; the same content has %s", i, got.Digest, other, again.Digest)
		}
		seen[got.Digest] = i
	}
}

func TestCheckRevocation(t *testing.T) {
	root := newAuthority(t, "root", 1, nil)
	middle := newAuthority(t, "middle", 2, root)
	other := newAuthority(t, "other", 3, nil)
	leaf := middle.leaf(t, 40)
	chain := []*x509.Certificate{leaf, middle.Certificate, root.Certificate}
	both := join(root.pem(), middle.pem())
	noon := begun.Add(12 * time.Hour)
	for _, c := range []struct {
		name    string
		ca, crl []byte
		at      time.Time
		err     string
		revoked bool
	}{
		{"no list, no check", both, nil, noon, "", false},
		{"on no list", both, join(root.crl(t, 5), middle.crl(t, 6)), noon, "", false},
		{"the leaf", both, join(root.crl(t), middle.crl(t, 40)), noon, `the certificate of "CN=leaf" with serial number 28 is revoked`, true},
		{"the intermediate", both, join(root.crl(t, 2), middle.crl(t)), noon, `the certificate of "CN=middle" with serial number 2 is revoked`, true},
		{"the serial number of another issuer", both, join(root.crl(t, 40), middle.crl(t)), noon, "", false},
		{"no list of one issuer", both, root.crl(t), noon, `there is no revocation list of "CN=middle"`, false},
		{"an issuer that is not in the bundle", root.pem(), root.crl(t), noon, `there is no revocation list of "CN=middle"`, false},
		{"lists of others only", join(both, other.pem()), other.crl(t), noon, `there is no revocation list of "CN=middle"`, false},
		{"out of date", both, join(root.crl(t), middle.crl(t)), begun.AddDate(0, 0, 2), `the revocation list of "CN=middle" was to be renewed by 2026-01-02T00:00:00Z`, false},
		{"not yet", both, join(root.crl(t), middle.crl(t)), begun.Add(-time.Hour), `the revocation list of "CN=middle" is valid from 2026-01-01T00:00:00Z on`, false},
		{"out of date and on it", both, join(root.crl(t), middle.crl(t, 40)), begun.AddDate(0, 0, 2), `the certificate of "CN=leaf" with serial number 28 is revoked`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := snapshot.ParseAuthorities(snapshot.Origin{}, c.ca, c.crl)
			if err != nil {
				t.Fatal(err)
			}
			err = a.CheckRevocation(chain, c.at)
			if c.err == "" {
				if err != nil {
					t.Errorf("CheckRevocation = %v, want nil", err)
				}
				return
			}
			got, ok := errors.AsType[*snapshot.RevocationError](err)
			if !ok || got.Error() != c.err || got.Revoked != c.revoked {
				t.Errorf("CheckRevocation = %v, want %q with Revoked %v", err, c.err, c.revoked)
			}
		})
	}
}

// Lists that were not looked at must not pass for lists that revoke nothing.
func TestCheckRevocationOfALiteral(t *testing.T) {
	a := &snapshot.Authorities{CRLs: []*x509.RevocationList{{}}}
	if err := a.CheckRevocation(nil, begun); err == nil {
		t.Error("CheckRevocation of authorities that were not parsed = nil, want an error")
	}
}
