package http2

import (
	"net"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// queueLimit is how many bytes may wait for the writer before those who send
	// bodies wait too. As many are with the writer.
	queueLimit = 4 * maxFrame
	// maxReplies bounds the frames that answer others and wait for the writer: a
	// peer that makes us answer and does not read costs no more than that.
	maxReplies = 512
)

// buffersWriter sends several slices in one system call. A net.Conn that wraps a
// TCP connection can offer it; *net.TCPConn does by net.Buffers.
type buffersWriter interface {
	WriteBuffers(v *net.Buffers) (int64, error)
}

// A writer is the goroutine that sends what is queued. It runs on demand, and
// until the connection is idle. Guarded by mu of the connection, but for what
// write uses.
type writer struct {
	running, parked bool
	// stop has it end when all is sent.
	stop bool
	wake chan struct{}
	// goroutine waits for its end.
	goroutine sync.WaitGroup
	// replies counts the answers to control frames that wait.
	replies int

	armed time.Time
	batch []*buffer
	// vector is batch as slices, rest what of it was not yet sent.
	vector, rest net.Buffers
}

// kick has what is queued sent; mu is held.
func (c *conn) kick() {
	w := &c.wr
	switch {
	case c.out.n == 0 || c.err != nil:
	case !w.running:
		w.running, w.stop = true, c.closing
		w.goroutine.Go(c.writeLoop)
	case w.parked:
		w.parked = false
		w.wake <- struct{}{}
	}
}

// releaseWriter ends the writer when it has nothing left to do; mu is held.
func (c *conn) releaseWriter() {
	w := &c.wr
	if !w.running {
		return
	}
	w.stop = true
	if w.parked {
		w.parked = false
		w.wake <- struct{}{}
	}
}

// writeLoop sends. Before it takes what is queued, it lets the streams that are
// ready run, so that they share the write and, over TLS, the record.
func (c *conn) writeLoop() {
	w := &c.wr
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for c.out.n == 0 {
			if w.stop || c.err != nil {
				w.running = false
				return
			}
			w.parked = true
			c.mu.Unlock()
			<-w.wake
			c.mu.Lock()
		}
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		w.batch = c.out.take(w.batch)
		w.replies = 0
		c.wakeWaiting()
		failed := c.err != nil
		c.mu.Unlock()
		var err error
		if !failed {
			err = c.write(w.batch)
		}
		for i, b := range w.batch {
			giveBuffer(b)
			w.batch[i] = nil
		}
		c.mu.Lock()
		if err != nil {
			c.fail(err)
		}
	}
}

// write sends the buffers, in one system call if the connection can.
func (c *conn) write(list []*buffer) error {
	tcp, isTCP := c.nc.(*net.TCPConn)
	wrapped, isWrapped := c.nc.(buffersWriter)
	if len(list) == 1 || !isTCP && !isWrapped {
		for _, b := range list {
			if err := c.writeAll(b.unread()); err != nil {
				return err
			}
		}
		return nil
	}
	w := &c.wr
	w.vector = w.vector[:0]
	for _, b := range list {
		w.vector = append(w.vector, b.unread())
	}
	for w.rest = w.vector; len(w.rest) > 0; {
		c.armWrite()
		var n int64
		var err error
		if isTCP {
			n, err = w.rest.WriteTo(tcp)
		} else {
			n, err = wrapped.WriteBuffers(&w.rest)
		}
		if err != nil && (n == 0 || !isTimeout(err)) {
			return err
		}
	}
	return nil
}

// writeAll sends p. As long as a write moves something within the timeout, the
// next one gets the whole timeout again.
func (c *conn) writeAll(p []byte) error {
	for len(p) > 0 {
		c.armWrite()
		n, err := c.nc.Write(p)
		if p = p[n:]; err != nil && (n == 0 || !isTimeout(err)) {
			return err
		}
	}
	return nil
}

// armWrite sees to it that the deadline in force leaves at least the timeout. It
// is set an eighth later than it need be, so that it must be moved only now and
// then.
func (c *conn) armWrite() {
	if c.sendTimeout <= 0 {
		return
	}
	w := &c.wr
	now := time.Now()
	if left := w.armed.Sub(now); left >= c.sendTimeout && left <= c.sendTimeout+c.sendTimeout/4 {
		return
	}
	w.armed = now.Add(c.sendTimeout + c.sendTimeout/8)
	_ = c.nc.SetWriteDeadline(w.armed)
}

// room is how many more bytes of bodies may be queued; mu is held.
func (c *conn) room() int { return queueLimit - c.out.n }

// enqueue puts s behind those who wait to send and are as urgent; mu is held.
func (c *conn) enqueue(s *stream) {
	s.queued = true
	at := len(c.waiting)
	for at > 0 && c.waiting[at-1].urgency > s.urgency {
		at--
	}
	c.waiting = slices.Insert(c.waiting, at, s)
}

// wakeWaiting wakes as many of those who wait to send as can send a frame; mu is
// held.
func (c *conn) wakeWaiting() {
	budget := min(int64(c.room()), c.sendWindow)
	k := 0
	for ; k < len(c.waiting) && budget > 0; k++ {
		s := c.waiting[k]
		s.queued = false
		s.wake()
		budget -= maxFrame
	}
	if k > 0 {
		n := copy(c.waiting, c.waiting[k:])
		clear(c.waiting[n:])
		c.waiting = c.waiting[:n]
	}
}
