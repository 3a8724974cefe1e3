package listen

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

var (
	client4, local4 = netip.MustParseAddrPort("192.0.2.1:56324"), netip.MustParseAddrPort("198.51.100.1:443")
	client6, local6 = netip.MustParseAddrPort("[2001:db8::1]:4711"), netip.MustParseAddrPort("[2001:db8::2]:443")
)

// v2 makes a header of version 2 of its parts.
func v2(versionCommand, familyProtocol byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	b := append(bytes.Clone(proxyV2Start), versionCommand, familyProtocol)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(all))), all...)
}

func tlv(kind byte, value string) []byte {
	return append([]byte{kind, byte(len(value) >> 8), byte(len(value))}, value...)
}

// ends are the addresses of client4 and local4 as version 2 has them.
var ends = AppendProxyHeader(nil, client4, local4)[proxyV2Fix:]

// summed sets the checksum of a header whose first TLV is a checksum of zeros.
func summed(header []byte) []byte {
	sum := crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(header[proxyV2Fix+12+3:], sum)
	return header
}

func TestRow60ProxyHeader(t *testing.T) {
	good := []struct {
		name, header  string
		client, local netip.AddrPort
	}{
		{"v1 IPv4", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", client4, local4},
		{"v1 IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", client6, local6},
		{"v1 IPv4 as IPv6", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 56324 443\r\n", client4, local4},
		{"v1 unknown", "PROXY UNKNOWN\r\n", netip.AddrPort{}, netip.AddrPort{}},
		{"v1 unknown with anything", "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", netip.AddrPort{}, netip.AddrPort{}},
		{"v2 IPv4", string(v2(0x21, 0x11, ends)), client4, local4},
		{"v2 IPv6", string(AppendProxyHeader(nil, client6, local6)), client6, local6},
		{"v2 IPv4 with TLVs", string(v2(0x21, 0x11, ends, tlv(0x01, "h2"), tlv(0x20, strings.Repeat("x", 2000)), tlv(0xea, ""))), client4, local4},
		{"v2 with a checksum", string(summed(v2(0x21, 0x11, ends, tlv(0x03, "\x00\x00\x00\x00"), tlv(0x04, "padding")))), client4, local4},
		{"v2 local", string(v2(0x20, 0x11, ends)), netip.AddrPort{}, netip.AddrPort{}},
		{"v2 local without addresses", string(v2(0x20, 0x00)), netip.AddrPort{}, netip.AddrPort{}},
		{"v2 of no family", string(v2(0x21, 0x00, []byte("whatever"))), netip.AddrPort{}, netip.AddrPort{}},
		{"v2 of a datagram", string(v2(0x21, 0x12, ends)), netip.AddrPort{}, netip.AddrPort{}},
		{"v2 of a Unix socket", string(v2(0x21, 0x31, make([]byte, 216))), netip.AddrPort{}, netip.AddrPort{}},
		{"v2 of nothing known", string(AppendProxyHeader(nil, client4, netip.AddrPort{})), netip.AddrPort{}, netip.AddrPort{}},
	}
	for _, test := range good {
		h, n, err := parseProxyHeader([]byte(test.header + "GET / HTTP/1.1\r\n"))
		if err != nil || n != len(test.header) || h.client != test.client || h.local != test.local {
			t.Errorf("%s: parseProxyHeader(%q) = %+v, %d, %v, want %v to %v of %d bytes", test.name, test.header, h, n, err, test.client, test.local, len(test.header))
		}
		for i := range len(test.header) {
			if h, n, err := parseProxyHeader([]byte(test.header[:i])); n != 0 || err != nil {
				t.Errorf("%s: parseProxyHeader of the first %d bytes = %+v, %d, %v, want more to be asked for", test.name, i, h, n, err)
			}
		}
	}
	wrongSum := summed(v2(0x21, 0x11, ends, tlv(0x03, "\x00\x00\x00\x00")))
	wrongSum[proxyV2Fix]++
	bad := []struct{ name, header string }{
		{"TLS", "\x16\x03\x01\x02\x00\x01"},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n"},
		{"HTTP that begins alike", "PROPFIND / HTTP/1.1\r\n\r\n"},
		{"v1 in lower case", "proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"},
		{"v1 without a protocol", "PROXY \r\n"},
		{"v1 of another protocol", "PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n"},
		{"v1 with an address of the other family", "PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n"},
		{"v1 with leading zeros", "PROXY TCP4 192.000.002.001 198.51.100.1 56324 443\r\n"},
		{"v1 with a zone", "PROXY TCP6 fe80::1%eth0 2001:db8::2 4711 443\r\n"},
		{"v1 with a name", "PROXY TCP4 example.com 198.51.100.1 56324 443\r\n"},
		{"v1 with a port too high", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n"},
		{"v1 with a signed port", "PROXY TCP4 192.0.2.1 198.51.100.1 +5632 443\r\n"},
		{"v1 with a port with zeros", "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n"},
		{"v1 with two spaces", "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n"},
		{"v1 with more", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 x\r\n"},
		{"v1 with less", "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"},
		{"v1 without an end", "PROXY UNKNOWN " + strings.Repeat("x", 100)},
		{"v1 of 108 bytes", "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n"},
		{"v2 of version 1", string(v2(0x11, 0x11, ends))},
		{"v2 with command 2", string(v2(0x22, 0x11, ends))},
		{"v2 of family 4", string(v2(0x21, 0x41, ends))},
		{"v2 of protocol 3", string(v2(0x21, 0x13, ends))},
		{"v2 with half an address", string(v2(0x21, 0x11, ends[:11]))},
		{"v2 IPv6 with addresses of IPv4", string(v2(0x21, 0x21, ends))},
		{"v2 with half a TLV", string(v2(0x21, 0x11, ends, []byte{1, 0}))},
		{"v2 with a TLV beyond the end", string(v2(0x21, 0x11, ends, []byte{1, 0, 2, 'h'}))},
		{"v2 with a wrong checksum", string(wrongSum)},
		{"v2 with a short checksum", string(v2(0x21, 0x11, ends, tlv(0x03, "\x00\x00\x00")))},
		{"v2 of 64 KiB", string(v2(0x21, 0x11, ends, tlv(0x20, strings.Repeat("x", 60_000))))},
	}
	for _, test := range bad {
		if h, n, err := parseProxyHeader([]byte(test.header)); err == nil || h != (proxyHeader{}) {
			t.Errorf("%s: parseProxyHeader(%.60q) = %+v, %d, %v, want an error and no address", test.name, test.header, h, n, err)
		}
	}
}

// FuzzProxyHeader: a header is the same however it arrives, what follows it does
// not matter, it names either both ends or none, and what it names is what a
// header made of it names.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"))
	f.Add([]byte("PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 4711 443\r\n\x16\x03"))
	f.Add([]byte("PROXY UNKNOWN x\r\n"))
	f.Add(v2(0x20, 0x00))
	f.Add(v2(0x21, 0x11, ends, tlv(1, "h2")))
	f.Add(summed(v2(0x21, 0x11, ends, tlv(0x03, "\x00\x00\x00\x00"), tlv(0x04, "padding"))))
	f.Add(AppendProxyHeader(nil, client6, local6))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := parseProxyHeader(b)
		if h.client.IsValid() != h.local.IsValid() || h.client.IsValid() && (err != nil || n == 0) {
			t.Fatalf("parseProxyHeader(%q) = %+v, %d, %v", b, h, n, err)
		}
		if err != nil {
			return
		}
		if n == 0 {
			if len(b) >= maxProxyV2 {
				t.Errorf("parseProxyHeader of %d bytes wants more, want an end", len(b))
			}
			return
		}
		if n > len(b) || n > maxProxyV2 {
			t.Fatalf("parseProxyHeader of %d bytes has the length %d", len(b), n)
		}
		if again, m, err := parseProxyHeader(b[:n]); again != h || m != n || err != nil {
			t.Errorf("parseProxyHeader(%q) = %+v, %d, %v without what follows, %+v, %d with it", b[:n], again, m, err, h, n)
		}
		for i := range n {
			if _, m, err := parseProxyHeader(b[:i]); m != 0 || err != nil {
				t.Errorf("parseProxyHeader(%q) = %d, %v, want more to be asked for", b[:i], m, err)
			}
		}
		if !h.client.IsValid() {
			return
		}
		if again, _, err := parseProxyHeader(AppendProxyHeader(nil, h.client, h.local)); again != h || err != nil {
			t.Errorf("parseProxyHeader(AppendProxyHeader(%v, %v)) = %+v, %v", h.client, h.local, again, err)
		}
	})
}
