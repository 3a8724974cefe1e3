package http2

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// Defaults of the zero Server.
const (
	DefaultHeadTimeout = 60 * time.Second
	DefaultBodyTimeout = 60 * time.Second
	DefaultIdleTimeout = 75 * time.Second
	DefaultSendTimeout = 60 * time.Second
	DefaultMaxHead     = 64 << 10
	DefaultMaxFields   = 256
	DefaultMaxStreams  = 128
)

const (
	// lingerTime bounds how long a connection that is done with is kept open, for
	// the client to take what was sent.
	lingerTime = 2 * time.Second
	// shutdownTime is how long the last GOAWAY waits for the answer to PING, which
	// says that the client has seen the first one.
	shutdownTime = time.Second
)

// A Server runs client connections. Its fields are set before the first Serve
// and not changed. The zero value but for Handler is useful.
type Server struct {
	// Handler is called for every request, also for one whose head is refused
	// (Exchange.Refusal), on a goroutine of the connection. The exchange is over
	// when it returns. An exchange that was not answered to its end is reset.
	Handler func(*Exchange)

	// HeadTimeout is the time for a head, and for the preface of a connection;
	// default 60 s.
	HeadTimeout time.Duration
	// BodyTimeout is the time to wait for more of a body; default 60 s.
	BodyTimeout time.Duration
	// IdleTimeout is the time to wait for a request; default 75 s.
	IdleTimeout time.Duration
	// SendTimeout is the time in which the client takes something of what is
	// sent, or lets something be sent by its flow control; default 60 s.
	SendTimeout time.Duration
	// MaxHead is the size of the largest head as HPACK counts it, with 32 bytes a
	// field more than its text; default 64 KiB.
	MaxHead int
	// MaxFields is the number of field lines in a head; default 256.
	MaxFields int
	// MaxStreams is the number of requests at a time; default 128.
	MaxStreams int

	draining atomic.Bool
	mu       sync.Mutex
	conns    map[*serverConn]struct{} // guarded by mu
}

func or[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Serve runs a connection until it ends, and closes it. It counts the requests
// in info and notes why the connection ended.
func (s *Server) Serve(nc net.Conn, info *outcome.Conn) {
	c := &serverConn{server: s, info: info}
	c.maxStreams = or(s.MaxStreams, DefaultMaxStreams)
	c.maxHead, c.maxFields = or(s.MaxHead, DefaultMaxHead), or(s.MaxFields, DefaultMaxFields)
	c.headTime, c.idleTime = or(s.HeadTimeout, DefaultHeadTimeout), or(s.IdleTimeout, DefaultIdleTimeout)
	c.sendTimeout = or(s.SendTimeout, DefaultSendTimeout)
	c.init(nc, c, outcome.Downstream)
	s.track(c, true)
	defer s.track(c, false)
	defer nc.Close()
	err := c.serve()
	info.Requests = c.requests
	info.Reason = c.endReason(err)
	c.end(err)
}

// Shutdown lets the streams that are open finish and accepts no more: every
// connection says so by GOAWAY, in two steps, so that no request that is under way
// is lost (RFC 9113 §6.8). It does not wait: Serve returns as its streams end.
func (s *Server) Shutdown() {
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.shutdown()
	}
}

// Close cuts every connection.
func (s *Server) Close() {
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		cut(c.nc)
	}
}

func (s *Server) track(c *serverConn, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !on {
		delete(s.conns, c)
		return
	}
	if s.conns == nil {
		s.conns = make(map[*serverConn]struct{})
	}
	s.conns[c] = struct{}{}
}
