package listen

import (
	"crypto/tls"
	"io"
	"strings"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// passthrough reads the ClientHello, if the table passes any host through, and
// returns the host and what its client offers if that host is one of them. In
// every case crypto/tls, or the host's backend, gets to read everything again.
//
// A hello that cannot be read is no host's: crypto/tls says what is wrong with it.
func (l *Listener) passthrough(c *conn) (*snapshot.Host, *tls.ClientHelloInfo) {
	snap := l.cfg.Current()
	if snap == nil || snap.Passthroughs() == 0 || l.cfg.Passthrough == nil {
		return nil, nil
	}
	hello := c.peekHello()
	if hello == nil {
		return nil, nil
	}
	if host := snap.ServerName(strings.ToLower(hello.ServerName)); host != nil && host.TLS.Passthrough != "" {
		return host, hello
	}
	return nil, nil
}

// peekHello reads the ClientHello and leaves it to be read again. It returns nil
// if there is none, for whatever reason. The time for it is that for the handshake.
func (c *conn) peekHello() *tls.ClientHelloInfo {
	var r helloReader
	buf, bounds := make([]byte, 2048), c.l.bounds()
	if c.ahead == nil {
		// An error of setting a deadline shows at the next read.
		_ = c.Conn.SetReadDeadline(c.info.Accepted.Add(bounds.firstByte))
	}
	for {
		var n int
		var err error
		if c.ahead != nil {
			n = copy(buf, c.ahead.b)
			c.consume(n)
		} else {
			n, err = c.Conn.Read(buf)
			c.in.Add(int64(n))
		}
		if n > 0 && !c.hs.begun {
			c.hs.begun = true
			_ = c.Conn.SetReadDeadline(c.info.Accepted.Add(bounds.timeout))
		}
		message, bad := r.add(buf[:n])
		if message == nil && bad == nil && err == nil {
			continue
		}
		if c.ahead == nil {
			c.ahead = new(ahead)
		}
		c.ahead.b, c.ahead.err = append(r.raw, c.ahead.b...), err
		if message == nil {
			return nil
		}
		hello, _ := parseHello(message)
		return hello
	}
}

// pass runs a connection to a host that is passed through. It is the last
// goroutine of the connection.
func (l *Listener) pass(c *conn, host *snapshot.Host, hello *tls.ClientHelloInfo) {
	defer l.end(c, c.Conn)
	defer c.rescue()
	l.handshakes.Add(-1)
	_ = c.Conn.SetDeadline(time.Time{})
	h := c.hs
	h.offered(hello)
	h.Host, h.Ingress, h.Pool = host.Name, host.TLS.Origin, host.TLS.Passthrough
	switch err := l.cfg.Passthrough(c, host, &h.Handshake); {
	case c.l.cutting.Load():
		c.decide(outcome.Passthrough, failure{reason: outcome.Shutdown})
	case err != nil:
		c.decide(outcome.Failed, failure{reason: err.Reason, err: err.Error()})
	default:
		c.decide(outcome.Passthrough, failure{reason: outcome.OK})
	}
}

// WriteTo lets w take the bytes from the socket without a copy, where the kernel
// can, after those that were read ahead.
func (c *conn) WriteTo(w io.Writer) (total int64, err error) {
	for c.ahead != nil {
		b := c.ahead.b
		n, err := w.Write(b)
		total += int64(n)
		c.consume(n)
		if err == nil && len(b) == 0 {
			err = c.ahead.err
			c.ahead = nil
		}
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return total, err
		}
	}
	n, err := io.Copy(w, c.Conn)
	c.in.Add(n)
	return total + n, err
}
