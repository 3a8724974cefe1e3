package http1

import (
	"errors"
	"os"
	"time"
)

// Watch reads ahead, in a goroutine of its own, until stop is called. It calls
// gone, from that goroutine and at most once, when the client closes the
// connection or its half of it. Nobody may read the body meanwhile. stop waits
// for the goroutine; bytes read ahead are kept for whoever reads next.
func (x *Exchange) Watch(gone func()) (stop func()) {
	rd := &x.c.rd
	done := make(chan struct{})
	go func() {
		defer close(done)
		if rd.ahead() {
			gone()
		}
	}()
	return func() {
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
