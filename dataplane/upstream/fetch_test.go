package upstream

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// TestDialName: every address that a name resolves to is checked, whatever the
// name says.
func TestDialName(t *testing.T) {
	var dialled []netip.AddrPort
	s := New(Config{
		Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
			return map[string][]netip.Addr{
				"inside.example.com": {netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("127.0.0.1")},
				"mixed.example.com":  {netip.MustParseAddr("::1"), netip.MustParseAddr("192.0.2.1")},
			}[name], nil
		},
		Dial: func(_ context.Context, addr netip.AddrPort) (net.Conn, error) {
			dialled = append(dialled, addr)
			c, _ := net.Pipe()
			return c, nil
		},
	})
	defer s.Close()
	for addr, want := range map[string]string{
		"inside.example.com:80":   "address refused: loopback",
		"nothing.example.com:80":  "no address",
		"127.0.0.1:80":            "address refused: loopback",
		"[::ffff:127.0.0.1]:80":   "address refused: loopback",
		"169.254.169.254:80":      "address refused: link-local",
		"mixed.example.com":       "not a host with a port",
		"mixed.example.com:http":  "not a host with a port",
		"mixed.example.com:70000": "not a host with a port",
	} {
		if c, err := s.DialName(t.Context(), addr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("DialName(%q) = %v, %v, want an error with %q", addr, c, err, want)
		}
	}
	c, err := s.DialName(t.Context(), "mixed.example.com:80")
	if err != nil || len(dialled) != 1 || dialled[0] != netip.MustParseAddrPort("192.0.2.1:80") {
		t.Fatalf("DialName() = %v, dialled %v, want the address that is allowed", err, dialled)
	}
	c.Close()
}
