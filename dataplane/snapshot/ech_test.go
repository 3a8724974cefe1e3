package snapshot

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// An echDraft is what an ECHConfig is made of, for tests that break it.
type echDraft struct {
	version, kem uint16
	public       []byte
	suites       []uint16 // KDF, AEAD, KDF, …
	publicName   string
	extensions   []byte
}

func vector(n int, b []byte) []byte {
	length := binary.BigEndian.AppendUint16(nil, uint16(len(b)))
	return append(length[2-n:], b...)
}

func (d echDraft) config() []byte {
	b := binary.BigEndian.AppendUint16([]byte{7}, d.kem)
	b = append(b, vector(2, d.public)...)
	var suites []byte
	for _, id := range d.suites {
		suites = binary.BigEndian.AppendUint16(suites, id)
	}
	b = slices.Concat(b, vector(2, suites), []byte{0}, vector(1, []byte(d.publicName)), vector(2, d.extensions))
	return append(binary.BigEndian.AppendUint16(nil, d.version), vector(2, b)...)
}

func echList(configs ...[]byte) []byte { return vector(2, slices.Concat(configs...)) }

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8Of(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("PRIVATE KEY", der)
}

func x25519(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func goodDraft(key *ecdh.PrivateKey) echDraft {
	return echDraft{echVersion, 0x20, key.PublicKey().Bytes(), []uint16{1, 1, 1, 3}, "public.example.com", nil}
}

func TestParseECHKey(t *testing.T) {
	key := x25519(t)
	nist, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	nistPublic, err := nist.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	_, signing, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := pkcs8Of(t, key)
	with := func(change func(*echDraft)) []byte {
		d := goodDraft(key)
		change(&d)
		return slices.Concat(private, pemOf("ECHCONFIG", echList(d.config())))
	}
	list := func(b []byte) []byte { return slices.Concat(private, pemOf("ECHCONFIG", b)) }
	good := goodDraft(key).config()
	unknown := echDraft{version: 0xfe0a}.config()
	named := func(name string) []byte { return with(func(d *echDraft) { d.publicName = name }) }
	tests := []struct {
		name string
		data []byte
		want string // in the error; "" for none
	}{
		{"one configuration", list(echList(good)), ""},
		{"the configuration first", slices.Concat(pemOf("ECHCONFIG", echList(good)), private), ""},
		{"a version of the future beside it", list(echList(unknown, good)), ""},
		{"two public names", list(echList(good, echDraft{echVersion, 0x20, key.PublicKey().Bytes(), []uint16{1, 2}, "b.example.com", nil}.config())), ""},
		{"an extension that may be ignored", with(func(d *echDraft) { d.extensions = []byte{0, 9, 0, 1, 5} }), ""},
		{"P-256", slices.Concat(pkcs8Of(t, nist), pemOf("ECHCONFIG", echList(echDraft{echVersion, 0x10, nistPublic.Bytes(), []uint16{1, 1}, "a.example", nil}.config()))), ""},

		{"nothing", nil, "no PRIVATE KEY"},
		{"no configuration", private, "no ECHCONFIG"},
		{"two keys", slices.Concat(private, private), `another block "PRIVATE KEY"`},
		{"a certificate", slices.Concat(private, pemOf("CERTIFICATE", []byte{1})), `another block "CERTIFICATE"`},
		{"a key that is none", slices.Concat(pemOf("PRIVATE KEY", []byte{1, 2}), pemOf("ECHCONFIG", echList(good))), "not PKCS #8"},
		{"a key for signatures", slices.Concat(pkcs8Of(t, signing), pemOf("ECHCONFIG", echList(good))), "ed25519.PrivateKey"},
		{"another key", slices.Concat(pkcs8Of(t, x25519(t)), pemOf("ECHCONFIG", echList(good))), "of another private key"},
		{"an empty list", list(echList()), "malformed"},
		{"only versions of the future", list(echList(unknown)), "no configuration of version 0xfe0d"},
		{"bytes behind the list", list(append(echList(good), 0)), "malformed"},
		{"a list that is cut", list(echList(good)[:30]), "malformed"},
		{"a configuration that is cut", list(echList(good[:len(good)-1])), "malformed"},
		{"too many", list(echList(good, good, good, good, good)), "5 configurations"},
		{"no suite", with(func(d *echDraft) { d.suites = nil }), "malformed"},
		{"half a suite", with(func(d *echDraft) { d.suites = []uint16{1, 1, 1} }), "malformed"},
		{"a KEM of the future", with(func(d *echDraft) { d.kem = 0x7777 }), "KEM 0x7777 is not supported"},
		{"a KDF of the future", with(func(d *echDraft) { d.suites[0] = 0x7777 }), "KDF 0x7777 is not supported"},
		{"an AEAD of the future", with(func(d *echDraft) { d.suites[3] = 0x7777 }), "AEAD 0x7777 is not supported"},
		{"an AEAD that encrypts nothing", with(func(d *echDraft) { d.suites[3] = 0xffff }), "cannot be used"},
		{"a mandatory extension", with(func(d *echDraft) { d.extensions = []byte{0x80, 9, 0, 0} }), "mandatory extension 0x8009"},
		{"an extension that is cut", with(func(d *echDraft) { d.extensions = []byte{0, 9, 0, 2, 5} }), "malformed"},
		{"no public name", named(""), "is not a host name"},
		{"a trailing dot", named("a.example."), "is not a host name"},
		{"upper case", named("A.example"), "is not a host name"},
		{"an underscore", named("a_b.example"), "is not a host name"},
		{"an address", named("192.0.2.1"), "is not a host name"},
		{"a number at the end", named("a.1"), "is not a host name"},
		{"a hexadecimal number at the end", named("a.0x1f"), "is not a host name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseECHKey(tt.data)
			switch {
			case tt.want == "" && (err != nil || len((&ECHKeys{Current: got}).TLS()) == 0):
				t.Errorf("ParseECHKey() = %v, %v, want a key", got, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("ParseECHKey() = %v, %v, want an error with %q", got, err, tt.want)
			}
		})
	}
}

func TestECHKeys(t *testing.T) {
	parse := func(name string) *ECHKey {
		secret := x25519(t)
		d := goodDraft(secret)
		d.publicName = name
		key, err := ParseECHKey(slices.Concat(pkcs8Of(t, secret), pemOf("ECHCONFIG", echList(d.config()))))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	if list := new(ECHKeys).TLS(); list == nil || len(list) > 0 {
		t.Errorf("TLS() of no keys = %v, want an empty list that is not nil", list)
	}
	a, b := parse("b.example.com"), parse("a.example.com")
	keys := &ECHKeys{Current: a, Others: []*ECHKey{b, parse("a.example.com")}}
	list := keys.TLS()
	if len(list) != 3 || !list[0].SendAsRetry || list[1].SendAsRetry || list[2].SendAsRetry {
		t.Errorf("TLS() = %d keys, want three, the first alone to try again with", len(list))
	}
	if got := keys.PublicNames(); !slices.Equal(got, []string{"a.example.com", "b.example.com"}) {
		t.Errorf("PublicNames() = %q, want a and b", got)
	}
	if !a.Equal(a) || a.Equal(b) || a.Equal(nil) || a.ID() == b.ID() {
		t.Error("Equal or ID cannot tell two keys apart")
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, a); strings.Contains(text, fmt.Sprint(a.private[0], a.private[1])) || text != "ECH key "+a.ID() {
			t.Errorf("printed by %s: %s, want no more than the ID", format, text)
		}
	}
	if text, err := a.MarshalText(); string(text) != a.String() || err != nil {
		t.Errorf("MarshalText() = %s, %v, want no more than the ID", text, err)
	}
}

func FuzzParseECHConfigList(f *testing.F) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(echList(goodDraft(key).config()))
	f.Add(echList(echDraft{version: 1}.config(), goodDraft(key).config()))
	f.Fuzz(func(t *testing.T, data []byte) {
		configs, err := parseECHConfigList(data)
		if (err == nil) != (len(configs) > 0) {
			t.Fatalf("%d configurations and the error %v", len(configs), err)
		}
		for _, c := range configs {
			again, err := parseECHConfigList(echList(c.raw))
			if err != nil || len(again) != 1 || again[0].publicName != c.publicName {
				t.Fatalf("what was parsed does not parse again: %v", err)
			}
		}
	})
}
