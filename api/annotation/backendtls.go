package annotation

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// BackendTLS is what the annotations say of TLS to backends. Where one of ours and
// one of nginx's say the same thing, ours counts; that is why both are here.
type BackendTLS struct {
	// Verify and ProxyVerify are backend-tls-verify and proxy-ssl-verify, and so on.
	Verify, ProxyVerify       Switch
	VerifyHostname            Switch
	ServerName, ProxyName     string
	ProxyServerName           Switch
	AltNames                  NameList
	CA, ClientCert, ProxyPair string // Secrets, as written
	CAConfigMap               string // a ConfigMap, as written
	// Depth is proxy-ssl-verify-depth plus one; 0 if it is not set.
	Depth int
	// MinVersion and MaxVersion are proxy-ssl-protocols, and CipherSuites
	// proxy-ssl-ciphers; zero if they are not set.
	MinVersion, MaxVersion uint16
	CipherSuites           string
}

// Suites returns CipherSuites as crypto/tls numbers them.
func (b *BackendTLS) Suites() []uint16 {
	ids, _ := suites(b.CipherSuites)
	return ids
}

// A Switch is on or off, or not set.
type Switch uint8

// The states of a Switch.
const (
	Unset Switch = iota
	On
	Off
)

// Or returns s, or dflt if s is not set.
func (s Switch) Or(dflt Switch) Switch {
	if s == Unset {
		return dflt
	}
	return s
}

func parseSwitch(field func(*Settings) *Switch) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		switch strings.ToLower(value) {
		case "on":
			*field(s) = On
		case "off":
			*field(s) = Off
		default:
			return fmt.Errorf(`want "on" or "off", found %s`, Quote(value))
		}
		return nil
	}
}

func parseServerName(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		name, ok := serverName(value)
		if !ok {
			return fmt.Errorf("want a DNS name or an IP address, found %s", Quote(value))
		}
		*field(s) = name
		return nil
	}
}

// serverName returns the normal form of a name that a certificate may have: a DNS
// name, in which underscores are tolerated, or an IP address.
func serverName(value string) (string, bool) {
	if addr, err := netip.ParseAddr(value); err == nil {
		return addr.String(), addr.Zone() == ""
	}
	name := strings.ToLower(strings.TrimSuffix(value, "."))
	if name == "" || len(name) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return name, true
}

var protocols = []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

// parseProtocols reads a list as nginx has it. crypto/tls knows a lowest and a
// highest version, so that there may be no gap.
func parseProtocols(s *Settings, value string) error {
	var listed [4]bool
	for word := range strings.FieldsSeq(value) {
		i := slices.IndexFunc(protocols, func(p string) bool { return strings.EqualFold(p, word) })
		if i < 0 {
			return fmt.Errorf("want some of %s, found %s", strings.Join(protocols, ", "), Quote(word))
		}
		listed[i] = true
	}
	first := slices.Index(listed[:], true)
	if first < 0 {
		return fmt.Errorf("want some of %s, found none", strings.Join(protocols, ", "))
	}
	last := first
	for last+1 < len(listed) && listed[last+1] {
		last++
	}
	if slices.Contains(listed[last+1:], true) {
		return fmt.Errorf("want versions without a gap between them, found %s", Quote(value))
	}
	s.BackendTLS.MinVersion, s.BackendTLS.MaxVersion = tls.VersionTLS10+uint16(first), tls.VersionTLS10+uint16(last)
	return nil
}

// parseCiphers reads a list of OpenSSL's names. Its keywords and operators stand for
// sets that differ from one OpenSSL to the next, so that only DEFAULT is accepted,
// which means Go's defaults. The suites of TLS 1.3 cannot be chosen in Go.
func parseCiphers(s *Settings, value string) error {
	if strings.EqualFold(value, "DEFAULT") {
		s.BackendTLS.CipherSuites = ""
		return nil
	}
	ids, err := suites(value)
	if err == nil && len(ids) == 0 {
		err = errors.New("want names of cipher suites, found none")
	}
	if err == nil {
		s.BackendTLS.CipherSuites = value
	}
	return err
}

func suites(list string) (ids []uint16, err error) {
	for name := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ':' || r == ',' || r == ' ' }) {
		id, ok := CipherSuite(strings.ToUpper(name))
		if !ok {
			return nil, fmt.Errorf("want names of cipher suites with colons between them, of those that Go has, or DEFAULT, found %s", Quote(name))
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// CipherSuite returns the suite of TLS 1.2 or older that OpenSSL calls by name.
func CipherSuite(name string) (id uint16, ok bool) {
	id, ok = openSSLSuites[name]
	return id, ok
}

// openSSLSuites are the suites of Go by OpenSSL's names. Those without forward
// secrecy are among them for peers that have nothing else; whoever names one has
// been asked to.
var openSSLSuites = map[string]uint16{
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-ECDSA-AES128-SHA256":     tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	"ECDHE-RSA-AES128-SHA256":       tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
	"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	"AES128-GCM-SHA256":             tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	"AES256-GCM-SHA384":             tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	"AES128-SHA256":                 tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
	"AES128-SHA":                    tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	"AES256-SHA":                    tls.TLS_RSA_WITH_AES_256_CBC_SHA,
}
