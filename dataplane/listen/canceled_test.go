package listen

import (
	"crypto/tls"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestRow5CanceledIsNoExcuse: crypto/tls passes over a user_canceled, so that a client
// can send one and go on. Whoever does is refused for what it did then, and not for a
// reason that it has chosen, of which owners are not told.
func TestRow5CanceledIsNoExcuse(t *testing.T) {
	userCanceled := []byte("\x15\x03\x01\x00\x02\x01\x5a")
	root := newClientCA("root", nil)
	stranger := newClientCA("other", nil).client(nil)
	for _, tt := range []struct {
		name    string
		client  *tls.Config
		refused outcome.Reason
	}{
		{"unknown name", client("nobody.example.com"), outcome.UnknownSNI},
		{"no certificate", client("ec.example.com", presenting(tls.VersionTLS12, nil)), outcome.ClientCertMissing},
		{"no certificate, TLS 1.3", client("ec.example.com", presenting(tls.VersionTLS13, nil)), outcome.ClientCertMissing},
		{"another authority", client("ec.example.com", presenting(tls.VersionTLS12, &stranger)), outcome.ClientCertUnknownCA},
		{"an old version", client("ec.example.com", func(cfg *tls.Config) { cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), outcome.Version},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.publish(guarded(&snapshot.ClientAuth{Authorities: root.authorities()}))
			c := w.dial()
			if _, err := c.Write(userCanceled); err != nil {
				t.Fatal(err)
			}
			if err := ping(tls.Client(c, tt.client)); err == nil {
				t.Error("the client is served")
			}
			c.Close()
			w.want(outcome.Failed, tt.refused)
		})
	}
	t.Run("and left", func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.dial()
		if _, err := c.Write(append(userCanceled, goHello(t, client("ec.example.com"))[:20]...)); err != nil {
			t.Fatal(err)
		}
		c.Close()
		w.want(outcome.Failed, outcome.AlertUserCanceled)
	})
}
