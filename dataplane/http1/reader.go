package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// errInterrupted ends a call that waits when its owner does not want it to.
var errInterrupted = errors.New("http1: interrupted")

// past is a deadline that ends a read or write at once.
var past = time.Unix(1, 0)

// A reader is the input of a connection: a window buf[r:w] of bytes received and
// not yet used. It belongs to one goroutine, but for interrupt.
//
// The bytes before base belong to a head, of which views are in use: they stay
// where they are. If the room behind it is too small for a body, the reader goes
// on in a large buffer and keeps the other one, as head, until next.
type reader struct {
	conn       net.Conn
	buf, head  *buffer
	base, r, w int

	// armed is the read deadline in force, zero if none.
	armed time.Time
	// err is the error that ended the input.
	err         error
	interrupted atomic.Bool
}

// unread returns the bytes received and not yet used.
func (r *reader) unread() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf.b[r.r:r.w]
}

// buffered returns the number of those bytes.
func (r *reader) buffered() int { return r.w - r.r }

// hold makes everything before the current position part of the head.
func (r *reader) hold() { r.base = r.r }

// next ends the use of the head. Unread bytes move to the front.
func (r *reader) next() {
	giveBuffer(r.head)
	r.head = nil
	if r.buf != nil && r.r > 0 {
		r.w = copy(r.buf.b, r.buf.b[r.r:r.w])
		r.r = 0
	}
	r.base = 0
}

// release gives all buffers back. Unread bytes are lost.
func (r *reader) release() {
	giveBuffer(r.head)
	giveBuffer(r.buf)
	r.head, r.buf = nil, nil
	r.base, r.r, r.w = 0, 0, 0
}

// fill waits for more input, until the time given (zero: forever), and appends it
// to the window. want is how much could be used, -1 if not known: for a lot of it
// a large buffer is worth having.
func (r *reader) fill(now, until time.Time, want int64) error {
	if r.err != nil {
		return r.err
	}
	if !r.room(want) {
		return errFull
	}
	n, err := r.read(r.buf.b[r.w:], now, until)
	r.w += n
	return err
}

// errFull says that the window has grown as large as it may.
var errFull = errors.New("http1: buffer full")

// room makes room for input and reports whether there is some.
func (r *reader) room(want int64) bool {
	if r.buf == nil {
		r.buf = takeBuffer(smallSize)
	}
	if r.r == r.w {
		r.r, r.w = r.base, r.base
	}
	const little = smallSize / 2
	free := len(r.buf.b) - r.w
	if len(r.buf.b) < largeSize {
		if want >= 0 && want <= int64(free) || want < 0 && free > little {
			return true
		}
	} else {
		if free <= little && r.r > r.base {
			r.w = r.base + copy(r.buf.b[r.base:], r.buf.b[r.r:r.w])
			r.r = r.base
			free = len(r.buf.b) - r.w
		}
		if free > little || r.base == 0 {
			return free > 0
		}
	}
	// The head stays in its buffer, the rest moves to a large one.
	large := takeBuffer(largeSize)
	w := copy(large.b, r.buf.b[r.r:r.w])
	if r.base > 0 && r.head == nil {
		r.head = r.buf
	} else {
		giveBuffer(r.buf)
	}
	r.buf, r.base, r.r, r.w = large, 0, 0, w
	return true
}

// grow moves the window, which starts at base, to a buffer of at least size
// bytes. Views of it become invalid.
func (r *reader) grow(size int) {
	larger := takeBuffer(size)
	w := copy(larger.b, r.buf.b[r.base:r.w])
	r.r -= r.base
	giveBuffer(r.buf)
	r.buf, r.base, r.w = larger, 0, w
}

// read reads into p once something is there. Timeouts are os.ErrDeadlineExceeded;
// every other error ends the input for good.
func (r *reader) read(p []byte, now, until time.Time) (int, error) {
	for empty := 0; ; {
		r.arm(now, until)
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
				r.err = io.ErrNoProgress
				return 0, r.err
			}
		case !isTimeout(err):
			r.err = err
			return 0, err
		case r.interrupted.Load():
			return 0, errInterrupted
		default:
			now = time.Now()
			if !until.IsZero() && !now.Before(until) {
				return 0, os.ErrDeadlineExceeded
			}
			// An earlier call's deadline: there is time left.
		}
	}
}

// An inputAwaiter is a connection that can wait without reading. What it holds in a
// buffer of its own it may overlook: it is called after a read that timed out.
type inputAwaiter interface{ AwaitInput() error }

// await waits until the connection has something to read, where it can. That takes
// less stack than a read, which goes through all of TLS: the runtime halves the
// stack of an idle connection then. Its errors are those of read.
func (r *reader) await(until time.Time) error {
	conn, ok := r.conn.(inputAwaiter)
	for ok {
		r.arm(time.Now(), until)
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
		if !time.Now().Before(until) {
			return os.ErrDeadlineExceeded
		}
	}
	return nil
}

// yield lets other goroutines run before a read that would most likely find
// nothing, because what it waits for was only just asked for. On a busy machine it
// is there by the time the others have had their turn, which saves the read that
// fails, parking, and a wake-up by the poller; on an idle one it costs 0.1 µs.
func yield() { runtime.Gosched() }

// arm sees to it that a deadline not after until is in force. An earlier one may
// be; read deals with it.
func (r *reader) arm(now, until time.Time) {
	if r.armed.After(now) && (until.IsZero() || !r.armed.After(until)) {
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
// goroutine may call it: whichever of flag and deadline the reader misses, it
// sees the other.
func (r *reader) interrupt() {
	r.interrupted.Store(true)
	_ = r.conn.SetReadDeadline(past)
}

// resume undoes interrupt.
func (r *reader) resume() {
	if r.interrupted.Load() {
		r.interrupted.Store(false)
		r.armed = past
	}
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
