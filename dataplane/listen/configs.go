package listen

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// configs holds the tls.Configs of a listener: one for each certificate of each
// host, made at its first handshake and shared by all others. A Config is
// immutable but for its session ticket keys.
type configs struct {
	nextProtos []string
	keyLog     io.Writer // nil: none
	ech        echKeys
	staples    *Staples // nil: none

	// made maps configKey to *madeConfig. An entry goes when the host's TLS or the
	// certificate is in no snapshot any more; a Config therefore holds no pointer
	// to either.
	made sync.Map
	// keys guards the ticket keys: a Config that is being made gets the same as
	// those that are there.
	mu   sync.Mutex
	keys *snapshot.TicketKeys
}

// configKey is what a Config depends on.
type configKey struct {
	host   weak.Pointer[snapshot.TLS] // zero for the default certificate
	policy weak.Pointer[snapshot.TLSPolicy]
	cert   weak.Pointer[snapshot.Certificate]
}

// madeConfig is a Config with what its ticket keys are derived from.
type madeConfig struct {
	*tls.Config
	auth     *clientAuth // nil: no client certificate is asked for
	boundary []byte
}

func (cs *configs) init(nextProtos []string) {
	cs.nextProtos = slices.Clone(nextProtos)
	cs.keys = new(snapshot.TicketKeys)
}

// served is what a handshake is about to be done with.
type served struct {
	// host is the name of the declared host, "" for none; tls is its TLS, nil then.
	host   string
	tls    *snapshot.TLS
	policy *snapshot.TLSPolicy
	cert   *snapshot.Certificate
	// groups, if not nil, are those of the policy that this client is served from.
	groups []tls.CurveID
	// security is the digest that tickets are bound to.
	security snapshot.Security
}

// of returns the Config for s and a client that offers protos, and what it demands
// of client certificates.
func (cs *configs) of(s *served, protos []string) (*tls.Config, *clientAuth) {
	m := cs.shared(s)
	cfg := m.Config
	if !s.policy.RejectALPN && len(protos) > 0 && !overlap(protos, cfg.NextProtos) {
		// crypto/tls ends the handshake of a client that offers other protocols
		// only. Such clients are rare (a TLS-ALPN probe, an old SPDY client) and
		// may speak HTTP/1.1 all the same, so they are served as if they had not
		// asked.
		cfg = cfg.Clone()
		cfg.NextProtos = nil
	}
	if s.groups != nil {
		// Its tickets are those of the shared Config, which makes and reads them.
		cfg = cfg.Clone()
		cfg.CurvePreferences = s.groups
	}
	return cfg, m.auth
}

func (cs *configs) shared(s *served) *madeConfig {
	key := configKey{policy: weak.Make(s.policy), cert: weak.Make(s.cert)}
	if s.tls != nil {
		key.host = weak.Make(s.tls)
	}
	if v, ok := cs.made.Load(key); ok {
		return v.(*madeConfig)
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if v, ok := cs.made.Load(key); ok {
		return v.(*madeConfig)
	}
	m := &madeConfig{Config: cs.make(s), boundary: s.boundary()}
	if s.tls != nil && s.tls.ClientAuth != nil {
		m.auth = newClientAuth(s.tls.ClientAuth)
		m.auth.apply(m.Config)
	}
	m.setKeys(cs.keys)
	cs.made.Store(key, m)
	forget := func(key configKey) { cs.made.Delete(key) }
	runtime.AddCleanup(s.cert, forget, key)
	if s.tls != nil {
		runtime.AddCleanup(s.tls, forget, key)
	}
	if s.policy.Origin != (snapshot.Origin{}) {
		// The built-in policies are always there.
		runtime.AddCleanup(s.policy, forget, key)
	}
	return m
}

// setKeys replaces the secrets of the session tickets, for every Config that
// there is and that comes.
func (cs *configs) setKeys(keys *snapshot.TicketKeys) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.keys = keys
	for _, v := range cs.made.Range {
		v.(*madeConfig).setKeys(keys)
	}
}

func (cs *configs) make(s *served) *tls.Config {
	p := s.policy
	cfg := &tls.Config{
		Certificates:           []tls.Certificate{*s.cert.TLS},
		MinVersion:             minVersion(p),
		MaxVersion:             p.MaxVersion,
		CipherSuites:           p.Suites12(),
		CurvePreferences:       p.Curves,
		NextProtos:             cs.nextProtos,
		SessionTicketsDisabled: p.NoTickets,
		// Records are as large as what the engines write: they decide on latency
		// and size themselves.
		DynamicRecordSizingDisabled: true,
		KeyLogWriter:                cs.keyLog,
		GetEncryptedClientHelloKeys: cs.retryWith,
	}
	if cs.staples != nil {
		cfg.Certificates, cfg.GetCertificate = nil, cs.staples.certificate(s.cert.TLS, s.cert.Digest)
	}
	if s.tls != nil && s.tls.NoHTTP2 {
		cfg.NextProtos = slices.DeleteFunc(slices.Clone(cfg.NextProtos), func(p string) bool { return p == "h2" })
	}
	digest := s.cert.Digest
	cfg.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		session.Extra = append(session.Extra, binding(state.ServerName, digest))
		return cfg.EncryptTicket(state, session)
	}
	cfg.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
		session, err := cfg.DecryptTicket(ticket, state)
		if session == nil || err != nil {
			return nil, err
		}
		want := binding(state.ServerName, digest)
		if !slices.ContainsFunc(session.Extra, func(e []byte) bool { return bytes.Equal(e, want) }) {
			// A full handshake follows.
			return nil, nil
		}
		return session, nil
	}
	return cfg
}

// binding is what a session ticket is good for: one server name and one
// certificate. RFC 6066 §3: "A server that implements this extension MUST NOT
// accept the request to resume the session if the server_name extension contains
// a different name." crypto/tls leaves that to us. The certificate is what lets
// the outcome of a resumed handshake name the one that the client once accepted:
// when it was replaced, the handshake is a full one.
func binding(serverName, digest string) []byte {
	return []byte("cardea\x00" + strings.ToLower(serverName) + "\x00" + digest)
}

// boundary says which sessions may be resumed with each other: those of one
// policy, one demand for client certificates, one declared host and one owner of
// the certificate. Ticket keys are derived from it, so that a ticket is no more
// than noise behind another boundary, whichever replica made it (compare
// CVE-2025-68121, where a session outlived a change of the client authorities).
func (s *served) boundary() []byte {
	d := s.policy.Digest()
	owner := s.cert.Origin
	b := []byte("cardea session ticket 1\x00")
	b = append(b, d[:]...)
	b = append(b, s.security[:]...)
	for _, text := range []string{s.host, owner.Kind, owner.Namespace, owner.Name} {
		b = append(append(b, text...), 0)
	}
	return b
}

// setKeys derives the ticket keys (RFC 5869). Without secrets, crypto/tls makes
// and rotates keys of its own, for this Config alone.
func (m *madeConfig) setKeys(keys *snapshot.TicketKeys) {
	if keys.Current == nil || m.SessionTicketsDisabled {
		return
	}
	derived := make([][32]byte, 0, 1+len(keys.Others))
	for _, key := range append([]*snapshot.TicketKey{keys.Current}, keys.Others...) {
		secret := key.Secret()
		okm, err := hkdf.Key(sha256.New, secret[:], nil, string(m.boundary), 32)
		if err != nil {
			// 32 bytes are never too many for SHA-256.
			panic("listen: derive ticket key: " + err.Error())
		}
		derived = append(derived, [32]byte(okm))
	}
	m.SetSessionTicketKeys(derived)
}

// choose returns the certificate for a client, nil if the host has none.
//
// [tls.ClientHelloInfo.SupportsCertificate] refuses a certificate that does not
// cover the server name. The Ingress names the certificate, though, and whether
// to accept it is the client's decision: the name is hidden from the choice.
func choose(hello *tls.ClientHelloInfo, t *snapshot.TLS) *snapshot.Certificate {
	name := hello.ServerName
	hello.ServerName = ""
	defer func() { hello.ServerName = name }()
	return t.Choose(hello)
}
