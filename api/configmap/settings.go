package configmap

import (
	"crypto/tls"
	"net/netip"
	"strconv"
	"time"

	"github.com/cardea-dev/cardea/api/annotation"
)

// Settings are what a ConfigMap says. A field that it leaves open is zero.
type Settings struct {
	// Annotations are the settings of an Ingress without annotations.
	Annotations annotation.Settings

	// MinVersion and MaxVersion are the versions of TLS, Ciphers the suites of TLS
	// 1.2 and older in OpenSSL's notation, Curves the groups, SessionTickets whether
	// sessions resume.
	MinVersion, MaxVersion uint16
	Ciphers                string
	Curves                 []tls.CurveID
	SessionTickets         annotation.Switch

	// RejectUnknown rejects handshakes for hosts that nobody declares.
	RejectUnknown bool
	// OCSP is whether OCSP responses are stapled.
	OCSP annotation.Switch

	// HSTS is whether Strict-Transport-Security is sent, and the others are what it
	// says, HSTSMaxAge in seconds; see [Settings.StrictTransportSecurity].
	HSTS, HSTSSubdomains, HSTSPreload annotation.Switch
	HSTSMaxAge                        int
	hsts                              bool // one of them is set

	// ProxyProtocol has connections of the Proxies begin with a PROXY protocol
	// header, within ProxyTimeout (0: the default); ForwardedHeaders believes their
	// X-Forwarded-*.
	ProxyProtocol, ForwardedHeaders bool
	ProxyTimeout                    time.Duration
	// Proxies are the networks of load balancers; set if one of the two is.
	Proxies []netip.Prefix

	// Allow and Deny are the networks of clients that may connect, and that may not.
	Allow, Deny []netip.Prefix
}

// HasPolicy reports whether anything is said of versions, suites, groups or tickets.
func (s *Settings) HasPolicy() bool {
	return s.MinVersion != 0 || s.Ciphers != "" || len(s.Curves) > 0 || s.SessionTickets != annotation.Unset
}

// StrictTransportSecurity returns the value of that field, "" for none; and whether
// the ConfigMap says anything of it. What it leaves open is as in ingress-nginx: on,
// for a year, with subdomains and without preloading.
func (s *Settings) StrictTransportSecurity() (value string, said bool) {
	if !s.hsts {
		return "", false
	}
	if s.HSTS == annotation.Off {
		return "", true
	}
	value = "max-age=" + strconv.Itoa(s.HSTSMaxAge)
	if s.HSTSSubdomains != annotation.Off {
		value += "; includeSubDomains"
	}
	if s.HSTSPreload == annotation.On {
		value += "; preload"
	}
	return value, true
}

const defaultHSTSAge = 31536000

// PrivateNetworks are those that can be nobody's on the Internet: RFC 1918, RFC
// 6598 and RFC 4193.
func PrivateNetworks() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
	}
}
