package listen

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"slices"
)

const (
	extServerName = 0
	extALPN       = 16
)

// maxJA4 is the most values of one kind that a fingerprint is made of: many
// times what clients send, and few enough that sorting them costs little.
const maxJA4 = 512

// ja4 returns the JA4 fingerprint of a ClientHello, as published by FoxIO: what
// the client's TLS library can do, whatever the order in which it says so. It is
// "" for a hello of more than maxJA4 suites, extensions or signature schemes.
//
//	t13d1516h2_8daaf6152771_e5627efa2ab1
//	│││ │ │ │  │            └ SHA-256 of the sorted extensions, without server name and
//	│││ │ │ │  │              ALPN, and of the signature schemes in their order
//	│││ │ │ │  └ SHA-256 of the sorted cipher suites
//	│││ │ │ └ first and last character of the first application protocol
//	│││ │ └ number of extensions
//	│││ └ number of cipher suites
//	││└ "d" with, "i" without a server name
//	│└ the best version offered
//	└ TLS over TCP
//
// Reserved values that a client sends to keep servers tolerant (GREASE, RFC 8701)
// count nowhere.
func ja4(hello *tls.ClientHelloInfo) string {
	if max(len(hello.CipherSuites), len(hello.Extensions), len(hello.SignatureSchemes)) > maxJA4 {
		return ""
	}
	var values [64]uint16
	suites := slices.DeleteFunc(append(values[:0], hello.CipherSuites...), isGrease)
	suiteCount := len(suites)
	var text [768]byte
	slices.Sort(suites)
	suiteHash := hash12(appendHex(text[:0], suites))

	extensions := slices.DeleteFunc(append(values[:0], hello.Extensions...), isGrease)
	extensionCount := len(extensions)
	named := slices.Contains(extensions, extServerName)
	extensions = slices.DeleteFunc(extensions, func(id uint16) bool { return id == extServerName || id == extALPN })
	slices.Sort(extensions)
	b := appendHex(text[:0], extensions)
	schemes := values[:0]
	for _, s := range hello.SignatureSchemes {
		schemes = append(schemes, uint16(s))
	}
	if schemes = slices.DeleteFunc(schemes, isGrease); len(schemes) > 0 && len(b) > 0 {
		b = appendHex(append(b, '_'), schemes)
	}
	extensionHash := hash12(b)

	out := make([]byte, 0, 36)
	out = append(out, 't')
	out = append(out, ja4Version(hello.SupportedVersions)...)
	if named {
		out = append(out, 'd')
	} else {
		out = append(out, 'i')
	}
	out = appendCount(appendCount(out, suiteCount), extensionCount)
	proto := ja4Protocol(hello.SupportedProtos)
	out = append(out, proto[:]...)
	out = append(append(out, '_'), suiteHash[:]...)
	out = append(append(out, '_'), extensionHash[:]...)
	return string(out)
}

// isGrease reports whether v is 0x0a0a, 0x1a1a, …, 0xfafa (RFC 8701 §2).
func isGrease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// ja4Version names the best of versions. crypto/tls puts there what the version
// field of the hello means, if the client sends no list of versions; below TLS
// 1.0 that is an empty list.
func ja4Version(versions []uint16) string {
	best := uint16(0)
	for _, v := range versions {
		if !isGrease(v) {
			best = max(best, v)
		}
	}
	switch best {
	case tls.VersionTLS13:
		return "13"
	case tls.VersionTLS12:
		return "12"
	case tls.VersionTLS11:
		return "11"
	case tls.VersionTLS10:
		return "10"
	case 0, 0x0300:
		return "s3"
	}
	return "00"
}

// ja4Protocol returns the first and the last character of the first protocol, or,
// if one of them is no letter and no digit, of its octets in hex.
func ja4Protocol(protos []string) [2]byte {
	if len(protos) == 0 || protos[0] == "" {
		return [2]byte{'0', '0'}
	}
	first, last := protos[0][0], protos[0][len(protos[0])-1]
	if isAlphanumeric(first) && isAlphanumeric(last) {
		return [2]byte{first, last}
	}
	return [2]byte{hexDigits[first>>4], hexDigits[last&15]}
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// appendCount appends n in two digits; 99 stands for more as well.
func appendCount(b []byte, n int) []byte {
	n = min(n, 99)
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

const hexDigits = "0123456789abcdef"

// appendHex appends values in hex, with commas between them.
func appendHex(b []byte, values []uint16) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, hexDigits[v>>12], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
	}
	return b
}

// hash12 returns the first twelve hex digits of the SHA-256 of b, zeros for
// nothing.
func hash12(b []byte) (digits [12]byte) {
	if len(b) == 0 {
		copy(digits[:], "000000000000")
		return digits
	}
	sum := sha256.Sum256(b)
	hex.Encode(digits[:], sum[:6])
	return digits
}
