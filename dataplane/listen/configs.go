package listen

import (
	"bytes"
	"crypto/tls"
	"runtime"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// configs holds the tls.Configs of a listener: one a certificate, made at its
// first handshake and shared by all others. It is per certificate, because
// crypto/tls tells the functions that wrap and unwrap a session nothing of the
// connection but its server name: what binds a ticket to the certificate has to
// be in the Config.
type configs struct {
	// template holds the policy and no certificate.
	template *tls.Config
	// tickets holds the session ticket keys, which crypto/tls makes and rotates.
	// It is used for nothing else.
	tickets *tls.Config
	// byCert maps weak.Pointer[snapshot.Certificate] to *tls.Config. An entry
	// goes when the certificate is in no snapshot any more; a Config therefore
	// holds no pointer to the snapshot.Certificate.
	byCert sync.Map
}

func (cs *configs) init(nextProtos []string) {
	cs.tickets = new(tls.Config)
	cs.template = &tls.Config{
		MinVersion:   policyMinVersion,
		CipherSuites: policySuites12,
		NextProtos:   slices.Clone(nextProtos),
		// Records are as large as what the engines write: they decide on latency
		// and size themselves.
		DynamicRecordSizingDisabled: true,
	}
}

// of returns the Config that serves cert to a client that offers protos.
func (cs *configs) of(cert *snapshot.Certificate, protos []string) *tls.Config {
	cfg := cs.shared(cert)
	if len(protos) > 0 && !overlap(protos, cfg.NextProtos) {
		// crypto/tls ends the handshake of a client that offers other protocols
		// only. Such clients are rare (a TLS-ALPN probe, an old SPDY client) and
		// may speak HTTP/1.1 all the same, so they are served as if they had not
		// asked.
		cfg = cfg.Clone()
		cfg.NextProtos = nil
	}
	return cfg
}

func (cs *configs) shared(cert *snapshot.Certificate) *tls.Config {
	key := weak.Make(cert)
	if v, ok := cs.byCert.Load(key); ok {
		return v.(*tls.Config)
	}
	v, loaded := cs.byCert.LoadOrStore(key, cs.make(cert))
	if !loaded {
		runtime.AddCleanup(cert, func(key weak.Pointer[snapshot.Certificate]) { cs.byCert.Delete(key) }, key)
	}
	return v.(*tls.Config)
}

func (cs *configs) make(cert *snapshot.Certificate) *tls.Config {
	cfg := cs.template.Clone()
	cfg.Certificates = []tls.Certificate{*cert.TLS}
	digest := cert.Digest
	cfg.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		session.Extra = append(session.Extra, binding(state.ServerName, digest))
		return cs.tickets.EncryptTicket(state, session)
	}
	cfg.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
		session, err := cs.tickets.DecryptTicket(ticket, state)
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
// a different name." crypto/tls leaves that to us.
func binding(serverName, digest string) []byte {
	return []byte("cardea\x00" + strings.ToLower(serverName) + "\x00" + digest)
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
