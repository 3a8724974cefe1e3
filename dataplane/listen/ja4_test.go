package listen

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// numbers parses "1301,c02b" as the publisher of JA4 writes lists.
func numbers[T ~uint16](list string) (values []T) {
	for text := range strings.SplitSeq(list, ",") {
		if text != "" {
			values = append(values, T(must(strconv.ParseUint(text, 16, 16))))
		}
	}
	return values
}

// The lists of suites, extensions and schemes of the vectors below.
const (
	chromeSuites     = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
	chromeExtensions = "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015"
	chromeSchemes    = "0403,0804,0401,0503,0805,0501,0806,0601"
)

// TestJA4 holds ja4 to the vectors that FoxIO publishes: the example of the
// specification, with its variants, and captures of browsers of which the lists
// and the fingerprint are given.
func TestJA4(t *testing.T) {
	const tls13, tls12 = "0304,0303", "0303,0302,0301"
	tests := []struct {
		name                                  string
		versions, suites, extensions, schemes string
		protos                                []string
		want                                  string
	}{
		{"the example of the specification", tls13, chromeSuites, chromeExtensions, chromeSchemes, []string{"h2", "http/1.1"}, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		{
			"GREASE everywhere", "0a0a," + tls13, "fafa," + chromeSuites, "2a2a," + chromeExtensions + ",caca", "1a1a," + chromeSchemes,
			[]string{"h2"},
			"t13d1516h2_8daaf6152771_e5627efa2ab1",
		},
		{"without signature algorithms", tls13, chromeSuites, chromeExtensions, "", []string{"h2"}, "t13d1516h2_8daaf6152771_6d807ffa2a79"},
		{"HTTP/1.1 first", tls13, chromeSuites, chromeExtensions, chromeSchemes, []string{"http/1.1"}, "t13d1516h1_8daaf6152771_e5627efa2ab1"},
		{"a protocol of other octets", tls13, chromeSuites, chromeExtensions, chromeSchemes, []string{"\x99\x99"}, "t13d151699_8daaf6152771_e5627efa2ab1"},
		{
			"a resumed session", tls13, chromeSuites, "000d,0010,0000,000b,0023,4469,ff01,0033,000a,002d,002b,0005,0017,0012,001b,0029", chromeSchemes,
			[]string{"h2"},
			"t13d1516h2_8daaf6152771_9b887d9acb53",
		},
		{
			"Firefox", tls13, "1301,1303,1302,c02b,c02f,cca9,cca8,c02c,c030,c00a,c009,c013,c014,009c,009d,002f,0035",
			"0000,0017,ff01,000a,000b,0023,0010,0005,0022,0033,002b,000d,002d,001c,0015", "0403,0503,0603,0804,0805,0806,0401,0501,0601,0203,0201",
			[]string{"h2"},
			"t13d1715h2_5b57614c22b0_3d5424432f57",
		},
		{
			"an older Chrome", tls13, chromeSuites + ",000a", "0000,0017,ff01,000a,000b,0023,0010,0005,000d,0012,0033,002d,002b,001b,0015", chromeSchemes + ",0201",
			[]string{"h2"},
			"t13d1615h2_46e7e9700bed_45f260be83e2",
		},
		{
			"TLS 1.2 without ALPN", tls12, "c02c,c02b,c030,c02f,c024,c023,c028,c027,c00a,c009,c014,c013,009d,009c,003d,003c,0035,002f,000a",
			"0000,0005,000a,000b,000d,0023,0017,ff01", "0804,0805,0806,0401,0501,0201,0403,0503,0203,0202,0601,0603", nil, "t12d190800_d83cc789557e_7af1ed941c26",
		},
		{"nothing but a version", "0301", "", "", "", nil, "t10i000000_000000000000_000000000000"},
		{"a protocol of one character", "0301", "", "", "", []string{"h"}, "t10i0000hh_000000000000_000000000000"},
		{"SSL 3.0", "", "", "", "", nil, "ts3i000000_000000000000_000000000000"},
		{"a version that is not known", "7f1c", "", "", "", nil, "t00i000000_000000000000_000000000000"},
		{"a hundred suites", "0301", strings.Repeat("0005,", 100), "", "", nil, "t10i990000_b9c636cd5505_000000000000"},
		{"more than anybody sends", "0301", strings.Repeat("0005,", maxJA4+1), "", "", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hello := &tls.ClientHelloInfo{
				SupportedVersions: numbers[uint16](tt.versions),
				CipherSuites:      numbers[uint16](tt.suites),
				Extensions:        numbers[uint16](tt.extensions),
				SignatureSchemes:  numbers[tls.SignatureScheme](tt.schemes),
				SupportedProtos:   tt.protos,
			}
			if got := ja4(hello); got != tt.want {
				t.Errorf("ja4() = %q, want %q", got, tt.want)
			}
		})
	}
}

// The table of the specification for protocols that are not plain text.
func TestJA4Protocol(t *testing.T) {
	for proto, want := range map[string]string{
		"": "00", "h2": "h2", "http/1.1": "h1", "h": "hh", "\xab": "ab", "\xab\xcd": "ad", "\x30\xab": "3b", "\x30\x31\xab\xcd": "3d", "\x30\xab\xcd\x31": "01",
	} {
		if got := ja4Protocol([]string{proto}); string(got[:]) != want {
			t.Errorf("ja4Protocol(%q) = %q, want %q", proto, got, want)
		}
	}
}

// TestJA4OfBytes sends the example of the specification as bytes, with GREASE as
// Chrome strews it, in records of every size.
func TestJA4OfBytes(t *testing.T) {
	u16 := func(values ...uint16) (b []byte) {
		for _, v := range values {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return b
	}
	body := map[uint16][]byte{
		0x0000: slices.Concat(u16(17, 14<<8>>8), []byte{}),
		0x0005: {1, 0, 0, 0, 0},
		0x000a: u16(6, 0x6a6a, 0x001d, 0x0017),
		0x000b: {1, 0},
		0x000d: slices.Concat(u16(16), u16(numbers[uint16](chromeSchemes)...)),
		0x0010: append(u16(3), "\x02h2"...),
		0x001b: {2, 0, 2},
		0x002b: {6, 0x9a, 0x9a, 3, 4, 3, 3},
		0x002d: {1, 1},
		0x0033: slices.Concat(u16(36, 0x001d, 32), must(ecdhKey())),
		0x4469: append(u16(3), "\x02h2"...),
		0xff01: {0},
	}
	name := "ec.example.com"
	body[0x0000] = slices.Concat(u16(uint16(len(name)+3)), []byte{0}, u16(uint16(len(name))), []byte(name))
	var extensions []byte
	for _, id := range slices.Concat([]uint16{0xaaaa}, numbers[uint16](chromeExtensions)) {
		extensions = slices.Concat(extensions, u16(id, uint16(len(body[id]))), body[id])
	}
	suites := slices.Concat(u16(0x3a3a), u16(numbers[uint16](chromeSuites)...))
	hello := slices.Concat(u16(tls.VersionTLS12), bytes.Repeat([]byte{7}, 32), []byte{0},
		u16(uint16(len(suites))), suites, []byte{1, 0}, u16(uint16(len(extensions))), extensions)
	message := slices.Concat([]byte{1, 0}, u16(uint16(len(hello))), hello)
	for _, size := range []int{7, 100, len(message)} {
		w := newWorld(t, nil)
		c := w.dial()
		for part := range slices.Chunk(message, size) {
			if _, err := c.Write(slices.Concat([]byte{22, 3, 1}, u16(uint16(len(part))), part)); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.CloseWrite()
		readAll(c)
		if h := w.want(outcome.Failed, outcome.EOF); h.JA4 != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
			t.Errorf("records of %d bytes: JA4 = %q, want that of the specification's example", size, h.JA4)
		}
	}
}

func TestJA4Allocates(t *testing.T) {
	hello := exampleHello()
	if got := testing.AllocsPerRun(100, func() { ja4(hello) }); got > 1 {
		t.Errorf("ja4 allocates %v times, want once, for what it returns", got)
	}
}

func exampleHello() *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		SupportedVersions: []uint16{0x0304, 0x0303},
		CipherSuites:      numbers[uint16](chromeSuites),
		Extensions:        numbers[uint16](chromeExtensions),
		SignatureSchemes:  numbers[tls.SignatureScheme](chromeSchemes),
		SupportedProtos:   []string{"h2", "http/1.1"},
	}
}

func BenchmarkJA4(b *testing.B) {
	hello := exampleHello()
	b.ReportAllocs()
	for b.Loop() {
		ja4(hello)
	}
}
