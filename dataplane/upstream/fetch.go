package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// fetchTimeout bounds one connect of DialName.
const fetchTimeout = 5 * time.Second

// DialName connects to "host:port", for what is fetched because an object of a
// user says so, a certificate for instance. Like an endpoint, each address that
// host resolves to is checked before it is dialled.
func (s *Set) DialName(ctx context.Context, hostport string) (net.Conn, error) {
	host, text, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("upstream: dial %q: not a host with a port", hostport)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("upstream: dial %q: not a host with a port", hostport)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	addrs := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, ip)
	} else if addrs, err = s.cfg.Resolve(ctx, host); err != nil {
		return nil, fmt.Errorf("upstream: resolve %q: %w", host, err)
	}
	errs := []error{fmt.Errorf("upstream: dial %q: no address", hostport)}
	for i, ip := range addrs[:min(len(addrs), maxFetchAddrs)] {
		addr := netip.AddrPortFrom(ip.Unmap(), uint16(port))
		if i == 0 {
			errs = nil
		}
		if err := s.cfg.guard(addr); err != nil {
			errs = append(errs, fmt.Errorf("upstream: %w", err))
			continue
		}
		c, err := s.cfg.Dial(ctx, addr)
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("upstream: dial %s: %w", addr, dialCause(err)))
	}
	return nil, errors.Join(errs...)
}

// maxFetchAddrs is the most addresses that are tried.
const maxFetchAddrs = 4
