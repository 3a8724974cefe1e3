package http2

import (
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// The limits that a peer meets only if it means harm. Each ends the connection
// with ENHANCE_YOUR_CALM and a reason of its own.
const (
	// clientWindow is how much an endpoint may send over all streams at one time.
	// That is given back at once: were it given back when a client has taken the
	// bytes, a few slow clients would hold up all who share the connection. What a
	// slow client costs is bounded by the window of its stream, which grows up to
	// maxStreamWindow for those who wait for the endpoint.
	clientWindow    = 8 << 20
	maxStreamWindow = 1 << 20

	// streamWindow and connWindow are how much of bodies a peer may send before
	// we have passed it on.
	streamWindow = 256 << 10
	connWindow   = 2 << 20

	// tableSize is the HPACK table that a peer may fill, in RFC 7541's count.
	tableSize = 4096

	// maxContinuations bounds the frames of one header block.
	maxContinuations = 32

	// Streams that end early cost work that brings nothing: those that the peer
	// resets before we have answered (rapid reset, CVE-2023-44487) and those that
	// it makes us reset by breaking the rules ("MadeYouReset", CVE-2025-8671).
	// Each message that is sent to its end makes up for one.
	maxResets       = 200
	resetsPerSecond = 40

	// Frames that carry nothing: empty ones, PING, SETTINGS, PRIORITY,
	// WINDOW_UPDATE, unknown ones. Each request and each DATA frame, either way,
	// gives leave for some more: those that belong to it.
	maxEmpty       = 1000
	emptyPerSecond = 200
	requestBonus   = 8
	dataBonus      = 2
	// sentBonus is for each DATA frame that we send: a peer that passes on little at
	// a time tells so by WINDOW_UPDATE for the stream and the connection each time.
	sentBonus = 10
)

// A meter leaks: it fills by what is added and empties with time.
type meter struct {
	level int
	last  time.Time
}

// add adds n and returns the level.
func (m *meter) add(n int, now time.Time, perSecond int) int {
	if passed := now.Sub(m.last); passed >= time.Second {
		m.level = max(0, m.level-int(min(passed.Seconds(), 1e6))*perSecond)
		m.last = now
	}
	m.level += n
	return m.level
}

// useful notes frames that carry something; mu is held.
func (c *conn) useful(bonus int) { c.empty.level = max(c.empty.level-bonus, -maxEmpty) }

// wasted notes a frame that carries nothing; mu is held.
func (c *conn) wasted(cost int) *connError {
	if c.empty.add(cost, c.rd.now, emptyPerSecond) > maxEmpty {
		return &connError{codeEnhanceYourCalm, outcome.FrameFlood, "too many frames that carry nothing"}
	}
	return nil
}

// brokenOff notes a stream that ended early by the peer's doing; mu is held.
func (c *conn) brokenOff() *connError {
	if c.side == outcome.Upstream {
		return nil // there are no more of them than requests that we make
	}
	if c.resets.add(1, c.rd.now, resetsPerSecond) > maxResets {
		return &connError{codeEnhanceYourCalm, outcome.StreamResets, "too many streams that end early"}
	}
	return nil
}

// completed notes a stream on which all was sent; mu is held.
func (c *conn) completed() { c.resets.level = max(c.resets.level-1, 0) }

// replied notes a frame queued in answer to another; mu is held.
func (c *conn) replied() *connError {
	if c.wr.replies++; c.wr.replies > maxReplies {
		return &connError{codeEnhanceYourCalm, outcome.FrameFlood, "too many answers that the peer does not read"}
	}
	return nil
}
