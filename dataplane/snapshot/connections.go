package snapshot

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A ConnectionPolicy says which connections are let in, before a byte of TLS or
// HTTP is read from them. It is immutable: a change is a new one. A limit that is
// 0 is none, and an empty list restricts nothing.
//
// An address is the client's own: that of the peer, or the one that a peer in
// ProxyProtocol names. Clients with IPv6 are counted by /64, which is what one
// subscriber has.
type ConnectionPolicy struct {
	// Origin is the object that says so; zero for flags.
	Origin Origin
	// Deny turns clients away. Allow, if there is any, turns all others away; Deny
	// is asked first.
	Allow, Deny []netip.Prefix
	// MaxPerAddress is the most connections that an address has open at once.
	MaxPerAddress int
	// NewPerSecondPerAddress is how many connections an address opens per second,
	// in the long run. Burst is how many it may open at once; 0 means
	// 5 × NewPerSecondPerAddress, at least 1.
	NewPerSecondPerAddress float64
	Burst                  int
	// Max is the most connections that are open at once, on all listeners.
	Max int
	// ProxyProtocol are the peers that begin each connection with a PROXY protocol
	// header (version 1 or 2) and are believed in what it says. A connection of
	// theirs without one is refused; the header of anybody else is never read.
	ProxyProtocol []netip.Prefix
	// ProxyTimeout is the time in which the header arrives. 0 means 5 s.
	ProxyTimeout time.Duration
}

// DefaultProxyTimeout is [ConnectionPolicy.ProxyTimeout] if that is 0.
const DefaultProxyTimeout = 5 * time.Second

// Connections is a ConnectionPolicy compiled.
type Connections struct {
	*ConnectionPolicy
	allow, deny, proxies Prefixes
}

// compileConnections checks and compiles p; nil stays nil.
func compileConnections(p *ConnectionPolicy) (*Connections, error) {
	if p == nil {
		return nil, nil
	}
	// The rate is compared so that what is not a number is out, too.
	if rate := p.NewPerSecondPerAddress; !(rate >= 0 && rate <= 1e9) || min(p.MaxPerAddress, p.Burst, p.Max) < 0 || p.ProxyTimeout < 0 {
		return nil, fmt.Errorf("snapshot: connections: a limit is negative or no limit: %s", p.text())
	}
	c := &Connections{ConnectionPolicy: p}
	for _, list := range []struct {
		name     string
		prefixes []netip.Prefix
		to       *Prefixes
	}{{"allow", p.Allow, &c.allow}, {"deny", p.Deny, &c.deny}, {"proxy protocol", p.ProxyProtocol, &c.proxies}} {
		for i, prefix := range list.prefixes {
			if !prefix.IsValid() {
				return nil, fmt.Errorf("snapshot: connections: %s: element %d is no prefix", list.name, i)
			}
		}
		*list.to = NewPrefixes(list.prefixes)
	}
	return c, nil
}

// Proxied reports whether a connection from peer begins with a PROXY header.
func (c *Connections) Proxied(peer netip.Addr) bool { return c.proxies.Contain(peer) }

// Denied reports whether client is in Deny.
func (c *Connections) Denied(client netip.Addr) bool { return c.deny.Contain(client) }

// Allowed reports whether Allow is empty or has client.
func (c *Connections) Allowed(client netip.Addr) bool {
	return len(c.Allow) == 0 || c.allow.Contain(client)
}

// Bucket returns the most connections that an address opens at once, as a number
// of tokens.
func (c *Connections) Bucket() float64 {
	if c.Burst > 0 {
		return float64(c.Burst)
	}
	return max(5*c.NewPerSecondPerAddress, 1)
}

// text lists what is set.
func (p *ConnectionPolicy) text() string {
	var words []string
	list := func(name string, prefixes []netip.Prefix) {
		if len(prefixes) > 0 {
			words = append(words, fmt.Sprintf("%s=%v", name, prefixes))
		}
	}
	limit := func(name string, value any, set bool) {
		if set {
			words = append(words, fmt.Sprintf("%s=%v", name, value))
		}
	}
	list("allow", p.Allow)
	list("deny", p.Deny)
	limit("max-per-address", p.MaxPerAddress, p.MaxPerAddress != 0)
	limit("new-per-second-per-address", p.NewPerSecondPerAddress, p.NewPerSecondPerAddress != 0)
	limit("burst", p.Burst, p.Burst != 0)
	limit("max", p.Max, p.Max != 0)
	list("proxy-protocol", p.ProxyProtocol)
	limit("proxy-timeout", p.ProxyTimeout, p.ProxyTimeout != 0)
	return strings.Join(words, " ")
}

// Prefixes is a set of address prefixes. It is immutable; the zero value is
// empty. An IPv4 address in its IPv6 form (::ffff:0:0/96) is the IPv4 address, a
// zone does not matter, and a wider prefix of IPv6, such as ::/0, holds no IPv4.
//
// A prefix within another adds nothing and is left out, so that of those left at
// most one can hold an address: the last that begins at or before it.
type Prefixes struct{ v4, v6 []netip.Prefix }

// NewPrefixes returns the set of the valid prefixes in list.
func NewPrefixes(list []netip.Prefix) Prefixes {
	var s Prefixes
	for _, p := range list {
		if p = unmapped(p); !p.IsValid() {
			continue
		}
		if p.Addr().Is4() {
			s.v4 = append(s.v4, p)
		} else {
			s.v6 = append(s.v6, p)
		}
	}
	s.v4, s.v6 = outermost(s.v4), outermost(s.v6)
	return s
}

var mapped = netip.MustParsePrefix("::ffff:0:0/96")

// unmapped returns p masked, as a prefix of IPv4 if it is within the addresses
// that stand for one.
func unmapped(p netip.Prefix) netip.Prefix {
	p = p.Masked()
	if p.IsValid() && p.Addr().Is4In6() && p.Bits() >= mapped.Bits() {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped.Bits())
	}
	return p
}

// outermost sorts list and drops the prefixes that are within others.
func outermost(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	kept := list[:0]
	for _, p := range list {
		if n := len(kept); n == 0 || !kept[n-1].Contains(p.Addr()) {
			kept = append(kept, p)
		}
	}
	return slices.Clip(kept)
}

// Contain reports whether one of the prefixes holds addr. It does not allocate.
func (s *Prefixes) Contain(addr netip.Addr) bool {
	addr = addr.Unmap()
	switch {
	case addr.Is4():
		return holds(s.v4, addr)
	case addr.IsValid():
		return holds(s.v6, addr.WithZone(""))
	}
	return false
}

// holds is Contain for one family.
func holds(list []netip.Prefix, addr netip.Addr) bool {
	low, high := 0, len(list)
	for low < high {
		middle := int(uint(low+high) / 2)
		if list[middle].Addr().Compare(addr) <= 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low > 0 && list[low-1].Contains(addr)
}
