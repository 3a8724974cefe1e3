package http2

import (
	"github.com/cardea-dev/cardea/dataplane/outcome"
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
