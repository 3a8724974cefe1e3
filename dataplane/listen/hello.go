package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
)

// A helloReader collects a ClientHello from the first bytes of a connection: the
// records it is spread over, and the message in them. Each byte is looked at once,
// however small the pieces are in which they come.
type helloReader struct {
	// raw is everything that came; the records up to at are in message.
	raw     []byte
	at      int
	message []byte
}

const (
	// maxHello is the most bytes of a connection that are read to find a
	// ClientHello. Those with the largest post-quantum keys have some 20 KiB.
	maxHello = 64 << 10

	recordHeader    = 5
	recordHandshake = 22
	messageHello    = 1
	messageHeader   = 4
)

var (
	errNoHello      = errors.New("no ClientHello")
	errHelloTooLong = errors.New("the ClientHello is too long")
	errHello        = errors.New("the ClientHello is malformed")
)

// add takes the next bytes, which it keeps. It returns the message with its
// header once it is whole, nil before. An error says that there is no ClientHello
// that can be read.
func (r *helloReader) add(b []byte) (message []byte, err error) {
	r.raw = append(r.raw, b...)
	for {
		rest := r.raw[r.at:]
		if len(rest) > 0 && rest[0] != recordHandshake || len(rest) > 1 && rest[1] != 3 {
			return nil, errNoHello
		}
		if len(rest) < recordHeader {
			break
		}
		size := int(rest[3])<<8 | int(rest[4])
		if size == 0 || size > maxRecord {
			return nil, errNoHello
		}
		if len(rest) < recordHeader+size {
			break
		}
		r.message = append(r.message, rest[recordHeader:recordHeader+size]...)
		r.at += recordHeader + size
		if r.message[0] != messageHello {
			return nil, errNoHello
		}
		if len(r.message) < messageHeader {
			continue
		}
		whole := messageHeader + int(r.message[1])<<16 + int(r.message[2])<<8 + int(r.message[3])
		if whole > maxHello {
			return nil, errHelloTooLong
		}
		if len(r.message) >= whole {
			return r.message[:whole], nil
		}
	}
	if len(r.raw) >= maxHello {
		return nil, errHelloTooLong
	}
	return nil, nil
}

// The extensions that are read (IANA, TLS ExtensionType Values).
const (
	extensionServerName = 0
	extensionGroups     = 10
	extensionSignatures = 13
	extensionALPN       = 16
	extensionVersions   = 43
)

// parseHello parses a ClientHello (RFC 8446 §4.1.2) as strictly as crypto/tls does:
// what that accepts this accepts, and reads alike. Of extensions that are not read
// it checks no more than their lengths; with an encrypted ClientHello it is the
// outer one that is read. Values of GREASE (RFC 8701) are passed on like others.
func parseHello(message []byte) (*tls.ClientHelloInfo, error) {
	s := wire(message)
	var (
		hello                           tls.ClientHelloInfo
		version                         uint16
		list, suites, extensions, value wire
	)
	ok := s.skip(messageHeader) && s.uint16(&version) && s.skip(32) && // random
		s.vector8(&list) && // session ID
		s.vector16(&suites) && suites.uint16s(&hello.CipherSuites) &&
		s.vector8(&list) // compression methods
	if !ok {
		return nil, errHello
	}
	hello.SupportedVersions = versionsUpTo(version)
	if len(s) == 0 {
		return &hello, nil
	}
	if !s.vector16(&extensions) || len(s) > 0 {
		return nil, errHello
	}
	seen := make(map[uint16]bool)
	for len(extensions) > 0 {
		var kind uint16
		if !extensions.uint16(&kind) || !extensions.vector16(&value) {
			return nil, errHello
		}
		if seen[kind] {
			return nil, fmt.Errorf("%w: extension %d is there twice", errHello, kind)
		}
		seen[kind] = true
		hello.Extensions = append(hello.Extensions, kind)
		if !readExtension(&hello, kind, value) {
			return nil, fmt.Errorf("%w: extension %d", errHello, kind)
		}
	}
	return &hello, nil
}

func readExtension(hello *tls.ClientHelloInfo, kind uint16, value wire) bool {
	var list wire
	switch kind {
	case extensionServerName:
		return value.vector16(&list) && len(value) == 0 && readServerNames(hello, list)
	case extensionALPN:
		return value.vector16(&list) && len(value) == 0 && readProtocols(hello, list)
	case extensionGroups:
		var groups []uint16
		ok := value.vector16(&list) && len(value) == 0 && len(list) > 0 && list.uint16s(&groups)
		for _, g := range groups {
			hello.SupportedCurves = append(hello.SupportedCurves, tls.CurveID(g))
		}
		return ok
	case extensionSignatures:
		var schemes []uint16
		ok := value.vector16(&list) && len(value) == 0 && len(list) > 0 && list.uint16s(&schemes)
		for _, scheme := range schemes {
			hello.SignatureSchemes = append(hello.SignatureSchemes, tls.SignatureScheme(scheme))
		}
		return ok
	case extensionVersions:
		hello.SupportedVersions = nil
		return value.vector8(&list) && len(value) == 0 && len(list) > 0 && list.uint16s(&hello.SupportedVersions)
	}
	return true
}

// readServerNames reads the list of RFC 6066 §3: "The ServerNameList MUST NOT
// contain more than one name of the same name_type."
func readServerNames(hello *tls.ClientHelloInfo, list wire) bool {
	if len(list) == 0 {
		return false
	}
	for len(list) > 0 {
		kind := list[0]
		var name wire
		if !list.skip(1) || !list.vector16(&name) || len(name) == 0 {
			return false
		}
		if kind != 0 {
			continue
		}
		if hello.ServerName != "" || strings.HasSuffix(string(name), ".") {
			return false
		}
		hello.ServerName = string(name)
	}
	return true
}

// readProtocols reads the list of RFC 7301 §3.1.
func readProtocols(hello *tls.ClientHelloInfo, list wire) bool {
	if len(list) == 0 {
		return false
	}
	for len(list) > 0 {
		var name wire
		if !list.vector8(&name) || len(name) == 0 {
			return false
		}
		hello.SupportedProtos = append(hello.SupportedProtos, string(name))
	}
	return true
}

// versionsUpTo are the versions of a client that names the highest alone.
func versionsUpTo(highest uint16) (versions []uint16) {
	for v := uint16(tls.VersionTLS13); v >= tls.VersionTLS10; v-- {
		if v <= highest {
			versions = append(versions, v)
		}
	}
	return versions
}

// wire is what is left to read of a message. Its methods report whether there was
// enough.
type wire []byte

func (w *wire) skip(n int) bool {
	if len(*w) < n {
		return false
	}
	*w = (*w)[n:]
	return true
}

func (w *wire) uint16(v *uint16) bool {
	b := *w
	if !w.skip(2) {
		return false
	}
	*v = uint16(b[0])<<8 | uint16(b[1])
	return true
}

// uint16s reads all that is left.
func (w *wire) uint16s(list *[]uint16) bool {
	for len(*w) > 0 {
		var v uint16
		if !w.uint16(&v) {
			return false
		}
		*list = append(*list, v)
	}
	return true
}

// vector8 reads what begins with its length in one byte, vector16 in two.
func (w *wire) vector8(v *wire) bool {
	b := *w
	return w.skip(1) && w.take(int(b[0]), v)
}

func (w *wire) vector16(v *wire) bool {
	var n uint16
	return w.uint16(&n) && w.take(int(n), v)
}

func (w *wire) take(n int, v *wire) bool {
	b := *w
	if !w.skip(n) {
		return false
	}
	*v = b[:n]
	return true
}
