package controllers

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
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
// which certificate, and what to do about it:
//
//	clients reject the certificate of shop.example.com: unknown authority; it is
//	self-signed, from Secret shop/tls; 3 handshakes from 203.0.113.0/24 in 10m. …
func (h *handshakes) message(now time.Time) string {
	info := h.reason.Info()
	var b strings.Builder
	if what, why, ok := strings.Cut(info.Text, rejected); ok && what == "" {
		b.WriteString(rejected)
		b.WriteString(" of ")
		b.WriteString(h.hosts.String())
		b.WriteString(why)
	} else {
		b.WriteString(h.hosts.String())
		b.WriteString(": ")
		b.WriteString(info.Text)
	}
	if h.certificate != nil && blames(h.reason) {
		host := ""
		if len(h.hosts.names) == 1 && !h.hosts.more {
			host = h.hosts.names[0]
		}
		b.WriteString("; it is ")
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

// rejected is how the texts of the reasons begin with which a client refuses the
// certificate.
const rejected = "clients reject the certificate"

// blames reports whether a reason is about the certificate that was served. Who
// has no TLS version in common with us did not get as far as looking at it.
func blames(reason outcome.Reason) bool {
	return strings.HasPrefix(reason.Info().Text, rejected)
}

// describe names what about a certificate a client may not like, and where it
// comes from.
func describe(c *snapshot.Certificate, host string, now time.Time) string {
	leaf := c.Leaf()
	selfSigned := bytes.Equal(leaf.RawIssuer, leaf.RawSubject)
	facts := []string{"issued by " + issuer(leaf)}
	if selfSigned {
		facts[0] = "self-signed"
	}
	switch {
	case now.After(leaf.NotAfter):
		facts = append(facts, "expired on "+leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		facts = append(facts, "not valid before "+leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	if host != "" && !c.Covers(host) {
		facts = append(facts, "not for "+host)
	}
	if !forServers(leaf) {
		facts = append(facts, "not for servers (extended key usage)")
	}
	if len(c.TLS.Certificate) == 1 && !selfSigned {
		facts = append(facts, "sent without intermediates")
	}
	return fmt.Sprintf("%s, from %s %s (sha256 %.16s…)", strings.Join(facts, ", "), c.Origin.Kind, objectName(c.Origin), c.Digest)
}

// objectName returns "namespace/name", and the name alone of what has no
// namespace, such as a file.
func objectName(o snapshot.Origin) string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

// forServers reports whether a certificate may be a server's (RFC 5280 §4.2.1.12):
// it names no usage, or that one.
func forServers(leaf *x509.Certificate) bool {
	return len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
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
