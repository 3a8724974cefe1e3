package listen

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// goHello returns what a crypto/tls client sends first.
func goHello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		_ = tls.Client(client, cfg).Handshake()
		client.Close()
	}()
	head := make([]byte, recordHeader)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// extended returns hello, in one record, with further extensions put in front, in
// as many records as it then takes, of at most size bytes each.
func extended(hello []byte, size int, extensions ...[]byte) []byte {
	message := slices.Clone(hello[recordHeader:])
	at := messageHeader + 2 + 32
	at += 1 + int(message[at])                           // session ID
	at += 2 + int(binary.BigEndian.Uint16(message[at:])) // suites
	at += 1 + int(message[at])                           // compression
	all := slices.Concat(extensions...)
	length := int(binary.BigEndian.Uint16(message[at:])) + len(all)
	binary.BigEndian.PutUint16(message[at:], uint16(length))
	message = slices.Insert(message, at+2, all...)
	n := len(message) - messageHeader
	message[1], message[2], message[3] = byte(n>>16), byte(n>>8), byte(n)
	return inRecords(message, size)
}

// inRecords puts a handshake message into records.
func inRecords(message []byte, size int) (out []byte) {
	for part := range slices.Chunk(message, size) {
		out = append(out, recordHandshake, 3, 1, byte(len(part)>>8), byte(len(part)))
		out = append(out, part...)
	}
	return out
}

func extension(kind uint16, value string) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

// read gives b to a reader in pieces of size bytes.
func read(b []byte, size int) (*tls.ClientHelloInfo, error) {
	var r helloReader
	for part := range slices.Chunk(b, size) {
		message, err := r.add(part)
		if err != nil {
			return nil, err
		}
		if message != nil {
			return parseHello(message)
		}
	}
	return nil, io.ErrUnexpectedEOF
}

func TestRow64HelloInAnyPieces(t *testing.T) {
	plain := goHello(t, &tls.Config{ServerName: "Shop.example.com", NextProtos: []string{"h2", "http/1.1"}})
	grease := extension(0x1a1a, "")
	ech := extension(0xfe0d, "\x00\x00\x01\x00\x01\x05\x00\x04abcd\x00\x04efgh")
	large := extension(0x5a5a, strings.Repeat("k", 20_000)) // as with post-quantum keys
	for name, b := range map[string][]byte{
		"one record":           plain,
		"a byte a record":      inRecords(plain[recordHeader:], 1),
		"hundred bytes each":   inRecords(plain[recordHeader:], 100),
		"GREASE":               extended(plain, maxRecord, grease),
		"encrypted inner":      extended(plain, maxRecord, ech),
		"20 KiB":               extended(plain, maxRecord, large),
		"20 KiB in small ones": extended(plain, 300, large, grease),
		"more behind it":       append(slices.Clone(plain), "\x14\x03\x03\x00\x01\x01"...),
	} {
		for _, size := range []int{1, 7, 2048, len(b)} {
			hello, err := read(b, size)
			if err != nil || hello.ServerName != "Shop.example.com" || !slices.Equal(hello.SupportedProtos, []string{"h2", "http/1.1"}) {
				t.Errorf("%s in pieces of %d bytes: %+v, %v, want the name and the protocols", name, size, hello, err)
			}
		}
	}
	hello, err := read(extended(plain, maxRecord, grease), 100)
	if err != nil || hello.Extensions[0] != 0x1a1a || len(hello.SupportedCurves) == 0 || len(hello.SignatureSchemes) == 0 ||
		!slices.Contains(hello.SupportedVersions, tls.VersionTLS13) || len(hello.CipherSuites) == 0 {
		t.Errorf("hello = %+v, %v, want all that the client offers", hello, err)
	}
	old := goHello(t, &tls.Config{ServerName: "old.example.com", MaxVersion: tls.VersionTLS12})
	if hello, err := read(old, 100); err != nil || !slices.Contains(hello.SupportedVersions, tls.VersionTLS12) || hello.ServerName != "old.example.com" {
		t.Errorf("hello = %+v, %v, want TLS 1.2", hello, err)
	}
}

func TestRow64HostileHellos(t *testing.T) {
	plain := goHello(t, &tls.Config{ServerName: "shop.example.com"})
	name := func(names string) []byte {
		none := goHello(t, &tls.Config{InsecureSkipVerify: true})
		list := string(binary.BigEndian.AppendUint16(nil, uint16(len(names)))) + names
		return extended(none, maxRecord, extension(extensionServerName, list))
	}
	for test, b := range map[string][]byte{
		"HTTP":                   []byte("GET / HTTP/1.1\r\n\r\n"),
		"an alert":               []byte("\x15\x03\x01\x00\x02\x02\x28"),
		"SSLv2":                  []byte("\x80\x2e\x01\x03\x01"),
		"another message":        inRecords([]byte("\x02\x00\x00\x00"), 100),
		"an empty record":        []byte("\x16\x03\x01\x00\x00"),
		"a record too long":      []byte("\x16\x03\x01\x40\x01"),
		"a message too long":     inRecords([]byte("\x01\x01\x00\x01"), 100),
		"records without an end": inRecords(append([]byte("\x01\x00\xff\xf0"), make([]byte, 40_000)...), 1),
		"a name twice":           extended(plain, maxRecord, extension(extensionServerName, "\x00\x04\x00\x00\x01a")),
		"two names":              name("\x00\x00\x01a\x00\x00\x01b"),
		"an empty name":          name("\x00\x00\x00"),
		"no name in the list":    name(""),
		"a name with a dot":      name("\x00\x00\x02a."),
		"a name cut off":         name("\x00\x00\x05a"),
		"a length beyond":        append(slices.Clone(plain[:len(plain)-1]), 0xff)[:len(plain)-3],
	} {
		if hello, err := read(b, 1000); err == nil {
			t.Errorf("%s: hello = %+v, want an error", test, hello)
		}
	}
	// Nothing is read twice: 64 KiB a byte at a time take no time.
	var r helloReader
	for i := range maxHello {
		if _, err := r.add([]byte{[]byte("\x16\x03\x01\x40\x00\x01\x00\xff\x00")[min(i, 8)]}); err != nil {
			if !errors.Is(err, errNoHello) && !errors.Is(err, errHelloTooLong) {
				t.Errorf("after %d bytes: %v", i, err)
			}
			break
		}
	}
	if len(r.raw) > maxHello {
		t.Errorf("%d bytes are held, want at most %d", len(r.raw), maxHello)
	}
}

// seenBy returns what crypto/tls sees in the first bytes of a connection; nil if
// it sees no ClientHello.
func seenBy(b []byte) (seen *tls.ClientHelloInfo) {
	stop := errors.New("seen")
	_ = tls.Server(&recording{in: bytes.NewReader(b)}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		seen = h
		return nil, stop
	}}).Handshake()
	return seen
}

// recording is a connection of which the client's side is known.
type recording struct {
	net.Conn
	in io.Reader
}

func (r *recording) Read(p []byte) (int, error)     { return r.in.Read(p) }
func (*recording) Write(p []byte) (int, error)      { return len(p), nil }
func (*recording) SetWriteDeadline(time.Time) error { return nil }
func (*recording) Close() error                     { return nil }

// FuzzHello: what crypto/tls accepts the look ahead accepts, and reads alike, but
// for the two things that it leaves to crypto/tls: more than 64 KiB, and records
// of another kind before the hello.
func FuzzHello(f *testing.F) {
	for _, cfg := range []*tls.Config{
		{ServerName: "shop.example.com", NextProtos: []string{"h2", "http/1.1"}},
		{ServerName: "a.test", MaxVersion: tls.VersionTLS12},
		{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}},
	} {
		hello := goHello(f, cfg)
		f.Add(hello, uint16(1))
		f.Add(inRecords(hello[recordHeader:], 50), uint16(9))
		f.Add(extended(hello, maxRecord, extension(0x1a1a, ""), extension(0xfe0d, "x")), uint16(4000))
	}
	f.Fuzz(func(t *testing.T, b []byte, size uint16) {
		want := seenBy(b)
		got, err := read(b, int(size)+1)
		if want == nil || len(b) > maxHello || b[0] != recordHandshake || b[1] != 3 {
			return
		}
		if err != nil {
			if errors.Is(err, errNoHello) {
				return // a record of another kind, or of another version, in between
			}
			t.Fatalf("read(%x) = %v, and crypto/tls reads %+v", b, err, want)
		}
		if got.ServerName != want.ServerName || !slices.Equal(got.SupportedProtos, want.SupportedProtos) ||
			!slices.Equal(got.SupportedVersions, want.SupportedVersions) || !slices.Equal(got.CipherSuites, want.CipherSuites) ||
			!slices.Equal(got.SupportedCurves, want.SupportedCurves) || !slices.Equal(got.SignatureSchemes, want.SignatureSchemes) ||
			!slices.Equal(got.Extensions, want.Extensions) {
			t.Errorf("read(%x) = %+v, want %+v as crypto/tls", b, got, want)
		}
	})
}
