package snapshot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
)

func TestMustStaple(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		value []byte
		want  bool
	}{
		"no extension":    {nil, false},
		"status_request":  {[]byte{0x30, 3, 2, 1, 5}, true},
		"another feature": {[]byte{0x30, 3, 2, 1, 17}, false},
		"two":             {[]byte{0x30, 6, 2, 1, 17, 2, 1, 5}, true},
		"nonsense":        {[]byte{5}, false},
	} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notBefore, NotAfter: notBefore.AddDate(1, 0, 0)}
		if tt.value != nil {
			template.ExtraExtensions = []pkix.Extension{{Id: oidFeature, Value: tt.value}}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if got := NewCertificate(Origin{}, &tls.Certificate{Certificate: [][]byte{der}}, leaf).MustStaple; got != tt.want {
			t.Errorf("%s: MustStaple = %v, want %v", name, got, tt.want)
		}
	}
}
