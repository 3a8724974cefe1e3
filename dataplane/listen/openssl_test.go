package listen

import (
	"context"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// TestOpenSSL has the other TLS library of the world as a client. It needs the
// openssl command.
func TestOpenSSL(t *testing.T) {
	dir := t.TempDir()
	caFile := func(ca *authority, name string) string {
		path := filepath.Join(dir, name)
		b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, other := caFile(testCA(), "good.pem"), caFile(newCA("other"), "other.pem")

	tests := []struct {
		name   string
		args   string
		result outcome.Result
		reason outcome.Reason
		output string
	}{
		{"TLS 1.3", "-tls1_3 -CAfile " + good, outcome.Done, outcome.OK, "Verification: OK"},
		{"TLS 1.2", "-tls1_2 -CAfile " + good, outcome.Done, outcome.OK, "Verification: OK"},
		{"TLS 1.1", "-tls1_1 -cipher DEFAULT:@SECLEVEL=0", outcome.Failed, outcome.Version, "alert number 70"},
		{"no common cipher", "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", outcome.Failed, outcome.Cipher, "alert number 40"},
		{"no common cipher for the key type", "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", outcome.Failed, outcome.Cipher, "alert number 40"},
		{"no common group", "-tls1_3 -groups X448", outcome.Failed, outcome.Curve, "alert number 40"},
		{"unknown CA, TLS 1.3", "-tls1_3 -verify_return_error -CAfile " + other, outcome.Failed, outcome.AlertUnknownCA, "verify error"},
		{"unknown CA, TLS 1.2", "-tls1_2 -verify_return_error -CAfile " + other, outcome.Failed, outcome.AlertUnknownCA, "verify error"},
		{"certificate of another name", "-verify_return_error -verify_hostname other.example.com -CAfile " + good, outcome.Failed, outcome.AlertBadCertificate, "verify error"},
		{"unknown name", "-servername nobody.example.com", outcome.Failed, outcome.UnknownSNI, "alert number 112"},
		{"no name", "-noservername", outcome.Failed, outcome.NoSNI, "alert number 112"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			args := []string{"s_client", "-connect", w.l.Addr().String()}
			if !strings.Contains(tt.args, "servername") {
				args = append(args, "-servername", "ec.example.com")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "openssl", append(args, strings.Fields(tt.args)...)...)
			// s_client shuts down at the end of its input.
			cmd.Stdin = strings.NewReader("")
			out, err := cmd.CombinedOutput()
			if (err == nil) != (tt.result == outcome.Done) || !strings.Contains(string(out), tt.output) {
				t.Errorf("openssl: %v, want %q in the output:\n%s", err, tt.output, out)
			}
			w.want(tt.result, tt.reason)
		})
	}
}
