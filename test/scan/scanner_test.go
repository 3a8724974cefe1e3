//go:build scan

package scan

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long one scan may take; it takes a minute on two idle cores.
const patience = 10 * time.Minute

// A finding is one of testssl.sh, from its flat JSON.
type finding struct {
	// ID is the check, and the certificate's number if there are several:
	// "cert_notAfter <cert#2>".
	ID string `json:"id"`
	// Severity is OK, INFO, LOW, MEDIUM, HIGH, CRITICAL; WARN and FATAL are the
	// scanner's own troubles.
	Severity string `json:"severity"`
	Finding  string `json:"finding"`
}

// check is the ID without the number of a certificate.
func (f finding) check() string {
	check, _, _ := strings.Cut(f.ID, " ")
	return check
}

// testssl returns what testssl.sh finds at a host. It asks no DNS server and goes
// to nothing but the address.
func (w world) testssl(t *testing.T, host string, checks ...string) []finding {
	t.Helper()
	file := filepath.Join(t.TempDir(), "testssl.json")
	args := append([]string{
		"--quiet", "--warnings", "off", "--color", "0", "--nodns", "none", "--ip", "127.0.0.1",
		"--add-ca", w.ca, "--jsonfile", file,
	}, checks...)
	// Its exit code counts findings, and tells nothing that the file does not.
	out := run(t, "testssl", append(args, host+":"+w.port)...)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("testssl: %v\n%s", err, out)
	}
	var found []finding
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatalf("testssl: %v\n%s", err, out)
	}
	for _, f := range found {
		if f.Severity != "OK" && f.Severity != "INFO" {
			t.Logf("testssl: %s %s %q (%s)", f.Severity, f.ID, f.Finding, excused[f.check()])
		}
	}
	return found
}

// A report is sslscan's.
type report struct {
	Protocols []struct {
		Type    string `xml:"type,attr"`
		Version string `xml:"version,attr"`
		Enabled bool   `xml:"enabled,attr"`
	} `xml:"ssltest>protocol"`
	Ciphers []struct {
		Protocol string `xml:"sslversion,attr"`
		Name     string `xml:"cipher,attr"`
		Strength string `xml:"strength,attr"`
	} `xml:"ssltest>cipher"`
	Heartbleed []struct {
		Protocol   string `xml:"sslversion,attr"`
		Vulnerable bool   `xml:"vulnerable,attr"`
	} `xml:"ssltest>heartbleed"`
	Compression struct {
		Supported bool `xml:"supported,attr"`
	} `xml:"ssltest>compression"`
	Certificates []struct {
		SelfSigned bool `xml:"self-signed"`
		Expired    bool `xml:"expired"`
		Key        struct {
			Error bool `xml:"error,attr"`
		} `xml:"pk"`
	} `xml:"ssltest>certificates>certificate"`
}

// sslscan returns what sslscan finds at a host.
func (w world) sslscan(t *testing.T, host string) report {
	t.Helper()
	out := run(t, "sslscan", "--no-colour", "--xml=-", "--sni-name="+host, "127.0.0.1:"+w.port)
	var r struct {
		XMLName xml.Name `xml:"document"`
		report
	}
	if err := xml.Unmarshal(out, &r); err != nil {
		t.Fatalf("sslscan: %v\n%s", err, out)
	}
	return r.report
}

// judge fails the test if other protocols are on than those, or anything is weak.
func (r report) judge(t *testing.T, protocols ...string) {
	t.Helper()
	var on []string
	for _, p := range r.Protocols {
		if p.Enabled {
			on = append(on, strings.ToUpper(p.Type)+"v"+p.Version)
		}
	}
	if slices.Sort(on); !slices.Equal(on, protocols) {
		t.Errorf("sslscan: protocols %q, want %q", on, protocols)
	}
	for _, h := range r.Heartbleed {
		if h.Vulnerable {
			t.Errorf("sslscan: %s has Heartbleed", h.Protocol)
		}
	}
	if len(r.Heartbleed) == 0 {
		t.Error("sslscan: nothing about Heartbleed")
	}
	// It calls the suites of TLS 1.3 acceptable.
	for _, c := range r.Ciphers {
		if !slices.Contains(protocols, c.Protocol) || c.Strength != "strong" && c.Strength != "acceptable" {
			t.Errorf("sslscan: %s %s is %s, want %q, strong or acceptable", c.Protocol, c.Name, c.Strength, protocols)
		}
	}
	if len(r.Ciphers) < 3*len(protocols) {
		t.Errorf("sslscan: ciphers %v, want three of each of %q", r.Ciphers, protocols)
	}
	if r.Compression.Supported {
		t.Error("sslscan: compression is on")
	}
	for _, c := range r.Certificates {
		if c.SelfSigned || c.Expired || c.Key.Error {
			t.Errorf("sslscan: certificate %+v, want a good one", c)
		}
	}
	if len(r.Certificates) == 0 {
		t.Error("sslscan: no certificate")
	}
}

// run runs a scanner and returns its output.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start := time.Now()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second // for what it started itself
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%s (a Debian package): %v\n%s", name, err, out)
	}
	t.Logf("%s: %v, of them %v on the processor", name, time.Since(start).Round(time.Second), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(time.Second))
	return out
}
