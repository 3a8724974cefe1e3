package controllers

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// handshakes are the failed handshakes of one Ingress with one reason.
type handshakes struct {
	reason         outcome.Reason
	count          int
	hosts, clients examples
	certificate    *snapshot.Certificate
}

func (h *handshakes) add(host string, t *tallied) {
	h.count += t.count
	h.hosts.add(host)
	h.clients.merge(t.clients)
	if t.certificate != nil {
		h.certificate = t.certificate
	}
}

// message tells the owner of the Ingress what happened, how often, to whom, with
// which certificate, and what to do about it.
func (h *handshakes) message(now time.Time) string {
	info := h.reason.Info()
	var b strings.Builder
	b.WriteString(h.hosts.String())
	b.WriteString(": ")
	b.WriteString(info.Text)
	if h.certificate != nil {
		host := ""
		if len(h.hosts.names) == 1 && !h.hosts.more {
			host = h.hosts.names[0]
		}
		b.WriteString("; ")
		b.WriteString(describe(h.certificate, host, now))
	}
	fmt.Fprintf(&b, "; %d %s", h.count, plural(h.count, "handshake"))
	if len(h.clients.names) > 0 {
		b.WriteString(" from ")
		b.WriteString(h.clients.String())
	}
	b.WriteString(" in 10m.")
	if info.Advice != "" {
		b.WriteString(" ")
		b.WriteString(info.Advice)
	}
	return cut(b.String(), maxMessage)
}

// describe names a certificate and what about it a client may not like.
func describe(c *snapshot.Certificate, host string, now time.Time) string {
	leaf := c.Leaf()
	facts := []string{"issued by " + issuer(leaf)}
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
		facts[0] = "self-signed"
	}
	switch {
	case now.After(leaf.NotAfter):
		facts = append(facts, "expired on "+leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		facts = append(facts, "not valid before "+leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	if host != "" && !covers(leaf, host) {
		facts = append(facts, "does not cover "+host)
	}
	return fmt.Sprintf("the certificate is %s, from %s %s/%s#%.16s",
		strings.Join(facts, ", "), c.Origin.Kind, c.Origin.Namespace, c.Origin.Name, c.Digest)
}

func issuer(leaf *x509.Certificate) string {
	name := leaf.Issuer.CommonName
	if name == "" && len(leaf.Issuer.Organization) > 0 {
		name = leaf.Issuer.Organization[0]
	}
	if name == "" {
		return "an authority without a name"
	}
	return fmt.Sprintf("%q", cut(name, 64))
}

// covers reports whether the certificate is for host, which may be a wildcard.
func covers(leaf *x509.Certificate, host string) bool {
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		host = "any." + rest
	}
	return leaf.VerifyHostname(host) == nil
}

// String returns "a, b, c and others".
func (x examples) String() string {
	s := strings.Join(x.names, ", ")
	if x.more {
		s += " and others"
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// cut shortens s to at most limit bytes, at the boundary of a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	n := limit - len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}
