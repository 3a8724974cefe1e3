package listen

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/test/ech"
)

// newECHKey returns a key and the ECHConfigList that clients are told of it.
func newECHKey(t *testing.T, publicName string) (*snapshot.ECHKey, []byte) {
	file, list := ech.Key(t, publicName)
	return must(snapshot.ParseECHKey([]byte(file))), list
}

// encrypted is a client of ec.example.com that knows of list.
func encrypted(list []byte, change ...func(*tls.Config)) *tls.Config {
	return client("ec.example.com", append(change, func(cfg *tls.Config) { cfg.EncryptedClientHelloConfigList = list })...)
}

// TestECHAccepted: the handshake is that of the name in the encrypted hello, in
// every respect: certificate, outcome, resumption.
func TestECHAccepted(t *testing.T) {
	w := newWorld(t, nil)
	key, list := newECHKey(t, "twin-a.example.com")
	w.l.SetECHKeys(&snapshot.ECHKeys{Current: key})
	cache := tls.NewLRUClientSessionCache(1)
	for i := range 2 {
		state, err := w.visit(encrypted(list, func(cfg *tls.Config) { cfg.ClientSessionCache = cache }))
		if err != nil || !state.ECHAccepted || state.PeerCertificates[0].DNSNames[0] != "ec.example.com" {
			t.Fatalf("visit %d: accepted = %v, %v, want true with the certificate of ec.example.com", i, state.ECHAccepted, err)
		}
		h := w.want(outcome.Done, outcome.OK)
		if h.SNI != "ec.example.com" || h.Host != "ec.example.com" || !h.ECHOffered || !h.ECHAccepted || h.Resumed != (i == 1) {
			t.Errorf("visit %d: SNI %q, host %q, offered %v, accepted %v, resumed %v", i, h.SNI, h.Host, h.ECHOffered, h.ECHAccepted, h.Resumed)
		}
	}
	// A client whose first key share is of no use says everything twice.
	w.publish(&snapshot.Spec{
		Hosts:     []*snapshot.Host{declare("ec.example.com", certificate("ec", ecKey(), "ec.example.com"))},
		TLSPolicy: &snapshot.TLSPolicy{Name: "custom", MinVersion: tls.VersionTLS12, Curves: []tls.CurveID{tls.CurveP256}},
	})
	state, err := w.visit(encrypted(list))
	if err != nil || !state.ECHAccepted || !state.HelloRetryRequest {
		t.Errorf("with a second hello: accepted = %v, retry %v, %v, want true, true", state.ECHAccepted, state.HelloRetryRequest, err)
	}
	w.want(outcome.Done, outcome.OK)
	// The refusals are those of the name in the encrypted hello, too.
	if _, err := w.visit(encrypted(list, func(cfg *tls.Config) { cfg.ServerName = "elsewhere.example.com" })); err == nil {
		t.Error("a visit of an unknown host succeeded")
	}
	if h := w.want(outcome.Failed, outcome.UnknownSNI); !h.ECHAccepted && h.SNI != "elsewhere.example.com" {
		t.Errorf("SNI = %q, want the one in the encrypted hello", h.SNI)
	}
}

// TestECHFingerprint: the JA4 fingerprint is of the hello that everybody can read,
// everything else of the one in it.
func TestECHFingerprint(t *testing.T) {
	w := newWorld(t, nil)
	c := &conn{hs: &handshake{}}
	outer := &tls.ClientHelloInfo{Conn: c, ServerName: "twin-a.example.com", SupportedVersions: []uint16{tls.VersionTLS13, tls.VersionTLS12}, Extensions: []uint16{0, 43, extECH}}
	inner := &tls.ClientHelloInfo{Conn: c, ServerName: "ec.example.com", SupportedVersions: []uint16{tls.VersionTLS13}, Extensions: []uint16{0, 10, 13, 43, extECH}}
	if ja4(outer) == ja4(inner) {
		t.Fatal("the two hellos of the test have one fingerprint")
	}
	if _, err := w.l.echFor(outer); err != nil {
		t.Fatal(err)
	}
	c.hs.offered(inner)
	if h := c.hs; h.JA4 != ja4(outer) || h.SNI != inner.ServerName || len(h.OfferedVersions) != 1 {
		t.Errorf("JA4 %q, SNI %q, versions %x, want the fingerprint of the outer hello, the rest of the inner one", h.JA4, h.SNI, h.OfferedVersions)
	}
}

// TestECHRejected: a client with another key meets the certificate of the public
// name, and is told of the current one.
func TestECHRejected(t *testing.T) {
	w := newWorld(t, nil)
	key, current := newECHKey(t, "twin-a.example.com")
	previous, known := newECHKey(t, "twin-a.example.com")
	_, gone := newECHKey(t, "twin-a.example.com")
	w.l.SetECHKeys(&snapshot.ECHKeys{Current: key, Others: []*snapshot.ECHKey{previous}})

	if state, err := w.visit(encrypted(known)); err != nil || !state.ECHAccepted {
		t.Errorf("with the previous key: accepted = %v, %v, want true", state.ECHAccepted, err)
	}
	w.want(outcome.Done, outcome.OK)

	_, err := w.visit(encrypted(gone))
	rejection, ok := errors.AsType[*tls.ECHRejectionError](err)
	if !ok || !bytes.Equal(rejection.RetryConfigList, current) {
		t.Fatalf("with a key that is gone: %v, want the current configuration to try again with", err)
	}
	h := w.want(outcome.Failed, outcome.AlertECHRequired)
	if h.SNI != "twin-a.example.com" || h.Host != h.SNI || h.Alert != "ech_required" || !h.ECHOffered || h.ECHAccepted {
		t.Errorf("SNI %q, host %q, alert %q, offered %v, accepted %v, want those of the public name", h.SNI, h.Host, h.Alert, h.ECHOffered, h.ECHAccepted)
	}
	if state, err := w.visit(encrypted(rejection.RetryConfigList)); err != nil || !state.ECHAccepted {
		t.Errorf("with what it was told: accepted = %v, %v, want true", state.ECHAccepted, err)
	}
	w.want(outcome.Done, outcome.OK)

	// Nobody believes a retry from behind a name that is not declared.
	_, nowhere := newECHKey(t, "nowhere.example.com")
	_, err = w.visit(encrypted(nowhere))
	if _, ok := errors.AsType[*tls.ECHRejectionError](err); ok || err == nil {
		t.Errorf("behind a public name without certificate: %v, want an alert", err)
	}
	w.want(outcome.Failed, outcome.UnknownSNI)
}

// TestECHRotation: keys are replaced under a server that runs, for hosts that were
// asked for before and for those that were not.
func TestECHRotation(t *testing.T) {
	w := newWorld(t, nil)
	visit := func(list []byte, want bool) {
		t.Helper()
		state, err := w.visit(encrypted(list))
		rejection, rejected := errors.AsType[*tls.ECHRejectionError](err)
		if state.ECHAccepted != want || rejected == want {
			t.Errorf("accepted = %v, %v, want %v", state.ECHAccepted, err, want)
		}
		if want {
			w.want(outcome.Done, outcome.OK)
			return
		}
		if len(rejection.RetryConfigList) > 0 {
			t.Errorf("told to try again with %x, want nothing", rejection.RetryConfigList)
		}
		w.want(outcome.Failed, outcome.AlertECHRequired)
	}
	first, firstList := newECHKey(t, "twin-a.example.com")
	second, secondList := newECHKey(t, "twin-b.example.com")
	visit(firstList, false)
	w.l.SetECHKeys(&snapshot.ECHKeys{Current: first})
	visit(firstList, true)
	w.l.SetECHKeys(&snapshot.ECHKeys{Current: second, Others: []*snapshot.ECHKey{first}})
	visit(firstList, true)
	visit(secondList, true)
	w.l.SetECHKeys(&snapshot.ECHKeys{Current: second})
	visit(secondList, true)
	w.l.SetECHKeys(&snapshot.ECHKeys{})
	visit(secondList, false)
}

// TestECHGREASE: a hello with an extension of random bytes (RFC 9849 §6.2) is
// served as one without, whether there are keys or not: by the certificate of the
// name in the clear, up to the client's Finished. That the client of the test then
// insists on encryption is what tells it from one that sends GREASE.
func TestECHGREASE(t *testing.T) {
	w := newWorld(t, nil)
	key, current := newECHKey(t, "twin-a.example.com")
	_, random := newECHKey(t, "ec.example.com")
	for _, tt := range []struct {
		keys  *snapshot.ECHKeys
		retry []byte
	}{
		{&snapshot.ECHKeys{}, nil},
		{&snapshot.ECHKeys{Current: key}, current},
	} {
		w.l.SetECHKeys(tt.keys)
		_, err := w.visit(encrypted(random))
		rejection, ok := errors.AsType[*tls.ECHRejectionError](err)
		if !ok || !bytes.Equal(rejection.RetryConfigList, tt.retry) {
			t.Errorf("visit() = %v, want a whole handshake and %d bytes of configuration", err, len(tt.retry))
		}
		h := w.want(outcome.Failed, outcome.AlertECHRequired)
		if h.Certificate == nil || h.Certificate.Origin.Name != "ec" || h.Version != tls.VersionTLS13 || !h.ECHOffered || h.ECHAccepted {
			t.Errorf("certificate %v, version %x, offered %v, accepted %v, want that of ec by TLS 1.3", h.Certificate, h.Version, h.ECHOffered, h.ECHAccepted)
		}
	}
	// A client that sends nothing of the kind offers nothing.
	if _, err := w.visit(client("ec.example.com")); err != nil {
		t.Error(err)
	}
	if h := w.want(outcome.Done, outcome.OK); h.ECHOffered || h.ECHAccepted {
		t.Errorf("offered %v, accepted %v, want neither", h.ECHOffered, h.ECHAccepted)
	}
}

// TestECHHasNoTLS12: a host of TLS 1.2 alone cannot be reached by an encrypted
// hello; the client that tries is told of the version.
func TestECHHasNoTLS12(t *testing.T) {
	w := newWorld(t, nil)
	key, list := newECHKey(t, "twin-a.example.com")
	w.l.SetECHKeys(&snapshot.ECHKeys{Current: key})
	w.publish(&snapshot.Spec{
		Hosts:     []*snapshot.Host{declare("ec.example.com", certificate("ec", ecKey(), "ec.example.com"))},
		TLSPolicy: &snapshot.TLSPolicy{Name: "custom", MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12},
	})
	if _, err := w.visit(encrypted(list)); err == nil {
		t.Error("the handshake succeeded")
	}
	w.want(outcome.Failed, outcome.Version)
}
