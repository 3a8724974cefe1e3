package upstream

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func TestGuard(t *testing.T) {
	const ok = ""
	tests := []struct{ addr, want string }{
		{"10.1.2.3:80", ok},
		{"93.184.215.14:443", ok},
		{"100.64.0.1:80", ok},
		{"169.253.255.255:80", ok},
		{"240.0.0.1:80", ok},
		{"[2606:2800:21f:cb07::1]:443", ok},
		{"[fd12::1]:80", ok},
		{"[fec0::1]:80", ok},

		{"127.0.0.1:80", "loopback"},
		{"127.255.255.254:80", "loopback"},
		{"[::1]:80", "loopback"},
		{"[::ffff:127.0.0.1]:80", "loopback"},
		{"[::ffff:7f00:1]:80", "loopback"},
		{"[::127.0.0.1]:80", "loopback"},
		{"[64:ff9b::127.0.0.1]:80", "loopback"},
		{"[64:ff9b:1::127.0.0.1]:80", "loopback"},
		{"[64:ff9b:1:7f00:0:100::]:80", "loopback"},
		{"[2002:7f00:1::]:80", "loopback"},
		{"[2002:7f00:1:1234::5]:80", "loopback"},
		{"[2001:0:1:2:3:4:80ff:fffe]:80", "loopback"},

		{"0.0.0.0:80", "unspecified"},
		{"0.1.2.3:80", "unspecified"},
		{"[::]:80", "unspecified"},
		{"[::ffff:0.0.0.0]:80", "unspecified"},
		{"[64:ff9b::]:80", "unspecified"},

		{"169.254.169.254:80", "link-local"},
		{"169.254.0.1:80", "link-local"},
		{"[fe80::1]:80", "link-local"},
		{"[fe80::1%eth0]:80", "link-local"},
		{"[febf::1]:80", "link-local"},
		{"[::ffff:169.254.169.254]:80", "link-local"},
		{"[64:ff9b::a9fe:a9fe]:80", "link-local"},
		{"[2002:a9fe:a9fe::1]:80", "link-local"},

		{"224.0.0.1:80", "multicast"},
		{"239.255.255.255:80", "multicast"},
		{"[ff02::1]:80", "multicast"},
		{"[::ffff:224.0.0.1]:80", "multicast"},
		{"255.255.255.255:80", "broadcast"},

		{"[fd00:ec2::254]:80", "cloud metadata"},
		{"[fd00:ec2::23]:80", "cloud metadata"},
		{"[fd20:ce::254]:80", "cloud metadata"},
		{"168.63.129.16:80", "cloud metadata"},
		{"100.100.100.200:80", "cloud metadata"},
		{"[::ffff:192.0.0.192]:80", "cloud metadata"},

		{"10.9.9.9:8443", "own listener"},
		{"[::ffff:10.9.9.9]:8443", "own listener"},
		{"[64:ff9b::10.9.9.9]:8443", "own listener"},
		{"10.9.9.9:80", ok},

		{"10.1.2.3:0", "not an address with a port"},
	}
	cfg := Config{Own: func(a netip.AddrPort) bool { return a == netip.MustParseAddrPort("10.9.9.9:8443") }}
	for _, tt := range tests {
		err := cfg.guard(netip.MustParseAddrPort(tt.addr))
		if tt.want == ok && err != nil || tt.want != ok && (err == nil || !strings.HasSuffix(err.Error(), tt.want)) {
			t.Errorf("guard(%s) = %v, want %q", tt.addr, err, tt.want)
		}
	}
	if err := cfg.guard(netip.AddrPort{}); err == nil {
		t.Error("guard of the zero address = nil, want an error")
	}
}

func TestGuardAllowLoopback(t *testing.T) {
	cfg := Config{
		AllowLoopback: true,
		Own:           func(a netip.AddrPort) bool { return a == netip.MustParseAddrPort("127.0.0.1:8443") },
	}
	tests := []struct {
		addr string
		ok   bool
	}{
		{"127.0.0.1:9000", true},
		{"[::1]:9000", true},
		{"[::ffff:127.0.0.1]:9000", true},
		{"127.0.0.1:8443", false},
		{"[::ffff:127.0.0.1]:8443", false},
		{"[64:ff9b::127.0.0.1]:9000", false},
		{"169.254.169.254:80", false},
		{"0.0.0.0:9000", false},
	}
	for _, tt := range tests {
		if err := cfg.guard(netip.MustParseAddrPort(tt.addr)); (err == nil) != tt.ok {
			t.Errorf("guard(%s) = %v, want allowed %t", tt.addr, err, tt.ok)
		}
	}
}

// The guard stands before the dial, whoever dials.
func TestGetRefusesAddress(t *testing.T) {
	srv := newServer(t, nil)
	s := newSet(t, func(c *Config) { c.AllowLoopback = false })
	p := newPoolOf(t, s, srv.addr)
	_, err := p.Get(t.Context(), p.Endpoints()[0], 0)
	wantReason(t, err, outcome.AddressRefused, outcome.RetryYes)
	if got := srv.accepted.Load(); got != 0 {
		t.Errorf("server accepted %d connections, want 0", got)
	}
}
