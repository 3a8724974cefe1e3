//go:build scan

package scan

import (
	"slices"
	"testing"
)

// TestScannersPolicyIntermediate: of the default policy with certificates of both
// key types, no scanner finds anything above low, and what it offers is what was
// meant to be offered.
func TestScannersPolicyIntermediate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	found := w.testssl(t, intermediate, "--protocols", "--std", "--fs", "--server-defaults", "--headers", "--vulnerable")
	judge(t, found)
	expect(t, found, map[string]string{
		"SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered",
		"TLS1_2": "offered", "TLS1_3": "offered with final",
		"cert_chain_of_trust <cert#1>": "passed.", "cert_chain_of_trust <cert#2>": "passed.",
		"cert_keySize <cert#1>": "RSA 2048 bits", "cert_keySize <cert#2>": "EC 256 bits",
		"heartbleed": "not vulnerable, no heartbeat extension", "secure_renego": "supported",
		"HSTS_time": "365 days (=31536000 seconds) > 15552000 seconds", "HSTS_subdomains": "includes subdomains", "HSTS_preload": "domain IS marked for preloading",
		"LUCKY13": "not vulnerable",
	})
	w.sslscan(t, intermediate).judge(t, "TLSv1.2", "TLSv1.3")
}

// TestScannersPolicyModern: a host of the policy modern offers TLS 1.3 alone.
func TestScannersPolicyModern(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	found := w.testssl(t, modern, "--protocols", "--std", "--fs", "--server-defaults")
	judge(t, found)
	expect(t, found, map[string]string{
		"SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered",
		"TLS1_2": "not offered", "TLS1_3": "offered with final", "cert_chain_of_trust": "passed.",
	})
	w.sslscan(t, modern).judge(t, "TLSv1.3")
}

// excused are findings above low that are not about Cardea, by id, with the reason.
var excused = map[string]string{
	"cert_expirationStatus": "certificates of tests live for an hour",
	"cert_notAfter":         "certificates of tests live for an hour",
	"cert_revocation":       "the test's authority has neither CRL nor OCSP responder",
	"engine_problem":        "the openssl of the scanner knows no GOST",
	"security_headers":      "the application sets them, and the test's backend sets none",
}

// judge fails the test for what testssl.sh finds worse than low, and for what it
// could not check, which it calls WARN.
func judge(t *testing.T, found []finding) {
	t.Helper()
	for _, f := range found {
		if slices.Contains([]string{"OK", "INFO", "LOW", "DEBUG"}, f.Severity) || excused[f.check()] != "" {
			continue
		}
		t.Errorf("testssl: %s = %s %q, want nothing above LOW", f.ID, f.Severity, f.Finding)
	}
}

// expect holds findings against what they should say, which shows that the scan
// was one.
func expect(t *testing.T, found []finding, want map[string]string) {
	t.Helper()
	for id, text := range want {
		i := slices.IndexFunc(found, func(f finding) bool { return f.ID == id })
		if i < 0 {
			t.Errorf("testssl: no finding %s, want %q", id, text)
		} else if found[i].Finding != text {
			t.Errorf("testssl: %s = %q, want %q", id, found[i].Finding, text)
		}
	}
}
