package http1

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
)

// directSize is from where on bytes are sent from where they are instead of
// being gathered in the buffer first.
const directSize = 4 << 10

// A buffersWriter sends several slices in one system call. A net.Conn that wraps
// a TCP connection can offer it; *net.TCPConn does by net.Buffers.
type buffersWriter interface {
	WriteBuffers(v *net.Buffers) (int64, error)
}

// A writer is the output of a connection. Errors stick: put and send do nothing
// after one. It belongs to one goroutine, but for interrupt.
type writer struct {
	conn net.Conn
	buf  *buffer
	n    int
	// timeout is the time without progress that a write may take, 0 for no limit.
	timeout time.Duration

	// armed is the write deadline in force, zero if none.
	armed time.Time
	// sent counts the bytes that the connection took.
	sent        int64
	err         error
	interrupted atomic.Bool
	vector      net.Buffers
	slices      [2][]byte
}

// put appends p to what is to be sent.
func (w *writer) put(p []byte) {
	if w.buf == nil {
		w.buf = takeBuffer(smallSize)
	}
	for len(p) > len(w.buf.b)-w.n && w.err == nil {
		n := copy(w.buf.b[w.n:], p)
		w.n += n
		p = p[n:]
		w.flush()
	}
	if w.err == nil {
		w.n += copy(w.buf.b[w.n:], p)
	}
}

// putString is put for a string.
func (w *writer) putString(s string) {
	if w.buf == nil {
		w.buf = takeBuffer(smallSize)
	}
	for len(s) > len(w.buf.b)-w.n && w.err == nil {
		n := copy(w.buf.b[w.n:], s)
		w.n += n
		s = s[n:]
		w.flush()
	}
	if w.err == nil {
		w.n += copy(w.buf.b[w.n:], s)
	}
}

// putInt appends n in decimal, or in hexadecimal.
func (w *writer) putInt(n int64, base int64) {
	const digits = "0123456789abcdef"
	var a [20]byte
	i := len(a)
	for {
		i--
		a[i] = digits[n%base]
		if n /= base; n == 0 {
			break
		}
	}
	w.put(a[i:])
}

// putFields appends the field lines but for those whose ID is in skip.
func (w *writer) putFields(f *message.Fields, skip *[256]bool) {
	for i := range f.Len() {
		l := f.At(i)
		if skip[l.ID] {
			continue
		}
		w.put(l.Name)
		w.putString(": ")
		w.put(l.Value)
		w.putString("\r\n")
	}
}

// putBody appends body bytes. Many of them are sent at once, with what is
// pending, and without a copy where the connection can do that.
func (w *writer) putBody(p []byte) {
	if len(p) < directSize {
		w.put(p)
		return
	}
	if w.n > 0 && w.err == nil && w.writev(p) {
		return
	}
	if w.n > 0 {
		// One write of a full buffer and one of the rest.
		n := copy(w.buf.b[w.n:], p)
		w.n += n
		p = p[n:]
		w.flush()
	}
	w.send(p)
}

// writev sends the pending bytes and p in one call, if the connection can.
func (w *writer) writev(p []byte) bool {
	tcp, isTCP := w.conn.(*net.TCPConn)
	wrapped, isWrapped := w.conn.(buffersWriter)
	if !isTCP && !isWrapped {
		return false
	}
	w.slices = [2][]byte{w.buf.b[:w.n], p}
	w.vector = w.slices[:]
	for len(w.vector) > 0 && w.ready() {
		var n int64
		var err error
		if isTCP {
			n, err = w.vector.WriteTo(tcp)
		} else {
			n, err = wrapped.WriteBuffers(&w.vector)
		}
		w.count(n, err)
	}
	w.slices = [2][]byte{}
	w.n = 0
	return true
}

// flush sends what is pending.
func (w *writer) flush() {
	if w.n > 0 {
		w.send(w.buf.b[:w.n])
		w.n = 0
	}
}

// send sends p. As long as a write moves something within the timeout, the next
// one gets the whole timeout again.
func (w *writer) send(p []byte) {
	for len(p) > 0 && w.ready() {
		n, err := w.conn.Write(p)
		p = p[n:]
		w.count(int64(n), err)
	}
}

// ready arms the deadline and reports whether a write may be tried.
func (w *writer) ready() bool {
	if w.err != nil {
		return false
	}
	w.arm()
	if w.interrupted.Load() {
		w.err = errInterrupted
	}
	return w.err == nil
}

// count keeps the result of a write.
func (w *writer) count(n int64, err error) {
	w.sent += n
	if err == nil || n > 0 && isTimeout(err) && !w.interrupted.Load() {
		return
	}
	if w.interrupted.Load() {
		err = errInterrupted
	}
	w.err = err
}

// arm sees to it that the deadline in force leaves at least timeout. It is set an
// eighth later than it need be, so that it must be moved only now and then: a
// write that times out cannot be resumed over TLS, so none may end early.
func (w *writer) arm() {
	if w.timeout <= 0 {
		if !w.armed.IsZero() {
			w.armed = time.Time{}
			_ = w.conn.SetWriteDeadline(w.armed)
		}
		return
	}
	now := time.Now()
	left := w.armed.Sub(now)
	if left >= w.timeout && left <= w.timeout+w.timeout/4 {
		return
	}
	w.armed = now.Add(w.timeout + w.timeout/8)
	_ = w.conn.SetWriteDeadline(w.armed)
}

// interrupt ends a write that waits and fails later ones. Any goroutine may call
// it.
func (w *writer) interrupt() {
	w.interrupted.Store(true)
	_ = w.conn.SetWriteDeadline(past)
}

// release drops what is pending and gives the buffer back.
func (w *writer) release() {
	giveBuffer(w.buf)
	w.buf, w.n = nil, 0
}

// errInvalidField is why a head is not sent.
var errInvalidField = errors.New("http1: field with a name or value that is not valid")

// checkFields guards what is sent against names and values that would split the
// message. Interned names need no check.
func checkFields(f *message.Fields) error {
	for i := range f.Len() {
		l := f.At(i)
		if l.ID == message.Other && !message.IsToken(l.Name) || !message.ValidText(l.Value) {
			return errInvalidField
		}
	}
	return nil
}
