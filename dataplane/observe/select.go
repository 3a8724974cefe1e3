package observe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A HandshakeLog says which handshakes are logged, and what of them. The zero
// value logs those that failed, with all fields.
type HandshakeLog struct {
	Mode HandshakeMode
	// SampleOK is the share of the handshakes that went well which HandshakeAll
	// logs: 0.01 is one in a hundred. Failures are always logged. 0 means 1; who
	// wants none says HandshakeFailures. The choice depends on the number of the
	// connection alone.
	SampleOK float64
	// Fields are the names of the fields that are written, besides time, log and
	// conn; docs/logs.md lists them. Empty means all.
	Fields []string
}

// HandshakeMode selects the handshakes that are logged.
type HandshakeMode uint8

// The modes of the handshake log.
const (
	HandshakeFailures HandshakeMode = iota // those that failed or timed out
	HandshakeAll
	HandshakeOff
)

// ParseHandshakeMode parses "off", "failures" or "all".
func ParseHandshakeMode(s string) (HandshakeMode, error) {
	switch s {
	case "off":
		return HandshakeOff, nil
	case "failures":
		return HandshakeFailures, nil
	case "all":
		return HandshakeAll, nil
	}
	return 0, fmt.Errorf("observe: handshake log mode %q, want off, failures or all", s)
}

// ParseHandshakeLog makes a HandshakeLog of what users write: a mode, the share
// of good handshakes from 0 (none) to 1 (all), and the names of fields.
func ParseHandshakeLog(mode string, sampleOK float64, fields []string) (HandshakeLog, error) {
	m, err := ParseHandshakeMode(mode)
	if err != nil {
		return HandshakeLog{}, err
	}
	l := HandshakeLog{Mode: m, SampleOK: sampleOK, Fields: fields}
	if err := l.Check(); err != nil {
		return HandshakeLog{}, err
	}
	if m == HandshakeAll && sampleOK == 0 {
		l.Mode = HandshakeFailures
	}
	return l, nil
}

// Check returns an error about the first thing in l that makes no sense.
func (l HandshakeLog) Check() error {
	if !(l.SampleOK >= 0 && l.SampleOK <= 1) {
		return fmt.Errorf("observe: share of good handshakes %v, want 0 to 1", l.SampleOK)
	}
	for _, f := range l.Fields {
		if !slices.Contains(handshakeFields, f) && !slices.Contains(alwaysWritten, f) {
			return fmt.Errorf("observe: handshake log has no field %q, want some of %s", f, strings.Join(handshakeFields, ", "))
		}
	}
	return nil
}

// alwaysWritten are the fields that every record has.
var alwaysWritten = []string{"time", "log", "conn"}

// selection is a HandshakeLog in the form in which each handshake meets it.
type selection struct {
	mode HandshakeMode
	// below is what a connection's hash must not exceed for a good handshake to be
	// logged.
	below uint64
	// only is nil for all fields.
	only map[string]bool
}

func newSelection(l HandshakeLog) *selection {
	s := &selection{mode: l.Mode, below: ^uint64(0)}
	if l.SampleOK > 0 && l.SampleOK < 1 {
		s.below = uint64(l.SampleOK * (1 << 64))
	}
	if len(l.Fields) > 0 {
		s.only = make(map[string]bool, len(l.Fields))
		for _, f := range l.Fields {
			s.only[f] = true
		}
	}
	return s
}

// takes reports whether h is logged.
func (s *selection) takes(h *outcome.Handshake) bool {
	switch {
	case s.mode == HandshakeOff:
		return false
	case h.Result != outcome.Done:
		return true
	}
	return s.mode == HandshakeAll && mix(h.Conn.ID) <= s.below
}

// mix spreads consecutive numbers over all of uint64; its parameters are those of
// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// SetHandshakeLog changes what the handshake log holds, for every handshake that
// is decided from now on. The writer stays: without Config.HandshakeLog there is
// no log to change. An error means that l makes no sense and nothing was changed.
func (o *Observer) SetHandshakeLog(l HandshakeLog) error {
	if err := l.Check(); err != nil {
		return err
	}
	o.selection.Store(newSelection(l))
	return nil
}
