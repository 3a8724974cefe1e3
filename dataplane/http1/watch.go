// Whether the client still waits.
//
// A connection that is reset has no client any more. One whose client has closed its
// half looks the same for a client that has left and for one that has sent all that it
// wants to say and reads the answer: TCP has one FIN for both (RFC 9293 §3.6), TLS one
// close_notify (RFC 8446 §6.1). So the client is given time: its answer goes out if it
// is there within HalfCloseTimeout, and a reset, which is what a client that has left
// sends to whatever still reaches it, ends the wait at once.

package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Watch reads ahead, in a goroutine of its own, until stop is called. It calls
// gone, from that goroutine and at most once, when the client resets the connection,
// or has closed its half of it for the server's HalfCloseTimeout. Nobody may read the
// body meanwhile. stop waits for the goroutine; bytes read ahead are kept for whoever
// reads next.
func (x *Exchange) Watch(gone func()) (stop func()) {
	rd := &x.c.rd
	patience := or(x.c.server.HalfCloseTimeout, DefaultHalfCloseTimeout)
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if rd.ahead() && rd.left(patience, stopped) {
			gone()
		}
	}()
	return func() {
		close(stopped)
		rd.interrupt()
		<-done
		rd.resume()
	}
}

// ahead reads into the buffer until it is full, reading is interrupted, or the
// input ends, and reports the last of these.
func (r *reader) ahead() bool {
	for r.err == nil {
		if r.r == r.w && !r.room(-1) || r.w == len(r.buf.b) {
			return false
		}
		n, err := r.read(r.buf.b[r.w:], time.Now(), time.Time{})
		r.w += n
		if errors.Is(err, errInterrupted) || errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
	}
	return true
}

// left waits, after the end of the input, until the peer is taken to have left:
// because of a reset, or when patience is over. It returns false when it is stopped.
func (r *reader) left(patience time.Duration, stopped <-chan struct{}) bool {
	if !errors.Is(r.err, io.EOF) {
		return true
	}
	raw := socket(r.conn)
	if raw == nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-stopped:
			return false
		}
	}
	r.armed = time.Now().Add(patience)
	_ = r.conn.SetReadDeadline(r.armed)
	if r.interrupted.Load() {
		return false // the deadline that interrupt has set is gone
	}
	// To read would be to find the end of the input at once. This waits for the next
	// event of the socket instead, or for the deadline.
	_ = raw.Read(wasReset)
	return !r.interrupted.Load()
}

// socket returns the socket under conn, nil if there is none.
func socket(conn net.Conn) syscall.RawConn {
	for {
		wrapped, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapped.NetConn()
	}
	if s, ok := conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
