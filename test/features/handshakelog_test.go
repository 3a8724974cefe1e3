package features

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
)

// TestRow7Parameters: what the handshake log holds is for the parameters of the
// class to say, while it is written; what they leave open is for the flags.
func TestRow7Parameters(t *testing.T) {
	a := policyArchive("{}", map[string]string{"shop": ""}, "")
	s := &scenario{t: t, authority: harness.NewAuthority(t), files: map[string]string{}, backends: map[string]int{}, serials: map[string]string{}}
	dir := t.TempDir()
	for _, f := range a.Files[:len(a.Files)-1] {
		harness.Write(t, dir, f.Name, s.expand(string(f.Data)))
	}
	p := harness.Serve(t, dir, "--handshake-log", "failures", "--handshake-log-fields", "reason,sni")
	parameters := func(spec string) {
		p.Write("parameters.yaml", "apiVersion: cardea.dev/v1alpha1\nkind: IngressClassParameters\nmetadata: {name: cardea}\nspec: "+spec+"\n")
	}
	// pair is one good handshake and, behind it, one that fails, whose name no other
	// has. It returns the records of both, the fields of each sorted.
	tries := 0
	pair := func() (records []string) {
		tries++
		name := fmt.Sprintf("nobody-%d.example.com", tries)
		before := len(handshakeRecords(p))
		for _, sni := range []string{"shop.example.com", name} {
			if c, err := tls.Dial("tcp", p.HTTPS, &tls.Config{ServerName: sni, RootCAs: s.authority.Pool(), MaxVersion: tls.VersionTLS12}); err == nil {
				_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", sni)
				_, _ = c.Read(make([]byte, 1))
				c.Close()
			}
		}
		p.Until("the failure is logged", func() error {
			all := handshakeRecords(p)[before:]
			if len(all) == 0 || !strings.Contains(all[len(all)-1], "reason=unknown_sni") {
				return fmt.Errorf("not yet: %q", all)
			}
			records = all
			return nil
		})
		return records
	}
	want := func(what string, good, bad string) {
		t.Helper()
		p.Until(what, func() error {
			got := pair()
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], fmt.Sprintf("nobody-%d", tries), "nobody")
			}
			want := []string{bad}
			if good != "" {
				want = []string{good, bad}
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("records %q, want %q", got, want)
			}
			return nil
		})
	}
	want("what the flags say", "", "reason=unknown_sni sni=nobody.example.com")
	parameters(`{tls: {handshakeLog: {mode: "all"}}}`)
	want("the mode of the parameters", "reason=ok sni=shop.example.com", "reason=unknown_sni sni=nobody.example.com")
	parameters(`{tls: {handshakeLog: {mode: "all", fields: [result, reason]}}}`)
	want("the fields of the parameters", "reason=ok result=done", "reason=unknown_sni result=failed")
	parameters(`{tls: {handshakeLog: {mode: "all", successOneIn: 1000000000, fields: [reason]}}}`)
	want("a share of the good handshakes", "", "reason=unknown_sni")
	parameters("{}")
	want("what the flags say, again", "", "reason=unknown_sni sni=nobody.example.com")
}

// handshakeRecords returns the records of the handshake log, as KEY=VALUE sorted by
// key, without what every record has.
func handshakeRecords(p *harness.Program) (all []string) {
	for l := range strings.Lines(p.Stdout()) {
		var r harness.Record
		if json.Unmarshal([]byte(l), &r) != nil || r["log"] != "handshake" {
			continue
		}
		var fields []string
		for _, k := range slices.Sorted(maps.Keys(r)) {
			if k != "time" && k != "log" && k != "conn" {
				fields = append(fields, fmt.Sprintf("%s=%v", k, r[k]))
			}
		}
		all = append(all, strings.Join(fields, " "))
	}
	return all
}
