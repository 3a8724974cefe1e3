package cli

import (
	"net/netip"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestConnectionsOfNobody: a table that reads the PROXY protocol of nobody is not
// one that leaves it to the flags.
func TestConnectionsOfNobody(t *testing.T) {
	flags := &snapshot.ConnectionPolicy{ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Max: 7}
	if p := connectionsOf(&snapshot.ConnectionPolicy{ProxyProtocol: []netip.Prefix{}}, flags); len(p.ProxyProtocol) != 0 || p.Max != 7 {
		t.Errorf("with nobody: %+v, want nobody, and the limit of the flags", p)
	}
	if p := connectionsOf(&snapshot.ConnectionPolicy{}, flags); len(p.ProxyProtocol) != 1 {
		t.Errorf("with nothing said: %+v, want what the flags say", p)
	}
}
