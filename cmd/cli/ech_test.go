package cli_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/test/ech"
	"github.com/cardea-dev/cardea/test/harness"
)

// echClient makes a handshake with shop.example.com known from list.
func echClient(list []byte) func(*tls.Config) {
	return func(c *tls.Config) { c.EncryptedClientHelloConfigList = list }
}

// TestECH: the keys of files are served, replaced while the program runs, told of
// to clients that know others, and visible in log and metrics.
func TestECH(t *testing.T) {
	ca, keys := harness.NewAuthority(t), t.TempDir()
	dir := shopFolder(t, ca)
	first, firstList := ech.Key(t, "shop.example.com")
	second, secondList := ech.Key(t, "nowhere.example.com")
	third, thirdList := ech.Key(t, "shop.example.com")
	harness.Write(t, keys, "ech.pem", first)
	harness.Write(t, keys, "old.pem", second)
	p := harness.Serve(t, dir, "--ech-key-file", filepath.Join(keys, "ech.pem")+","+filepath.Join(keys, "old.pem"))

	for name, list := range map[string][]byte{"the current": firstList, "the other": secondList} {
		r, err := p.Client(ca).Handshake("shop.example.com", echClient(list))
		if err != nil || r["ech"] != "accepted" || r["sni"] != "shop.example.com" {
			t.Errorf("with %s key: %v, %v, want it accepted", name, r, err)
		}
	}
	r, err := p.Client(ca).Handshake("shop.example.com", echClient(thirdList))
	rejection, ok := errors.AsType[*tls.ECHRejectionError](err)
	if !ok || !bytes.Equal(rejection.RetryConfigList, firstList) || r["ech"] != "offered" || r["reason"] != "client_alert_ech_required" {
		t.Errorf("with a key that is not there: %v, %v, want the current configuration to try again with", r, err)
	}
	p.Until("all of that is in the metrics", func() error {
		metrics, err := p.Get(p.Admin, "/metrics")
		for _, want := range []string{
			`cardea_tls_ech_total{accepted="true",listener="https"} 2`,
			`cardea_tls_ech_total{accepted="false",listener="https"} 1`,
			`cardea_tls_ech_public_name_served{public_name="shop.example.com"} 1`,
			`cardea_tls_ech_public_name_served{public_name="nowhere.example.com"} 0`,
		} {
			if err == nil && !strings.Contains(metrics, want+"\n") {
				err = fmt.Errorf("%s is not in the metrics", want)
			}
		}
		return err
	})

	// What cannot be used changes nothing, what can be is in force.
	harness.Write(t, keys, "ech.pem", "nonsense")
	if status, answer := reload(t, p); status != 500 || !strings.Contains(answer, "--ech-key-file: invalid") {
		t.Errorf("reload with nonsense: %d %s, want 500 and why", status, answer)
	}
	if _, err := p.Client(ca).Handshake("shop.example.com", echClient(firstList)); err != nil {
		t.Errorf("after nonsense: %v, want the last good key in force", err)
	}
	harness.Write(t, keys, "ech.pem", third)
	if status, answer := reload(t, p); status != 200 {
		t.Errorf("reload with another key: %d %s, want 200", status, answer)
	}
	if _, err := p.Client(ca).Handshake("shop.example.com", echClient(thirdList)); err != nil {
		t.Errorf("after the rotation: %v, want the new key in force", err)
	}
	for _, line := range strings.Split(first+second+third, "\n") {
		if len(line) > 20 && !strings.HasPrefix(line, "-----") && strings.Contains(p.Stdout()+p.Stderr(), line) {
			t.Error("a key is in a log")
		}
	}
}

func TestECHFlagsThatMakeNoSense(t *testing.T) {
	dir := t.TempDir()
	harness.Write(t, dir, "bad.pem", "nonsense")
	key, _ := ech.Key(t, "shop.example.com")
	harness.Write(t, dir, "good.pem", key)
	good := filepath.Join(dir, "good.pem")
	for name, args := range map[string][]string{
		"no PRIVATE KEY block": {"serve", "--manifests", t.TempDir(), "--ech-key-file", good, "--ech-key-file", filepath.Join(dir, "bad.pem")},
		"no such file":         {"serve", "--manifests", t.TempDir(), "--ech-key-file", filepath.Join(dir, "none.pem")},
		"at most 8":            {"serve", "--manifests", t.TempDir(), "--ech-key-file", strings.Repeat(good+",", 8) + good},
		"exclude each other":   {"controller", "--ech-key-file", good, "--ech-secret", "cardea/ech"},
		"want NAMESPACE/NAME":  {"controller", "--ech-secret", "ech"},
	} {
		if code, _, stderr := call(t, args...); code != 2 || !strings.Contains(stderr, name) || !strings.Contains(stderr, "--ech-") {
			t.Errorf("%q: exit code %d, %q, want 2 and %q", args[3:], code, stderr, name)
		}
	}
}
