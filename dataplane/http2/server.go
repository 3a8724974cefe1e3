package http2

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
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

// The steps of a connection's shutdown.
type drainStep uint8

const (
	drainNot   drainStep = iota
	drainTold            // GOAWAY for streams to come was sent
	drainFinal           // GOAWAY with the last stream that is served was sent
)

// A serverConn is one client connection.
type serverConn struct {
	conn
	server     *Server
	info       *outcome.Conn
	maxStreams int
	requests   int
	// current is the exchange whose head is arriving.
	current *Exchange

	// Guarded by mu.

	// lastID is the largest stream that the client opened; opened has a bit for
	// each of the 64 before it that it opened too.
	lastID uint32
	opened uint64
	drain  drainStep
	// running counts the handlers; parked are exchanges that wait for a request.
	running int
	parked  []*Exchange
	stopped bool
	// panicked is what a handler panicked with.
	panicked any
}

// serve runs the connection and returns why it ended.
func (c *serverConn) serve() error {
	c.begin(
		setting{settingMaxStreams, uint32(c.maxStreams)},
		setting{settingInitialWindow, streamWindow},
		setting{settingMaxHeaderList, uint32(c.maxHead)},
		setting{settingConnectProtocol, 1},
	)
	if err := c.rd.fill(len(preface), c.rd.now.Add(c.headTime)); err != nil {
		return err
	}
	if string(c.rd.next(len(preface))) != preface {
		return violation(codeProtocol, "not the preface of HTTP/2")
	}
	if c.server.draining.Load() {
		c.shutdown()
	}
	return c.run()
}

// headers implements role: it finds or opens the stream of a header block.
func (c *serverConn) headers(id uint32, endStream bool) (fieldSink, *connError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[id]; s != nil {
		return c.trailers(s, endStream)
	}
	switch {
	case id%2 == 0:
		return nil, violation(codeProtocol, "stream with an even identifier")
	case id <= c.lastID && c.wasReset(id):
		return nil, c.wasted(1) // it was under way
	case id <= c.lastID && c.skipped(id):
		return nil, violation(codeProtocol, "stream with an identifier lower than that of another")
	case id <= c.lastID:
		return nil, violation(codeStreamClosed, "HEADERS on a closed stream")
	case c.drain == drainFinal:
		return nil, nil // the client learns from GOAWAY that it was not served
	}
	c.open(id)
	if len(c.streams) >= c.maxStreams || c.running >= 2*c.maxStreams {
		c.reset(id, codeRefusedStream)
		if err := c.replied(); err != nil {
			return nil, err
		}
		return nil, c.brokenOff()
	}
	c.useful(requestBonus)
	c.requests++
	x := c.takeExchange()
	x.start(c, id)
	c.current = x
	return &x.head, nil
}

// begun implements role: a request of which no more will come has an outcome too.
func (c *serverConn) begun(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id%2 == 0 || id <= c.lastID || c.drain == drainFinal || len(c.streams) >= c.maxStreams {
		return
	}
	c.open(id)
	c.requests++
	c.current = c.takeExchange()
	c.current.start(c, id)
}

// open notes that the client opens a stream.
func (c *serverConn) open(id uint32) {
	c.opened = c.opened<<((id-c.lastID)/2) | 1
	c.lastID = id
}

// skipped reports whether the client opened a later stream without this one, which
// closes it (RFC 9113 §5.1.1).
func (c *serverConn) skipped(id uint32) bool {
	n := (c.lastID - id) / 2
	return n < 64 && c.opened>>n&1 == 0
}

// trailers finds where the fields of a trailer section go.
func (c *serverConn) trailers(s *stream, endStream bool) (fieldSink, *connError) {
	switch {
	case s.receivedEnd:
		return nil, c.streamError(s.id, codeStreamClosed, "HEADERS after the end of the stream")
	case !endStream:
		return nil, c.streamError(s.id, codeProtocol, "trailer section without END_STREAM")
	}
	return &trailerSink{s: s}, nil
}

// goAway implements role. The client opens no more streams; those that are open
// are served.
func (c *serverConn) goAway(uint32, code) *connError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wasted(1)
}

// idle implements role.
func (c *serverConn) idle(id uint32) bool { return id > c.lastID || id%2 == 0 }

// settled implements role.
func (c *serverConn) settled() {}

// pong implements role.
func (c *serverConn) pong() {
	if c.drain == drainTold {
		c.shutdownFinal()
	}
}

// removed implements role.
func (c *serverConn) removed() {
	if c.drain == drainFinal && len(c.streams) == 0 {
		c.rd.interrupt()
	}
}

// rest implements role: exchanges that nobody needs go.
func (c *serverConn) rest() {
	c.mu.Lock()
	parked := c.parked
	c.parked = nil
	if len(c.streams) == 0 {
		c.enc.block, c.waiting, c.wr.vector = nil, nil, nil
	}
	c.mu.Unlock()
	for _, x := range parked {
		close(x.work)
	}
}

// shutdown begins to end the connection.
func (c *serverConn) shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drain != drainNot || c.stopped {
		return
	}
	c.drain = drainTold
	c.goAwayFrame(maxStreamID, codeNo, "")
	c.out.frame(framePing, 0, 0, []byte("shutdown"))
	c.kick()
	time.AfterFunc(shutdownTime, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.drain == drainTold {
			c.shutdownFinal()
		}
	})
}

// shutdownFinal says which stream is the last; mu is held.
func (c *serverConn) shutdownFinal() {
	c.drain = drainFinal
	if c.stopped {
		return
	}
	c.goAwayFrame(c.lastID, codeNo, "")
	c.removed()
}

// endReason translates why the connection ended.
func (c *serverConn) endReason(err error) outcome.Reason {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, errInterrupted) && c.err != nil {
		err = c.err // the writer's
		if isTimeout(err) {
			return outcome.SendTimeout
		}
	}
	if e, ok := errors.AsType[*connError](err); ok {
		return e.reason
	}
	switch {
	case c.panicked != nil:
		return outcome.Panic
	case errors.Is(err, errInterrupted):
		return outcome.Draining
	case errors.Is(err, io.EOF), errors.Is(err, errIdle):
		return outcome.OK
	case errors.Is(err, errPing):
		return outcome.PingTimeout
	case errors.Is(err, os.ErrDeadlineExceeded):
		return outcome.HeadTimeout
	}
	return outcome.Reset
}

// end ends the connection after serve has returned err: what is queued is sent,
// with GOAWAY behind it, and every stream is told.
func (c *serverConn) end(err error) {
	// Whatever happens below happens within this time.
	bound := time.AfterFunc(lingerTime, func() { cut(c.nc) })
	defer bound.Stop()
	c.mu.Lock()
	c.stopped = true
	c.closing = true
	code, detail := codeNo, ""
	if e, ok := errors.AsType[*connError](err); ok {
		code, detail = e.code, e.detail
	}
	if c.panicked != nil {
		code = codeInternal
	}
	if c.err == nil && c.drain != drainFinal {
		c.goAwayFrame(c.lastID, code, detail)
	}
	c.lostAll(&outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed, Err: err})
	c.releaseWriter()
	if x := c.current; x != nil {
		c.current = nil
		x.cutOff(err)
	}
	c.mu.Unlock()
	c.wr.goroutine.Wait()

	c.mu.Lock()
	if c.err == nil {
		c.err = err
		defer c.linger()
	}
	c.mu.Unlock()
	c.rest()
	c.goroutines.Wait()
	c.rd.drop()
	c.out.drop()
	if c.panicked != nil {
		panic(c.panicked)
	}
}

// linger lets the client read what was sent: a connection that is closed with
// input left is reset, and what is on its way is lost.
func (c *serverConn) linger() {
	if closeWrite(c.nc) != nil {
		return
	}
	c.rd.resume()
	b := takeBuffer(largeSize)
	defer giveBuffer(b)
	until := time.Now().Add(lingerTime)
	for {
		if _, err := c.rd.read(b.b, until); err != nil {
			return
		}
	}
}

// takeExchange returns an exchange that is free; mu is held.
func (c *serverConn) takeExchange() *Exchange {
	if n := len(c.parked); n > 0 {
		x := c.parked[n-1]
		c.parked[n-1] = nil
		c.parked = c.parked[:n-1]
		return x
	}
	return newExchange()
}

// park keeps an exchange for the next request; mu is held. It reports whether it
// will be needed.
func (c *serverConn) park(x *Exchange) bool {
	if c.stopped {
		return false
	}
	if x.live {
		c.parked = append(c.parked, x)
	}
	return true
}

// dispatch has a goroutine serve x; mu is held.
func (c *serverConn) dispatch(x *Exchange) {
	c.running++
	if x.live {
		x.work <- struct{}{}
		return
	}
	x.live = true
	c.goroutines.Go(x.loop)
}

// loop serves one request after another.
func (x *Exchange) loop() {
	c := x.conn
	for more := true; more; {
		x.serve()
		c.mu.Lock()
		c.running--
		kept := c.park(x)
		c.mu.Unlock()
		if !kept {
			return
		}
		_, more = <-x.work
	}
}

// serve serves one request.
func (x *Exchange) serve() {
	c := x.conn
	defer func() {
		v := recover()
		c.mu.Lock()
		defer c.mu.Unlock()
		if v != nil {
			// It goes on in the goroutine of Serve, whose owner knows what to do.
			c.panicked = fmt.Sprintf("%v\n\n%s", v, debug.Stack())
			c.rd.interrupt()
		}
		x.finish()
	}()
	if x.openEnd {
		x.awaitEnd()
	}
	c.server.Handler(x)
}

// closeWrite closes the sending half, over TLS with close_notify.
func closeWrite(nc net.Conn) error {
	for {
		if half, ok := nc.(interface{ CloseWrite() error }); ok {
			return half.CloseWrite()
		}
		wrapped, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return errors.ErrUnsupported
		}
		nc = wrapped.NetConn()
	}
}

// cut closes the connection below TLS, without waiting for anybody.
func cut(nc net.Conn) {
	for {
		wrapped, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = wrapped.NetConn()
	}
	_ = nc.Close()
}
