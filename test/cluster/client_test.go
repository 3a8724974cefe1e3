//go:build cluster

package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// seen is what the backend says it saw; see test/cluster/backend.
type seen struct {
	Pod    string      `json:"pod"`
	Port   string      `json:"port"`
	Method string      `json:"method"`
	Path   string      `json:"path"`
	Host   string      `json:"host"`
	Proto  string      `json:"proto"`
	Header http.Header `json:"header"`
	Body   int64       `json:"body"`
}

// answer is a response as a client got it.
type answer struct {
	status int
	proto  string
	header http.Header
	body   string
	seen   seen              // of a 200
	cert   *x509.Certificate // of https
}

// A front is where clients reach one installation of Cardea: two NodePorts of a
// node, and which authorities the clients trust.
type front struct {
	http, https string // ADDRESS:PORT
	roots       *x509.CertPool
}

// transport returns a Transport that connects to the front whatever the URL says.
func (f front) transport() *http.Transport {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasSuffix(addr, ":443") {
				return dialer.DialContext(ctx, network, f.https)
			}
			return dialer.DialContext(ctx, network, f.http)
		},
		TLSClientConfig:       &tls.Config{RootCAs: f.roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
	}
}

// get sends one request on a connection of its own. Redirects are not followed.
func (f front) get(url string) (*answer, error) { return f.do(http.MethodGet, url, "") }

func (f front) do(method, url, body string) (*answer, error) {
	tr := f.transport()
	defer tr.CloseIdleConnections()
	return exchange(tr, method, url, body)
}

// exchange sends one request and reads its whole answer.
func exchange(tr *http.Transport, method, url, body string) (*answer, error) {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, url, content)
	if err != nil {
		return nil, err
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the body: %w", method, url, err)
	}
	a := &answer{status: res.StatusCode, proto: res.Proto, header: res.Header, body: string(data)}
	if res.TLS != nil {
		a.cert = res.TLS.PeerCertificates[0]
	}
	if a.status == http.StatusOK && len(data) > 0 {
		if err := json.Unmarshal(data, &a.seen); err != nil {
			return nil, fmt.Errorf("%s %s: not the backend's answer: %q", method, url, data)
		}
	}
	return a, nil
}

// ok is get that wants a 200 of the backend.
func (f front) ok(url string) error {
	a, err := f.get(url)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK || a.seen.Pod == "" {
		return fmt.Errorf("GET %s: status %d, body %q; want 200 of the backend", url, a.status, a.body)
	}
	return nil
}

// A tunnel is an upgraded connection to the backend, which echoes.
type tunnel struct {
	conn net.Conn
	read *bufio.Reader
}

// upgrade opens a tunnel over TLS.
func (f front) upgrade(host string) (*tunnel, error) {
	d := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: 10 * time.Second},
		Config:    &tls.Config{RootCAs: f.roots, ServerName: host, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12},
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", f.https)
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	t := &tunnel{conn: conn, read: bufio.NewReader(conn)}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host)
	if err == nil {
		var res *http.Response
		if res, err = http.ReadResponse(t.read, nil); err == nil && res.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("status %s, want 101", res.Status)
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	return t, nil
}

// echo sends a line and returns what comes back.
func (t *tunnel) echo(line string) (string, error) {
	_ = t.conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(t.conn, line+"\n"); err != nil {
		return "", err
	}
	got, err := t.read.ReadString('\n')
	return strings.TrimSuffix(got, "\n"), err
}
