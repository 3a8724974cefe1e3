package cli_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
	"github.com/cardea-dev/cardea/test/responder"
)

// TestOCSP: with --enable-ocsp a client is stapled what the authority answers, and
// metrics and log tell; without it nobody is asked.
func TestOCSP(t *testing.T) {
	ca, a := harness.NewAuthority(t), responder.New(t)
	dir := shopFolder(t, ca)
	chain, key := a.Issue("shop.example.com", true)
	data, err := json.Marshal(map[string]string{"tls.crt": string(chain), "tls.key": string(key)})
	if err != nil {
		t.Fatal(err)
	}
	harness.Write(t, dir, "tls.yaml", fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: shop}\ntype: kubernetes.io/tls\nstringData: %s\n", data))
	staple := func(p *harness.Program) []byte {
		c, err := tls.Dial("tcp", p.HTTPS, &tls.Config{ServerName: "shop.example.com", RootCAs: a.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().OCSPResponse
	}
	if got := staple(harness.Serve(t, dir)); got != nil || a.Asked() > 0 {
		t.Errorf("without the flag: %d bytes are stapled, the authority was asked %d times", len(got), a.Asked())
	}
	p := harness.Serve(t, dir, "--enable-ocsp")
	p.Until("a response is stapled", func() error {
		metrics, err := p.Get(p.Admin, "/metrics")
		for _, want := range []string{`cardea_ocsp_certificates{state="stapled"} 1`, `cardea_ocsp_fetches_total{result="good"} 1`} {
			if err == nil && !strings.Contains(metrics, want+"\n") {
				err = fmt.Errorf("%s is not in the metrics", want)
			}
		}
		return err
	})
	if len(staple(p)) == 0 {
		t.Error("nothing is stapled")
	}
	if n := strings.Count(p.Stderr(), "an OCSP response is stapled"); n != 1 {
		t.Errorf("the log says %d times that a response is stapled, want once", n)
	}
}

// TestOCSPIsRefusedWhereFIPSIsEnforced runs itself again in that mode, which is
// decided when a process starts.
func TestOCSPIsRefusedWhereFIPSIsEnforced(t *testing.T) {
	if os.Getenv("CARDEA_TEST_FIPS") == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", "CARDEA_TEST_FIPS=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("with GODEBUG=fips140=only: %v\n%s", err, out)
		}
		return
	}
	code, _, stderr := call(t, "serve", "--manifests", t.TempDir(), "--enable-ocsp")
	if code != 2 || !strings.Contains(stderr, "fips140=only") {
		t.Errorf("exit code %d, %q, want 2 and why", code, stderr)
	}
}
