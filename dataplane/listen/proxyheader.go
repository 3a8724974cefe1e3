// The PROXY protocol, as of https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt:
// a load balancer that relays TCP puts before the client's first byte a header
// that names the client.
//
//	version 1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n
//	version 2   12 bytes of signature, version and command, family and protocol,
//	            length, addresses, TLVs
//
// A header is read whole or refused; nothing in it is guessed. It is read from
// peers that are trusted alone, because it is believed.

package listen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// maxProxyV1 is the longest line of version 1, with its end.
	maxProxyV1 = 107
	// maxProxyV2 is the longest header of version 2 that is read. Certificates of
	// clients in TLVs fit.
	maxProxyV2 = 4096
	proxyV2Fix = 16
)

var (
	proxyV1Start   = []byte("PROXY ")
	proxyV2Start   = []byte("\r\n\r\n\x00\r\nQUIT\n")
	castagnoli     = crc32.MakeTable(crc32.Castagnoli)
	errNoProxy     = errors.New("no PROXY header")
	errProxyLong   = errors.New("the PROXY header is too long")
	errProxyLength = errors.New("a length in the PROXY header points beyond its end")
)

// A proxyHeader is what a PROXY header says. The addresses are invalid if it names
// none: the connection is the load balancer's own (a health check), or of a kind
// that has no IP address.
type proxyHeader struct{ client, local netip.AddrPort }

// parseProxyHeader parses the PROXY header at the beginning of b. n is its length,
// 0 if more bytes are needed to tell.
func parseProxyHeader(b []byte) (h proxyHeader, n int, err error) {
	switch {
	case begins(b, proxyV1Start):
		return parseProxyV1(b)
	case begins(b, proxyV2Start):
		return parseProxyV2(b)
	}
	return proxyHeader{}, 0, errNoProxy
}

// begins reports whether b begins with start, as far as there is of it.
func begins(b, start []byte) bool {
	n := min(len(b), len(start))
	return bytes.Equal(b[:n], start[:n])
}

// parseProxyV1 parses version 1 (§2.1): one line.
func parseProxyV1(b []byte) (h proxyHeader, n int, err error) {
	end := bytes.Index(b[:min(len(b), maxProxyV1)], []byte("\r\n"))
	if end < 0 {
		if len(b) >= maxProxyV1 {
			return h, 0, errProxyLong
		}
		return h, 0, nil
	}
	n = end + 2
	if end <= len(proxyV1Start) {
		return h, n, fmt.Errorf("the PROXY line %q names no protocol", b[:end])
	}
	fields := strings.Split(string(b[len(proxyV1Start):end]), " ")
	switch fields[0] {
	case "UNKNOWN":
		// "The receiver must ignore anything presented before the CRLF."
		return h, n, nil
	case "TCP4", "TCP6":
	default:
		return h, n, fmt.Errorf("the PROXY line names the protocol %q, want TCP4, TCP6 or UNKNOWN", fields[0])
	}
	if len(fields) != 5 {
		return h, n, fmt.Errorf("the PROXY line has %d fields after PROXY, want 5", len(fields))
	}
	if h.client, err = proxyV1Addr(fields[0], fields[1], fields[3]); err != nil {
		return proxyHeader{}, n, err
	}
	if h.local, err = proxyV1Addr(fields[0], fields[2], fields[4]); err != nil {
		return proxyHeader{}, n, err
	}
	return h, n, nil
}

func proxyV1Addr(family, addr, port string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil || ip.Zone() != "" || ip.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("the PROXY line has the address %q, want one of %s", addr, family)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, fmt.Errorf("the PROXY line has the port %q, want 0 to 65535", port)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), nil
}

// parseProxyV2 parses version 2 (§2.2): binary.
func parseProxyV2(b []byte) (h proxyHeader, n int, err error) {
	if len(b) < proxyV2Fix {
		return h, 0, nil
	}
	version, command := b[12]>>4, b[12]&0xf
	family, protocol := b[13]>>4, b[13]&0xf
	n = proxyV2Fix + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case version != 2:
		return h, n, fmt.Errorf("the PROXY header is of version %d, want 2", version)
	case command > 1:
		return h, n, fmt.Errorf("the PROXY header has the command %d, want 0 (LOCAL) or 1 (PROXY)", command)
	case family > 3 || protocol > 2:
		return h, n, fmt.Errorf("the PROXY header is for the family and protocol 0x%02x, which are not assigned", b[13])
	case n > maxProxyV2:
		return h, n, errProxyLong
	case len(b) < n:
		return h, 0, nil
	case command == 0 || family == 0 || protocol == 0:
		// LOCAL: "The receiver must discard the protocol block". UNSPEC: "The
		// receiver should ignore address information".
		return h, n, nil
	}
	b = b[:n]
	size := [...]int{1: 12, 2: 36, 3: 216}[family]
	if len(b) < proxyV2Fix+size {
		return h, n, errProxyLength
	}
	if err := checkProxyTLVs(b, proxyV2Fix+size); err != nil {
		return h, n, err
	}
	if protocol != 1 {
		return h, n, nil // not a stream: its addresses are not those of this connection
	}
	switch a := b[proxyV2Fix:]; family {
	case 1:
		h.client = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a)), binary.BigEndian.Uint16(a[8:]))
		h.local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[4:])), binary.BigEndian.Uint16(a[10:]))
	case 2:
		h.client = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a)).Unmap(), binary.BigEndian.Uint16(a[32:]))
		h.local = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a[16:])).Unmap(), binary.BigEndian.Uint16(a[34:]))
	}
	return h, n, nil
}

// proxyTLVChecksum is PP2_TYPE_CRC32C (§2.2.3).
const proxyTLVChecksum = 0x03

// checkProxyTLVs walks over the TLVs of header, which begin at at, and verifies
// the checksum if there is one.
func checkProxyTLVs(header []byte, at int) error {
	for at < len(header) {
		if len(header)-at < 3 {
			return errProxyLength
		}
		kind, value := header[at], at+3
		at = value + int(binary.BigEndian.Uint16(header[at+1:]))
		if at > len(header) {
			return errProxyLength
		}
		if kind != proxyTLVChecksum {
			continue
		}
		if at-value != 4 {
			return fmt.Errorf("the checksum of the PROXY header has %d bytes, want 4", at-value)
		}
		// The checksum is that of the header with zeros in its place.
		sum := crc32.Checksum(header[:value], castagnoli)
		sum = crc32.Update(sum, castagnoli, make([]byte, 4))
		sum = crc32.Update(sum, castagnoli, header[at:])
		if sum != binary.BigEndian.Uint32(header[value:]) {
			return errors.New("the checksum of the PROXY header is wrong")
		}
	}
	return nil
}

// AppendProxyHeader appends a PROXY header of version 2 that names client and the
// address that it reached. Without a pair of addresses it is one of the kind UNSPEC.
func AppendProxyHeader(b []byte, client, local netip.AddrPort) []byte {
	b = append(b, proxyV2Start...)
	if !client.IsValid() || !local.IsValid() {
		return append(b, 0x21, 0x00, 0, 0)
	}
	from, to := client.Addr().Unmap(), local.Addr().Unmap()
	if from.Is4() && to.Is4() {
		b = append(b, 0x21, 0x11, 0, 12)
		b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	} else {
		b = append(b, 0x21, 0x21, 0, 36)
		for _, ip := range [...]netip.Addr{from, to} {
			as16 := ip.As16()
			b = append(b, as16[:]...)
		}
	}
	b = binary.BigEndian.AppendUint16(b, client.Port())
	return binary.BigEndian.AppendUint16(b, local.Port())
}
