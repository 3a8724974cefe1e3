// How a log is written without anybody waiting for it.
//
// Whoever has a record appends it to a buffer under a mutex, which is a copy of
// some hundred bytes. The writer goroutine sleeps until there is a first record,
// waits a moment for more (or until the buffer is half full), then takes the
// whole buffer, leaves its own empty one instead, and writes outside the lock. So
// the cost of waking it and of the system call is shared by all records of that
// moment. While a Write blocks the buffer fills to its limit, then records are
// dropped.

package observe

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lines writes records to w. A nil *lines does nothing.
type lines struct {
	w        io.Writer
	limit    int
	interval time.Duration
	dropped  prometheus.Counter

	first  chan struct{}      // the buffer is no longer empty
	half   chan struct{}      // the buffer is half full
	sync   chan chan struct{} // flush: closed when everything is written
	ending chan struct{}      // closed by close
	ended  chan struct{}      // closed when the goroutine has ended

	mu     sync.Mutex
	buf    []byte // guarded by mu
	closed bool   // guarded by mu
}

func newLines(cfg Config, w io.Writer, dropped prometheus.Counter) *lines {
	l := &lines{
		w: w, limit: cfg.Buffer, interval: cfg.FlushInterval, dropped: dropped,
		first: make(chan struct{}, 1), half: make(chan struct{}, 1), sync: make(chan chan struct{}),
		ending: make(chan struct{}), ended: make(chan struct{}),
	}
	go l.run()
	return l
}

// add queues a record, which ends with a newline, or drops it.
func (l *lines) add(record []byte) {
	l.mu.Lock()
	before := len(l.buf)
	after := before + len(record)
	if l.closed || after > l.limit {
		l.mu.Unlock()
		l.dropped.Inc()
		return
	}
	l.buf = append(l.buf, record...)
	l.mu.Unlock()
	if before == 0 {
		signal(l.first)
	}
	if before < l.limit/2 && after >= l.limit/2 {
		signal(l.half)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *lines) run() {
	defer close(l.ended)
	var out []byte
	for {
		select {
		case <-l.first:
			asked := l.linger()
			out = l.write(out)
			if asked != nil {
				close(asked)
			}
		case done := <-l.sync:
			out = l.write(out)
			close(done)
		case <-l.ending:
			l.write(out)
			return
		}
	}
}

// linger waits for more records. It returns early for whoever wants them written
// now: the channel of a flush, nil for others.
func (l *lines) linger() (asked chan struct{}) {
	t := time.NewTimer(l.interval)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.half:
	case asked = <-l.sync:
	case <-l.ending:
	}
	return asked
}

// write writes what is queued, with out as the next buffer, and returns memory
// for the one after that. Records that w did not take are dropped.
func (l *lines) write(out []byte) []byte {
	l.mu.Lock()
	out, l.buf = l.buf, out[:0]
	l.mu.Unlock()
	if len(out) == 0 {
		return out
	}
	if n, err := l.w.Write(out); err != nil {
		l.dropped.Add(float64(bytes.Count(out[n:], []byte{'\n'})))
	}
	return out
}

func (l *lines) flush() {
	if l == nil {
		return
	}
	done := make(chan struct{})
	select {
	case l.sync <- done:
		<-done
	case <-l.ended:
	}
}

func (l *lines) close(deadline time.Time) {
	if l == nil {
		return
	}
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if !closed {
		close(l.ending)
	}
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-l.ended:
	case <-t.C:
	}
}
