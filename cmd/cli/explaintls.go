package cli

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

type explainedTLS struct {
	// ServerName is what a client asks for; Host the declared host that takes it.
	ServerName string `json:"serverName"`
	Host       string `json:"host,omitempty"`
	Ingress    string `json:"ingress,omitempty"`
	// Certificates that may be served, the preferred one first.
	Certificates []string `json:"certificates,omitempty"`
	// Passthrough is the pool to which connections are carried as they are; there
	// are no certificates and no routes then.
	Passthrough string `json:"passthrough,omitempty"`
	// Settings are those of the host that differ from the default: its policy, what
	// it demands of client certificates.
	Settings string `json:"settings,omitempty"`
	Note     string `json:"note,omitempty"`
}

// explainTLS says what the handshake of a client that asks for host comes to.
func (e *explanation) explainTLS(t table, host string, now time.Time) {
	e.TLS = t.explainTLS(host, now)
	r := t.rejects(e.TLS)
	if r == "" {
		return
	}
	e.Reason = r
	e.Answer = "the TLS handshake is rejected: " + r.Info().Text
	if r.Info().Advice != "" {
		e.Answer += ". " + r.Info().Advice
	}
}

// explainPassthrough says where the connections go of a host that is passed
// through. No request is seen, so neither path nor routes count.
func (e *explanation) explainPassthrough(t table, host string) {
	declared := t.snapshot.ServerName(host)
	e.Path = ""
	e.Host = &explainedHost{Name: declared.Name, Ingress: declared.Origin.Object().String(), Why: whyHost(host, declared.Name)}
	var service snapshot.Origin
	if p := t.snapshot.Pool(declared.TLS.Passthrough); p != nil {
		service = p.Origin
	}
	to, ok := e.explainPool(t, declared.TLS.Passthrough, service)
	if ok {
		e.Answer = "passed through by server name, undecrypted, to " + to
	} else {
		e.Reason = outcome.NoEndpoints
		e.Answer = fmt.Sprintf("the TLS connection is closed: %s: %s", e.Reason, to)
	}
	if declared.TLS.PassthroughProxyHeader {
		e.TLS.Note = "the endpoint is sent a PROXY protocol header (version 2) first"
	}
	e.explainVerdicts(t, declared.TLS.Origin, service)
}

func (t table) explainTLS(host string, now time.Time) *explainedTLS {
	x := &explainedTLS{ServerName: host}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		x.ServerName, x.Note = "", "clients send no server name for an address"
	}
	declared := t.snapshot.ServerName(x.ServerName)
	if declared != nil && declared.TLS != nil {
		x.Host, x.Ingress = declared.Name, declared.TLS.Origin.String()
		if x.Passthrough = declared.TLS.Passthrough; x.Passthrough != "" {
			return x
		}
		x.Settings = declared.TLS.Text()
		for _, c := range declared.TLS.Certificates {
			x.Certificates = append(x.Certificates, describeCertificate(c, host, now))
		}
	}
	if c := t.snapshot.Spec.DefaultCertificate; len(x.Certificates) == 0 && c != nil && t.snapshot.Spec.UnknownSNI == snapshot.UnknownSNIDefaultCert {
		x.Certificates = append(x.Certificates, describeCertificate(c, host, now))
		x.Note = "the default certificate: no Ingress declares the host with a usable one"
	}
	return x
}

func (t table) rejects(x *explainedTLS) outcome.Reason {
	switch {
	case len(x.Certificates) > 0 || x.Passthrough != "":
		return ""
	case x.Host != "":
		return outcome.NoCertificate
	case x.ServerName == "":
		return outcome.NoSNI
	}
	return outcome.UnknownSNI
}
