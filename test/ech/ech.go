// Package ech makes keys of Encrypted ClientHello for tests.
package ech

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"testing"
)

// Key makes a key. It returns its file (RFC 9934) and
// the ECHConfigList that clients are told of it.
func Key(t testing.TB, publicName string) (file string, list []byte) {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	u16 := binary.BigEndian.AppendUint16
	body := u16([]byte{1}, 0x20) // DHKEM(X25519, HKDF-SHA256)
	body = append(u16(body, 32), key.PublicKey().Bytes()...)
	body = u16(u16(u16(body, 4), 1), 1) // HKDF-SHA256, AES-128-GCM
	body = append(append(body, 0, byte(len(publicName))), publicName...)
	body = u16(body, 0)
	config := append(u16(u16(nil, 0xfe0d), uint16(len(body))), body...)
	list = append(u16(nil, uint16(len(config))), config...)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "ECHCONFIG", Bytes: list})), list
}
