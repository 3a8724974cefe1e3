package http2

import (
	"fmt"
	"runtime/debug"
)

// This file is about the goroutines that serve requests. Each belongs to an Exchange
// and is reused with it.

// takeExchange returns an exchange that is free; mu is held.
func (c *serverConn) takeExchange() *Exchange {
	if n := len(c.parked); n > 0 {
		x := c.parked[n-1]
		c.parked[n-1] = nil
		c.parked = c.parked[:n-1]
		return x
	}
	return newExchange()
}

// park keeps an exchange for the next request; mu is held. It reports whether it
// will be needed.
func (c *serverConn) park(x *Exchange) bool {
	if c.stopped {
		return false
	}
	if x.live {
		c.parked = append(c.parked, x)
	}
	return true
}

// dispatch has a goroutine serve x; mu is held.
func (c *serverConn) dispatch(x *Exchange) {
	c.running++
	if x.live {
		x.work <- struct{}{}
		return
	}
	x.live = true
	c.goroutines.Go(x.loop)
}

// loop serves one request after another.
func (x *Exchange) loop() {
	c := x.conn
	for more := true; more; {
		x.serve()
		c.mu.Lock()
		c.running--
		kept := c.park(x)
		c.mu.Unlock()
		if !kept {
			return
		}
		_, more = <-x.work
	}
}

// serve serves one request.
func (x *Exchange) serve() {
	c := x.conn
	defer func() {
		v := recover()
		c.mu.Lock()
		defer c.mu.Unlock()
		if v != nil {
			// It goes on in the goroutine of Serve, whose owner knows what to do.
			c.panicked = fmt.Sprintf("%v\n\n%s", v, debug.Stack())
			c.rd.interrupt()
		}
		x.finish()
	}()
	if x.openEnd {
		x.awaitEnd()
	}
	c.server.Handler(x)
}
