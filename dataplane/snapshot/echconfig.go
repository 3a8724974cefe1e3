package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// An echConfig is an ECHConfig (RFC 9849 §4):
//
//	struct {
//	    uint16 version;
//	    uint16 length;
//	    HpkeKeyConfig key_config; // config_id, kem_id, public_key, cipher_suites
//	    uint8 maximum_name_length;
//	    opaque public_name<1..255>;
//	    ECHConfigExtension extensions<0..2^16-1>;
//	} ECHConfig;
type echConfig struct {
	raw        []byte
	kem        uint16
	publicKey  []byte
	suites     []echSuite
	publicName string
}

type echSuite struct{ kdf, aead uint16 }

// echVersion is the only version there is: the number of the TLS extension.
const echVersion = 0xfe0d

var errECHConfig = errors.New("snapshot: ECH key: the ECHCONFIG is malformed")

// parseECHConfigList returns the configurations of an ECHConfigList that are of
// the version we know, one at least.
func parseECHConfigList(data []byte) (configs []echConfig, err error) {
	r := fields{data, true}
	list := fields{r.vector(2), true}
	if !r.ok || len(r.rest) > 0 || len(list.rest) == 0 {
		return nil, errECHConfig
	}
	for len(list.rest) > 0 {
		from := list.rest
		version := list.number(2)
		body := list.vector(2)
		if !list.ok {
			return nil, errECHConfig
		}
		if version != echVersion {
			// §4: "Clients MUST ignore any ECHConfig structure with a version they do
			// not support", and so can we.
			continue
		}
		c, err := parseECHConfig(body)
		if err != nil {
			return nil, err
		}
		c.raw = from[:len(from)-len(list.rest)]
		configs = append(configs, c)
	}
	switch {
	case len(configs) == 0:
		return nil, fmt.Errorf("snapshot: ECH key: no configuration of version %#04x", echVersion)
	case len(configs) > maxECHConfigs:
		return nil, fmt.Errorf("snapshot: ECH key: %d configurations, at most %d are served", len(configs), maxECHConfigs)
	}
	return configs, nil
}

func parseECHConfig(body []byte) (c echConfig, err error) {
	r := fields{body, true}
	r.number(1) // config_id: crypto/tls tries every key
	c.kem = uint16(r.number(2))
	c.publicKey = r.vector(2)
	suites := fields{r.vector(2), true}
	for len(suites.rest) > 0 {
		c.suites = append(c.suites, echSuite{uint16(suites.number(2)), uint16(suites.number(2))})
	}
	r.number(1) // maximum_name_length: for clients
	c.publicName = string(r.vector(1))
	extensions := fields{r.vector(2), true}
	if !r.ok || !suites.ok || len(c.suites) == 0 || len(r.rest) > 0 {
		return c, errECHConfig
	}
	for len(extensions.rest) > 0 {
		kind := extensions.number(2)
		extensions.vector(2)
		if kind&0x8000 != 0 {
			// §4.2: clients ignore a configuration with a mandatory extension that they
			// do not know, and there is none that any knows.
			return c, fmt.Errorf("snapshot: ECH key: the configuration has the mandatory extension %#04x", kind)
		}
	}
	if !extensions.ok {
		return c, errECHConfig
	}
	if !isPublicName(c.publicName) {
		return c, fmt.Errorf("snapshot: ECH key: public name %q is not a host name", c.publicName)
	}
	return c, nil
}

// isPublicName reports whether clients accept name, RFC 9849 §6.1.7: labels of
// letters, digits and hyphens, no trailing dot, not what a browser takes for an
// IPv4 address. We declare hosts in lower case.
func isPublicName(name string) bool {
	if len(name) > 253 || strings.ToLower(name) != name {
		return false
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return false
		}
	}
	// A last label of digits, or of 0x and hexadecimal digits, makes it a number.
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

func isLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// fields reads numbers and vectors as TLS writes them (RFC 8446 §3). Once
// something is missing, ok is false and what is read is zero.
type fields struct {
	rest []byte
	ok   bool
}

func (f *fields) take(n int) []byte {
	if !f.ok || len(f.rest) < n {
		f.rest, f.ok = nil, false
		return make([]byte, min(n, 8))
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

// number reads a number of n bytes, 8 at most.
func (f *fields) number(n int) int {
	var b [8]byte
	copy(b[8-n:], f.take(n))
	return int(binary.BigEndian.Uint64(b[:]))
}

// vector reads a vector whose length is a number of n bytes.
func (f *fields) vector(n int) []byte {
	length := f.number(n)
	if !f.ok || len(f.rest) < length {
		f.rest, f.ok = nil, false
		return nil
	}
	return f.take(length)
}
