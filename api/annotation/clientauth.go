package annotation

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// ClientAuth is what the annotations say of client certificates.
type ClientAuth struct {
	// Secret is auth-tls-secret as written: whose Secret it may be is for the
	// reader of the Ingress to judge.
	Secret string
	// Verify is auth-tls-verify-client; VerifyUnset if it is not there.
	Verify VerifyClient
	// Depth is auth-tls-verify-depth plus one; 0 if it is not set.
	Depth int
	// ErrorPage is an absolute URL, or "".
	ErrorPage string
	// Failure is auth-tls-failure; FailureUnset if it is not there.
	Failure ClientAuthFailure
	// MatchCN is a regular expression for the whole common name, without "CN=".
	MatchCN string
	// MatchSANs is auth-tls-match-san.
	MatchSANs NameList
	// PassCertificate sends the certificate to the backend.
	PassCertificate bool
}

// Asks reports whether any client certificate is asked for.
func (c *ClientAuth) Asks() bool {
	switch c.Verify {
	case VerifyOff:
		return false
	case VerifyUnset:
		return c.Secret != ""
	}
	return true
}

// VerifyClient is a value of auth-tls-verify-client.
type VerifyClient uint8

// What is asked for.
const (
	VerifyUnset VerifyClient = iota
	VerifyOn
	VerifyOff
	VerifyOptional
	VerifyOptionalNoCA
)

// ClientAuthFailure is a value of auth-tls-failure.
type ClientAuthFailure uint8

// What a client gets that has not a good certificate.
const (
	FailureUnset ClientAuthFailure = iota
	// FailureHandshake: its handshake is refused.
	FailureHandshake
	// FailurePage: every request is answered with an error.
	FailurePage
)

func parseVerifyClient(s *Settings, value string) error {
	words := map[string]VerifyClient{
		"on": VerifyOn, "off": VerifyOff, "optional": VerifyOptional, "optional_no_ca": VerifyOptionalNoCA,
	}
	v, ok := words[strings.ToLower(value)]
	if !ok {
		return fmt.Errorf(`want "on", "off", "optional" or "optional_no_ca", found %s`, Quote(value))
	}
	s.ClientAuth.Verify = v
	return nil
}

func parseClientAuthFailure(s *Settings, value string) error {
	switch strings.ToLower(value) {
	case "handshake":
		s.ClientAuth.Failure = FailureHandshake
	case "page":
		s.ClientAuth.Failure = FailurePage
	default:
		return fmt.Errorf(`want "handshake" or "page", found %s`, Quote(value))
	}
	return nil
}

func parseErrorPage(s *Settings, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsAny(value, "\r\n\t ") {
		return fmt.Errorf("want an absolute URL with http or https, found %s", Quote(value))
	}
	s.ClientAuth.ErrorPage = value
	return nil
}

// parseMatchCN takes the expressions of ingress-nginx, which begin with "CN=".
// There they match any part of the whole subject, so that "CN=al" would let in
// "CN=alice" and "O=CN=al"; here the whole common name has to match.
func parseMatchCN(s *Settings, value string) error {
	expr, ok := strings.CutPrefix(value, "CN=")
	if !ok || expr == "" {
		return fmt.Errorf(`want "CN=" and a regular expression for the common name, found %s`, Quote(value))
	}
	// By itself, and as it is compiled later: "a)|(b" is an expression between anchors
	// only, and "\Qa" makes them a part of itself.
	for _, whole := range []string{expr, "^(?:" + expr + ")$"} {
		if _, err := regexp.Compile(whole); err != nil {
			return fmt.Errorf("want a regular expression of RE2 behind CN=, found %s", Quote(value))
		}
	}
	s.ClientAuth.MatchCN = expr
	return nil
}

// isSAN reports whether a certificate can have name as alternative name.
func isSAN(name string) bool {
	if strings.Contains(name, "://") {
		u, err := url.Parse(name)
		return err == nil && u.Scheme != "" && u.Host != ""
	}
	if user, domain, ok := strings.Cut(name, "@"); ok {
		return user != "" && domain != "" && !strings.Contains(domain, "@")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	name = strings.TrimPrefix(name, "*.")
	return name != "" && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_.") == "" && !strings.Contains(name, "..")
}
