package http1

import (
	"errors"
	"io"
	"net"
	"os"
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
	// DefaultHalfCloseTimeout is long enough for the answers that such clients, tools
	// and scripts mostly, wait for.
	DefaultHalfCloseTimeout = 10 * time.Second

	DefaultMaxHead   = largeSize
	DefaultMaxFields = 256
)

const (
	// grace is how long a connection keeps its buffers while it waits.
	grace = time.Second
	// A request body that nobody read is read to its end, so that the connection
	// can be kept, within these bounds.
	drainBytes = 256 << 10
	drainTime  = 2 * time.Second
	// A connection that is closed with input left is read from for a while: else
	// the kernel resets it, and the client may lose the answer (RFC 9112 §9.6).
	lingerBytes = 1 << 20
	lingerTime  = 2 * time.Second
)

// A Server runs client connections. Its fields are set before the first Serve
// and not changed. The zero value but for Handler is useful.
type Server struct {
	// Handler is called for every request, also for one whose head is refused
	// (Exchange.Refusal). The exchange is over when it returns. An exchange that
	// was not answered to its end is cut.
	Handler func(*Exchange)

	// HTTP2, if not nil, takes over the plain connections that start with the
	// preface of HTTP/2: clients that know that it is served (RFC 9113 §3.3). The
	// preface is read from the connection again.
	HTTP2 func(net.Conn, *outcome.Conn)

	// HeadTimeout is the time for a head, from its first byte; default 60 s.
	HeadTimeout time.Duration
	// BodyTimeout is the time to wait for more of a body; default 60 s.
	BodyTimeout time.Duration
	// IdleTimeout is the time to wait for a request; default 75 s.
	IdleTimeout time.Duration
	// SendTimeout is the time in which the client takes something of what is
	// sent; default 60 s.
	SendTimeout time.Duration
	// HalfCloseTimeout is how long a client that has closed its half of the connection
	// behind its request is taken to wait for the answer, while there is none; after
	// it the client is taken to have left. Default 10 s.
	HalfCloseTimeout time.Duration
	// MaxHead is the size of the largest head in bytes; default 64 KiB.
	MaxHead int
	// MaxFields is the number of field lines in a head; default 256.
	MaxFields int
	// MaxRequests is the number of requests after which a connection is closed;
	// default 0, no limit.
	MaxRequests int

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
func (s *Server) Serve(conn net.Conn, info *outcome.Conn) {
	c := &serverConn{server: s, info: info, conn: conn, requests: info.Requests}
	c.rd.conn, c.wr.conn = conn, conn
	s.track(c, true)
	defer s.track(c, false)
	defer conn.Close()
	info.Reason = outcome.OK
	for keep := true; keep && (c.await() || c.quiet && c.sleep()); {
		if c.startsHTTP2() {
			c.handOver()
			return
		}
		if info.TLS != nil {
			growStack(-1)
		}
		c.requests++
		info.Requests = c.requests
		keep = c.exchange()
	}
	// Not deferred: after a panic of the Handler nobody knows who still uses them.
	c.release()
}

// Shutdown makes every response from now on the last one of its connection and
// closes the connections that are idle. It does not wait: Serve returns as its
// exchanges end.
func (s *Server) Shutdown() {
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.state.CompareAndSwap(connIdle, connClosing) {
			c.rd.interrupt()
		}
	}
}

// Close cuts every connection.
func (s *Server) Close() {
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.state.Store(connClosing)
		cut(c.conn, true)
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

// The states of a connection, as far as Shutdown cares.
const (
	// connFresh: no request came yet. One may be on its way, so that Shutdown
	// leaves the connection alone; it closes itself when grace has passed.
	connFresh int32 = iota
	connActive
	connIdle
	connClosing
)

// A serverConn is one client connection.
type serverConn struct {
	server   *Server
	conn     net.Conn
	info     *outcome.Conn
	rd       reader
	wr       writer
	x        *Exchange // nil while idle
	state    atomic.Int32
	requests int
	first    [1]byte
	// quiet says that nothing came for grace.
	quiet bool
}

// exchanges that no connection uses.
var exchanges = sync.Pool{New: func() any { return new(Exchange) }}

// await waits for the first byte of a request. The buffers are kept for the time
// of grace: on a busy connection the next request is there before. If it is not,
// await returns with quiet set.
func (c *serverConn) await() bool {
	s := c.server
	if c.rd.buffered() > 0 {
		c.state.Store(connActive)
		return true
	}
	if c.state.Load() != connFresh {
		c.state.Store(connIdle)
		if s.draining.Load() {
			c.info.Reason = outcome.Draining
			return false
		}
	}
	c.take()
	now := time.Now()
	early := now.Add(min(grace, or(s.IdleTimeout, DefaultIdleTimeout)))
	yield()
	n, err := c.rd.read(c.rd.buf.b, now, early)
	return c.received(n, err)
}

// received says whether a request has begun with n bytes in the buffer.
func (c *serverConn) received(n int, err error) bool {
	if err != nil {
		c.quiet = errors.Is(err, os.ErrDeadlineExceeded) && or(c.server.IdleTimeout, DefaultIdleTimeout) > grace
		if !c.quiet {
			c.ended(err)
		}
		return false
	}
	c.rd.w = n
	return c.state.CompareAndSwap(connIdle, connActive) || c.state.CompareAndSwap(connFresh, connActive)
}

// sleep is await after grace: the connection waits without a buffer, and with as
// little stack as it can, so that the runtime may shrink that.
func (c *serverConn) sleep() bool {
	s := c.server
	c.quiet = false
	c.release()
	c.state.CompareAndSwap(connFresh, connIdle)
	if s.draining.Load() {
		c.info.Reason = outcome.Draining
		return false
	}
	until := time.Now().Add(or(s.IdleTimeout, DefaultIdleTimeout) - grace)
	if err := c.rd.await(until); err != nil {
		c.ended(err)
		return false
	}
	return c.wake(until)
}

// wake reads what has come. Until it is something, not a mere part of a TLS record,
// one byte is buffer enough.
func (c *serverConn) wake(until time.Time) bool {
	n, err := c.rd.read(c.first[:], time.Now(), until)
	if err != nil {
		c.ended(err)
		return false
	}
	c.take()
	copy(c.rd.buf.b, c.first[:n])
	return c.received(n, nil)
}

// ended notes why the connection ended between two requests.
func (c *serverConn) ended(err error) {
	switch {
	case errors.Is(err, errInterrupted):
		c.info.Reason = outcome.Draining
	case !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded):
		c.info.Reason = outcome.Reset
	}
}

// take equips the connection with an exchange and an input buffer.
func (c *serverConn) take() {
	if c.x == nil {
		c.x = exchanges.Get().(*Exchange)
	}
	if c.rd.buf == nil {
		c.rd.buf = takeBuffer(smallSize)
	}
}

// release gives them back.
func (c *serverConn) release() {
	c.rd.release()
	c.wr.release()
	if c.x != nil {
		c.x.drop()
		exchanges.Put(c.x)
		c.x = nil
	}
}

// exchange runs one request and reports whether the connection is kept.
func (c *serverConn) exchange() bool {
	x := c.x
	x.start(c)
	x.readHead()
	c.server.Handler(x)
	keep := x.finish()
	c.rd.next()
	return keep
}

// linger lets the client read the answer before the connection is closed.
func (c *serverConn) linger() {
	_ = closeWrite(c.conn)
	c.rd.resume()
	now := time.Now()
	end := now.Add(lingerTime)
	for left := lingerBytes; left > 0; {
		n, err := c.rd.read(c.rd.buf.b, now, end)
		if err != nil {
			return
		}
		left -= n
		now = time.Now()
	}
}

// closeWrite closes the sending half, over TLS with close_notify.
func closeWrite(conn net.Conn) error {
	for {
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			return half.CloseWrite()
		}
		wrapped, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return errors.ErrUnsupported
		}
		conn = wrapped.NetConn()
	}
}

// cut closes the connection below TLS, without close_notify, so that a body that
// ends there does not look whole, and without waiting. reset does the same to
// TCP: what is on its way is lost too.
func cut(conn net.Conn, reset bool) {
	for {
		wrapped, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapped.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
