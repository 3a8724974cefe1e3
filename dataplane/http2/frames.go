package http2

import (
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// data reads a DATA frame straight to where the body wants it (RFC 9113 §6.1).
func (c *conn) data(h frameHeader, until time.Time) error {
	if h.stream == 0 {
		return violation(codeProtocol, "DATA on stream 0")
	}
	n, padding := h.length, 0
	if h.has(flagPadded) {
		if n == 0 {
			return violation(codeFrameSize, "padded frame without a length of padding")
		}
		if err := c.rd.fill(1, until); err != nil {
			return cutShort(err)
		}
		padding = int(c.rd.next(1)[0])
		if n--; padding > n {
			return violation(codeProtocol, "padding longer than its frame")
		}
		n -= padding
	}
	s, err := c.accept(h, n)
	if err != nil {
		return err
	}
	if s == nil {
		return c.discard(n+padding, until)
	}
	if err := c.receive(s, n, until); err != nil {
		return err
	}
	if err := c.discard(padding, until); err != nil {
		return err
	}
	if h.has(flagEndStream) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.err == nil && !s.in.end() {
			if err := c.streamError(s.id, codeProtocol, "body shorter than its Content-Length"); err != nil {
				return err
			}
			return nil
		}
		s.endReceived()
	}
	return nil
}

// takeEmptyEnd takes the next frame if it has come already and does nothing but end
// stream id. Some clients end every request that way, also those without a body: seen
// here it is one, and a server of HTTP/1.1 need not be told of a body of unknown length.
func (c *conn) takeEmptyEnd(id uint32) bool {
	if c.rd.buffered() < frameHeaderLen {
		return false
	}
	if parseFrameHeader(c.rd.buf.unread()) != (frameHeader{typ: frameData, flags: flagEndStream, stream: id}) {
		return false
	}
	c.rd.next(frameHeaderLen)
	return true
}

// accept checks a DATA frame of n bytes without padding against the windows and
// the state of its stream. It returns nil for one to discard.
func (c *conn) accept(h frameHeader, n int) (*stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(h.length)
	if c.receiveWindow -= size; c.receiveWindow < 0 {
		return nil, violation(codeFlowControl, "DATA beyond the window of the connection")
	}
	if c.side == outcome.Upstream {
		c.allow(h.length)
	}
	if n == 0 && !h.has(flagEndStream) {
		if err := c.wasted(2); err != nil {
			return nil, err
		}
	} else {
		c.useful(dataBonus)
	}
	s := c.streams[h.stream]
	var err *connError
	switch {
	case s == nil && c.role.idle(h.stream):
		return nil, violation(codeProtocol, "DATA on an idle stream")
	case s == nil && c.wasReset(h.stream):
		// It was under way.
	case s == nil || s.receivedEnd:
		err = c.streamError(h.stream, codeStreamClosed, "DATA after the end of the stream")
	case s.headless:
		err = c.streamError(h.stream, codeProtocol, "DATA before the head")
	case size > s.receiveWindow:
		err = c.streamError(h.stream, codeFlowControl, "DATA beyond the window of the stream")
	case s.in.declared >= 0 && s.in.got+int64(n) > s.in.declared:
		err = c.streamError(h.stream, codeProtocol, "body longer than its Content-Length")
	default:
		s.in.got += int64(n)
		s.receiveWindow -= size
		s.consumed(h.length - n)
		return s, nil
	}
	c.consumed(h.length)
	if err != nil {
		return nil, err
	}
	return nil, nil
}

// receive reads n bytes into the body of s.
func (c *conn) receive(s *stream, n int, until time.Time) error {
	for n > 0 {
		k, err := c.receiveSome(s, n, until)
		if err != nil {
			return cutShort(err)
		}
		n -= k
	}
	return nil
}

// directly is from how many bytes on a body is read past the buffer.
const directly = 2 << 10

func (c *conn) receiveSome(s *stream, n int, until time.Time) (int, error) {
	if c.rd.buffered() == 0 && n < directly {
		if err := c.rd.more(frameHeaderLen, until); err != nil {
			return 0, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err != nil || s.finished {
		// Given up meanwhile.
		if c.rd.buffered() == 0 {
			c.mu.Unlock()
			err := c.rd.more(frameHeaderLen, until)
			c.mu.Lock()
			if err != nil {
				return 0, err
			}
		}
		k := min(n, c.rd.buffered())
		c.rd.next(k)
		c.consumed(k)
		return k, nil
	}
	p := s.in.room(n)
	if c.rd.buffered() > 0 {
		k := copy(p, c.rd.buf.unread())
		c.rd.next(k)
		s.in.filled(k)
		s.in.signal()
		return k, nil
	}
	s.in.filling = true
	c.mu.Unlock()
	k, err := c.rd.read(p, until)
	c.mu.Lock()
	s.in.filling = false
	if s.in.orphan {
		s.in.orphan = false
		s.in.drop()
		c.consumed(k)
		return k, err
	}
	s.in.filled(k)
	s.in.signal()
	return k, err
}

// discard skips n bytes.
func (c *conn) discard(n int, until time.Time) error {
	for n > 0 {
		if c.rd.buffered() == 0 {
			if err := c.rd.more(frameHeaderLen, until); err != nil {
				return cutShort(err)
			}
		}
		k := min(n, c.rd.buffered())
		c.rd.next(k)
		n -= k
	}
	return nil
}

// headers acts on a HEADERS frame (RFC 9113 §6.2).
func (c *conn) headers(h frameHeader, p []byte) *connError {
	if h.stream == 0 {
		return violation(codeProtocol, "HEADERS on stream 0")
	}
	p, err := unpad(h, p)
	if err != nil {
		return err
	}
	selfish := false
	if h.has(flagPriority) {
		if len(p) < 5 {
			return violation(codeFrameSize, "HEADERS too short for its priority")
		}
		selfish = binary.BigEndian.Uint32(p)&maxStreamID == h.stream
		p = p[5:]
	}
	if selfish {
		// RFC 7540 §5.3.1: "A stream cannot depend on itself."
		return violation(codeProtocol, "stream that depends on itself")
	}
	sink, err := c.role.headers(h.stream, h.has(flagEndStream))
	if err != nil {
		return err
	}
	c.block = headerBlock{
		open: true, ended: h.has(flagEndStream), stream: h.stream, sink: sink,
		until: c.rd.now.Add(c.headTime),
	}
	c.dec.SetEmitEnabled(sink != nil)
	return c.fragment(h, p)
}

// continuation acts on a CONTINUATION frame (RFC 9113 §6.10).
func (c *conn) continuation(h frameHeader, p []byte) *connError {
	if !c.block.open {
		return violation(codeProtocol, "CONTINUATION without HEADERS")
	}
	if c.block.frames++; c.block.frames > maxContinuations {
		return &connError{codeEnhanceYourCalm, outcome.HeadTooLarge, "too many CONTINUATION frames"}
	}
	return c.fragment(h, p)
}

// fragment decodes a part of a header block.
func (c *conn) fragment(h frameHeader, p []byte) *connError {
	b := &c.block
	if b.bytes += len(p); b.bytes > 2*c.maxHead {
		return &connError{codeEnhanceYourCalm, outcome.HeadTooLarge, "header block too large"}
	}
	_, err := c.dec.Write(p)
	if err == nil && h.has(flagEndHeaders) {
		err = c.dec.Close()
	}
	switch {
	case errors.Is(err, hpack.ErrStringLength):
		return &connError{codeEnhanceYourCalm, outcome.HeadTooLarge, "field too large"}
	case err != nil:
		return violation(codeCompression, "header block that cannot be decoded")
	case !h.has(flagEndHeaders):
		return nil
	}
	sink := b.sink
	b.open, b.sink = false, nil
	if sink == nil {
		return nil
	}
	return sink.end(b.ended)
}

// emit takes a field from the decoder.
func (c *conn) emit(f hpack.HeaderField) {
	b := &c.block
	b.fields++
	b.size += len(f.Name) + len(f.Value) + 32
	if b.size > c.maxHead || b.fields > c.maxFields {
		// The rest is decoded for the sake of the table only.
		c.dec.SetEmitEnabled(false)
		b.sink.tooLarge()
		return
	}
	b.sink.field(f.Name, f.Value)
}

// goAway acts on a GOAWAY frame (RFC 9113 §6.8).
func (c *conn) goAway(h frameHeader, p []byte) *connError {
	switch {
	case h.stream != 0:
		return violation(codeProtocol, "GOAWAY on a stream")
	case len(p) < 8:
		return violation(codeFrameSize, "GOAWAY of the wrong size")
	}
	return c.role.goAway(binary.BigEndian.Uint32(p)&maxStreamID, code(binary.BigEndian.Uint32(p[4:])))
}

// The frames below are acted on with mu held.

// priority checks a PRIORITY frame; its advice is not taken (RFC 9113 §5.3.2).
func (c *conn) priority(h frameHeader, p []byte) *connError {
	switch {
	case h.stream == 0:
		return violation(codeProtocol, "PRIORITY on stream 0")
	case len(p) != 5:
		return c.streamError(h.stream, codeFrameSize, "PRIORITY of the wrong size")
	case binary.BigEndian.Uint32(p)&maxStreamID == h.stream:
		return violation(codeProtocol, "stream that depends on itself")
	}
	return c.wasted(1)
}

// rstStream acts on RST_STREAM (RFC 9113 §6.4).
func (c *conn) rstStream(h frameHeader, p []byte) *connError {
	switch {
	case h.stream == 0:
		return violation(codeProtocol, "RST_STREAM on stream 0")
	case len(p) != 4:
		return violation(codeFrameSize, "RST_STREAM of the wrong size")
	case c.role.idle(h.stream):
		return violation(codeProtocol, "RST_STREAM on an idle stream")
	}
	s := c.streams[h.stream]
	if s == nil {
		return c.wasted(1)
	}
	s.peerCode = code(binary.BigEndian.Uint32(p))
	s.lost(s.resetError())
	return c.brokenOff()
}

// resetError is the error of a stream that the peer has reset.
func (s *stream) resetError() *outcome.Error {
	reason := outcome.ClientClosed
	if s.c.side == outcome.Upstream {
		reason = outcome.UpstreamReset
		if s.peerCode == codeCancel {
			reason = outcome.UpstreamCanceled
		}
	}
	return &outcome.Error{Side: s.c.side, Reason: reason, Err: &resetByPeer{s.peerCode}}
}

// A resetByPeer is the cause of an error: an RST_STREAM frame.
type resetByPeer struct{ code code }

func (e *resetByPeer) Error() string { return "http2: stream reset by peer: " + e.code.String() }

// settings acts on SETTINGS (RFC 9113 §6.5).
func (c *conn) settings(h frameHeader, p []byte) *connError {
	switch {
	case h.stream != 0:
		return violation(codeProtocol, "SETTINGS on a stream")
	case h.has(flagAck) && len(p) > 0, len(p)%6 != 0:
		return violation(codeFrameSize, "SETTINGS of the wrong size")
	}
	if h.has(flagAck) {
		c.ackBy = time.Time{}
	}
	if err := c.wasted(2); err != nil || h.has(flagAck) {
		return err
	}
	for ; len(p) > 0; p = p[6:] {
		if err := c.setting(setting{binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])}); err != nil {
			return err
		}
	}
	c.out.frame(frameSettings, flagAck, 0, nil)
	c.kick()
	c.role.settled()
	return c.replied()
}

func (c *conn) setting(s setting) *connError {
	switch s.id {
	case settingEnablePush, settingConnectProtocol:
		if s.value > 1 {
			return violation(codeProtocol, "setting that is neither 0 nor 1")
		}
		if s.id == settingConnectProtocol {
			c.peer.connectProtocol = s.value == 1
		}
	case settingMaxStreams:
		c.peer.maxStreams = s.value
	case settingInitialWindow:
		if s.value > maxWindow {
			return violation(codeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE too large")
		}
		return c.initialWindow(int64(s.value))
	case settingMaxFrame:
		if s.value < maxFrame || s.value > 1<<24-1 {
			return violation(codeProtocol, "SETTINGS_MAX_FRAME_SIZE out of range")
		}
		// Larger frames would only make others wait.
	case settingTableSize:
		c.enc.limitTable(s.value)
	}
	return nil
}

// initialWindow changes the window of all streams (RFC 9113 §6.9.2).
func (c *conn) initialWindow(n int64) *connError {
	change := n - c.peer.initialWindow
	c.peer.initialWindow = n
	for _, s := range c.streams {
		if s.sendWindow += change; s.sendWindow > maxWindow {
			return violation(codeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large")
		}
		if change > 0 {
			s.wake()
		}
	}
	return nil
}

// ping acts on PING (RFC 9113 §6.7).
func (c *conn) ping(h frameHeader, p []byte) *connError {
	switch {
	case h.stream != 0:
		return violation(codeProtocol, "PING on a stream")
	case len(p) != 8:
		return violation(codeFrameSize, "PING of the wrong size")
	case h.has(flagAck):
		c.role.pong()
		return c.wasted(1)
	}
	c.out.frame(framePing, flagAck, 0, p)
	c.kick()
	if err := c.replied(); err != nil {
		return err
	}
	return c.wasted(2)
}

// windowUpdate acts on WINDOW_UPDATE (RFC 9113 §6.9).
func (c *conn) windowUpdate(h frameHeader, p []byte) *connError {
	if len(p) != 4 {
		return violation(codeFrameSize, "WINDOW_UPDATE of the wrong size")
	}
	n := int64(binary.BigEndian.Uint32(p) & maxWindow)
	if h.stream == 0 {
		if n == 0 {
			return violation(codeProtocol, "WINDOW_UPDATE by 0")
		}
		if c.sendWindow += n; c.sendWindow > maxWindow {
			return violation(codeFlowControl, "window of the connection too large")
		}
		c.wakeWaiting()
		return c.wasted(1)
	}
	s := c.streams[h.stream]
	switch {
	case s == nil && c.role.idle(h.stream):
		return violation(codeProtocol, "WINDOW_UPDATE on an idle stream")
	case s == nil:
		return c.wasted(1)
	case n == 0:
		return c.streamError(h.stream, codeProtocol, "WINDOW_UPDATE by 0")
	}
	if s.sendWindow += n; s.sendWindow > maxWindow {
		return c.streamError(h.stream, codeFlowControl, "window of the stream too large")
	}
	s.wake()
	return c.wasted(1)
}
