package listen

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestRow6OpenSSL has openssl present certificates that are not good enough, in
// both versions of TLS. It needs the openssl command.
func TestRow6OpenSSL(t *testing.T) {
	ca := newClientCA("client CA", nil)
	spec := guarded(&snapshot.ClientAuth{Authorities: ca.authorities(big.NewInt(666))})
	strict := *snapshot.Intermediate
	strict.Name, strict.RejectALPN = "strict", true
	spec.TLSPolicy = &strict
	for _, tt := range []struct {
		name   string
		by     *authority // nil: the client has no certificate
		change func(*x509.Certificate)
		args   string
		reason outcome.Reason
	}{
		{"good", ca, nil, "", outcome.OK},
		{"none", nil, nil, "", outcome.ClientCertMissing},
		{"unknown authority", newClientCA("other", nil), nil, "", outcome.ClientCertUnknownCA},
		{"expired", ca, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}, "", outcome.ClientCertExpired},
		{"for servers", ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, "", outcome.ClientCertUsage},
		{"revoked", ca, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(666) }, "", outcome.ClientCertRevoked},
		{"no common protocol", ca, nil, " -alpn spdy/3", outcome.ALPN},
	} {
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			t.Run(tt.name+" "+version, func(t *testing.T) {
				w := newWorld(t, nil)
				w.publish(spec)
				args := "s_client -servername ec.example.com " + version + tt.args + " -connect " + w.l.Addr().String()
				result := outcome.Done
				if tt.reason != outcome.OK {
					// Not to leave at the end of its input, before it is refused.
					result, args = outcome.Failed, args+" -ign_eof"
				}
				if tt.by != nil {
					dir := t.TempDir()
					certPEM, keyPEM := tt.by.issue(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), tt.change)
					for name, data := range map[string][]byte{"cert": certPEM, "key": keyPEM} {
						if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
							t.Fatal(err)
						}
						args += " -" + name + " " + filepath.Join(dir, name)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, "openssl", strings.Fields(args)...)
				cmd.Stdin = strings.NewReader("ping")
				out, err := cmd.CombinedOutput()
				h := w.want(result, tt.reason)
				if t.Failed() {
					t.Logf("openssl (%v):\n%s", err, out)
				}
				if result == outcome.Failed && h.AlertSent == "" {
					t.Error(`AlertSent = "", want what openssl was sent`)
				}
				if c := h.ClientCertificate; strings.HasPrefix(string(tt.reason), "client_cert_") && tt.by != nil &&
					(c == nil || c.Subject != "CN=leaf" || c.Verified || c.VerifyErr == "") {
					t.Errorf("ClientCertificate = %+v, want the one that was refused, and why", c)
				}
			})
		}
	}
}
