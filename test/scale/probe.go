//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// dial makes one full TLS 1.3 handshake. The certificate must cover the host;
// serial is told its number, which says which one it is.
func dial(addr, host string, limit time.Duration, serial *int64) (*tls.Conn, error) {
	c, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(limit))
	t := tls.Client(c, &tls.Config{
		ServerName:         host,
		InsecureSkipVerify: true, // it is verified below, as far as it matters here
		CurvePreferences:   []tls.CurveID{tls.X25519},
		MinVersion:         tls.VersionTLS13,
		VerifyPeerCertificate: func(chain [][]byte, _ [][]*x509.Certificate) error {
			leaf, err := x509.ParseCertificate(chain[0])
			if err == nil {
				*serial = leaf.SerialNumber.Int64()
				err = leaf.VerifyHostname(host)
			}
			return err
		},
	})
	if err := t.Handshake(); err != nil {
		c.Close()
		return nil, err
	}
	return t, nil
}

// shake is dial and close.
func shake(addr, host string, limit time.Duration) (serial int64, err error) {
	t, err := dial(addr, host, limit, &serial)
	if err != nil {
		return 0, err
	}
	return serial, t.Close()
}

// await repeats the handshake until the certificate is the wanted one, and returns
// when it was.
func await(addr, host string, serial int64, limit time.Duration) (time.Time, error) {
	return repeat(limit, func() error {
		got, err := shake(addr, host, limit)
		if err == nil && got != serial {
			err = fmt.Errorf("%s: serial %d, want %d", host, got, serial)
		}
		return err
	})
}

// awaitAnswer repeats a request until the answer is the wanted one.
func awaitAnswer(addr, host, path, want string, limit time.Duration) (time.Time, error) {
	return repeat(limit, func() error {
		var serial int64
		t, err := dial(addr, host, limit, &serial)
		if err != nil {
			return err
		}
		defer t.Close()
		got, err := ask(t, host, path)
		if err == nil && got != want {
			err = fmt.Errorf("%s: answer %q, want %q", host, got, want)
		}
		return err
	})
}

func repeat(limit time.Duration, try func() error) (time.Time, error) {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		now := time.Now()
		if err == nil || now.After(deadline) {
			return now, err
		}
		time.Sleep(500 * time.Microsecond)
	}
}

// ask sends one request on a connection that stays open.
func ask(c net.Conn, host, path string) (string, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return strings.TrimSpace(string(body)), err
}

// connections are kept open while things change.
type connections []*tls.Conn

func keep(addr string, n, hosts int) (connections, error) {
	var all connections
	for i := range n {
		var serial int64
		c, err := dial(addr, hostName(i*hosts/n), time.Hour, &serial)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
		if _, err := ask(c, c.ConnectionState().ServerName, "/"); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// alive returns how many of them still answer.
func (all connections) alive() (n int, err error) {
	for _, c := range all {
		if _, e := ask(c, c.ConnectionState().ServerName, "/"); e != nil {
			err = fmt.Errorf("a kept connection: %w", e)
			continue
		}
		n++
	}
	return n, err
}

func (all connections) close() {
	for _, c := range all {
		_ = c.Close()
	}
}

// A backend gives one answer to every request.
type backend struct {
	server *http.Server
	addr   netip.AddrPort
}

func newBackend(ip, answer string) (*backend, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return nil, err
	}
	s := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, answer+"\n")
		}),
	}
	go func() { _ = s.Serve(l) }()
	return &backend{s, l.Addr().(*net.TCPAddr).AddrPort()}, nil
}
