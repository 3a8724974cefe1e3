package http2

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

const (
	// grace is how long a connection without streams keeps its buffers and
	// goroutines.
	grace = time.Second
	// frameTime is the time in which a frame that has begun arrives.
	frameTime = 60 * time.Second
	// A peer that is silent while streams are open is asked whether it lives.
	pingAfter = 30 * time.Second
	pingTime  = 15 * time.Second
	// settingsTime is how long a client may leave our SETTINGS unacknowledged. It has
	// to send no more before it than the initial window.
	settingsTime = 30 * time.Second
)

var (
	errIdle = errors.New("http2: idle for too long")
	errPing = errors.New("http2: the peer does not answer PING")
)

// A role is what the two sides do differently. All its methods are called from
// the reader's goroutine.
type role interface {
	// headers is called for a HEADERS frame. It returns where the fields go; nil
	// discards them.
	headers(id uint32, endStream bool) (fieldSink, *connError)
	// begun is called when the connection ends within a HEADERS frame.
	begun(id uint32)
	// goAway is called for a GOAWAY frame.
	goAway(last uint32, c code) *connError
	// settled is called after SETTINGS were applied, pong when PING was answered,
	// with mu held.
	settled()
	pong()
	// idle reports whether a stream was not opened yet; mu is held.
	idle(id uint32) bool
	// rest is called when the connection has been without streams for grace.
	rest()
	// removed is called when a stream was closed, with mu held.
	removed()
}

// A fieldSink takes the fields of one header block.
type fieldSink interface {
	// field takes one field; the strings may be kept.
	field(name, value string)
	// tooLarge says that the block is larger than allowed; no more fields come.
	tooLarge()
	// end is called at the end of the block.
	end(endStream bool) *connError
}

// peerSettings are what the peer said in SETTINGS.
type peerSettings struct {
	initialWindow   int64
	maxFrame        uint32
	maxStreams      uint32
	connectProtocol bool
}

// A conn is what both sides share of a connection: one goroutine reads frames
// (run), one writes them (writeLoop).
type conn struct {
	nc   net.Conn
	role role
	// side is whom the peer is to us.
	side outcome.Side
	rd   reader
	dec  *hpack.Decoder

	// Set before run.
	maxHead, maxFields int
	headTime, idleTime time.Duration
	sendTimeout        time.Duration
	block              headerBlock
	lastFrame, pinged  time.Time
	goroutines         sync.WaitGroup
	// ackBy is when our SETTINGS are to be acknowledged; zero when they are.
	ackBy time.Time

	mu sync.Mutex
	// Guarded by mu.

	streams map[uint32]*stream
	peer    peerSettings
	enc     encoder
	out     queue
	wr      writer
	waiting []*stream
	// sendWindow is how much the peer lets us send over all streams,
	// receiveWindow how much we let it; credit was consumed since it was told.
	sendWindow, receiveWindow, credit int64
	// window is what receiveWindow begins with.
	window        int64
	empty, resets meter
	// recent are streams that we have reset not long ago.
	recent     [64]uint32
	recentNext int
	// closing has the writer end when all is sent. err ended the connection.
	closing bool
	err     error
}

// A headerBlock is a HEADERS frame and its CONTINUATIONs while they arrive.
type headerBlock struct {
	open, ended  bool
	stream       uint32
	sink         fieldSink
	frames       int
	bytes        int
	size, fields int
	until        time.Time
}

// init readies c for nc.
func (c *conn) init(nc net.Conn, r role, side outcome.Side) {
	c.nc, c.rd.conn, c.role, c.side = nc, nc, r, side
	c.dec = hpack.NewDecoder(tableSize, c.emit)
	c.dec.SetMaxStringLength(c.maxHead)
	c.streams = make(map[uint32]*stream)
	c.peer = peerSettings{initialWindow: initialWindow, maxFrame: maxFrame, maxStreams: maxStreamID}
	c.window = connWindow
	if side == outcome.Upstream {
		c.window = clientWindow
	}
	c.sendWindow, c.receiveWindow = initialWindow, c.window
	c.wr.wake = make(chan struct{}, 1)
	c.rd.now = time.Now()
}

// begin queues our SETTINGS and the window of the connection.
func (c *conn) begin(settings ...setting) {
	p := make([]byte, 0, 6*len(settings))
	for _, s := range settings {
		p = append(p, byte(s.id>>8), byte(s.id), byte(s.value>>24), byte(s.value>>16), byte(s.value>>8), byte(s.value))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.frame(frameSettings, 0, 0, p)
	c.out.frame32(frameWindowUpdate, 0, uint32(c.window-initialWindow))
	c.kick()
}

// run reads frames until the connection ends, and returns why.
func (c *conn) run() error {
	if err := c.firstFrame(); err != nil {
		return err
	}
	c.lastFrame = c.rd.now
	if c.side == outcome.Downstream {
		c.ackBy = c.rd.now.Add(settingsTime)
	}
	for {
		if err := c.await(); err != nil {
			return err
		}
		if err := c.readFrame(); err != nil {
			return err
		}
	}
}

// firstFrame reads the SETTINGS that both sides start with (RFC 9113 §3.4).
func (c *conn) firstFrame() error {
	if err := c.rd.fill(frameHeaderLen, c.rd.now.Add(c.headTime)); err != nil {
		return err
	}
	h := parseFrameHeader(c.rd.buf.unread())
	if h.typ != frameSettings || h.has(flagAck) {
		return violation(codeProtocol, "the first frame is not SETTINGS")
	}
	return c.readFrame()
}

// await waits for a frame to begin.
func (c *conn) await() error {
	for c.rd.buffered() == 0 {
		err := c.rd.more(frameHeaderLen, time.Now().Add(grace))
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := c.quiet(); err != nil {
			return err
		}
	}
	c.lastFrame, c.pinged = c.rd.now, time.Time{}
	return c.settingsDue()
}

// settingsDue ends a connection whose peer has not acknowledged our SETTINGS in time
// (RFC 9113 §6.5.3): it does not play by them, or not at all. An endpoint is let off:
// it could only harm itself.
func (c *conn) settingsDue() error {
	if c.ackBy.IsZero() || c.rd.now.Before(c.ackBy) {
		return nil
	}
	return &connError{codeSettingsTimeout, outcome.SettingsTimeout, "SETTINGS were not acknowledged in time"}
}

// quiet is called when nothing came for grace.
func (c *conn) quiet() error {
	c.mu.Lock()
	busy := len(c.streams) > 0
	c.mu.Unlock()
	now := c.rd.now
	if err := c.settingsDue(); err != nil {
		return err
	}
	switch {
	case c.block.open && !now.Before(c.block.until):
		return os.ErrDeadlineExceeded
	case c.block.open:
		return nil
	case !busy:
		c.rd.release()
		c.letGo()
		c.role.rest()
		c.mu.Lock()
		c.releaseWriter()
		c.mu.Unlock()
		var until time.Time
		if c.idleTime > 0 {
			until = c.lastFrame.Add(c.idleTime)
		}
		if !c.ackBy.IsZero() && (until.IsZero() || c.ackBy.Before(until)) {
			until = c.ackBy
		}
		if err := c.rd.await(until); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := c.settingsDue(); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.streams) == 0 {
			return errIdle
		}
	case !c.pinged.IsZero() && now.Sub(c.pinged) >= pingTime:
		return errPing
	case c.pinged.IsZero() && now.Sub(c.lastFrame) >= pingAfter:
		c.pinged = now
		c.mu.Lock()
		defer c.mu.Unlock()
		c.out.frame(framePing, 0, 0, make([]byte, 8))
		c.kick()
	}
	return nil
}

// letGo has the decoder let go of the reader's buffer: it keeps a slice of what it
// was given last. A field that is cut short changes nothing else.
func (c *conn) letGo() {
	_, _ = c.dec.Write([]byte{0x40})
	_ = c.dec.Close()
}

// readFrame reads one frame and acts on it.
func (c *conn) readFrame() error {
	until := c.rd.now.Add(frameTime)
	if c.block.open {
		until = c.block.until
	}
	if err := c.rd.fill(frameHeaderLen, until); err != nil {
		return cutShort(err)
	}
	h := parseFrameHeader(c.rd.next(frameHeaderLen))
	switch {
	case h.length > maxFrame:
		return violation(codeFrameSize, "frame larger than SETTINGS_MAX_FRAME_SIZE")
	case c.block.open && (h.typ != frameContinuation || h.stream != c.block.stream):
		return violation(codeProtocol, "header block interrupted by another frame")
	case h.typ == frameData:
		return c.data(h, until)
	}
	if err := c.rd.fill(h.length, until); err != nil {
		if h.typ == frameHeaders && !c.block.open {
			c.role.begun(h.stream)
		}
		return cutShort(err)
	}
	if err := c.control(h, c.rd.next(h.length)); err != nil {
		return err
	}
	return nil
}

// cutShort is the error of a connection that ends within a frame.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// control acts on a frame other than DATA; p is its payload.
func (c *conn) control(h frameHeader, p []byte) *connError {
	switch h.typ {
	case frameHeaders:
		return c.headers(h, p)
	case frameContinuation:
		return c.continuation(h, p)
	case framePushPromise:
		return violation(codeProtocol, "PUSH_PROMISE")
	case frameGoAway:
		return c.goAway(h, p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch h.typ {
	case framePriority:
		return c.priority(h, p)
	case frameRSTStream:
		return c.rstStream(h, p)
	case frameSettings:
		return c.settings(h, p)
	case framePing:
		return c.ping(h, p)
	case frameWindowUpdate:
		return c.windowUpdate(h, p)
	}
	// "Implementations MUST ignore and discard frames of unknown types" (RFC 9113
	// §4.1).
	return c.wasted(1)
}

// remove takes a stream that is closed off the connection; mu is held.
func (c *conn) remove(s *stream) {
	if !s.opened {
		return
	}
	s.opened = false
	delete(c.streams, s.id)
	if s.queued {
		s.queued = false
		for i, w := range c.waiting {
			if w == s {
				c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
				break
			}
		}
	}
	c.role.removed()
}

// reset queues RST_STREAM and remembers it: what the peer sent before it knew is
// not an error of it. mu is held.
func (c *conn) reset(id uint32, code code) {
	c.out.frame32(frameRSTStream, id, uint32(code))
	c.recent[c.recentNext] = id
	c.recentNext = (c.recentNext + 1) % len(c.recent)
	c.kick()
}

// wasReset reports whether we have reset a stream not long ago; mu is held.
func (c *conn) wasReset(id uint32) bool {
	for _, r := range c.recent {
		if r == id {
			return true
		}
	}
	return false
}

// streamError resets a stream because the peer broke the rules on it; mu is held.
func (c *conn) streamError(id uint32, code code, detail string) *connError {
	if s := c.streams[id]; s != nil {
		_ = s.giveUp(code, s.malformed(detail))
		if s.gone != nil {
			s.gone()
		}
	} else {
		c.reset(id, code)
	}
	if err := c.replied(); err != nil {
		return err
	}
	return c.brokenOff()
}

// malformed is the error of a stream whose peer broke the rules.
func (s *stream) malformed(detail string) *outcome.Error {
	reason := outcome.BadBody
	if s.c.side == outcome.Upstream {
		reason = outcome.UpstreamInvalid
	}
	return &outcome.Error{Side: s.c.side, Reason: reason, Detail: detail}
}

// consumed notes that n bytes were passed on. A client's peer may send as many
// more; an endpoint may since they came, see clientWindow. mu is held.
func (c *conn) consumed(n int) {
	if c.side == outcome.Downstream {
		c.allow(n)
	}
}

// allow gives the peer leave to send n more bytes on the connection; mu is held.
func (c *conn) allow(n int) {
	c.credit += int64(n)
	if c.credit >= c.window/4 && !c.closing {
		c.out.frame32(frameWindowUpdate, 0, uint32(c.credit))
		c.receiveWindow += c.credit
		c.credit = 0
		c.kick()
	}
}

// fail ends the connection: every stream is told, the reader ends. mu is held.
func (c *conn) fail(err error) {
	// Also what was queued after a first failure, before the streams knew of it.
	c.out.drop()
	if c.err != nil {
		return
	}
	c.err = err
	c.rd.interrupt()
	c.releaseWriter()
}

// lostAll tells every stream that the connection has ended; mu is held.
func (c *conn) lostAll(err *outcome.Error) {
	for _, s := range c.streams {
		s.lost(err)
	}
}

// goAwayFrame queues GOAWAY; mu is held.
func (c *conn) goAwayFrame(last uint32, code code, detail string) {
	p := make([]byte, 8, 8+len(detail))
	p[0], p[1], p[2], p[3] = byte(last>>24), byte(last>>16), byte(last>>8), byte(last)
	p[4], p[5], p[6], p[7] = byte(code>>24), byte(code>>16), byte(code>>8), byte(code)
	c.out.frame(frameGoAway, 0, 0, append(p, detail...))
	c.kick()
}

// putBlock queues a header block as HEADERS and CONTINUATIONs and returns where the
// flags of HEADERS are; mu is held.
func (c *conn) putBlock(id uint32, block []byte, end bool) tail {
	var flags uint8
	if end {
		flags = flagEndStream
	}
	n := min(len(block), maxFrame)
	if n == len(block) {
		flags |= flagEndHeaders
	}
	head := c.out.frame(frameHeaders, flags, id, block[:n])
	for block = block[n:]; len(block) > 0; block = block[n:] {
		flags = 0
		if n = min(len(block), maxFrame); n == len(block) {
			flags = flagEndHeaders
		}
		c.out.frame(frameContinuation, flags, id, block[:n])
	}
	return head
}
