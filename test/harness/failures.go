package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A FailingClient is a real client whose TLS handshake fails in a way of its own.
// Together they are every way in which a handshake can fail for what the client
// is or does.
type FailingClient struct {
	Name string
	// Reason is what metric, log and Event must say, to the letter.
	Reason string
	// Event is part of the message that the owner of the Ingress is told; "" if he
	// is told nothing, because nobody knows whose host it was, or because there is
	// nothing to tell.
	Event string
	// run returns the fields by which the log knows the handshake.
	run func(*attempt) Record
}

// A Front is where failing clients fail.
type Front struct {
	// Addr is the address of the TLS listener.
	Addr string
	// Wildcard is declared with a good certificate: "*.shop.example.com". Bare is
	// declared, and the Secret that its Ingress names is not there.
	Wildcard, Bare string
	// Guarded is declared like Wildcard and demands certificates of clients that
	// Clients has signed and whose common name is alice: "*.guarded.example.com".
	Guarded string
	Clients *Authority
	// Revoked is one of alice's, and on the list of revoked ones beside Clients.
	Revoked tls.Certificate
}

// Fail runs the client and returns the fields by which the handshake log knows
// its handshake.
func (c FailingClient) Fail(t testing.TB, f Front) Record {
	t.Helper()
	label := strings.Trim(strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(c.Name)), "-")
	return c.run(&attempt{TB: t, Front: f, host: label + strings.TrimPrefix(f.Wildcard, "*")})
}

// FailingClients returns all of them. Those that wait for a timeout do so for as
// long as the program's flags say.
func FailingClients() []FailingClient {
	named := func(a *attempt) Record { return Record{"sni": a.host} }
	openssl := func(args string) func(*attempt) Record {
		return func(a *attempt) Record {
			a.openssl("-servername " + a.host + " " + args)
			return named(a)
		}
	}
	curl := func(args ...string) func(*attempt) Record {
		return func(a *attempt) Record {
			a.curl(append(args, "--connect-to", "::"+a.Addr, "https://"+a.host+"/")...)
			return named(a)
		}
	}
	golang := func(change func(*attempt, *tls.Config)) func(*attempt) Record {
		return func(a *attempt) Record {
			cfg := &tls.Config{ServerName: a.host, RootCAs: NewAuthority(a).Pool()}
			if change != nil {
				change(a, cfg)
			}
			return a.golang(cfg)
		}
	}
	send := func(what func(*attempt) []byte, then func(*net.TCPConn)) func(*attempt) Record {
		return func(a *attempt) Record { return a.send(what(a), then) }
	}
	text := func(s string) func(*attempt) []byte { return func(*attempt) []byte { return []byte(s) } }
	hello := func(part int) func(*attempt) []byte {
		return func(a *attempt) []byte { h := a.hello(); return h[:len(h)*part/4] }
	}
	guarded := func(cert func(*attempt) tls.Certificate) func(*attempt) Record {
		return func(a *attempt) Record {
			a.host = a.guardedHost()
			return a.presents(cert(a))
		}
	}
	client := func(name string, change func(*x509.Certificate)) func(*attempt) tls.Certificate {
		return func(a *attempt) tls.Certificate { return a.Clients.ClientWith(name, change) }
	}
	wait := func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }
	leave := func(c *net.TCPConn) { _ = c.CloseWrite() }
	reset := func(c *net.TCPConn) { _ = c.SetLinger(0) }

	return []FailingClient{
		{"openssl with TLS 1.1", "version", "Update the client to TLS 1.2", openssl("-tls1_1")},
		{"go with TLS 1.1", "version", "Update the client to TLS 1.2", golang(func(_ *attempt, c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })},
		{"openssl with CBC only", "cipher", "cipher suite", openssl("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA")},
		{"curl with CBC only", "cipher", "cipher suite", curl("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-SHA")},
		{"go with suites for RSA certificates only", "cipher", "cipher suite", golang(func(_ *attempt, c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		})},
		{"openssl with X448 only", "curve", "key exchange group", openssl("-tls1_3 -groups X448")},
		{"curl with X448 only", "curve", "key exchange group", curl("--curves", "X448")},

		{"openssl that knows another authority", "client_alert_unknown_ca", "unknown authority; it is ", openssl("-verify_return_error")},
		{"openssl with TLS 1.2 that knows another authority", "client_alert_unknown_ca", "unknown authority; it is ", openssl("-tls1_2 -verify_return_error")},
		{"curl that knows another authority", "client_alert_unknown_ca", "unknown authority; it is ", curl()},
		{"go that knows another authority", "client_alert_bad_certificate", "bad certificate; it is ", golang(nil)},
		{"go with TLS 1.2 that knows another authority", "client_alert_bad_certificate", "bad certificate; it is ", golang(func(_ *attempt, c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })},

		{"openssl that asks for an unknown name", "unknown_sni", "", func(a *attempt) Record {
			a.host = "nobody.invalid"
			return openssl("")(a)
		}},
		{"curl that asks for an address", "no_sni", "", func(a *attempt) Record {
			return a.curl("-k", "https://"+a.Addr+"/")
		}},
		{"go that asks for a host without certificate", "no_certificate", "no usable certificate", func(a *attempt) Record {
			a.host = a.Bare
			return golang(nil)(a)
		}},

		{"openssl without a certificate", "client_cert_missing", "Give the client a certificate", func(a *attempt) Record {
			a.host = a.guardedHost()
			return openssl("-tls1_2")(a)
		}},
		{"go without a certificate", "client_cert_missing", "Give the client a certificate", guarded(func(*attempt) tls.Certificate { return tls.Certificate{} })},
		{"go with a certificate of another authority", "client_cert_unknown_ca", "Issue the client a certificate from that CA", guarded(func(a *attempt) tls.Certificate {
			return NewAuthority(a).Client("alice")
		})},
		{"go with an expired certificate", "client_cert_expired", "Renew the client's certificate", guarded(client("alice", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
		}))},
		{"go with a certificate for servers", "client_cert_usage", "clientAuth", guarded(client("alice", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}))},
		{"openssl with a revoked certificate", "client_cert_revoked", "Issue the client another certificate", func(a *attempt) Record {
			a.host = a.guardedHost()
			dir := a.TempDir()
			certPEM, keyPEM := pairPEM(a, a.Revoked)
			Write(a, dir, "client.pem", certPEM)
			Write(a, dir, "client.key", keyPEM)
			// With TLS 1.3 s_client may leave before it reads what is thought of it.
			return openssl("-tls1_2 -cert " + filepath.Join(dir, "client.pem") + " -key " + filepath.Join(dir, "client.key"))(a)
		}},
		{"go with a revoked certificate", "client_cert_revoked", "Issue the client another certificate", guarded(func(a *attempt) tls.Certificate { return a.Revoked })},
		{"go with the certificate of somebody else", "client_cert_denied", "auth-tls annotations", guarded(client("mallory", nil))},

		{"silent", "timeout_silent", "", send(text(""), wait)},
		{"half a hello and then silence", "timeout_partial", "", send(hello(2), wait)},
		{"a hello and then silence", "timeout_handshake", "stopped answering", send(hello(4), wait)},
		{"closes without a byte", "eof", "", send(text(""), nil)},
		{"closes in the middle of the hello", "eof", "", send(hello(2), leave)},
		{"closes behind the hello", "eof", "", send(hello(4), leave)},
		{"resets", "reset", "", send(hello(1), reset)},
		{"curl that speaks HTTP", "not_tls_http", "", func(a *attempt) Record { return a.curl("http://" + a.Addr + "/") }},
		{"speaks SSH", "not_tls", "", send(text("SSH-2.0-OpenSSH_9.2\r\n"), wait)},
		{"garbage in a handshake record", "bad_hello", "", send(text("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), wait)},
	}
}

// An attempt is one run of a failing client.
type attempt struct {
	testing.TB
	Front
	// host is the name that it asks for.
	host string
}

// openssl runs s_client without any trust, which must fail if it looks at the
// certificate at all.
func (a *attempt) openssl(args string) {
	a.Helper()
	dir := a.TempDir()
	// Debian's defaults forbid TLS 1.1; the client is to offer it.
	conf := "openssl_conf = d\n[d]\nssl_conf = s\n[s]\nsystem_default = x\n[x]\nMinProtocol = TLSv1\nCipherString = DEFAULT:@SECLEVEL=0\n"
	Write(a, dir, "openssl.cnf", conf)
	ctx, cancel := context.WithTimeout(a.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_client", "-connect", a.Addr, "-CAfile", a.strangers(dir)}, strings.Fields(args)...)...)
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+filepath.Join(dir, "openssl.cnf"))
	cmd.Stdin = strings.NewReader("") // s_client shuts down at its end
	if out, err := cmd.CombinedOutput(); err == nil {
		a.Errorf("openssl s_client %s succeeded:\n%s", args, out)
	}
}

// curl must fail, too, unless it was answered over plain HTTP; the record it
// returns says from where it came.
func (a *attempt) curl(args ...string) Record {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), time.Minute)
	defer cancel()
	args = append([]string{"-q", "-sS", "--noproxy", "*", "--cacert", a.strangers(a.TempDir()), "-o", "-", "-w", "\n%{local_ip} %{local_port}\n"}, args...)
	cmd := exec.CommandContext(ctx, "curl", args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err == nil && !strings.Contains(out.String(), "This is the TLS port") {
		a.Errorf("curl %q succeeded:\n%s", args, &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	from := strings.Fields(lines[len(lines)-1])
	if len(from) != 2 {
		a.Fatalf("curl %q tells no address: %s%s", args, &out, &complaints)
	}
	return Record{"remote": net.JoinHostPort(from[0], from[1])}
}

// strangers is a file with an authority that has signed nothing.
func (a *attempt) strangers(dir string) string {
	Write(a, dir, "strangers.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: NewAuthority(a).cert.Raw})))
	return filepath.Join(dir, "strangers.pem")
}

func (a *attempt) dial() *net.TCPConn {
	a.Helper()
	c, err := net.DialTimeout("tcp", a.Addr, Patience)
	if err != nil {
		a.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn)
}

func (a *attempt) golang(cfg *tls.Config) Record {
	a.Helper()
	c := a.dial()
	defer c.Close()
	if err := tls.Client(c, cfg).Handshake(); err == nil {
		a.Errorf("the handshake for %s succeeded", cfg.ServerName)
	}
	return Record{"remote": c.LocalAddr().String()}
}

// guardedHost is the attempt's own name under Guarded.
func (a *attempt) guardedHost() string {
	label, _, _ := strings.Cut(a.host, ".")
	return label + strings.TrimPrefix(a.Guarded, "*")
}

// presents sends a certificate, whatever authorities the server asks for. With TLS
// 1.3 the client learns after its handshake that it is not good enough.
func (a *attempt) presents(cert tls.Certificate) Record {
	a.Helper()
	c := a.dial()
	defer c.Close()
	tc := tls.Client(c, &tls.Config{
		ServerName:           a.host,
		InsecureSkipVerify:   true, // the server is not what is tried here
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	})
	if _, err := tc.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		a.Errorf("the connection to %s: %v, want an alert", a.host, err)
	}
	return Record{"remote": c.LocalAddr().String()}
}

// send sends bytes, does what follows, and closes.
func (a *attempt) send(what []byte, then func(*net.TCPConn)) Record {
	a.Helper()
	c := a.dial()
	defer c.Close()
	if _, err := c.Write(what); err != nil {
		a.Fatal(err)
	}
	if then != nil {
		then(c)
	}
	return Record{"remote": c.LocalAddr().String()}
}

// hello returns the ClientHello of a Go client.
func (a *attempt) hello() []byte {
	var c helloOnly
	err := tls.Client(&c, &tls.Config{ServerName: a.host}).Handshake()
	if !errors.Is(err, io.EOF) || c.sent.Len() == 0 {
		a.Fatalf("a client that hears nothing: %v after %d bytes", err, c.sent.Len())
	}
	return c.sent.Bytes()
}

// helloOnly is a connection that keeps what is sent and answers nothing.
type helloOnly struct {
	net.Conn
	sent bytes.Buffer
}

func (c *helloOnly) Write(p []byte) (int, error)      { return c.sent.Write(p) }
func (c *helloOnly) Read([]byte) (int, error)         { return 0, io.EOF }
func (c *helloOnly) SetDeadline(time.Time) error      { return nil }
func (c *helloOnly) Close() error                     { return nil }
func (c *helloOnly) SetWriteDeadline(time.Time) error { return nil }

// Check compares a record of the handshake log with what the client expects.
func (c FailingClient) Check(r Record) error {
	if fmt.Sprint(r["reason"]) != c.Reason || r["result"] == "done" {
		return fmt.Errorf("the log says %v %v (%v), want %s", r["result"], r["reason"], r["err"], c.Reason)
	}
	return nil
}
