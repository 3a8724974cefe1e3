package ocsp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

type party struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var serial int64

// newParty returns a certificate that by signs, or its own key if by is nil.
func newParty(name string, by *party, change func(*x509.Certificate)) *party {
	serial++
	p := &party{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	if by == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	if change != nil {
		change(template)
	}
	parent, key := template, p.key
	if by != nil {
		parent, key = by.cert, by.key
	}
	p.cert = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, p.key.Public(), key))))
	return p
}

func responder(t *x509.Certificate) { t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }

// A draft is what a response is made of, for tests that break it.
type draft struct {
	status  asn1.Enumerated
	kind    asn1.ObjectIdentifier
	single  singleResponse
	signer  *party
	include []*party
	sigAlg  asn1.ObjectIdentifier
}

func (d *draft) der() []byte {
	tbs := responseData{
		Responder:  asn1.RawValue{Class: 2, Tag: 2, IsCompound: true, Bytes: must(asn1.Marshal([]byte{1}))},
		ProducedAt: now, Responses: []singleResponse{d.single},
	}
	raw := must(asn1.Marshal(tbs))
	sum := sha256.Sum256(raw)
	tbs.Raw = raw
	signature := must(d.signer.key.Sign(rand.Reader, sum[:], crypto.SHA256))
	basic := basicResponse{
		TBS: tbs, Algorithm: pkix.AlgorithmIdentifier{Algorithm: d.sigAlg},
		Signature: asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	}
	for _, p := range d.include {
		basic.Certificates = append(basic.Certificates, asn1.RawValue{FullBytes: p.cert.Raw})
	}
	return must(asn1.Marshal(response{d.status, responseBytes{d.kind, must(asn1.Marshal(basic))}}))
}

func TestParse(t *testing.T) {
	ca, other := newParty("CA", nil, nil), newParty("CA", nil, nil)
	leaf := newParty("leaf", ca, nil)
	good := func() *draft {
		return &draft{
			kind: oidBasic, signer: ca, sigAlg: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2},
			single: singleResponse{
				Cert: must(idOf(leaf.cert, ca.cert)), Status: asn1.RawValue{Class: 2, Tag: 0},
				ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour),
			},
		}
	}
	delegated := newParty("responder", ca, responder)
	for _, tt := range []struct {
		name   string
		change func(*draft)
		status Status // "" for an error
		want   string // in the error
	}{
		{"good", func(*draft) {}, Good, ""},
		{"revoked", func(d *draft) {
			d.single.Status = asn1.RawValue{Class: 2, Tag: 1, IsCompound: true, Bytes: must(asn1.MarshalWithParams(now, "generalized"))}
		}, Revoked, ""},
		{"unknown", func(d *draft) { d.single.Status.Tag = 2 }, Unknown, ""},
		{"a responder of the issuer", func(d *draft) { d.signer, d.include = delegated, []*party{leaf, delegated} }, Good, ""},
		{"a clock that is ahead", func(d *draft) { d.single.ThisUpdate = now.Add(4 * time.Minute) }, Good, ""},
		{"an extension that may be ignored", func(d *draft) {
			d.single.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}
		}, Good, ""},

		{"another certificate", func(d *draft) { d.single.Cert.Serial = big.NewInt(4711) }, "", "about another certificate"},
		{"another issuer's", func(d *draft) { d.single.Cert = must(idOf(leaf.cert, other.cert)) }, "", "about another certificate"},
		{"signed by another", func(d *draft) { d.signer = other }, "", "not signed by the issuer"},
		{"signed by another that is enclosed", func(d *draft) { d.signer, d.include = other, []*party{other} }, "", "not meant for signing responses"},
		{"signed by the certificate itself", func(d *draft) { d.signer, d.include = leaf, []*party{leaf} }, "", "not meant for signing responses"},
		{"a responder of another", func(d *draft) {
			d.signer = newParty("responder", other, responder)
			d.include = []*party{d.signer}
		}, "", "not issued by"},
		{"a responder whose certificate is over", func(d *draft) {
			d.signer = newParty("responder", ca, func(c *x509.Certificate) { responder(c); c.NotAfter = now.Add(-time.Minute) })
			d.include = []*party{d.signer}
		}, "", "not valid now"},
		{"a signature by SHA-1", func(d *draft) { d.sigAlg = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1} }, "", "not accepted"},
		{"over", func(d *draft) { d.single.NextUpdate = now }, "", "held until"},
		{"to come", func(d *draft) { d.single.ThisUpdate = now.Add(6 * time.Minute) }, "", "to come"},
		{"without end", func(d *draft) { d.single.NextUpdate = time.Time{} }, "", "until when"},
		{"a critical extension", func(d *draft) {
			d.single.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, "", "critical extension"},
		{"a status that is none", func(d *draft) { d.single.Status.Tag = 3 }, "", "malformed"},
		{"try later", func(d *draft) { d.status = 3 }, "", "tryLater"},
		{"a type that is not known", func(d *draft) { d.kind = asn1.ObjectIdentifier{1, 2, 3} }, "", "type that is not known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := good()
			tt.change(d)
			got, err := Parse(d.der(), leaf.cert, ca.cert, now)
			if tt.want == "" && (err != nil || got.Status != tt.status || !got.NextUpdate.Equal(now.Add(time.Hour))) {
				t.Errorf("Parse() = %+v, %v, want %s for an hour", got, err, tt.status)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Parse() = %+v, %v, want an error with %q", got, err, tt.want)
			}
		})
	}
	der := good().der()
	for i := range der {
		changed := append([]byte(nil), der...)
		changed[i] ^= 1
		// What is not signed may change, the fact may not.
		if got, err := Parse(changed, leaf.cert, ca.cert, now); err == nil && (got.Status != Good || !got.NextUpdate.Equal(now.Add(time.Hour))) {
			t.Errorf("with byte %d changed: %+v", i, got)
		}
	}
	if _, err := Parse(make([]byte, MaxResponse+1), leaf.cert, ca.cert, now); err == nil {
		t.Error("a response that is too long was accepted")
	}
}

// TestOpenSSL has the other implementation of the world read our request and make
// the response. It needs the openssl command.
func TestOpenSSL(t *testing.T) {
	start := time.Now()
	valid := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = start.Add(-time.Hour), start.Add(time.Hour) }
	ca := newParty("CA", nil, valid)
	signer := newParty("responder", ca, func(c *x509.Certificate) { responder(c); valid(c) })
	leaves := map[Status]*party{
		Good: newParty("good", ca, valid), Revoked: newParty("revoked", ca, valid), Unknown: newParty("unknown", ca, valid),
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certFile := func(name string, p *party) string {
		return write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw}))
	}
	keyFile := func(name string, p *party) string {
		return write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(p.key))}))
	}
	day := start.Add(24 * time.Hour).UTC().Format("060102150405Z")
	index := write("index.txt", fmt.Appendf(nil, "V\t%s\t\t%02X\tunknown\t/CN=good\nR\t%s\t%s\t%02X\tunknown\t/CN=revoked\n",
		day, leaves[Good].cert.SerialNumber, day, start.UTC().Format("060102150405Z"), leaves[Revoked].cert.SerialNumber))
	for _, by := range []*party{ca, signer} {
		for status, leaf := range leaves {
			request := write("request.der", must(NewRequest(leaf.cert, ca.cert)))
			out := filepath.Join(dir, "response.der")
			cmd := exec.CommandContext(t.Context(), "openssl", "ocsp", "-index", index, "-CA", certFile("ca", ca),
				"-rsigner", certFile("signer", by), "-rkey", keyFile("signer", by), "-reqin", request, "-respout", out, "-ndays", "2")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("openssl: %v\n%s", err, text)
			}
			der, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(der, leaf.cert, ca.cert, time.Now())
			if err != nil || got.Status != status {
				t.Errorf("Parse() = %+v, %v, want %s", got, err, status)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	ca := newParty("CA", nil, nil)
	leaf := newParty("leaf", ca, nil)
	d := &draft{kind: oidBasic, signer: ca, sigAlg: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, single: singleResponse{
		Cert: must(idOf(leaf.cert, ca.cert)), Status: asn1.RawValue{Class: 2, Tag: 0}, ThisUpdate: now, NextUpdate: now.Add(time.Hour),
	}}
	f.Add(d.der())
	f.Fuzz(func(t *testing.T, der []byte) {
		if r, err := Parse(der, leaf.cert, ca.cert, now.Add(time.Minute)); err == nil && (r.Status != Good || !r.NextUpdate.Equal(now.Add(time.Hour))) {
			t.Errorf("Parse() = %+v for something that nobody signed", r)
		}
	})
}
