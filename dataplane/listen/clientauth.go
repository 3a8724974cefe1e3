package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// clientAuth is a host's demand for client certificates, ready for handshakes.
//
// Where a bad certificate ends the handshake, crypto/tls verifies the chain, so
// that the client gets the alert for its case, and VerifyConnection looks at the
// rest. Where it is answered over HTTP, or not at all, the certificate is asked
// for and everything is verified once the handshake is done. Both run on resumed
// sessions too, with the revocation lists of now.
type clientAuth struct {
	*snapshot.ClientAuth
	cn *regexp.Regexp // nil: any
}

// newClientAuth wants a demand that the compiler of the Spec has accepted.
func newClientAuth(a *snapshot.ClientAuth) *clientAuth {
	c := &clientAuth{ClientAuth: a}
	if a.MatchCN != "" {
		c.cn = regexp.MustCompile(snapshot.AnchoredCN(a.MatchCN))
	}
	return c
}

// refuses reports whether a client that does not satisfy a is refused in its
// handshake.
func (a *clientAuth) refuses() bool {
	return a.Mode != snapshot.ClientAuthOptionalNoCA && a.ErrorPage == nil
}

// apply sets what crypto/tls does for a.
func (a *clientAuth) apply(cfg *tls.Config) {
	cfg.ClientAuth = tls.RequestClientCert
	if a.Authorities != nil {
		// Their names are told to the client, which chooses by them.
		cfg.ClientCAs = a.Authorities.Pool
	}
	if !a.refuses() {
		return
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	if a.Mode == snapshot.ClientAuthOptional {
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		if err := a.check(state.PeerCertificates[0], state.VerifiedChains, time.Now()); err != nil {
			return err
		}
		return nil
	}
}

// verify verifies what the client presented, leaf first, as crypto/tls would.
func (a *clientAuth) verify(presented []*x509.Certificate, now time.Time) *refusal {
	if len(presented) == 0 {
		return &refusal{reason: outcome.ClientCertMissing}
	}
	if a.Authorities == nil {
		return &refusal{reason: outcome.ClientCertUnknownCA, detail: "no authority is configured"}
	}
	opts := x509.VerifyOptions{
		Roots:         a.Authorities.Pool,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range presented[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := presented[0].Verify(opts)
	if err != nil {
		return &refusal{reason: clientCertReason(err), detail: err.Error()}
	}
	return a.check(presented[0], chains, now)
}

// check looks at what a chain to an authority does not say by itself: its length,
// revocation, and whom the leaf names. One chain that satisfies a is enough.
func (a *clientAuth) check(leaf *x509.Certificate, chains [][]*x509.Certificate, now time.Time) *refusal {
	refused := &refusal{reason: outcome.ClientCertUnknownCA, detail: "no chain to an authority"}
	for _, chain := range chains {
		if refused = a.checkChain(chain, now); refused == nil {
			break
		}
	}
	if refused != nil {
		return refused
	}
	if a.cn != nil && !a.cn.MatchString(leaf.Subject.CommonName) {
		return &refusal{reason: outcome.ClientCertDenied, detail: fmt.Sprintf("the common name %q is not one that is let in", leaf.Subject.CommonName)}
	}
	if len(a.MatchSANs) > 0 && !hasName(leaf, a.MatchSANs) {
		return &refusal{reason: outcome.ClientCertDenied, detail: "none of the subject's alternative names is one that is let in"}
	}
	return nil
}

func (a *clientAuth) checkChain(chain []*x509.Certificate, now time.Time) *refusal {
	// The length of a chain is counted without its leaf.
	if most := max(a.Depth, 1); len(chain)-1 > most {
		return &refusal{reason: outcome.ClientCertDenied, detail: fmt.Sprintf("the chain has %d authorities, at most %d are accepted", len(chain)-1, most)}
	}
	if a.Authorities == nil {
		return nil
	}
	err := a.Authorities.CheckRevocation(chain, now)
	if err == nil {
		err = a.RevocationLists.Check(a.Authorities.Lineage(chain), now)
	}
	if err != nil {
		reason := outcome.ClientCertUnchecked
		if r, ok := errors.AsType[*snapshot.RevocationError](err); ok && r.Revoked {
			reason = outcome.ClientCertRevoked
		}
		return &refusal{reason: reason, detail: err.Error()}
	}
	return nil
}

// hasName reports whether leaf has one of the names: a DNS name, an e-mail or IP
// address, or a URI (a SPIFFE ID). "*.example.com" stands for one label more.
func hasName(leaf *x509.Certificate, names []string) bool {
	for _, name := range names {
		switch {
		case strings.Contains(name, "://"):
			for _, u := range leaf.URIs {
				if u.String() == name {
					return true
				}
			}
		case strings.Contains(name, "@"):
			for _, e := range leaf.EmailAddresses {
				if e == name {
					return true
				}
			}
		default:
			ip, _ := netip.ParseAddr(name)
			for _, have := range leaf.IPAddresses {
				if a, ok := netip.AddrFromSlice(have); ok && a.Unmap() == ip {
					return true
				}
			}
			for _, have := range leaf.DNSNames {
				if dnsNameMatches(name, have) {
					return true
				}
			}
		}
	}
	return false
}

func dnsNameMatches(pattern, name string) bool {
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		label, parent, found := strings.Cut(name, ".")
		return found && label != "" && label != "*" && strings.EqualFold(parent, rest)
	}
	return strings.EqualFold(pattern, name)
}
