package upstream

import (
	"fmt"
	"net/netip"
)

// guard returns why addr must not be dialled, nil if it may be.
//
// Endpoints come from objects that tenants write: an EndpointSlice or an
// ExternalName must not be a way to reach what listens for this process, its node
// or its cloud alone.
func (c *Config) guard(addr netip.AddrPort) error {
	if !addr.IsValid() || addr.Port() == 0 {
		return fmt.Errorf("dial %s: not an address with a port", addr)
	}
	ip := innermost(addr.Addr())
	if c.Own(addr) || c.Own(netip.AddrPortFrom(ip, addr.Port())) {
		return fmt.Errorf("dial %s: address refused: own listener", addr)
	}
	if c.AllowLoopback && addr.Addr().Unmap().IsLoopback() {
		return nil
	}
	if kind := forbidden(ip); kind != "" {
		return fmt.Errorf("dial %s: address refused: %s", addr, kind)
	}
	return nil
}

// forbidden returns the kind of an address that is never a backend's, or "". ip is
// neither mapped nor wrapped.
func forbidden(ip netip.Addr) string {
	switch {
	case ip.IsLoopback():
		return "loopback"
	case ip.IsUnspecified(), thisNetwork.Contains(ip):
		// Linux connects to 0.0.0.0 as to 127.0.0.1, RFC 1122 §3.2.1.3.
		return "unspecified"
	case ip.IsLinkLocalUnicast():
		return "link-local"
	case ip.IsMulticast():
		return "multicast"
	case ip == broadcast:
		return "broadcast"
	}
	for _, m := range metadata {
		if m.Contains(ip) {
			return "cloud metadata"
		}
	}
	return ""
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	broadcast   = netip.MustParseAddr("255.255.255.255")

	// metadata are the services that clouds give to their machines and that hand
	// out credentials, apart from 169.254.0.0/16.
	metadata = []netip.Prefix{
		netip.MustParsePrefix("fd00:ec2::/32"),      // AWS: metadata, Pod identity
		netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
		netip.MustParsePrefix("168.63.129.16/32"),   // Azure
		netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
		netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	}
)

// The IPv6 prefixes whose addresses stand for an IPv4 address.
var (
	compatible = netip.MustParsePrefix("::/96")          // RFC 4291 §2.5.5.1
	nat64      = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052 §2.1
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")      // RFC 3056 §2
	teredo     = netip.MustParsePrefix("2001::/32")      // RFC 4380 §4
)

// innermost returns the address that a packet to ip would end at: ip itself, or
// the IPv4 address in it.
func innermost(ip netip.Addr) netip.Addr {
	ip = ip.WithZone("").Unmap()
	if ip.Is4() {
		return ip
	}
	b := ip.As16()
	last := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case compatible.Contains(ip):
		// "::" and "::1" are addresses of their own.
		if ip.IsUnspecified() || ip.IsLoopback() {
			return ip
		}
		return last
	case nat64.Contains(ip):
		return last
	case nat64Local.Contains(ip):
		// The prefix in use is either a /96 within it or, with a suffix of zeros,
		// the /48 itself, which skips the octet u (RFC 6052 §2.2).
		if last.IsUnspecified() {
			return netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]})
		}
		return last
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	case teredo.Contains(ip):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
	}
	return ip
}
