package dataplane

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// defaultHandshakeQueue is [Config.HandshakeQueue] where it is 0.
const defaultHandshakeQueue = 1024

// handshakeCalls brings the outcomes of handshakes to the callbacks of those who
// embed the data plane. Connections put copies into the queue and never wait; one
// goroutine takes them out, so that a callback may be as slow as it likes.
type handshakeCalls struct {
	done, failed func(*outcome.Handshake)
	log          *slog.Logger
	queue        chan *outcome.Handshake
	dropped      atomic.Uint64
}

func newHandshakeCalls(cfg *Config, log *slog.Logger) *handshakeCalls {
	size := cfg.HandshakeQueue
	if size <= 0 {
		size = defaultHandshakeQueue
	}
	return &handshakeCalls{
		done: cfg.HandshakeDone, failed: cfg.HandshakeFailed, log: log,
		queue: make(chan *outcome.Handshake, size),
	}
}

// sink takes no handshakes if nobody wants to know of them.
func (c *handshakeCalls) sink() outcome.Sink {
	if c.done == nil && c.failed == nil {
		return outcome.Sink{}
	}
	return outcome.Sink{Handshake: c.add}
}

func (c *handshakeCalls) add(h *outcome.Handshake) {
	if c.callback(h) == nil {
		return
	}
	select {
	case c.queue <- h.Clone():
	default:
		c.dropped.Add(1)
	}
}

func (c *handshakeCalls) callback(h *outcome.Handshake) func(*outcome.Handshake) {
	if h.Result == outcome.Done {
		return c.done
	}
	return c.failed
}

// run calls until close, and then for what is queued.
func (c *handshakeCalls) run() {
	for h := range c.queue {
		c.call(h)
	}
}

// call survives a callback that panics, as exchanges survive filters.
func (c *handshakeCalls) call(h *outcome.Handshake) {
	defer func() {
		if v := recover(); v != nil {
			c.log.Error("panic in a handshake callback", "panic", fmt.Sprint(v), "conn", h.Conn.ID, "reason", string(h.Reason))
		}
	}()
	c.callback(h)(h)
}

// close is called when no handshake is decided any more.
func (c *handshakeCalls) close() { close(c.queue) }

// HandshakesDropped returns how many handshakes [Config.HandshakeDone] and
// [Config.HandshakeFailed] did not get to see, because they were too slow for the
// queue.
func (d *DataPlane) HandshakesDropped() uint64 { return d.handshakes.dropped.Load() }
