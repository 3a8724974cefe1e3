package translate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/controllers/translate"
)

// TestRow65Expiry lets the time pass over certificates: each stage is told once, on
// the Ingress and on the Secret, at the time that Next says, and what is served
// stays the same all the while.
func TestRow65Expiry(t *testing.T) {
	const in = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: shop, name: web, uid: uid-web}
spec:
  ingressClassName: cardea
  tls: [{hosts: [shop.example.com], secretName: tls}]
---
kind: Secret
metadata: {namespace: shop, name: tls, uid: uid-secret-tls}
certificate: {hosts: [shop.example.com], notAfter: %q}
`
	type stage struct{ at, text string } // from that time on
	for _, c := range []struct {
		name, notAfter string
		stages         []stage
	}{
		{"a year", "2027-01-01T00:00:00Z", []stage{
			{"2026-12-18T00:00:00Z", "less than 14 days left"},
			{"2026-12-29T00:00:00Z", "less than 3 days left"},
			{"2027-01-01T00:00:00.000000001Z", "expired"},
		}},
		// It is valid from 2026-01-01: 47 days.
		{"47 days", "2026-02-17T00:00:00Z", []stage{
			{"2026-02-05T06:00:00Z", "less than 12 days left"},
			{"2026-02-14T01:30:00Z", "less than 3 days left"},
			{"2026-02-17T00:00:00.000000001Z", "expired"},
		}},
		{"six days", "2026-01-07T00:00:00Z", []stage{
			{"2026-01-05T12:00:00Z", "less than 36 hours left"},
			{"2026-01-06T15:00:00Z", "less than 9 hours left"},
			{"2026-01-07T00:00:00.000000001Z", "expired"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := parseObjects(t, []byte(fmt.Sprintf(in, c.notAfter)))
			tr := translate.New(translate.Options{})
			tr.SetIngress(objects.Ingresses[0])
			for name, s := range objects.Secrets {
				tr.SetSecret(name, s)
			}
			first := tr.Translate(day("2026-01-01"))
			if told := expiryVerdicts(first); len(told) != 0 {
				t.Fatalf("with all its time left: %q, want nothing", told)
			}
			next := first.Next
			for _, s := range c.stages {
				at, err := time.Parse(time.RFC3339Nano, s.at)
				if err != nil {
					t.Fatal(err)
				}
				if !next.Equal(at) {
					t.Fatalf("Next = %v, want %v", next, at)
				}
				if early := tr.Translate(at.Add(-time.Nanosecond)); !early.Next.Equal(at) {
					t.Errorf("a moment before: Next = %v, want %v", early.Next, at)
				}
				r := tr.Translate(at)
				told := expiryVerdicts(r)
				if len(told) != 2 || !strings.Contains(told["Ingress"], s.text) || !strings.Contains(told["Secret"], s.text) {
					t.Errorf("at %s: %q, want %q on the Ingress and on the Secret", s.at, told, s.text)
				}
				if r.Spec != first.Spec {
					t.Errorf("at %s another Spec than before: what is served must not change", s.at)
				}
				next = r.Next
			}
			if !next.IsZero() {
				t.Errorf("Next = %v, want none after the end", next)
			}
		})
	}
}

// expiryVerdicts returns the messages about the end of certificates by the kind of
// the object.
func expiryVerdicts(r translate.Result) map[string]string {
	told := map[string]string{}
	for _, v := range r.Verdicts {
		if v.Reason == translate.CertificateExpiring || v.Reason == translate.CertificateExpired {
			told[v.Origin.Kind] += v.Message
		}
	}
	return told
}
