package filter

import (
	"encoding/pem"
	"net/url"
	"strings"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// ClientAuth answers requests to hosts that demand a client certificate and did
// not get a good one, as far as the handshake let them pass, and tells backends
// who the client is. Plain HTTP proves nothing and is refused where a certificate
// is required; list RedirectHTTPS before it. Paths of ACME challenges are exempt.
//
// Backends get ssl-client-verify (SUCCESS, NONE or FAILED:reason), and of a client
// with a certificate ssl-client-subject-dn, ssl-client-issuer-dn and
// X-Forwarded-Client-Cert; ssl-client-cert, the URL-encoded PEM, where the host
// asks for it. The client's own fields of these names are never passed on.
func ClientAuth(policy snapshot.Policy) proxy.Hooks {
	if policy.ACME {
		return proxy.Hooks{}
	}
	return proxy.Hooks{Request: admitClient, UpstreamRequest: introduceClient}
}

func admitClient(x *proxy.Exchange) (bool, *outcome.Error) {
	a := x.ClientAuth()
	if a == nil {
		return false, nil
	}
	verdict := clientVerdict(x.Conn())
	switch {
	case verdict == outcome.OK, a.Mode == snapshot.ClientAuthOptionalNoCA:
		return false, nil
	case a.Mode == snapshot.ClientAuthOptional && verdict == outcome.ClientCertMissing:
		return false, nil
	case a.ErrorPage != nil && a.ErrorPage.Redirect != "":
		return true, x.Answer(302, "", "Location", a.ErrorPage.Redirect)
	}
	refused := &outcome.Error{Side: outcome.Downstream, Reason: verdict, Status: 400, Detail: verdict.Info().Text}
	if verdict == outcome.ClientCertDenied {
		// It is known who asks, and that it is nobody who may.
		refused.Status = 403
	}
	return false, refused
}

// clientVerdict is what the client proved on its connection.
func clientVerdict(c *outcome.Conn) outcome.Reason {
	if c.TLS == nil || c.TLS.ClientVerdict == "" {
		return outcome.ClientCertMissing
	}
	return c.TLS.ClientVerdict
}

func introduceClient(x *proxy.Exchange, req *message.Request) *outcome.Error {
	a := x.ClientAuth()
	if a == nil {
		return nil
	}
	f := &req.Fields
	for _, id := range []message.ID{
		message.SSLClientVerify, message.SSLClientSubjectDN, message.SSLClientIssuerDN,
		message.SSLClientCert, message.XForwardedClientCert,
	} {
		f.Del(id)
	}
	c := x.Conn()
	switch verdict := clientVerdict(c); verdict {
	case outcome.OK:
		f.Add(message.SSLClientVerify, "SUCCESS")
	case outcome.ClientCertMissing:
		f.Add(message.SSLClientVerify, "NONE")
		return nil
	default:
		f.Add(message.SSLClientVerify, "FAILED:"+string(verdict))
	}
	cert := c.TLS.ClientCertificate
	f.Add(message.SSLClientSubjectDN, printable(cert.Subject))
	f.Add(message.SSLClientIssuerDN, printable(cert.Issuer))
	f.Add(message.XForwardedClientCert, forwardedClientCert(cert))
	if a.PassCertificate {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
		f.Add(message.SSLClientCert, strings.ReplaceAll(url.QueryEscape(string(text)), "+", "%20"))
	}
	return nil
}

// forwardedClientCert is Envoy's form of the facts: pairs with semicolons between
// them, values with quotes around what could be misread.
func forwardedClientCert(cert *outcome.ClientCertificate) string {
	var b strings.Builder
	b.WriteString("Hash=" + cert.Digest + ";Subject=" + quoted(cert.Subject))
	for _, uri := range cert.URINames {
		b.WriteString(";URI=" + quoted(uri))
	}
	for _, name := range cert.DNSNames {
		b.WriteString(";DNS=" + quoted(name))
	}
	return b.String()
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable(s)) + `"`
}

// printable makes s fit for a field value, whatever an authority has signed: what
// is no printable ASCII is written as in RFC 4514 §2.4, a backslash and two
// hexadecimal digits for each byte.
func printable(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			b.WriteByte('\\')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
