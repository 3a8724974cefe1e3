package http1

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memoryPipe returns two ends of an in-memory connection that behaves as TCP
// does: writes are buffered up to a limit, halves close one by one, deadlines
// work, and everything blocks durably in a synctest bubble.
func memoryPipe() (client, server *memoryConn) {
	up, down := newHalf(), newHalf()
	return &memoryConn{in: down, out: up}, &memoryConn{in: up, out: down}
}

type memoryConn struct{ in, out *half }

func (c *memoryConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memoryConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *memoryConn) CloseWrite() error           { c.out.finish(io.EOF); return nil }
func (c *memoryConn) LocalAddr() net.Addr         { return &net.TCPAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

func (c *memoryConn) Close() error {
	c.out.finish(io.EOF)
	c.in.abandon()
	return nil
}

func (c *memoryConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.reading.set(c.in, t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.writing.set(c.out, t)
	return nil
}

// A half is one direction.
type half struct {
	mu   sync.Mutex
	cond *sync.Cond
	data []byte
	// end is what a reader gets after the data; lost says that nobody reads.
	end              error
	lost             bool
	capacity         int
	reading, writing memoryDeadline
}

func newHalf() *half {
	h := &half{capacity: 256 << 10}
	h.cond = sync.NewCond(&h.mu)
	return h
}

type memoryDeadline struct {
	timer   *time.Timer
	expired bool
}

func (d *memoryDeadline) set(h *half, t time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.expired = false
	h.cond.Broadcast()
	if t.IsZero() {
		return
	}
	if left := time.Until(t); left > 0 {
		var timer *time.Timer
		timer = time.AfterFunc(left, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if d.timer == timer {
				d.expired = true
				h.cond.Broadcast()
			}
		})
		d.timer = timer
		return
	}
	d.expired = true
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.lost:
			return 0, net.ErrClosed
		case h.reading.expired:
			return 0, os.ErrDeadlineExceeded
		case len(h.data) > 0:
			n := copy(p, h.data)
			h.data = append(h.data[:0], h.data[n:]...)
			h.cond.Broadcast()
			return n, nil
		case h.end != nil:
			return 0, h.end
		}
		h.cond.Wait()
	}
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.end != nil:
			return n, net.ErrClosed
		case h.lost:
			return n, errPeerGone
		case h.writing.expired:
			return n, os.ErrDeadlineExceeded
		}
		room := min(h.capacity-len(h.data), len(p))
		if room > 0 {
			h.data = append(h.data, p[:room]...)
			n += room
			p = p[room:]
			h.cond.Broadcast()
		}
		if len(p) == 0 {
			return n, nil
		}
		h.cond.Wait()
	}
}

// finish ends the direction with err.
func (h *half) finish(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end == nil {
		h.end = err
	}
	h.cond.Broadcast()
}

// abandon says that nobody will read any more.
func (h *half) abandon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = true
	h.cond.Broadcast()
}
