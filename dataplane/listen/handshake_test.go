package listen

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestRow4Done: what is known of a handshake that went well.
func TestRow4Done(t *testing.T) {
	w := newWorld(t, nil)
	state, err := w.visit(client("EC.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	c := w.conn()
	h := w.handshake()
	if h.Result != outcome.Done || h.Reason != outcome.OK || h.Err != "" || h.Alert != "" || !h.HelloSeen {
		t.Errorf("handshake = %+v, want done", h)
	}
	if h.SNI != "ec.example.com" || h.Host != "ec.example.com" || h.Ingress != ingressOf("ec.example.com") {
		t.Errorf("SNI, Host, Ingress = %q, %q, %v, want ec.example.com and its Ingress", h.SNI, h.Host, h.Ingress)
	}
	if h.Version != state.Version || h.CipherSuite != state.CipherSuite || h.Curve != uint16(tls.X25519MLKEM768) || h.ALPN != "http/1.1" || h.Resumed {
		t.Errorf("negotiated %x %x %x %q resumed=%v, want as the client: %+v", h.Version, h.CipherSuite, h.Curve, h.ALPN, h.Resumed, state)
	}
	if h.Certificate.Digest != digestOf(state) || h.DefaultCertificate {
		t.Errorf("Certificate = %v default=%v, want the one that the client saw", h.Certificate, h.DefaultCertificate)
	}
	if !slices.Contains(h.OfferedVersions, tls.VersionTLS13) || !slices.Contains(h.OfferedCipherSuites, tls.TLS_AES_128_GCM_SHA256) ||
		!slices.Contains(h.OfferedCurves, uint16(tls.X25519)) || !slices.Equal(h.OfferedALPN, []string{"http/1.1"}) {
		t.Errorf("offered %x %x %x %q, want the client's offer", h.OfferedVersions, h.OfferedCipherSuites, h.OfferedCurves, h.OfferedALPN)
	}
	if h.Duration <= 0 || h.Duration > c.Duration || h.BytesIn < 500 || h.BytesOut < 500 || h.BytesIn > c.BytesIn || h.BytesOut > c.BytesOut {
		t.Errorf("handshake took %v, %d and %d bytes, of the connection's %v, %d, %d", h.Duration, h.BytesIn, h.BytesOut, c.Duration, c.BytesIn, c.BytesOut)
	}
	if c.Reason != outcome.OK || c.TLS == nil || c.TLS.Conn != h.Conn || c.Requests != 1 {
		t.Errorf("connection = %+v, want ok, with the handshake and one request", c)
	}
}

func digestOf(state tls.ConnectionState) string {
	sum := sha256.Sum256(state.PeerCertificates[0].Raw)
	return hex.EncodeToString(sum[:])
}

// TestRow13WhichCertificate: the certificate is chosen while the handshake runs, by
// what the ClientHello says and nothing else.
func TestRow13WhichCertificate(t *testing.T) {
	rsaOnly := func(cfg *tls.Config) {
		cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	}
	tls12 := func(cfg *tls.Config) { cfg.MaxVersion = tls.VersionTLS12 }
	blind := func(cfg *tls.Config) { cfg.InsecureSkipVerify = true }
	tests := []struct {
		name   string
		client *tls.Config
		want   string
		host   string
		isDflt bool
	}{
		{"ECDSA first", client("both.example.com"), "both-ec", "both.example.com", false},
		{"ECDSA first, TLS 1.2", client("both.example.com", tls12), "both-ec", "both.example.com", false},
		{"RSA for who can no better", client("both.example.com", rsaOnly), "both-rsa", "both.example.com", false},
		{"wildcard", client("a.wild.example.com"), "wild", "*.wild.example.com", false},
		{"the Ingress's own, even if it does not cover the name", client("other.example.com", blind), "other-ec", "other.example.com", false},
		{"and by key type as well", client("other.example.com", blind, rsaOnly), "other-rsa", "other.example.com", false},
		{"default for an unknown name", client("nobody.example.com", blind), "default", "", true},
		{"default for no name", client("127.0.0.1", blind), "default", "", true},
		{"default for a declared host without its own", client("bare.example.com", blind), "default", "bare.example.com", true},
	}
	w := newWorld(t, nil)
	spec := testSpec()
	spec.UnknownSNI = snapshot.UnknownSNIDefaultCert
	spec.DefaultCertificate = certificate("default", ecKey(), "bare.example.com")
	w.publish(spec)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state, err := w.visit(tt.client)
			if err != nil {
				t.Fatal(err)
			}
			h := w.want(outcome.Done, outcome.OK)
			if h.Certificate.Origin.Name != tt.want || h.Certificate.Digest != digestOf(state) {
				t.Errorf("certificate = %v, the client saw %s, want %s", h.Certificate, digestOf(state), tt.want)
			}
			if h.Host != tt.host || h.DefaultCertificate != tt.isDflt {
				t.Errorf("Host, DefaultCertificate = %q, %v, want %q, %v", h.Host, h.DefaultCertificate, tt.host, tt.isDflt)
			}
		})
	}
}

func TestALPNIsLenient(t *testing.T) {
	w := newWorld(t, nil)
	for _, tt := range []struct {
		offer []string
		want  string
	}{
		{nil, ""},
		{[]string{"h2", "http/1.1"}, "http/1.1"},
		{[]string{"h2"}, ""},
		{[]string{"acme-tls/1"}, ""},
	} {
		state, err := w.visit(client("ec.example.com", func(cfg *tls.Config) { cfg.NextProtos = tt.offer }))
		if err != nil {
			t.Errorf("a client that offers %q: %v, want it served", tt.offer, err)
		}
		if h := w.want(outcome.Done, outcome.OK); h.ALPN != tt.want || state.NegotiatedProtocol != tt.want {
			t.Errorf("offer %q: ALPN = %q, the client has %q, want %q", tt.offer, h.ALPN, state.NegotiatedProtocol, tt.want)
		}
	}
}

// TestPolicyGroups holds the list of groups, which only names failures, to what
// crypto/tls really takes by default.
func TestPolicyGroups(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.visit(client("ec.example.com")); err != nil {
		t.Fatal(err)
	}
	h := w.want(outcome.Done, outcome.OK)
	want := make([]uint16, len(groups13))
	for i, g := range groups13 {
		want[i] = uint16(g)
	}
	if !slices.Equal(h.OfferedCurves, want) {
		t.Errorf("crypto/tls offers %d, the policy lists %d", h.OfferedCurves, want)
	}
}

// TestRow3Timeouts: a timeout is a failure with a reason of its own, by how far the
// client came.
func TestRow3Timeouts(t *testing.T) {
	hello := rawHello{
		serverName: "ec.example.com", suites: snapshot.Intermediate.CipherSuites,
		groups: []uint16{uint16(tls.X25519)}, schemes: []uint16{uint16(tls.ECDSAWithP256AndSHA256)},
	}.bytes()
	tests := []struct {
		name   string
		send   []byte
		reason outcome.Reason
		after  time.Duration
	}{
		{"not a byte", nil, outcome.TimeoutSilent, 10 * time.Second},
		{"one byte", hello[:1], outcome.TimeoutPartial, 60 * time.Second},
		{"all but one byte", hello[:len(hello)-1], outcome.TimeoutPartial, 60 * time.Second},
		{"a hello and then nothing", hello, outcome.TimeoutHandshake, 60 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, ln := newPipeWorld(t, nil)
				c := ln.dial()
				go func() {
					_, _ = c.Write(tt.send)
					readAll(c)
					_ = c.Close()
				}()
				h := w.want(outcome.Timeout, tt.reason)
				if h.Duration != tt.after {
					t.Errorf("the timeout came after %v, want %v", h.Duration, tt.after)
				}
				if want := int64(len(tt.send)); h.BytesIn != want {
					t.Errorf("BytesIn = %d, want %d", h.BytesIn, want)
				}
			})
		})
	}
}

// TestTimeoutOfSlowClient is a client that sends a byte a second.
func TestTimeoutOfSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ln := newPipeWorld(t, func(cfg *Config) { cfg.HandshakeTimeout = 30 * time.Second })
		c := ln.dial()
		var slow sync.WaitGroup
		slow.Go(func() {
			for _, b := range (rawHello{suites: snapshot.Intermediate.CipherSuites}).bytes() {
				if _, err := c.Write([]byte{b}); err != nil {
					break
				}
				time.Sleep(time.Second)
			}
			_ = c.Close()
		})
		defer slow.Wait()
		if h := w.want(outcome.Timeout, outcome.TimeoutPartial); h.Duration != 30*time.Second {
			t.Errorf("the timeout came after %v, want 30s", h.Duration)
		}
	})
}

// TestTimeoutOfClientThatDoesNotRead is one that sends a hello and takes nothing.
func TestTimeoutOfClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ln := newPipeWorld(t, nil)
		c := ln.dial()
		go func() {
			tc := tls.Client(writeOnly{c}, client("ec.example.com"))
			_ = tc.Handshake()
		}()
		h := w.want(outcome.Timeout, outcome.TimeoutHandshake)
		if h.Duration != time.Minute || !h.HelloSeen || h.Host != "ec.example.com" {
			t.Errorf("handshake = %+v, want a hello for ec.example.com and a timeout after a minute", h)
		}
		_ = c.Close()
	})
}

// writeOnly never reads.
type writeOnly struct{ net.Conn }

func (writeOnly) Read([]byte) (int, error) { return 0, net.ErrClosed }

func TestNoTimeoutAfterTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ln := newPipeWorld(t, nil)
		c := tls.Client(ln.dial(), client("ec.example.com"))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := ping(c); err != nil {
			t.Errorf("after an hour: %v, want an answer", err)
		}
		_ = c.Close()
		w.want(outcome.Done, outcome.OK)
	})
}

// TestFirstRecord is what comes after a handshake that both sides completed.
func TestFirstRecord(t *testing.T) {
	tests := []struct {
		name   string
		act    func(t *testing.T, raw *net.TCPConn, c *tls.Conn, keys string)
		result outcome.Result
		reason outcome.Reason
		alert  string
	}{
		{"data", func(t *testing.T, _ *net.TCPConn, c *tls.Conn, _ string) { _ = ping(c) }, outcome.Done, outcome.OK, ""},
		{"close_notify", func(t *testing.T, _ *net.TCPConn, c *tls.Conn, _ string) { _ = c.CloseWrite() }, outcome.Done, outcome.OK, ""},
		{"FIN", func(t *testing.T, raw *net.TCPConn, _ *tls.Conn, _ string) { _ = raw.CloseWrite() }, outcome.Done, outcome.OK, ""},
		{"RST", func(t *testing.T, raw *net.TCPConn, _ *tls.Conn, _ string) { _ = raw.SetLinger(0); _ = raw.Close() }, outcome.Done, outcome.OK, ""},
		{"alert unknown_ca", func(t *testing.T, raw *net.TCPConn, c *tls.Conn, keys string) {
			_, _ = raw.Write(sealedAlert(t, keys, 48))
		}, outcome.Failed, outcome.AlertUnknownCA, "unknown_ca"},
		{"alert certificate_expired", func(t *testing.T, raw *net.TCPConn, c *tls.Conn, keys string) {
			_, _ = raw.Write(sealedAlert(t, keys, 45))
		}, outcome.Failed, outcome.AlertExpired, "certificate_expired"},
		{"a record under a wrong key", func(t *testing.T, raw *net.TCPConn, c *tls.Conn, keys string) {
			_, _ = raw.Write(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...))
		}, outcome.Failed, outcome.BadHello, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			var keys bytes.Buffer
			raw := w.dial()
			c := tls.Client(raw, client("ec.example.com", func(cfg *tls.Config) { cfg.KeyLogWriter = &keys }))
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			tt.act(t, raw, c, keys.String())
			h := w.handshake()
			_ = raw.Close()
			if got := w.conn(); got.Reason != tt.reason {
				t.Errorf("connection = %s, want %s", got.Reason, tt.reason)
			}
			if h.Result != tt.result || h.Reason != tt.reason || h.Alert != tt.alert {
				t.Errorf("handshake = %s %s alert %q, want %s %s alert %q", h.Result, h.Reason, h.Alert, tt.result, tt.reason, tt.alert)
			}
			if h.Certificate == nil || h.Certificate.Origin.Name != "ec" {
				t.Errorf("Certificate = %v, want shop/ec", h.Certificate)
			}
		})
	}
}

// sealedAlert is a fatal alert as the first record that a TLS 1.3 client sends
// under its application traffic secret (RFC 8446 §5.2, §7.3).
func sealedAlert(t *testing.T, keyLog string, description byte) []byte {
	t.Helper()
	var secret []byte
	for line := range strings.Lines(keyLog) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret = must(hex.DecodeString(f[2]))
		}
	}
	expand := func(label string, n int) []byte {
		label = "tls13 " + label
		info := binary.BigEndian.AppendUint16(nil, uint16(n))
		info = append(append(append(info, byte(len(label))), label...), 0)
		return must(hkdf.Expand(sha256.New, secret, string(info), n))
	}
	aead := must(cipher.NewGCM(must(aes.NewCipher(expand("key", 16)))))
	plain := []byte{2, description, 21}
	header := []byte{23, 3, 3, 0, byte(len(plain) + aead.Overhead())}
	return aead.Seal(header, expand("iv", 12), plain, header)
}

// TestDecidedAtClose are handlers that never read.
func TestDecidedAtClose(t *testing.T) {
	handlers := map[string]func(net.Conn, *outcome.Conn){
		"returns":         func(net.Conn, *outcome.Conn) {},
		"closes":          func(c net.Conn, _ *outcome.Conn) { _ = c.Close() },
		"closes twice":    func(c net.Conn, _ *outcome.Conn) { _ = c.Close(); _ = c.Close() },
		"closes the wire": func(c net.Conn, _ *outcome.Conn) { _ = c.(*secured).NetConn().Close() },
		"reads nothing":   func(c net.Conn, _ *outcome.Conn) { _, _ = c.Read(nil) },
		"reads too short": func(c net.Conn, _ *outcome.Conn) {
			_ = c.SetReadDeadline(time.Unix(1, 0))
			_, _ = c.Read(make([]byte, 1))
		},
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(cfg *Config) { cfg.Handler = handler })
			c := tls.Client(w.dial(), client("ec.example.com"))
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			readAll(c)
			w.want(outcome.Done, outcome.OK)
		})
	}
}

func TestReadDeadlineDecidesNothing(t *testing.T) {
	timedOut := make(chan struct{})
	w := newWorld(t, func(cfg *Config) {
		cfg.Handler = func(c net.Conn, info *outcome.Conn) {
			_ = c.SetReadDeadline(time.Unix(1, 0))
			if n, err := c.Read(make([]byte, 1)); !isTimeout(err) {
				t.Errorf("Read() = %d, %v, want a timeout", n, err)
			}
			_ = c.SetReadDeadline(time.Time{})
			close(timedOut)
			echo(c, info)
		}
	})
	var keys bytes.Buffer
	raw := w.dial()
	c := tls.Client(raw, client("ec.example.com", func(cfg *tls.Config) { cfg.KeyLogWriter = &keys }))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	<-timedOut
	if n := len(w.handshakes); n != 0 {
		t.Errorf("%d handshakes are decided after a read without a byte, want 0", n)
	}
	_, _ = raw.Write(sealedAlert(t, keys.String(), 42))
	if h := w.handshake(); h.Reason != outcome.AlertBadCertificate {
		t.Errorf("handshake = %s, want client_alert_bad_certificate", h.Reason)
	}
	w.conn()
}

// TestDecidedOnce has readers and closers race for the decision.
func TestDecidedOnce(t *testing.T) {
	w := newWorld(t, func(cfg *Config) {
		cfg.Handler = func(c net.Conn, _ *outcome.Conn) {
			var racers sync.WaitGroup
			for range 4 {
				racers.Go(func() { _, _ = c.Read(make([]byte, 1)) })
				racers.Go(func() { _ = c.Close() })
			}
			racers.Wait()
		}
	})
	for range 20 {
		c := tls.Client(w.dial(), client("ec.example.com"))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("x"))
		readAll(c)
		_ = c.Close()
		w.want(outcome.Done, outcome.OK)
	}
}
