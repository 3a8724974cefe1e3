package http2

import (
	"encoding/binary"
	"fmt"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// preface is what a client sends first (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// The types of frames (RFC 9113 §6).
type frameType uint8

const (
	frameData frameType = iota
	frameHeaders
	framePriority
	frameRSTStream
	frameSettings
	framePushPromise
	framePing
	frameGoAway
	frameWindowUpdate
	frameContinuation
)

// The flags of frames.
const (
	flagAck        = 0x1 // SETTINGS, PING
	flagEndStream  = 0x1 // DATA, HEADERS
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// The settings (RFC 9113 §6.5.2, RFC 8441 §3).
const (
	settingTableSize       = 0x1
	settingEnablePush      = 0x2
	settingMaxStreams      = 0x3
	settingInitialWindow   = 0x4
	settingMaxFrame        = 0x5
	settingMaxHeaderList   = 0x6
	settingConnectProtocol = 0x8
)

const (
	frameHeaderLen = 9
	// maxFrame is the largest payload that we accept, the smallest maximum that
	// the protocol allows, and the largest that we send: it fits a TLS record.
	maxFrame = 16 << 10
	// maxWindow is the largest flow control window.
	maxWindow = 1<<31 - 1
	// initialWindow is the window of everything before SETTINGS say otherwise.
	initialWindow = 65535
	// maxStreamID is the largest stream identifier.
	maxStreamID = 1<<31 - 1
)

// A Code is an error code (RFC 9113 §7).
type code uint32

const (
	codeNo code = iota
	codeProtocol
	codeInternal
	codeFlowControl
	codeSettingsTimeout
	codeStreamClosed
	codeFrameSize
	codeRefusedStream
	codeCancel
	codeCompression
	codeConnect
	codeEnhanceYourCalm
	codeInadequateSecurity
	codeHTTP11Required
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
	"CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func (c code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("error code %#x", uint32(c))
}

// A connError ends a connection: it is told by GOAWAY.
type connError struct {
	code   code
	reason outcome.Reason
	detail string
}

func (e *connError) Error() string { return "http2: " + e.code.String() + ": " + e.detail }

// violation is the connection error of a peer that breaks the protocol.
func violation(c code, detail string) *connError {
	return &connError{c, outcome.ProtocolError, detail}
}

// A frameHeader starts every frame.
type frameHeader struct {
	length int
	typ    frameType
	flags  uint8
	stream uint32
}

func parseFrameHeader(b []byte) frameHeader {
	return frameHeader{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		typ:    frameType(b[3]),
		flags:  b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & maxStreamID,
	}
}

func (h frameHeader) has(flag uint8) bool { return h.flags&flag != 0 }

// put writes h to b, which has room for it.
func (h frameHeader) put(b []byte) {
	b[0], b[1], b[2] = byte(h.length>>16), byte(h.length>>8), byte(h.length)
	b[3], b[4] = byte(h.typ), h.flags
	binary.BigEndian.PutUint32(b[5:], h.stream)
}

// unpad takes the padding off a payload (RFC 9113 §6.1).
func unpad(h frameHeader, p []byte) ([]byte, *connError) {
	if !h.has(flagPadded) {
		return p, nil
	}
	if len(p) == 0 {
		return nil, violation(codeFrameSize, "padded frame without a length of padding")
	}
	n := int(p[0])
	if p = p[1:]; n > len(p) {
		return nil, violation(codeProtocol, "padding longer than its frame")
	}
	return p[:len(p)-n], nil
}

// A setting is one parameter of a SETTINGS frame.
type setting struct {
	id    uint16
	value uint32
}
