package snapshot

import "errors"

// A Snapshot is a compiled Spec. It is immutable and safe for concurrent use.
type Snapshot struct {
	// Generation counts publishes, from 1.
	Generation uint64
	Spec       *Spec
}

// A Match is the route that takes a request, with what the layer above made of
// it.
type Match struct {
	Host  *Host
	Route *Route
	// Plan is what bind returned for Route when the Spec was compiled.
	Plan any
}

// Compile compiles spec. It takes over from prev (nil for the first) everything
// that the two have in common, by identity of the pointers in the Spec. bind is
// called once for each new route and its result returned by [Snapshot.Match].
// The error says what is inconsistent in spec.
func Compile(prev *Snapshot, spec *Spec, bind func(*Route) any) (*Snapshot, error) {
	return nil, errors.New("snapshot: compile")
}

// Match returns the route for a normalised host and path: exact host before
// one-label wildcard before the catch-all; Exact before Prefix; longer before
// shorter. A host that has no matching path does not fall back to a less
// specific host. Match does not allocate.
func (s *Snapshot) Match(host, path []byte) (Match, bool) { return Match{}, false }

// ServerName returns the declared host that a (lower-case) server name asks for:
// the exact one, else the one-label wildcard; nil if neither is declared.
func (s *Snapshot) ServerName(sni string) *Host { return nil }

// NormalizePath returns the normal form of a path: unreserved octets decoded, the
// remaining percent-escapes in upper case, dot segments removed; an escaped slash
// or backslash stays escaped and "//" is kept. It appends to buf only if the form
// differs from path, else it returns path itself. The error says what is wrong: a
// path that does not begin with a slash, a bad escape, or one that climbs above
// the root.
func NormalizePath(buf, path []byte) ([]byte, error) { return path, nil }

// NormalizeHost returns the normal form of host[:port]: lower case, without port
// and trailing dot. It appends to buf only if the form differs.
func NormalizeHost(buf, host []byte) []byte { return host }
