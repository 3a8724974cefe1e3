package listen

import (
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// admit decides whether a new connection goes on, before a byte of TLS or HTTP is
// read from it; the reason is OK then. It runs in the connection's own goroutine,
// so that a peer that is slow with its PROXY header keeps nobody waiting. Without
// a policy it is two comparisons.
func (l *Listener) admit(c *conn) failure {
	var policy *snapshot.Connections
	if snap := l.cfg.Current(); snap != nil {
		policy = snap.Connections
	}
	if policy != nil {
		if f := l.check(c, policy); f.reason != outcome.OK {
			return f
		}
	}
	if l.cfg.Admit != nil {
		switch reason := l.cfg.Admit(&c.info); {
		case reason == outcome.OK || reason == "":
		case reason.Known():
			return failure{reason: reason}
		default:
			return failure{reason: outcome.FilteredOther, err: string(reason)}
		}
	}
	return failure{reason: outcome.OK}
}

// check applies the policy: who is it, may it come in, and how often.
func (l *Listener) check(c *conn, policy *snapshot.Connections) failure {
	if policy.Proxied(c.info.Remote.Addr()) {
		if f := c.readProxyHeader(policy); f.reason != outcome.OK {
			return f
		}
	}
	client := c.info.Remote.Addr()
	switch {
	case policy.Denied(client):
		return failure{reason: outcome.FilteredDenied}
	case !policy.Allowed(client):
		return failure{reason: outcome.FilteredNotAllowed}
	case policy.Max > 0 && l.cfg.Limits.open.Load() > int64(policy.Max):
		return failure{reason: outcome.FilteredMax}
	case policy.MaxPerAddress > 0 || policy.NewPerSecondPerAddress > 0:
		reason, place := l.cfg.Limits.take(client, policy, time.Now())
		c.place = place
		return failure{reason: reason}
	}
	return failure{reason: outcome.OK}
}

// readProxyHeader reads the header that a trusted peer puts before the client's
// bytes, and takes over the addresses in it. What came with it is left for Read.
func (c *conn) readProxyHeader(policy *snapshot.Connections) failure {
	timeout := policy.ProxyTimeout
	if timeout == 0 {
		timeout = snapshot.DefaultProxyTimeout
	}
	// An error of setting a deadline shows at the next read.
	_ = c.Conn.SetReadDeadline(c.info.Accepted.Add(timeout))
	var b []byte
	buf := make([]byte, 256) // more than any header without TLVs
	for {
		n, err := c.Conn.Read(buf)
		c.in.Add(int64(n))
		b = append(b, buf[:n]...)
		h, length, bad := parseProxyHeader(b)
		switch {
		case bad != nil:
			return failure{reason: outcome.FilteredProxyHeader, err: bad.Error()}
		case length > 0:
			c.proxied(h, length)
			if len(b) > length {
				c.ahead = &ahead{b: b[length:]}
			}
			_ = c.Conn.SetReadDeadline(time.Time{})
			return failure{reason: outcome.OK}
		case err != nil:
			return c.proxyless(err, len(b))
		}
	}
}

// proxied takes over what a header of that length says.
func (c *conn) proxied(h proxyHeader, length int) {
	c.preface = int64(length)
	if h.client.IsValid() {
		c.info.Proxy = c.info.Remote
		c.info.Remote, c.info.Local = h.client, h.local
	}
}

// proxyless says why there is no header, of which got bytes came. A connection
// that carries nothing is nobody's mistake: load balancers look whether the port
// is open.
func (c *conn) proxyless(err error, got int) failure {
	f := failure{reason: outcome.FilteredProxyHeader, err: err.Error()}
	switch {
	case c.l.cutting.Load():
		f.reason = outcome.Shutdown
	case got > 0:
	case isTimeout(err):
		f.reason = outcome.TimeoutSilent
	case errors.Is(err, io.EOF):
		f.reason = outcome.EOF
	case errors.Is(err, syscall.ECONNRESET):
		f.reason = outcome.Reset
	}
	return f
}
