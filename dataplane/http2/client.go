package http2

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// ClientConfig is shared by the connections to an endpoint. The zero value is
// useful.
type ClientConfig struct {
	// MaxHead is the size of the largest response head in bytes, as RFC 9113 §6.5.2
	// counts it; default 64 KiB.
	MaxHead int
	// MaxFields is the number of field lines in a response head; default 256.
	MaxFields int
	// MaxStreams is the most streams at a time, if the peer allows as many; default
	// 100.
	MaxStreams int
	// Secure says that the connection is one over TLS: the scheme of the requests is
	// https.
	Secure bool
}

// A ClientConn is a connection to an endpoint. It carries many attempts at a time:
// [ClientConn.Open] gives a stream for each. It is safe for concurrent use.
type ClientConn struct {
	conn
	cfg ClientConfig
	// started is closed when the peer has sent its first SETTINGS, or the connection
	// has ended.
	started chan struct{}

	// Of the reader's goroutine.

	sink responseSink

	// Guarded by mu.

	isStarted bool
	// nextID is that of the next request.
	nextID uint32
	// places are taken by streams from Open to Close.
	places int
	// draining: no more streams; away: the peer said so by GOAWAY.
	draining, away bool
	// doubted is when the connection came into doubt, zero if it is in none: it gets no
	// streams then.
	doubted time.Time
	// live are the streams from Head to Close, by identifier; free are those that
	// have ended.
	live map[uint32]*ClientStream
	free []*ClientStream
	// ended is why the connection has, as its streams are told.
	ended *outcome.Error
}

const (
	defaultMaxStreams = 100
	// clientSendTimeout is how long the endpoint may take nothing of what is sent
	// before the connection is given up. The timeout of a stream may be shorter, and
	// then ends that stream.
	clientSendTimeout = 60 * time.Second
)

// NewClientConn returns a ClientConn on nc; cfg may be nil. Call Start first.
func NewClientConn(nc net.Conn, cfg *ClientConfig) *ClientConn {
	c := &ClientConn{nextID: 1, started: make(chan struct{}), live: make(map[uint32]*ClientStream)}
	if cfg != nil {
		c.cfg = *cfg
	}
	if c.cfg.MaxStreams <= 0 {
		c.cfg.MaxStreams = defaultMaxStreams
	}
	c.maxHead, c.maxFields = or(c.cfg.MaxHead, DefaultMaxHead), or(c.cfg.MaxFields, DefaultMaxFields)
	c.headTime, c.sendTimeout = frameTime, clientSendTimeout
	c.sink.c = c
	c.init(nc, (*clientRole)(c), outcome.Upstream)
	return c
}

// NetConn returns the connection underneath.
func (c *ClientConn) NetConn() net.Conn { return c.nc }

// Start sends the preface and waits for the peer's, until ctx ends. A peer that
// speaks something else is found here, before any request is sent to it. If Start
// fails the connection is closed.
func (c *ClientConn) Start(ctx context.Context) *outcome.Error {
	c.mu.Lock()
	c.out.put([]byte(preface))
	c.mu.Unlock()
	c.begin(
		setting{settingEnablePush, 0},
		setting{settingInitialWindow, streamWindow},
		setting{settingMaxHeaderList, uint32(c.maxHead)},
	)
	go c.serve()

	select {
	case <-c.started:
	case <-ctx.Done():
		c.Drain()
		<-c.started
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return &outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed, Err: ctx.Err()}
	case ctx.Err() != nil:
		return &outcome.Error{Side: outcome.Upstream, Reason: outcome.ConnectTimeout, Retry: outcome.RetryYes, Err: errNotStarted}
	}
	err := *c.ended
	err.Retry = outcome.RetryYes
	return &err
}

var (
	errNotStarted = errors.New("http2: the endpoint did not send its SETTINGS in time")
	errDrained    = errors.New("http2: connection given up")
)

// Open takes a place for a stream, and returns the stream; nil if the peer's limit
// or ours is reached, or the connection takes no more. The stream has the place
// until its Close. Open does no I/O.
func (c *ClientConn) Open() *ClientStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining || !c.doubted.IsZero() || c.places >= min(c.cfg.MaxStreams, int(c.peer.maxStreams)) {
		return nil
	}
	c.places++
	if n := len(c.free) - 1; n >= 0 {
		s := c.free[n]
		c.free[n] = nil
		c.free = c.free[:n]
		return s
	}
	return newClientStream(c)
}

// Closing reports whether the connection takes no more streams. It is closed when
// the last one is.
func (c *ClientConn) Closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// Drain makes the connection closing.
func (c *ClientConn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drain()
}

// drain is Drain; mu is held.
func (c *ClientConn) drain() {
	c.draining = true
	if c.places == 0 && c.ended == nil {
		c.rd.interrupt()
	}
}

// doubt is called when an endpoint was too slow on one stream. That does not tell a slow
// handler from a connection that leads nowhere: PING does. Until it is answered the
// connection gets no more streams; if it is not, it ends, and all its streams. mu is
// held.
func (c *ClientConn) doubt() {
	if !c.doubted.IsZero() || c.ended != nil {
		return
	}
	since := time.Now()
	c.doubted = since
	c.out.frame(framePing, 0, 0, []byte("in doubt"))
	c.kick()
	time.AfterFunc(pingTime, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.doubted.Equal(since) && c.ended == nil {
			c.fail(errPing)
		}
	})
}

// serve reads until the connection ends, and then takes it apart: what is queued is
// sent, if anybody reads it, and every stream is told.
func (c *ClientConn) serve() {
	err := c.run()
	c.mu.Lock()
	if errors.Is(err, errInterrupted) {
		err = cmp.Or(c.err, errDrained)
	}
	broken, isBroken := errors.AsType[*connError](err)
	switch {
	case isBroken:
		c.goAwayFrame(0, broken.code, broken.detail)
	case errors.Is(err, errDrained):
		c.goAwayFrame(0, codeNo, "")
	default:
		c.fail(err)
	}
	c.draining, c.closing = true, true
	c.ended = connectionError(err)
	for _, s := range c.live {
		s.lost(s.brokenOff(c.ended))
	}
	if !c.isStarted {
		c.isStarted = true
		close(c.started)
	}
	c.releaseWriter()
	c.mu.Unlock()

	bound := time.AfterFunc(lingerTime, func() { cut(c.nc) })
	c.wr.goroutine.Wait()
	bound.Stop()
	cut(c.nc)
	c.mu.Lock()
	c.fail(err)
	c.out.drop() // what was queued after the writer had failed
	c.mu.Unlock()
	c.rd.drop()
}

// connectionError is what the streams are told when the connection ends.
func connectionError(err error) *outcome.Error {
	e := &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamReset, Err: err}
	broken, isBroken := errors.AsType[*connError](err)
	switch {
	case isBroken && broken.reason == outcome.HeadTooLarge:
		e.Reason, e.Detail = outcome.UpstreamHeadSize, broken.detail
	case isBroken:
		e.Reason, e.Detail = outcome.UpstreamInvalid, broken.detail
	case errors.Is(err, errPing), isTimeout(err):
		e.Reason = outcome.UpstreamTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = outcome.UpstreamClosed
	}
	return e
}

// clientRole is a ClientConn as the conn sees it.
type clientRole ClientConn

// headers implements role: it finds the stream of a header block.
func (r *clientRole) headers(id uint32, endStream bool) (fieldSink, *connError) {
	c := (*ClientConn)(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.live[id]
	switch {
	case r.idle(id):
		return nil, violation(codeProtocol, "HEADERS on an idle stream")
	case s == nil || !s.opened:
		return nil, nil // we have given it up
	case s.receivedEnd:
		return nil, c.streamError(id, codeStreamClosed, "HEADERS after the end of the stream")
	}
	c.useful(requestBonus)
	c.sink.begin(s)
	return &c.sink, nil
}

// begun implements role: a response that has begun shows by the end of its stream.
func (*clientRole) begun(uint32) {}

// goAway implements role. "Requests on streams with identifiers greater than [the
// last] were not and will not be processed" (RFC 9113 §6.8, in substance).
func (r *clientRole) goAway(last uint32, code code) *connError {
	c := (*ClientConn)(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = true
	for id, s := range c.live {
		if id > last {
			s.lost(notProcessed("GOAWAY: " + code.String()))
		}
	}
	c.drain()
	return c.wasted(1)
}

// notProcessed is the error of a stream that the peer has not looked at.
func notProcessed(why string) *outcome.Error {
	return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamReset, Retry: outcome.RetryYes, Err: errors.New("http2: " + why)}
}

// settled implements role.
func (r *clientRole) settled() {
	if !r.isStarted {
		r.isStarted = true
		close(r.started)
	}
}

// idle implements role: the peer opens no streams, and ours are odd.
func (r *clientRole) idle(id uint32) bool { return id%2 == 0 || id >= r.nextID }

// pong implements role.
func (r *clientRole) pong() { r.doubted = time.Time{} }

// removed implements role.
func (*clientRole) removed() {}

// rest implements role: what served many streams goes.
func (r *clientRole) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.places == 0 {
		r.enc.block, r.waiting, r.wr.vector, r.free = nil, nil, nil, nil
	}
}
