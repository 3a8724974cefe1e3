package snapshot

import "crypto/rand"

// TicketKeys are the secrets from which the keys of TLS session tickets (RFC 5077,
// RFC 8446 §4.6.1) are derived, one key per TLS configuration and secret. All
// replicas must hold the same, so that a session resumes at any of them. Nil
// secrets are never used.
type TicketKeys struct {
	// Current encrypts new tickets.
	Current *TicketKey
	// Others decrypt only: the one that comes next, so that a replica that has not
	// yet heard of a rotation is understood by one that has, and the ones before.
	Others []*TicketKey
}

// A TicketKey is one secret of 32 random bytes. It has no exported content and
// prints as nothing but its length.
type TicketKey struct{ secret [32]byte }

// NewTicketKey returns a key with the given secret.
func NewTicketKey(secret [32]byte) *TicketKey { return &TicketKey{secret} }

// RandomTicketKey returns a new key.
func RandomTicketKey() *TicketKey {
	k := new(TicketKey)
	// crypto/rand.Read never fails (Go 1.24): it ends the process instead.
	_, _ = rand.Read(k.secret[:])
	return k
}

// Secret returns the secret. It is for deriving keys from.
func (k *TicketKey) Secret() [32]byte { return k.secret }

// Equal reports whether a and b are the same secret.
func (k *TicketKey) Equal(other *TicketKey) bool {
	return k == other || k != nil && other != nil && k.secret == other.secret
}

// String never shows the secret.
func (k *TicketKey) String() string { return "ticket key of 32 bytes" }

// GoString is String, so that %#v cannot print the secret.
func (k *TicketKey) GoString() string { return k.String() }

// MarshalText is String, so that no encoder writes the secret.
func (k *TicketKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
