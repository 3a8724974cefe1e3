package configmap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cardea-dev/cardea/api/annotation"
)

// asAnnotation is the parser of a key that is the default of an annotation.
func asAnnotation(name string) func(*reading, string) error {
	return func(r *reading, value string) error { return annotation.Set(&r.Annotations, name, value) }
}

func parseBool(value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf(`want "true" or "false", found %s`, annotation.Quote(value))
	}
	return b, nil
}

// setSwitch is the parser of a bool of which it matters whether it is set.
func setSwitch(field func(*Settings) *annotation.Switch) func(*reading, string) error {
	return func(r *reading, value string) error {
		on, err := parseBool(value)
		if err != nil {
			return err
		}
		*field(&r.Settings) = annotation.Off
		if on {
			*field(&r.Settings) = annotation.On
		}
		return nil
	}
}

func setBool(field func(*Settings) *bool) func(*reading, string) error {
	return func(r *reading, value string) error {
		on, err := parseBool(value)
		if err == nil && on {
			*field(&r.Settings) = true
		}
		return err
	}
}

// only is the parser of a key of which one value is what is done anyway; of any
// other its owner is told.
func only(done string, loss bool, text string) func(*reading, string) error {
	return func(r *reading, value string) error {
		if !strings.EqualFold(value, done) {
			r.note(loss, "%s", text)
		}
		return nil
	}
}

// never is the parser of a key that has no effect with any value.
func never(loss bool, text string) func(*reading, string) error {
	return func(r *reading, _ string) error {
		r.note(loss, "%s", text)
		return nil
	}
}

// closes is the parser of a key that protects and that Cardea does not have. The
// values in off switch it off.
func closes(off ...string) func(*reading, string) error {
	return func(_ *reading, value string) error {
		if slices.Contains(off, strings.ToLower(value)) {
			return nil
		}
		return errors.New("not supported by Cardea")
	}
}

// elements splits a list.
func elements(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
}

// setNetworks is the parser of a list of networks and addresses, all of which must
// be valid.
func setNetworks(field func(*Settings) *[]netip.Prefix) func(*reading, string) error {
	return func(r *reading, value string) error {
		networks, err := parseNetworks(value)
		if err != nil {
			return err
		}
		*field(&r.Settings) = append(*field(&r.Settings), networks...)
		return nil
	}
}

func parseNetworks(value string) (networks []netip.Prefix, err error) {
	for _, e := range elements(value) {
		addr, addrErr := netip.ParseAddr(e)
		prefix, prefixErr := netip.ParsePrefix(e)
		switch {
		case addrErr == nil && addr.Zone() == "":
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		case prefixErr != nil:
			return nil, fmt.Errorf("want networks such as 10.0.0.0/8 with commas between them, found %s", annotation.Quote(e))
		}
		networks = append(networks, prefix.Masked())
	}
	return networks, nil
}

var versions = []struct {
	name    string
	version uint16
}{{"TLSv1", tls.VersionTLS10}, {"TLSv1.1", tls.VersionTLS11}, {"TLSv1.2", tls.VersionTLS12}, {"TLSv1.3", tls.VersionTLS13}}

// setProtocols reads ssl-protocols. Of a list with gaps what is above the last gap
// counts: to fill one would accept what is not in the list.
func setProtocols(r *reading, value string) error {
	var listed [4]bool
	var old []string
	for _, e := range elements(value) {
		i := len(versions) - 1
		for i >= 0 && !strings.EqualFold(versions[i].name, e) {
			i--
		}
		switch {
		case i >= 0:
			listed[i] = true
		case strings.EqualFold(e, "SSLv2"), strings.EqualFold(e, "SSLv3"):
			old = append(old, e)
		default:
			return fmt.Errorf("want some of TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3, found %s", annotation.Quote(e))
		}
	}
	last := len(listed) - 1
	for last >= 0 && !listed[last] {
		last--
	}
	if last < 0 {
		return fmt.Errorf("want some of TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3, found %s", annotation.Quote(value))
	}
	first := last
	for first > 0 && listed[first-1] {
		first--
	}
	if len(old) > 0 {
		r.note(true, "Go has no %s. Remove it.", strings.Join(old, " and no "))
	}
	if slices.Contains(listed[:first], true) {
		r.note(true, "the versions have a gap, which Go cannot leave out: only those from %s on are accepted. Remove the older ones, or fill the gap.", versions[first].name)
	}
	r.MinVersion, r.MaxVersion = versions[first].version, versions[last].version
	return nil
}

var curves = map[string]tls.CurveID{
	"x25519": tls.X25519, "prime256v1": tls.CurveP256, "secp256r1": tls.CurveP256, "p-256": tls.CurveP256, "secp384r1": tls.CurveP384, "p-384": tls.CurveP384,
	"secp521r1": tls.CurveP521, "p-521": tls.CurveP521, "x25519mlkem768": tls.X25519MLKEM768,
	"secp256r1mlkem768": tls.SecP256r1MLKEM768, "secp384r1mlkem1024": tls.SecP384r1MLKEM1024,
}

// setCurves reads ssl-ecdh-curve.
func setCurves(r *reading, value string) error {
	if strings.EqualFold(value, "auto") {
		return nil
	}
	var known []tls.CurveID
	var unknown []string
	for name := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ':' || r == ',' || r == '/' || r == ' ' }) {
		id, ok := curves[strings.ToLower(strings.TrimLeft(name, "*?"))]
		switch {
		case !ok:
			unknown = append(unknown, name)
		case !slices.Contains(known, id):
			known = append(known, id)
		}
	}
	if len(known) == 0 {
		return fmt.Errorf("want auto, or some of X25519MLKEM768, X25519, prime256v1, secp384r1 and secp521r1 with colons between them, found %s", annotation.Quote(value))
	}
	if len(unknown) > 0 {
		r.note(true, "Go has no group %s. Clients that have nothing else cannot connect.", annotation.Quote(strings.Join(unknown, ":")))
	}
	r.Curves = known
	return nil
}

func setHSTSAge(r *reading, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || len(value) > 10 {
		return fmt.Errorf("want whole seconds, found %s", annotation.Quote(value))
	}
	r.HSTSMaxAge = n
	return nil
}

func setProxyTimeout(r *reading, value string) error {
	d, err := time.ParseDuration(value)
	if n, e := strconv.Atoi(value); e == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d <= 0 || d > time.Hour {
		return fmt.Errorf(`want a time such as "5s", found %s`, annotation.Quote(value))
	}
	r.ProxyTimeout = d
	return nil
}

// finish does what takes more than one key.
func (r *reading) finish(data map[string]string) {
	for name := range data {
		if strings.HasPrefix(name, "hsts") && Lookup(name) != nil {
			r.hsts = true
		}
	}
	if !r.ProxyProtocol && !r.ForwardedHeaders {
		r.Proxies = nil
		return
	}
	r.key = Lookup("proxy-real-ip-cidr")
	switch bad := slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Name == r.key.Name && p.Err != nil }); {
	case bad:
		// Nobody is believed: told already.
	case len(r.Proxies) == 0:
		r.Proxies = PrivateNetworks()
		r.note(true, "it is not set, and ingress-nginx then believes whoever connects what address he says he has. Cardea believes private networks alone. Name those of your load balancers.")
	case slices.ContainsFunc(r.Proxies, func(p netip.Prefix) bool { return p.Bits() == 0 }):
		r.note(true, "whoever connects can say what address he has. Name the networks of your load balancers.")
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return strings.Compare(a.Name, b.Name) })
}
