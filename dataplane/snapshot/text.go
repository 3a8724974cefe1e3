package snapshot

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Text returns s in a form for people: stable, one line per route, certificate
// and pool, in the order in which routes are tried. It shows no key material.
//
//	unknown-sni  reject
//	shop.example.com  owner  (Ingress shop/web)
//	shop.example.com  TLS  shop/tls#0123456789abcdef ECDSA [shop.example.com] until 2027-01-31T00:00:00Z  (Ingress shop/web spec.tls[0])
//	shop.example.com  Prefix /api  -> pool shop/api:8080  (Ingress shop/web spec.rules[0].http.paths[1])  redirect-https
//	shop.example.com  Prefix /  -> 503 no_service  (Ingress shop/web spec.rules[0].http.paths[0])
//	pool shop/api:8080  (Service shop/api)
func (s *Spec) Text() string {
	var b strings.Builder
	switch s.UnknownSNI {
	case UnknownSNIDefaultCert:
		b.WriteString("unknown-sni  default-cert\n")
	default:
		b.WriteString("unknown-sni  reject\n")
	}
	if s.DefaultCertificate != nil {
		fmt.Fprintf(&b, "default-certificate  %s\n", certificateText(s.DefaultCertificate))
	}
	if s.TLSPolicy != nil {
		fmt.Fprintf(&b, "tls-policy  %s\n", s.TLSPolicy.text())
	}
	if s.HandshakeTimeout != 0 || s.FirstByteTimeout != 0 || s.MaxHandshakes != 0 {
		fmt.Fprintf(&b, "handshakes  timeout=%s first-byte=%s most=%d\n", s.HandshakeTimeout, s.FirstByteTimeout, s.MaxHandshakes)
	}
	if s.DrainOnRotate {
		b.WriteString("on-rotate  drain\n")
	}
	for _, p := range s.TrustedCIDRs {
		fmt.Fprintf(&b, "trusted  %s\n", p)
	}
	if c := s.Connections; c != nil {
		fmt.Fprintf(&b, "connections  %s%s\n", c.text(), c.Origin.source())
	}
	for _, h := range s.Hosts {
		h.text(&b)
	}
	for _, p := range s.Pools {
		p.text(&b)
	}
	return b.String()
}

func (h *Host) text(b *strings.Builder) {
	name := cmp.Or(h.Name, "*")
	fmt.Fprintf(b, "%s  owner%s\n", name, h.Origin.source())
	if h.TLS != nil && h.TLS.Passthrough != "" {
		proxy := ""
		if h.TLS.PassthroughProxyHeader {
			proxy = "  proxy-protocol=v2"
		}
		fmt.Fprintf(b, "%s  TLS  passthrough -> pool %s%s%s\n", name, h.TLS.Passthrough, h.TLS.Origin.source(), proxy)
	} else if h.TLS != nil && len(h.TLS.Certificates) == 0 {
		fmt.Fprintf(b, "%s  TLS  none%s\n", name, h.TLS.Origin.source())
	}
	if h.TLS != nil {
		for _, c := range h.TLS.Certificates {
			fmt.Fprintf(b, "%s  TLS  %s%s\n", name, certificateText(c), h.TLS.Origin.source())
		}
	}
	if h.TLS != nil {
		if words := h.TLS.text(); words != "" {
			fmt.Fprintf(b, "%s  TLS  %s\n", name, words)
		}
	}
	for _, r := range slices.SortedFunc(slices.Values(h.Routes), byPrecedence) {
		fmt.Fprintf(b, "%s  %s\n", name, r.text())
	}
}

// Text lists the settings of t that differ from the default, as [Spec.Text] does;
// "" if none does.
func (t *TLS) Text() string { return t.text() }

// text lists what differs from the default.
func (t *TLS) text() string {
	var words []string
	if t.Policy != nil {
		words = append(words, "policy="+t.Policy.text())
	}
	if t.NoHTTP2 {
		words = append(words, "no-http2")
	}
	if t.ClientAuth != nil {
		words = append(words, t.ClientAuth.text()...)
	}
	return strings.Join(words, " ")
}

// text is the name of a policy; of one that is not built in, with what it accepts.
func (p *TLSPolicy) text() string {
	if p == Intermediate || p == Modern {
		return p.Name
	}
	words := []string{versionText(p.MinVersion, tls.VersionTLS12) + "-" + versionText(p.MaxVersion, tls.VersionTLS13)}
	for _, id := range p.CipherSuites {
		words = append(words, tls.CipherSuiteName(id))
	}
	for _, id := range p.Curves {
		words = append(words, id.String())
	}
	if p.RejectALPN {
		words = append(words, "reject-alpn")
	}
	if p.NoTickets {
		words = append(words, "no-tickets")
	}
	return p.Name + "{" + strings.Join(words, " ") + "}"
}

// versionText returns "1.2" and the like.
func versionText(version, dflt uint16) string {
	return strings.TrimPrefix(tls.VersionName(cmp.Or(version, dflt)), "TLS ")
}

func (a *ClientAuth) text() []string {
	words := []string{"client-auth=" + a.Mode.String()}
	if a.Authorities != nil {
		words = append(words, "authorities="+a.Authorities.text())
	}
	words = append(words, a.RevocationLists.text()...)
	if a.Depth != 0 {
		words = append(words, fmt.Sprintf("depth=%d", a.Depth))
	}
	if a.MatchCN != "" {
		words = append(words, fmt.Sprintf("match-cn=%q", a.MatchCN))
	}
	if len(a.MatchSANs) > 0 {
		words = append(words, fmt.Sprintf("match-sans=%q", a.MatchSANs))
	}
	if a.ErrorPage != nil {
		words = append(words, "error-page="+cmp.Or(a.ErrorPage.Redirect, "400"))
	}
	if a.PassCertificate {
		words = append(words, "pass-certificate")
	}
	return words
}

// text names a bundle: "shop/clients#0123456789abcdef (2 certificates, 1 CRLs)", with
// "ConfigMap " before it if it is one.
func (a *Authorities) text() string {
	kind := ""
	if a.Origin.Kind == "ConfigMap" {
		kind = "ConfigMap "
	}
	return fmt.Sprintf("%s%s/%s#%.16s (%d certificates, %d CRLs)",
		kind, a.Origin.Namespace, a.Origin.Name, a.Digest, len(a.Certificates), len(a.CRLs))
}

// text says how many lists there are and which: "revocation-lists=2#0123456789abcdef".
func (r *RevocationLists) text() []string {
	if r == nil {
		return nil
	}
	return []string{fmt.Sprintf("revocation-lists=%d#%.16s", r.count, r.Digest)}
}

// byPrecedence orders routes as they are tried: Exact before Prefix, longer
// before shorter.
func byPrecedence(a, b *Route) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(len(b.Path), len(a.Path)),
		cmp.Compare(a.Path, b.Path),
	)
}

func (r *Route) text() string {
	to := "pool " + r.Pool
	if r.Answer != nil {
		to = fmt.Sprintf("%d %s", r.Answer.Status, r.Answer.Reason)
	}
	s := fmt.Sprintf("%s %s  -> %s%s", r.Kind, r.Path, to, r.Origin.source())
	if p := r.Policy.text(); p != "" {
		s += "  " + p
	}
	return s
}

// text lists what differs from the default.
func (p Policy) text() string {
	var words []string
	add := func(set bool, format string, args ...any) {
		if set {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(p.RedirectHTTPS, "redirect-https")
	add(p.ACME, "acme")
	add(p.HSTS != "", "hsts=%q", p.HSTS)
	add(p.ConnectTimeout != 0, "connect-timeout=%s", p.ConnectTimeout)
	add(p.ReadTimeout != 0, "read-timeout=%s", p.ReadTimeout)
	add(p.SendTimeout != 0, "send-timeout=%s", p.SendTimeout)
	add(p.MaxBody != 0, "max-body=%d", p.MaxBody)
	add(p.Tries != 0, "tries=%d", p.Tries)
	return strings.Join(words, " ")
}

func (p *Pool) text(b *strings.Builder) {
	fmt.Fprintf(b, "pool %s%s", p.ID, p.Origin.source())
	if p.ExternalName != "" {
		fmt.Fprintf(b, "  external %s:%d", p.ExternalName, p.ExternalPort)
	}
	if p.Protocol != HTTP1 {
		fmt.Fprintf(b, "  %s", p.Protocol)
	}
	if p.TLS != nil {
		fmt.Fprintf(b, "  tls %s", p.TLS.text())
	}
	b.WriteByte('\n')
}

// text says what is trusted first, because that is what must not be overlooked.
func (u *UpstreamTLS) text() string {
	var words []string
	switch {
	case u.Insecure:
		words = append(words, "unverified")
	case u.SkipHostname:
		words = append(words, "verified-without-name")
	default:
		words = append(words, "verified")
	}
	if u.ServerName != "" {
		words = append(words, "name="+u.ServerName)
	}
	if u.NoSNI {
		words = append(words, "no-sni")
	}
	if len(u.AltNames) > 0 {
		words = append(words, fmt.Sprintf("alt-names=%q", u.AltNames))
	}
	if u.Authorities != nil {
		words = append(words, "authorities="+u.Authorities.text())
	}
	words = append(words, u.RevocationLists.text()...)
	if u.Certificate != nil {
		words = append(words, fmt.Sprintf("certificate=%s/%s#%.16s", u.Certificate.Origin.Namespace, u.Certificate.Origin.Name, u.Certificate.Digest))
	}
	return strings.Join(words, " ")
}

// source is the last column: where a line comes from, if anything is known.
func (o Origin) source() string {
	if o.IsZero() {
		return ""
	}
	return "  (" + o.String() + ")"
}

// certificateText names a certificate without its key: the first 16 digits of the
// digest are enough to tell one from another.
func certificateText(c *Certificate) string {
	leaf := c.Leaf()
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return fmt.Sprintf("%s/%s#%.16s %s [%s] until %s", c.Origin.Namespace, c.Origin.Name, c.Digest,
		c.KeyType(), strings.Join(names, " "), c.NotAfter.UTC().Format(time.RFC3339))
}
