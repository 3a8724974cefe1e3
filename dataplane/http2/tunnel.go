package http2

import (
	"io"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// Tunnel hands over the stream after Head was called with 101, and sends that
// head.
func (x *Exchange) Tunnel() (io.ReadWriteCloser, error) {
	if x.stage != stageBody || len(x.req.Upgrade) == 0 || x.remain >= 0 {
		return nil, misuse("tunnel without 101")
	}
	if err := x.flush(); err != nil {
		return nil, err
	}
	x.stage = stageTunnel
	x.in.timeout, x.sendTimeout = 0, 0
	return &Tunnel{s: &x.stream}, nil
}

// A Tunnel is a stream that carries another protocol. Reading and writing may go
// on at the same time.
type Tunnel struct {
	s *stream
	// ahead is what came and was not yet read.
	ahead []byte
}

// Read implements io.Reader.
func (t *Tunnel) Read(p []byte) (int, error) {
	if len(t.ahead) == 0 {
		var err error
		if t.ahead, err = t.s.in.Next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.ahead)
	t.ahead = t.ahead[n:]
	return n, nil
}

// Write implements io.Writer.
func (t *Tunnel) Write(p []byte) (int, error) {
	if err := t.s.send(p, false); err != nil {
		return 0, err
	}
	return len(p), t.s.flush()
}

// CloseWrite tells the peer that nothing more comes.
func (t *Tunnel) CloseWrite() error { return t.s.end() }

// Close ends the stream. "Abnormal closure is signaled with RST_STREAM and the
// CANCEL error code" (RFC 8441 §5); one that both sides have ended is left alone.
func (t *Tunnel) Close() error {
	c := t.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.s.opened {
		_ = t.s.giveUp(codeCancel, &outcome.Error{Side: c.side, Reason: outcome.ClientClosed, Err: io.ErrClosedPipe})
	}
	return nil
}
