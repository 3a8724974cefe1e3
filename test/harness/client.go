package harness

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A Client sends requests to a Program, whatever host their URLs name, each on a
// connection of its own.
type Client struct {
	program   *Program
	authority *Authority
	// certificate is presented whatever authorities the server asks for; nil: none.
	certificate *tls.Certificate
}

// Client returns a client that trusts a alone.
func (p *Program) Client(a *Authority) *Client { return &Client{program: p, authority: a} }

// As returns c with a certificate of its own.
func (c *Client) As(certificate tls.Certificate) *Client {
	as := *c
	as.certificate = &certificate
	return &as
}

func (c *Client) config(name string) *tls.Config {
	config := &tls.Config{ServerName: name, RootCAs: c.authority.Pool()}
	if c.certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.certificate, nil }
	}
	return config
}

// An Answer is the answer to a request.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	// Seen is what the backend saw, if one answered.
	Seen Seen
	// Serial is that of the certificate that was served.
	Serial string
	// agent identifies the request in the access log.
	agent string
}

var requests atomic.Int64

// Do sends one request. An error means that there was no answer.
func (c *Client) Do(method, url string, header http.Header) (*Answer, error) {
	ctx, cancel := context.WithTimeout(c.program.t.Context(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	a := &Answer{agent: fmt.Sprintf("harness/%d", requests.Add(1))}
	req.Header.Set("User-Agent", a.agent)
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   c.config(req.URL.Hostname()),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", c.program.front(req.URL.Scheme))
		},
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	a.Status, a.Header, a.Body = res.StatusCode, res.Header, string(body)
	_ = json.Unmarshal(body, &a.Seen) // it is not JSON where cardea answered
	if res.TLS != nil {
		a.Serial = res.TLS.PeerCertificates[0].SerialNumber.String()
	}
	return a, nil
}

func (p *Program) front(scheme string) string {
	if scheme == "https" {
		return p.HTTPS
	}
	return p.HTTP
}

// Log waits for the access log record of a.
func (p *Program) Log(a *Answer) Record {
	p.t.Helper()
	return p.Record("access", Record{"user_agent": a.agent})
}

// Handshake does one TLS handshake, as far as the first byte that the server sends
// after it or the end of the connection. It returns the record of the handshake
// log and the error of the client.
func (c *Client) Handshake(name string, change func(*tls.Config)) (Record, error) {
	c.program.t.Helper()
	raw, err := net.Dial("tcp", c.program.HTTPS)
	if err != nil {
		c.program.t.Fatal(err)
	}
	defer raw.Close()
	config := c.config(name)
	if change != nil {
		change(config)
	}
	conn := tls.Client(raw, config)
	_ = conn.SetDeadline(time.Now().Add(Patience))
	err = conn.Handshake()
	if err == nil {
		// The server decides the outcome at the first record after the handshake.
		_, err = fmt.Fprintf(conn, "GET /handshake HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name)
		if err == nil {
			if _, e := conn.Read(make([]byte, 1)); e != nil && !errors.Is(e, io.EOF) {
				err = e
			}
		}
	}
	_ = raw.Close()
	return c.program.Record("handshake", Record{"remote": raw.LocalAddr().String()}), err
}

// Upgrade opens a tunnel, sends text through it and returns what comes back.
func (c *Client) Upgrade(url, text string) (status int, echo string, err error) {
	req, err := http.NewRequestWithContext(c.program.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	var conn net.Conn
	if req.URL.Scheme == "https" {
		conn, err = tls.Dial("tcp", c.program.HTTPS, &tls.Config{ServerName: req.URL.Hostname(), RootCAs: c.authority.Pool()})
	} else {
		conn, err = net.Dial("tcp", c.program.HTTP)
	}
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(Patience))
	if err := req.Write(conn); err != nil {
		return 0, "", err
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, req)
	if err != nil {
		return 0, "", err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return res.StatusCode, "", nil
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return res.StatusCode, "", err
	}
	b := make([]byte, len(text))
	_, err = io.ReadFull(r, b)
	return res.StatusCode, string(b), err
}
