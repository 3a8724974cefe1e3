package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// print writes e for people.
func (e *explanation) print(w io.Writer) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", label, fmt.Sprintf(format, args...))
	}
	line("url", "%s", e.URL)
	line("answer", "%s", e.Answer)
	if x := e.TLS; x != nil {
		switch {
		case x.Host != "":
			line("tls", "%s declared by %s", x.Host, x.Ingress)
		default:
			line("tls", "no Ingress declares %q", x.ServerName)
		}
		for _, c := range x.Certificates {
			line("certificate", "%s", c)
		}
		if x.Settings != "" {
			line("tls settings", "%s", x.Settings)
		}
		if x.Note != "" {
			line("", "%s", x.Note)
		}
	}
	if h := e.Host; h != nil {
		line("host", "%s of %s: %s", h.Name, h.Ingress, h.Why)
	}
	if e.Path != "" {
		line("path", "%s", e.Path)
	}
	if r := e.Route; r != nil {
		line("route", "%s %s of %s: %s", r.Kind, r.Path, r.Ingress, r.Why)
		if r.Service != "" {
			line("backend", "%s", r.Service)
		}
	}
	for _, ep := range e.Endpoints {
		line("endpoint", "%s", ep)
	}
	for _, p := range e.Policies {
		line("policy", "%s", p)
	}
	for _, o := range e.Others {
		line("not", "%s %s of %s: %s", o.Kind, o.Path, o.Ingress, o.WhyNot)
	}
	for _, v := range e.Verdicts {
		line("verdict", "%s", v)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func describeCertificate(c *snapshot.Certificate, host string, now time.Time) string {
	leaf := c.Leaf()
	s := fmt.Sprintf("%s %s, names %s, until %s", c.ID(), c.KeyType(), strings.Join(leaf.DNSNames, " "), leaf.NotAfter.UTC().Format(time.DateOnly))
	if now.After(leaf.NotAfter) {
		s += " (EXPIRED)"
	}
	if leaf.VerifyHostname(host) != nil {
		s += fmt.Sprintf(" (does not cover %s)", host)
	}
	return s
}

func describePolicy(p snapshot.Policy) []string {
	limit := "no limit of the request body"
	if p.MaxBody > 0 {
		limit = fmt.Sprintf("request body up to %d bytes", p.MaxBody)
	}
	list := []string{
		fmt.Sprintf("timeouts: connect %v, read %v, send %v", cmp.Or(p.ConnectTimeout, 5*time.Second), cmp.Or(p.ReadTimeout, time.Minute), cmp.Or(p.SendTimeout, time.Minute)),
		fmt.Sprintf("tries: %d", cmp.Or(p.Tries, 3)),
		limit,
	}
	switch {
	case p.ACME:
		list = append(list, "ACME challenge: never redirected")
	case p.RedirectHTTPS:
		list = append(list, "plain HTTP is redirected to HTTPS")
	}
	if p.HSTS != "" {
		list = append(list, "Strict-Transport-Security over TLS: "+p.HSTS)
	}
	return list
}

func describeVerdict(v translate.Verdict) string {
	return fmt.Sprintf("%s %s: %s: %s", v.Level, v.Origin, v.Reason, v.Message)
}
