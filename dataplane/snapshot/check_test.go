package snapshot_test

import (
	"crypto/x509"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestRow54MatchCNIsAnExpression: what cannot be compiled with its anchors is refused
// with the Spec, and not found by the first handshake.
func TestRow54MatchCNIsAnExpression(t *testing.T) {
	for expr, ok := range map[string]bool{"alice|bob": true, `\Qa.b\E`: true, "(a": false, "a)|(b": false, `\Qa.b`: false, `a\Q`: false} {
		demand := &snapshot.ClientAuth{Authorities: &snapshot.Authorities{Digest: "a", Pool: x509.NewCertPool()}, MatchCN: expr}
		_, err := snapshot.Compile(nil, &snapshot.Spec{Hosts: []*snapshot.Host{{Name: "a.test", TLS: &snapshot.TLS{ClientAuth: demand}}}}, nil)
		if (err == nil) != ok {
			t.Errorf("Compile with MatchCN %q = %v, want accepted %v", expr, err, ok)
		}
	}
}
