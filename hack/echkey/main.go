// Command echkey makes a key of Encrypted ClientHello (RFC 9849) and says what to
// put into DNS for it.
//
//	go run ./hack/echkey --public-name public.example.com --out ech.pem shop.example.com
//
// The file is what --ech-key-file and the Secret of --ech-secret hold (RFC 9934);
// the records go into the zones of the hosts that are named. Without hosts only the
// value of the parameter ech is printed.
package main

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "echkey:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	f := flag.NewFlagSet("echkey", flag.ContinueOnError)
	name := f.String("public-name", "", "host that clients name in the clear; it needs a certificate of its own")
	out := f.String("out", "ech.pem", "file to write the key to; it must not exist")
	alpn := f.String("alpn", "h2,http/1.1", "protocols in the record")
	ttl := f.Int("ttl", 300, "time to live of the record in seconds")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *name == "" || len(*name) > 253 {
		return errors.New("--public-name is required")
	}
	list, file, err := newKey(*name)
	if err != nil {
		return err
	}
	w, err := os.OpenFile(*out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := w.Write(file); err != nil {
		return errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return err
	}
	ech := base64.StdEncoding.EncodeToString(list)
	if f.NArg() == 0 {
		_, err = fmt.Fprintln(stdout, ech)
	}
	for _, host := range f.Args() {
		_, err = fmt.Fprintf(stdout, "%s. %d IN HTTPS 1 . alpn=%q ech=%q\n", host, *ttl, *alpn, ech)
	}
	return err
}

// newKey returns the ECHConfigList of a new X25519 key, and key and list in PEM.
func newKey(publicName string) (list, file []byte, err error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	var id [1]byte
	// crypto/rand.Read never fails (Go 1.24): it ends the process instead.
	_, _ = rand.Read(id[:])
	list = configList(id[0], key.PublicKey().Bytes(), publicName)
	file = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	return list, append(file, pem.EncodeToMemory(&pem.Block{Type: "ECHCONFIG", Bytes: list})...), nil
}

// configList writes an ECHConfigList with one ECHConfig (RFC 9849 §4).
func configList(id byte, public []byte, publicName string) []byte {
	u16 := binary.BigEndian.AppendUint16
	vector := func(b []byte) []byte { return append(u16(nil, uint16(len(b))), b...) }

	body := u16([]byte{id}, hpke.DHKEM(ecdh.X25519()).ID())
	body = append(body, vector(public)...)
	var suites []byte
	for _, aead := range []hpke.AEAD{hpke.AES128GCM(), hpke.ChaCha20Poly1305()} {
		suites = u16(u16(suites, hpke.HKDFSHA256().ID()), aead.ID())
	}
	body = append(body, vector(suites)...)
	// maximum_name_length 0: clients pad names by their own rule.
	body = append(body, 0, byte(len(publicName)))
	body = append(body, publicName...)
	body = u16(body, 0) // no extensions
	return vector(append(u16(nil, 0xfe0d), vector(body)...))
}
