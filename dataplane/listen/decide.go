package listen

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// fail decides the handshake: it failed, or timed out.
func (c *conn) fail(f failure) {
	result := outcome.Failed
	switch f.reason {
	case outcome.TimeoutSilent, outcome.TimeoutPartial, outcome.TimeoutHandshake:
		result = outcome.Timeout
	case outcome.FilteredDenied, outcome.FilteredNotAllowed, outcome.FilteredRate, outcome.FilteredConcurrent,
		outcome.FilteredMax, outcome.FilteredProxyHeader, outcome.FilteredOther:
		result = outcome.Filtered
	}
	c.decide(result, f)
}

// settle decides a handshake that is still open at the end of its connection. It
// is done if it came to its end: nothing that the client sent says otherwise.
func (c *conn) settle() {
	if c.info.TLS == nil {
		c.fail(failure{reason: outcome.HandshakeInternal})
		return
	}
	c.decide(outcome.Done, failure{reason: outcome.OK})
}

// decide gives the outcome of the handshake, once. Who comes second waits for the
// first, so that the outcome of the connection never overtakes it.
func (c *conn) decide(result outcome.Result, f failure) {
	h := c.hs
	h.once.Do(func() {
		h.decided.Store(true)
		h.Result, h.Reason, h.Err = result, f.reason, f.err
		if f.alerted {
			h.Alert = f.alert.String()
		}
		h.BytesIn, h.BytesOut = c.in.Load(), c.out.Load()
		if c.info.TLS == nil {
			c.info.TLS = &h.Handshake
			h.Duration = time.Since(c.info.Accepted)
		}
		if c.l.cfg.Sink.Handshake != nil {
			c.l.cfg.Sink.Handshake(&h.Handshake)
		}
	})
}

// secured is the connection that the handler of a TLS listener gets. Its first
// Read decides the handshake.
//
// A TLS 1.3 client sends its Finished, by which the handshake is complete, and
// only the next record tells whether it stays:
//
//	application data            done
//	an alert                    failed, client_alert_…
//	close_notify or a plain FIN done: it came, saw and left
//	a reset                     done: it had accepted the certificate, else it
//	                            would not have sent Finished
//	a record that is no record  failed, bad_hello
//
// A Read that runs into its deadline decides nothing. A connection that is closed
// before anything came is done.
type secured struct {
	*tls.Conn
	c *conn
}

func (s *secured) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if !s.c.hs.decided.Load() {
		s.c.firstRead(n, err)
	}
	return n, err
}

// AwaitInput is that of the connection below TLS. Of what crypto/tls has read already
// it knows nothing: call it after a Read that ran into its deadline, when there is
// no whole record.
func (s *secured) AwaitInput() error { return s.c.AwaitInput() }

func (s *secured) Close() error {
	s.c.settle()
	return s.Conn.Close()
}

func (c *conn) firstRead(n int, err error) {
	if n > 0 {
		c.settle()
		return
	}
	if err == nil || isTimeout(err) {
		return
	}
	f := failureOf(err)
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == opRemoteAlert || op.Op == opLocalAlert) {
		c.fail(f)
		return
	}
	c.settle()
}
