package listen

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A rawHello writes ClientHellos that no library would.
type rawHello struct {
	legacy     uint16 // 0: TLS 1.2
	versions   []uint16
	suites     []uint16
	groups     []uint16
	schemes    []uint16
	serverName string
}

func (h rawHello) bytes() []byte {
	u16 := binary.BigEndian.AppendUint16
	list := func(vs []uint16) (b []byte) {
		for _, v := range vs {
			b = u16(b, v)
		}
		return b
	}
	var ext []byte
	add := func(typ uint16, body []byte) {
		ext = u16(ext, typ)
		ext = append(u16(ext, uint16(len(body))), body...)
	}
	if h.serverName != "" {
		entry := append(u16([]byte{0}, uint16(len(h.serverName))), h.serverName...)
		add(0, append(u16(nil, uint16(len(entry))), entry...))
	}
	if h.groups != nil {
		add(10, append(u16(nil, uint16(2*len(h.groups))), list(h.groups)...))
	}
	if h.schemes != nil {
		add(13, append(u16(nil, uint16(2*len(h.schemes))), list(h.schemes)...))
	}
	if h.versions != nil {
		add(43, append([]byte{byte(2 * len(h.versions))}, list(h.versions)...))
	}
	legacy := h.legacy
	if legacy == 0 {
		legacy = tls.VersionTLS12
	}
	body := u16(nil, legacy)
	body = append(body, bytes.Repeat([]byte{7}, 32)...)
	body = append(body, 0)
	body = append(u16(body, uint16(2*len(h.suites))), list(h.suites)...)
	body = append(body, 1, 0)
	body = append(u16(body, uint16(len(ext))), ext...)
	msg := append([]byte{1, 0}, u16(nil, uint16(len(body)))...)
	msg = append(msg, body...)
	return append(u16([]byte{22, 3, 1}, uint16(len(msg))), msg...)
}

// TestRow5Failures provokes every failure that a client can cause. It is what pins
// the classification to the Go version.
func TestRow5Failures(t *testing.T) {
	ecdsaOnly := []uint16{uint16(tls.ECDSAWithP256AndSHA256)}
	allSchemes := append([]uint16{uint16(tls.PSSWithSHA256), uint16(tls.PKCS1WithSHA256)}, ecdsaOnly...)
	x25519 := []uint16{uint16(tls.X25519)}
	secp224 := []uint16{21}
	ecdhe := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}

	// send writes b and returns what comes back.
	send := func(b []byte) func(*world, *net.TCPConn) string {
		return func(w *world, c *net.TCPConn) string {
			if _, err := c.Write(b); err != nil {
				w.Fatal(err)
			}
			defer c.Close()
			return string(readAll(c))
		}
	}
	// handshake is a Go client; what comes back is its error.
	handshake := func(cfg *tls.Config) func(*world, *net.TCPConn) string {
		return func(w *world, c *net.TCPConn) string {
			tc := tls.Client(c, cfg)
			defer tc.Close()
			if err := ping(tc); err != nil {
				return err.Error()
			}
			return "ok"
		}
	}
	max := func(v uint16, suites ...uint16) func(*tls.Config) {
		return func(cfg *tls.Config) {
			cfg.MinVersion, cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS10, v, suites
		}
	}
	const alertRecord = "\x15\x03\x01\x00\x02\x02"

	tests := []struct {
		name   string
		client func(*world, *net.TCPConn) string
		reason outcome.Reason
		// hello and host say what the outcome must know.
		hello bool
		host  string
		alert string
		// answer is part of what the client gets.
		answer string
	}{
		{name: "closes without a byte", reason: outcome.EOF, client: func(w *world, c *net.TCPConn) string {
			c.Close()
			return ""
		}},
		{name: "closes in the middle of the hello", reason: outcome.EOF, client: func(w *world, c *net.TCPConn) string {
			c.Write(rawHello{suites: ecdhe}.bytes()[:20])
			c.Close()
			return ""
		}},
		{name: "resets", reason: outcome.Reset, client: func(w *world, c *net.TCPConn) string {
			c.Write([]byte{22})
			c.SetLinger(0)
			c.Close()
			return ""
		}},
		{name: "plain GET", reason: outcome.NotTLSHTTP, client: send([]byte("GET / HTTP/1.1\r\nHost: ec.example.com\r\n\r\n")), answer: "HTTP/1.1 400 Bad Request\r\n"},
		{name: "plain DELETE", reason: outcome.NotTLSHTTP, client: send([]byte("DELETE /x HTTP/1.1\r\n\r\n")), answer: httpText},
		{name: "HTTP/2 preface", reason: outcome.NotTLSHTTP, client: send([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), answer: httpText},
		{name: "PROXY protocol header", reason: outcome.NotTLS, client: send([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"))},
		{name: "SSH banner", reason: outcome.NotTLS, client: send([]byte("SSH-2.0-OpenSSH_9.2\r\n"))},
		{name: "SSLv2 hello", reason: outcome.Version, client: send([]byte("\x80\x2e\x01\x00\x02\x00\x15\x00\x00")), answer: alertRecord + "\x46"},
		{name: "garbage in a handshake record", reason: outcome.BadHello, client: send([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"))},
		{name: "record too long", reason: outcome.BadHello, client: send([]byte("\x16\x03\x01\xff\xff"))},
		{name: "not a ClientHello first", reason: outcome.BadHello, client: send([]byte("\x16\x03\x01\x00\x04\x0e\x00\x00\x00"))},
		{
			name: "user_canceled and close after the hello, TLS 1.2", reason: outcome.AlertUserCanceled, alert: "user_canceled", hello: true, host: "ec.example.com",
			client: func(w *world, c *net.TCPConn) string {
				c.Write(rawHello{serverName: "ec.example.com", suites: ecdhe, groups: x25519, schemes: allSchemes}.bytes())
				c.Write([]byte("\x15\x03\x03\x00\x02\x01\x5a\x15\x03\x03\x00\x02\x01\x00"))
				c.CloseWrite()
				return string(readAll(c))
			},
		},
		{name: "alert before the hello", reason: outcome.AlertHandshake, alert: "handshake_failure", client: send([]byte("\x15\x03\x01\x00\x02\x02\x28"))},

		{
			name: "TLS 1.1", reason: outcome.Version, hello: true, host: "ec.example.com",
			client: handshake(client("ec.example.com", max(tls.VersionTLS11))), answer: "protocol version not supported",
		},
		{name: "TLS 1.1 without SNI", reason: outcome.Version, hello: true, client: send(rawHello{legacy: tls.VersionTLS11, suites: ecdhe}.bytes()), answer: alertRecord + "\x46"},
		{
			name: "fallback from a better version", reason: outcome.Version, hello: true, host: "ec.example.com",
			client: send(rawHello{serverName: "ec.example.com", suites: append([]uint16{tls.TLS_FALLBACK_SCSV}, ecdhe...), groups: x25519, schemes: allSchemes}.bytes()), answer: "\x02\x56",
		},
		{
			name: "CBC only", reason: outcome.Cipher, hello: true, host: "ec.example.com",
			client: handshake(client("ec.example.com", max(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA))), answer: "handshake failure",
		},
		{
			name: "RSA suites for an ECDSA certificate", reason: outcome.Cipher, hello: true, host: "ec.example.com",
			client: handshake(client("ec.example.com", max(tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256))), answer: "handshake failure",
		},
		{
			name: "ECDSA schemes for an RSA certificate, TLS 1.2", reason: outcome.Cipher, hello: true, host: "rsa.example.com",
			client: send(rawHello{serverName: "rsa.example.com", suites: ecdhe, groups: x25519, schemes: ecdsaOnly}.bytes()), answer: "\x02\x28",
		},
		{
			name: "RSA PKCS1 schemes only, TLS 1.3", reason: outcome.Cipher, hello: true, host: "ec.example.com",
			client: withKeyShare(rawHello{serverName: "ec.example.com", versions: []uint16{tls.VersionTLS13}, suites: suites13, groups: x25519, schemes: []uint16{uint16(tls.PKCS1WithSHA256)}}), answer: "\x02\x28",
		},
		{
			name: "TLS 1.3 without a suite of it", reason: outcome.Cipher, hello: true, host: "ec.example.com",
			client: send(rawHello{serverName: "ec.example.com", versions: []uint16{tls.VersionTLS13}, suites: ecdhe, groups: x25519, schemes: allSchemes}.bytes()), answer: "\x02\x28",
		},
		{
			name: "no common group, TLS 1.3", reason: outcome.Curve, hello: true, host: "ec.example.com",
			client: send(rawHello{serverName: "ec.example.com", versions: []uint16{tls.VersionTLS13}, suites: suites13, groups: secp224, schemes: allSchemes}.bytes()), answer: "\x02\x28",
		},
		{
			name: "no common group, TLS 1.2", reason: outcome.Curve, hello: true, host: "ec.example.com",
			client: send(rawHello{serverName: "ec.example.com", suites: ecdhe, groups: secp224, schemes: allSchemes}.bytes()), answer: "\x02\x28",
		},

		{name: "CBC only, and no name", reason: outcome.Cipher, hello: true, client: send(rawHello{suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}, groups: x25519, schemes: allSchemes}.bytes()), answer: alertRecord + "\x28"},
		{name: "no common group, and no name", reason: outcome.Curve, hello: true, client: send(rawHello{suites: ecdhe, groups: secp224, schemes: allSchemes}.bytes()), answer: alertRecord + "\x28"},
		{name: "no supported groups at all", reason: outcome.Curve, hello: true, host: "ec.example.com", client: send(rawHello{serverName: "ec.example.com", suites: ecdhe, schemes: allSchemes}.bytes()), answer: "\x02\x28"},

		{name: "unknown name", reason: outcome.UnknownSNI, hello: true, client: handshake(client("nobody.example.com")), answer: "unrecognized name"},
		{name: "unknown name, TLS 1.2", reason: outcome.UnknownSNI, hello: true, client: handshake(client("nobody.example.com", max(tls.VersionTLS12))), answer: "unrecognized name"},
		{name: "two labels under a wildcard", reason: outcome.UnknownSNI, hello: true, client: handshake(client("a.b.wild.example.com")), answer: "unrecognized name"},
		{name: "no name", reason: outcome.NoSNI, hello: true, client: handshake(client("127.0.0.1")), answer: "unrecognized name"},
		{name: "declared host without a certificate", reason: outcome.NoCertificate, hello: true, host: "bare.example.com", client: handshake(client("bare.example.com")), answer: "unrecognized name"},

		{
			name: "client knows another CA", reason: outcome.AlertBadCertificate, alert: "bad_certificate", hello: true, host: "ec.example.com",
			client: handshake(client("ec.example.com", func(cfg *tls.Config) { cfg.RootCAs = newCA("other").pool })), answer: "unknown authority",
		},
		{
			name: "client knows another CA, TLS 1.2", reason: outcome.AlertBadCertificate, alert: "bad_certificate", hello: true, host: "ec.example.com",
			client: handshake(client("ec.example.com", max(tls.VersionTLS12), func(cfg *tls.Config) { cfg.RootCAs = newCA("other").pool })), answer: "unknown authority",
		},
		{
			name: "certificate of another name", reason: outcome.AlertBadCertificate, alert: "bad_certificate", hello: true, host: "other.example.com",
			client: handshake(client("other.example.com")), answer: "not other.example.com",
		},
		{
			name: "closes after the server's flight", reason: outcome.EOF, hello: true, host: "ec.example.com",
			client: func(w *world, c *net.TCPConn) string {
				return tls.Client(&cutConn{Conn: c}, client("ec.example.com")).Handshake().Error()
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			got := tt.client(w, w.dial())
			h := w.want(outcome.Failed, tt.reason)
			if !strings.Contains(got, tt.answer) {
				t.Errorf("the client got %q, want %q in it", got, tt.answer)
			}
			if h.HelloSeen != tt.hello || h.Host != tt.host || h.Alert != tt.alert {
				t.Errorf("HelloSeen, Host, Alert = %v, %q, %q, want %v, %q, %q", h.HelloSeen, h.Host, h.Alert, tt.hello, tt.host, tt.alert)
			}
			if want := (snapshot.Origin{}); tt.host != "" && h.Ingress != ingressOf(tt.host) || tt.host == "" && h.Ingress != want {
				t.Errorf("Ingress = %v, want that of host %q", h.Ingress, tt.host)
			}
			if h.Err == "" || tt.alert != "" && strings.HasPrefix(h.Err, opLocalAlert) {
				t.Errorf("Err = %q, want a text about the client's alert %q, if it sent one", h.Err, tt.alert)
			}
			// An alert in the clear is the last that the client got.
			if n := len(got) - 7; n >= 0 && got[n] == 21 && h.AlertSent != alert(got[n+6]).String() {
				t.Errorf("AlertSent = %q, the client got %q", h.AlertSent, got)
			}
			if h.HelloSeen || tt.reason == outcome.NotTLSHTTP {
				if h.FirstBytes != nil {
					t.Errorf("FirstBytes = %q, want none", h.FirstBytes)
				}
			} else if want := min(8, h.BytesIn); int64(len(h.FirstBytes)) != want {
				t.Errorf("FirstBytes = %q of %d bytes, want %d", h.FirstBytes, h.BytesIn, want)
			}
		})
	}
}

// withKeyShare sends h with an empty list of key shares, so that the server asks
// for one and gets it in a second hello.
func withKeyShare(h rawHello) func(*world, *net.TCPConn) string {
	key := must(ecdhKey())
	return func(w *world, c *net.TCPConn) string {
		share := append([]byte{0, byte(tls.X25519), 0, 32}, key...)
		body := binary.BigEndian.AppendUint16(nil, uint16(len(share)))
		ext := append([]byte{0, 51, 0, byte(len(share) + 2)}, append(body, share...)...)
		if _, err := c.Write(appendExtension(h.bytes(), ext)); err != nil {
			w.Fatal(err)
		}
		return string(readAll(c))
	}
}

// cutConn closes the connection instead of the second write: that of the
// client's answer to the server's first flight.
type cutConn struct {
	net.Conn
	writes int
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		c.Conn.Close()
	}
	return c.Conn.Write(p)
}

// TestRow6ClientCertificateFailures holds the classification of what a TLS policy
// with client certificates can meet, and of an ALPN mismatch, to crypto/tls.
func TestRow6ClientCertificateFailures(t *testing.T) {
	ca := newCA("client CA")
	leaf := func(ca *authority, change func(*x509.Certificate)) []tls.Certificate {
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		return []tls.Certificate{must(tls.X509KeyPair(ca.issue(key, change)))}
	}
	tests := []struct {
		name    string
		client  []tls.Certificate
		protos  []string
		reason  outcome.Reason
		subject string
	}{
		{name: "none", reason: outcome.ClientCertMissing},
		{name: "expired", reason: outcome.ClientCertExpired, subject: "CN=leaf", client: leaf(ca, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		})},
		{name: "of another CA", reason: outcome.ClientCertUnknownCA, subject: "CN=leaf", client: leaf(newCA("other"), nil)},
		{name: "for servers only", reason: outcome.ClientCertUsage, subject: "CN=leaf", client: leaf(ca, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})},
		{name: "good, but no common protocol", reason: outcome.ALPN, client: leaf(ca, nil), protos: []string{"spdy/3"}},
	}
	for _, tt := range tests {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				w, _ := newPipeWorld(t, nil)
				clientEnd, serverEnd := net.Pipe()
				c := w.l.newConn(serverEnd)
				spec := testSpec()
				cfg := &tls.Config{
					Certificates: []tls.Certificate{*spec.Hosts[3].TLS.Certificates[0].TLS},
					ClientAuth:   tls.RequireAndVerifyClientCert,
					ClientCAs:    ca.pool,
					NextProtos:   []string{"http/1.1"},
				}
				cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
					c.hs.offered(hello)
					return nil, nil
				}
				done := make(chan error, 1)
				go func() {
					tc := tls.Client(clientEnd, client("ec.example.com", func(cfg *tls.Config) {
						cfg.MaxVersion = version
						// Unlike Config.Certificates, this sends one that the server's
						// list of authorities does not ask for.
						cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
							if tt.client == nil {
								return new(tls.Certificate), nil
							}
							return &tt.client[0], nil
						}
						if tt.protos != nil {
							cfg.NextProtos = tt.protos
						}
					}))
					err := tc.Handshake()
					if err == nil {
						_, err = tc.Read(make([]byte, 1))
					}
					_ = clientEnd.Close()
					done <- err
				}()
				tc := tls.Server(c, cfg)
				c.hs.running = true
				err := tc.Handshake()
				if err == nil {
					t.Fatal("Handshake() = nil, want an error")
				}
				f := c.classify(err)
				if f.reason != tt.reason {
					t.Errorf("classify(%v) = %s, want %s", err, f.reason, tt.reason)
				}
				c.hs.negotiated(tc.ConnectionState())
				c.hs.offended(err)
				c.hs.explain(err, f)
				if got := c.hs.ClientCertificate; tt.subject != "" && (got == nil || got.Subject != tt.subject || got.Verified || got.VerifyErr == "") {
					t.Errorf("ClientCertificate = %+v, want the rejected %q", got, tt.subject)
				}
				_ = serverEnd.Close()
				// crypto/tls gives the client an alert by its text.
				got := (<-done).Error()
				if sent := alertTexts[strings.TrimPrefix(got, "remote error: ")]; c.hs.AlertSent != sent.String() || sent == 0 {
					t.Errorf("AlertSent = %q, the client got %q", c.hs.AlertSent, got)
				}
			})
		}
	}
}

func ecdhKey() ([]byte, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return key.PublicKey().Bytes(), nil
}

// appendExtension adds an extension to a ClientHello record and corrects the
// lengths around it. The hello's session ID is empty.
func appendExtension(record, ext []byte) []byte {
	record = append(record, ext...)
	grow := func(at, size int) {
		n := 0
		for _, b := range record[at : at+size] {
			n = n<<8 | int(b)
		}
		n += len(ext)
		for i := size - 1; i >= 0; i-- {
			record[at+i], n = byte(n), n>>8
		}
	}
	grow(3, 2)                                       // record
	grow(6, 3)                                       // message
	at := 5 + 4 + 2 + 32 + 1                         // suites
	at += 2 + int(record[at])<<8 + int(record[at+1]) // compression
	at += 2
	grow(at, 2) // extensions
	return record
}

func TestRecords(t *testing.T) {
	stream := slices.Concat(
		rawHello{suites: snapshot.Intermediate.CipherSuites}.bytes(),
		[]byte{20, 3, 3, 0, 1, 1},
		[]byte{23, 3, 3, 0, 7, 21, 3, 3, 0, 2, 2, 99}, // an alert's bytes inside of another record
		[]byte{21, 3, 3, 0, 2, 2, 48},
	)
	for size := 1; size <= len(stream); size++ {
		var r records
		for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if r.alerted {
				t.Errorf("in pieces of %d: an alert before the last byte", size)
			}
			r.feed(rest[:min(size, len(rest))])
		}
		if !r.alerted || r.alert.String() != "unknown_ca" {
			t.Errorf("in pieces of %d: alert = %v %s, want unknown_ca", size, r.alerted, r.alert)
		}
	}
}

// TestAlertNames holds the names to RFC 8446 by those that have a reason.
func TestAlertNames(t *testing.T) {
	for a := range 256 {
		got, ok := alertTexts[tls.AlertError(a).Error()]
		if !ok || got != alert(a) {
			t.Errorf("alertTexts[%q] = %d, want %d", tls.AlertError(a).Error(), got, a)
		}
		if r := alert(a).reason(); !r.Known() {
			t.Errorf("reason %q of alert %d is not in the list", r, a)
		} else if r != outcome.AlertOther && string(r) != "client_alert_"+alert(a).String() {
			t.Errorf("reason of alert %s = %s, want the same name", alert(a), r)
		}
	}
	if got := alert(200).String(); got != "alert_200" {
		t.Errorf("String() = %q, want alert_200", got)
	}
}
