//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A client speaks HTTPS to one address for one host. It never retries: every
// failure is the caller's. net/http's Transport would repeat a request whose kept
// connection was closed, so it is not used.
type client struct {
	addr, host string
	tls        *tls.Config
	conn       *tls.Conn
	br         *bufio.Reader
}

func newClient(addr, host string, pool *x509.CertPool) *client {
	return &client{addr: addr, host: host, tls: &tls.Config{ServerName: host, RootCAs: pool, NextProtos: []string{"http/1.1"}}}
}

// connect opens a new connection; it returns the serial number of the server's
// certificate.
func (c *client) connect() (int64, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: c.tls}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return 0, fmt.Errorf("handshake: %w", err)
	}
	c.conn = conn.(*tls.Conn)
	c.br = bufio.NewReader(conn)
	return c.conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// get sends one request on the open connection and returns the body of a 200.
func (c *client) get(path string) (string, error) {
	_ = c.conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, c.host); err != nil {
		return "", fmt.Errorf("request: %w", err)
	}
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return "", fmt.Errorf("response: %w", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", fmt.Errorf("response body: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %s: %s", res.Status, body)
	}
	return string(body), nil
}

// once is connect, get, close.
func (c *client) once(path string) (body string, serial int64, err error) {
	if serial, err = c.connect(); err != nil {
		return "", 0, err
	}
	defer c.close()
	body, err = c.get(path)
	return body, serial, err
}

// A load sends requests until stopped, half of its workers on one kept
// connection each, the other half on a new connection for every request, in
// equal numbers of requests.
type load struct {
	kept, fresh, failed atomic.Int64
	first               atomic.Pointer[error]
	stop                atomic.Bool
	wg                  sync.WaitGroup
}

func startLoad(t *testing.T, addr, host string, pool *x509.CertPool, workers int) *load {
	t.Helper()
	l := &load{}
	fail := func(err error) {
		l.failed.Add(1)
		l.first.CompareAndSwap(nil, &err)
	}
	for range workers {
		l.wg.Go(func() {
			kept, fresh := newClient(addr, host, pool), newClient(addr, host, pool)
			defer kept.close()
			for !l.stop.Load() {
				if kept.conn == nil {
					if _, err := kept.connect(); err != nil {
						fail(err)
						continue
					}
				}
				if _, err := kept.get("/kept"); err != nil {
					fail(err)
					kept.close()
				}
				l.kept.Add(1)
				if _, _, err := fresh.once("/fresh"); err != nil {
					fail(err)
				}
				l.fresh.Add(1)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() { l.stop.Store(true); l.wg.Wait() }

func (l *load) total() int64 { return l.kept.Load() + l.fresh.Load() }

func (l *load) err() error {
	if p := l.first.Load(); p != nil {
		return *p
	}
	return nil
}

// A prober opens one connection after another and notes when it first saw each
// serial number.
type prober struct {
	mu   sync.Mutex
	seen map[int64]time.Time
	stop atomic.Bool
	wg   sync.WaitGroup
}

func startProber(t *testing.T, addr, host string, pool *x509.CertPool) *prober {
	t.Helper()
	p := &prober{seen: map[int64]time.Time{}}
	p.wg.Go(func() {
		for !p.stop.Load() {
			c := newClient(addr, host, pool)
			serial, err := c.connect()
			now := time.Now()
			c.close()
			if err != nil {
				t.Errorf("prober: %v", err)
				return
			}
			p.mu.Lock()
			if _, ok := p.seen[serial]; !ok {
				p.seen[serial] = now
			}
			p.mu.Unlock()
		}
	})
	t.Cleanup(func() { p.stop.Store(true); p.wg.Wait() })
	return p
}

func (p *prober) when(serial int64) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.seen[serial]
	return at, ok
}
