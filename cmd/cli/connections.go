package cli

import (
	"net/netip"
	"time"

	"github.com/spf13/pflag"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// connectionFlags say which connections are let in, where the table does not.
type connectionFlags struct {
	allow, deny, proxies []string
	maxPerAddress, max   int
	rate                 float64
	burst                int
	proxyTimeout         time.Duration
}

func (c *connectionFlags) bind(f *pflag.FlagSet) {
	f.StringSliceVar(&c.allow, "connections-allow", nil, "Addresses and CIDRs of the clients that are served; without it all.")
	f.StringSliceVar(&c.deny, "connections-deny", nil, "Addresses and CIDRs of clients whose connections are reset.")
	f.IntVar(&c.maxPerAddress, "connections-max-per-address", 0, "Most connections that a client's address (IPv6: its /64) has open at once; 0 means no limit.")
	f.Float64Var(&c.rate, "connections-rate-per-address", 0, "Most connections that a client's address (IPv6: its /64) opens per second; 0 means no limit.")
	f.IntVar(&c.burst, "connections-burst-per-address", 0, "Connections that it may open at once; 0 means five times the rate.")
	f.IntVar(&c.max, "connections-max", 0, "Most connections that are open at once; 0 means no limit.")
	f.StringSliceVar(&c.proxies, "proxy-protocol-trusted", nil, "Addresses and CIDRs of load balancers that begin each connection with a PROXY protocol header; nobody else's is read.")
	f.DurationVar(&c.proxyTimeout, "proxy-protocol-timeout", snapshot.DefaultProxyTimeout, "Time in which that header arrives.")
}

// policy returns what the flags say; nil if they say nothing.
func (c *connectionFlags) policy() (*snapshot.ConnectionPolicy, error) {
	p := &snapshot.ConnectionPolicy{
		MaxPerAddress: c.maxPerAddress, NewPerSecondPerAddress: c.rate, Burst: c.burst, Max: c.max,
	}
	for _, list := range []struct {
		flag   string
		values []string
		to     *[]netip.Prefix
	}{
		{"connections-allow", c.allow, &p.Allow},
		{"connections-deny", c.deny, &p.Deny},
		{"proxy-protocol-trusted", c.proxies, &p.ProxyProtocol},
	} {
		for _, value := range list.values {
			prefix, err := parsePrefix(value)
			if err != nil {
				return nil, usage("--%s %q: want an address or a CIDR", list.flag, value)
			}
			*list.to = append(*list.to, prefix)
		}
	}
	for _, limit := range []struct {
		flag  string
		value float64
	}{
		{"connections-max-per-address", float64(c.maxPerAddress)},
		{"connections-rate-per-address", c.rate},
		{"connections-burst-per-address", float64(c.burst)},
		{"connections-max", float64(c.max)},
	} {
		if !(limit.value >= 0 && limit.value <= 1e9) {
			return nil, usage("--%s %v: want 0 or more", limit.flag, limit.value)
		}
	}
	switch {
	case c.proxyTimeout <= 0:
		return nil, usage("--proxy-protocol-timeout %v: want more than 0", c.proxyTimeout)
	case c.burst > 0 && c.rate == 0:
		return nil, usage("--connections-burst-per-address needs --connections-rate-per-address")
	}
	if len(p.Allow)+len(p.Deny)+len(p.ProxyProtocol) == 0 && p.MaxPerAddress == 0 && p.NewPerSecondPerAddress == 0 && p.Max == 0 {
		return nil, nil
	}
	p.ProxyTimeout = c.proxyTimeout
	return p, nil
}

// parsePrefix parses a CIDR, or an address alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// connectionsOf returns the policy in force: what the table says, and of what it
// leaves open, what the flags say. Either may be nil.
func connectionsOf(table, flags *snapshot.ConnectionPolicy) *snapshot.ConnectionPolicy {
	if table == nil || flags == nil {
		if table == nil {
			return flags
		}
		return table
	}
	p := *table
	if len(p.Allow) == 0 {
		p.Allow = flags.Allow
	}
	if len(p.Deny) == 0 {
		p.Deny = flags.Deny
	}
	if p.MaxPerAddress == 0 {
		p.MaxPerAddress = flags.MaxPerAddress
	}
	if p.NewPerSecondPerAddress == 0 {
		p.NewPerSecondPerAddress, p.Burst = flags.NewPerSecondPerAddress, flags.Burst
	}
	if p.Max == 0 {
		p.Max = flags.Max
	}
	if p.ProxyProtocol == nil { // empty: nobody
		p.ProxyProtocol = flags.ProxyProtocol
	}
	if p.ProxyTimeout == 0 {
		p.ProxyTimeout = flags.ProxyTimeout
	}
	return &p
}
