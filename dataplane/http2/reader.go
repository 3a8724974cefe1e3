package http2

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// errInterrupted ends a read that waits when its owner does not want it to.
var errInterrupted = errors.New("http2: interrupted")

// past is a deadline that ends a read or write at once.
var past = time.Unix(1, 0)

// A reader is the input of a connection. It belongs to one goroutine, but for
// interrupt. While it holds no buffer, it waits with one byte.
type reader struct {
	conn net.Conn
	buf  *buffer
	one  [1]byte

	// armed is the read deadline in force, zero if none.
	armed time.Time
	// now is the time of the last read that had to ask the connection.
	now         time.Time
	interrupted atomic.Bool
}

// buffered returns the number of bytes received and not yet used.
func (r *reader) buffered() int {
	if r.buf == nil {
		return 0
	}
	return r.buf.w - r.buf.r
}

// next returns the next n bytes of the buffer, which fill has brought.
func (r *reader) next(n int) []byte {
	p := r.buf.b[r.buf.r : r.buf.r+n]
	r.buf.r += n
	return p
}

// fill reads until n bytes are buffered, or until the time given.
func (r *reader) fill(n int, until time.Time) error {
	for r.buffered() < n {
		if err := r.more(n, until); err != nil {
			return err
		}
	}
	return nil
}

// more reads once what there is, with room for n bytes.
func (r *reader) more(n int, until time.Time) error {
	if r.buf == nil {
		r.buf = takeBuffer(n)
	}
	b := r.buf
	switch {
	case b.r == b.w:
		b.r, b.w = 0, 0
	case len(b.b)-b.r < n:
		b.w = copy(b.b, b.b[b.r:b.w])
		b.r = 0
	}
	if len(b.b) < n {
		larger := takeBuffer(n)
		larger.w = copy(larger.b, b.unread())
		giveBuffer(b)
		r.buf, b = larger, larger
	}
	k, err := r.read(b.free(), until)
	b.w += k
	return err
}

// await waits for input without holding a buffer.
func (r *reader) await(until time.Time) error {
	if err := r.awaitInput(until); err != nil {
		return err
	}
	n, err := r.read(r.one[:], until)
	if n > 0 {
		r.buf = takeBuffer(smallSize)
		r.buf.w = copy(r.buf.b, r.one[:n])
	}
	return err
}

// An inputAwaiter is a connection that can wait without reading. What it holds in a
// buffer of its own it may overlook: it is called after a read that timed out.
type inputAwaiter interface{ AwaitInput() error }

// awaitInput waits until the connection has something to read, where it can. That
// takes less stack than a read, which goes through all of TLS: the runtime halves
// the stack of an idle connection then. Its errors are those of read.
func (r *reader) awaitInput(until time.Time) error {
	conn, ok := r.conn.(inputAwaiter)
	for ok {
		r.now = time.Now()
		r.arm(until)
		if r.interrupted.Load() {
			return errInterrupted
		}
		err := conn.AwaitInput()
		if !isTimeout(err) {
			break // also an error: read meets it again
		}
		if r.interrupted.Load() {
			return errInterrupted
		}
		if r.now = time.Now(); !until.IsZero() && !r.now.Before(until) {
			return os.ErrDeadlineExceeded
		}
	}
	return nil
}

// release gives the buffer back if it holds nothing.
func (r *reader) release() {
	if r.buffered() == 0 {
		r.drop()
	}
}

// drop gives the buffer back.
func (r *reader) drop() {
	giveBuffer(r.buf)
	r.buf = nil
}

// read reads into p once something is there. Timeouts are os.ErrDeadlineExceeded.
func (r *reader) read(p []byte, until time.Time) (int, error) {
	r.now = time.Now()
	for empty := 0; ; {
		r.arm(until)
		if r.interrupted.Load() {
			return 0, errInterrupted
		}
		n, err := r.conn.Read(p)
		switch {
		case n > 0:
			// An error that came with bytes comes again.
			return n, nil
		case err == nil:
			if empty++; empty == 100 {
				return 0, io.ErrNoProgress
			}
		case !isTimeout(err):
			return 0, err
		case r.interrupted.Load():
			return 0, errInterrupted
		default:
			r.now = time.Now()
			if !until.IsZero() && !r.now.Before(until) {
				return 0, os.ErrDeadlineExceeded
			}
			// An earlier call's deadline: there is time left.
		}
	}
}

// arm sees to it that a deadline not after until is in force. An earlier one may
// be, so that it is not moved at every read; read deals with it.
func (r *reader) arm(until time.Time) {
	if r.armed.After(r.now) && (until.IsZero() || !r.armed.After(until)) {
		return
	}
	if until.IsZero() && r.armed.IsZero() {
		return
	}
	// An error here comes again at Read.
	_ = r.conn.SetReadDeadline(until)
	r.armed = until
}

// interrupt ends a read that waits and fails later ones, until resume. Any
// goroutine may call it.
func (r *reader) interrupt() {
	r.interrupted.Store(true)
	_ = r.conn.SetReadDeadline(past)
}

// resume undoes interrupt.
func (r *reader) resume() {
	r.interrupted.Store(false)
	r.armed = past
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
