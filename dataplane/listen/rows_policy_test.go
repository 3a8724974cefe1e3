package listen

import (
	"testing"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Row 37: a tls.Config is made once for what it depends on, and not again.
func TestRow37ConfigsAreKept(t *testing.T) {
	w := newWorld(t, nil)
	host := testSpec().Hosts[3]
	one := served{host: host.Name, tls: host.TLS, policy: snapshot.Intermediate, cert: host.TLS.Certificates[0]}
	first, again := w.l.configs.shared(&one), w.l.configs.shared(&one)
	if first != again {
		t.Error("the Config of a host was made twice")
	}
	other := one
	other.policy = snapshot.Modern
	if first == w.l.configs.shared(&other) {
		t.Error("two policies share a Config")
	}
}
