package dataplane

import (
	"net"
	"net/netip"
	"slices"
)

// own reports whether addr is one that this process listens on: an endpoint there
// would be a loop, or a way past the network policy of the admin port.
func (d *DataPlane) own(addr netip.AddrPort) bool {
	addr = netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
	if slices.ContainsFunc(d.cfg.OwnAddrs, func(own netip.AddrPort) bool { return same(own, addr) }) {
		return true
	}
	for _, l := range d.listeners {
		if tcp, ok := l.Addr().(*net.TCPAddr); ok && same(tcp.AddrPort(), addr) {
			return true
		}
	}
	return false
}

// same reports whether a socket listening on own is reached by addr.
func same(own, addr netip.AddrPort) bool {
	if own.Port() != addr.Port() {
		return false
	}
	if ip := own.Addr().Unmap().WithZone(""); !ip.IsUnspecified() {
		return ip == addr.Addr()
	}
	return addr.Addr().IsUnspecified() || addr.Addr().IsLoopback() || onThisHost(addr.Addr())
}

// onThisHost reports whether an interface has the address. It is asked only about
// addresses with a port that is listened on, so that what it costs does not
// matter; and it asks the kernel each time, because addresses come and go.
func onThisHost(addr netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // rather refuse an endpoint than loop
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		ipnet, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		ip, ok := netip.AddrFromSlice(ipnet.IP)
		return ok && ip.Unmap() == addr
	})
}
