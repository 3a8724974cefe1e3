package translate

import (
	"crypto/tls"
	"slices"
	"strings"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// tlsPolicy returns the policy of the host as c, which declares it, wants it; nil
// if that is the one of the Spec.
func (b *hostBuild) tlsPolicy(c *claim) *snapshot.TLSPolicy {
	class := b.overlay.of(c.class)
	p := class.policy
	if name := c.settings.TLSPolicy; name != "" {
		if p = class.named[name]; p == nil {
			p = atLeastIntermediate(class.policy)
			b.judge(Verdict{Level: Refused, Reason: TLSPolicyUnknown, Origin: c.at(c.annotation("tls-policy"))},
				"There is no TLS policy %q for this class, want one of %s. %s has the policy %s.", brief(name), class.names(), sentence(b.hostText()), p.Name)
		}
	}
	p = b.withCiphers(p, c)
	if def := b.overlay.tlsPolicy; p == def || def == nil && p == snapshot.Intermediate {
		return nil
	}
	return p
}

// atLeastIntermediate returns p, or intermediate if p accepts older versions: a
// name that is wrong does not open what the right one would have closed.
func atLeastIntermediate(p *snapshot.TLSPolicy) *snapshot.TLSPolicy {
	if p.MinVersion != 0 && p.MinVersion < tls.VersionTLS12 {
		return snapshot.Intermediate
	}
	return p
}

// withCiphers returns p with those of its suites that the annotation ssl-ciphers
// of c names.
func (b *hostBuild) withCiphers(p *snapshot.TLSPolicy, c *claim) *snapshot.TLSPolicy {
	if c.settings.SSLCiphers == "" {
		return p
	}
	v := Verdict{Level: Warning, Reason: CipherSuiteUnsupported, Origin: c.at(c.annotation("ssl-ciphers"))}
	if p.MinVersion >= tls.VersionTLS13 {
		b.judge(v, "ssl-ciphers has no effect on %s: its policy %s accepts TLS 1.3 alone, whose suites Go chooses by itself.", b.hostText(), p.Name)
		return p
	}
	list := readCiphers(c.settings.SSLCiphers)
	allowed := p.Suites12()
	var suites []uint16
	for _, s := range list.suites {
		if slices.Contains(allowed, s.id) {
			suites = append(suites, s.id)
		} else {
			list.beyond = append(list.beyond, s.name)
		}
	}
	for _, problem := range list.problems(p.Name) {
		b.judge(v, "ssl-ciphers of %s: %s", b.hostText(), problem)
	}
	if len(suites) == 0 {
		b.judge(v, "ssl-ciphers names no suite that %s can have, so those of its policy %s apply.", b.hostText(), p.Name)
		return p
	}
	narrowed := *p
	narrowed.Name, narrowed.Origin, narrowed.CipherSuites = p.Name+"+ssl-ciphers", c.at(c.annotation("ssl-ciphers")), suites
	return b.policies.intern(&narrowed)
}

// judgeTLSSettings tells the Ingresses that do not declare the host, or lost it,
// that their settings do not count for it.
func (b *hostBuild) judgeTLSSettings(winner *claim, claims []*claim) {
	type settings struct {
		policy, ciphers string
		http2           bool
	}
	of := func(s *annotation.Settings) settings { return settings{s.TLSPolicy, s.SSLCiphers, s.HTTP2} }
	for _, c := range claims {
		if c == winner || of(c.settings) == of(winner.settings) || of(c.settings) == of(b.defaults) {
			continue
		}
		b.judge(Verdict{Level: Warning, Reason: TLSSettingsConflictLost, Origin: c.at("metadata.annotations"), Other: winner.at(winner.tls[0].field)},
			"How %s is served over TLS is decided by Ingress %s, which declares it; tls-policy, http2 and ssl-ciphers of this Ingress do not count for it. Write them there.", b.hostText(), winner.ingress.name)
	}
}

// A cipherList is a list of suites in OpenSSL's notation.
type cipherList struct {
	// suites are those that Go has.
	suites []namedSuite
	// beyond are suites that Go has and the policy does not accept; dhe those of
	// finite-field Diffie-Hellman; unknown those that Go does not have; keywords
	// what stands for suites.
	beyond, dhe, unknown, keywords []string
}

type namedSuite struct {
	name string
	id   uint16
}

// readCiphers reads the argument of OpenSSL's cipher list (ciphers(1)): suites and
// keywords, separated by colons, commas or blanks. One that begins with "!" or "-"
// is taken out. The names of IANA are understood as well.
func readCiphers(text string) (list cipherList) {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ':' || r == ',' || r == ' ' }) {
		word = brief(word)
		if name := strings.TrimLeft(word, "!-"); name != word {
			// What is taken out of keywords needs no word: they count for nothing here.
			list.suites = slices.DeleteFunc(list.suites, func(s namedSuite) bool { return s.name == name })
			continue
		}
		name := strings.TrimPrefix(word, "+")
		id, ok := annotation.CipherSuite(name)
		if !ok {
			id, ok = suiteByName[name]
		}
		switch {
		case strings.HasPrefix(name, "@"), strings.HasPrefix(name, "TLS_AES_"), strings.HasPrefix(name, "TLS_CHACHA20_"):
			// An order, which Go decides, and the suites of TLS 1.3, which are on.
		case ok:
			if !slices.ContainsFunc(list.suites, func(s namedSuite) bool { return s.id == id }) {
				list.suites = append(list.suites, namedSuite{name, id})
			}
		case strings.HasPrefix(name, "DHE-"), strings.HasPrefix(name, "EDH-"), strings.HasPrefix(name, "DH-"), strings.HasPrefix(name, "TLS_DHE_"):
			list.dhe = append(list.dhe, name)
		case strings.Contains(name, "-") || strings.HasPrefix(name, "TLS_"):
			list.unknown = append(list.unknown, name)
		default:
			list.keywords = append(list.keywords, name)
		}
	}
	return list
}

// problems says what of the list has no effect, one sentence a kind.
func (l *cipherList) problems(policy string) (all []string) {
	add := func(names []string, verb string) {
		if len(names) > 0 {
			const most = 4
			all = append(all, strings.Join(names[:min(len(names), most)], ", ")+andOthers(max(0, len(names)-most))+verb)
		}
	}
	add(l.dhe, ": Go has no suite with finite-field Diffie-Hellman (DHE). Clients that have nothing else cannot connect; ECDHE takes its place.")
	add(l.unknown, ": Cardea has no such suite. Remove it.")
	add(l.beyond, ": not accepted by the policy "+policy+". An Ingress cannot accept more than its policy; name one by tls-policy that does.")
	add(l.keywords, ": keywords are not expanded. Name the suites.")
	return all
}
