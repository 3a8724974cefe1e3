// Connections that carry many streams at once.
//
// An endpoint of a pool that speaks HTTP/2 keeps a list of them. An attempt takes a
// stream of the first one that has room, of those in use before those that are
// idle: the surplus of a burst is left alone, ages and is closed. If none has room
// one attempt dials and the others wait for it: a burst makes as many connections
// as its streams fill, one after the other.

package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A Multiplex is a connection that carries many streams at once: http2's client
// side is one. It is safe for concurrent use.
type Multiplex interface {
	// Start exchanges the prefaces, after which it is known that the peer speaks
	// the protocol, and how many streams it takes. If that fails the connection is
	// closed.
	Start(ctx context.Context) *outcome.Error
	// Open takes a stream; nil if there is no room for one. It does no I/O. The
	// stream has its place until its Close.
	Open() Stream
	// Closing reports whether the connection takes no streams any more. It is
	// closed when the last one is.
	Closing() bool
	// Drain makes the connection closing.
	Drain()
}

// A shared is a Multiplex in the list of its endpoint. Endpoint.mu guards all of
// it but what m guards itself.
type shared struct {
	m        Multiplex
	endpoint *Endpoint
	// tls is the handshake; nil in plain text.
	tls *outcome.UpstreamHandshake
	// listed: it is in Endpoint.shared.
	listed bool
	// streams are handed out.
	streams int
	// idle: it has no streams and is counted in Set.idle, since the epoch keptAt.
	idle   bool
	keptAt uint32
	// made is what Endpoint.breaks was when the connection was made.
	made uint64
	// free holds the Conns of streams that have ended.
	free []*Conn
}

// A sharedDial is under way; err is set when done is closed.
type sharedDial struct {
	done chan struct{}
	err  *outcome.Error
}

// join returns a stream of a connection that has room, and makes a connection if
// none has. fresh passes over those that are older than the last break.
func (p *Pool) join(ctx context.Context, e *Endpoint, timeout time.Duration, fresh bool) (*Conn, *outcome.Error) {
	var since uint64
	if fresh {
		e.mu.Lock()
		since = e.breaks
		c := e.open(since)
		e.mu.Unlock()
		if c != nil {
			p.count.reuses.Add(1)
			return c, nil
		}
	}

	if timeout <= 0 {
		timeout = defaultConnectTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	for {
		c, d, first := e.openOrDial(since)
		switch {
		case c != nil:
			p.count.reuses.Add(1)
			c.ConnectTime = time.Since(start)
			return c, nil
		case first:
			return p.dialShared(ctx, e, d)
		}
		select {
		case <-d.done:
		case <-ctx.Done():
			err := fmt.Errorf("dial %s: another attempt's dial is under way: %w", e.Addr, ctx.Err())
			return nil, dialError(ctx, outcome.ConnectTimeout, err)
		}
		if err := d.err; err != nil && !ranOut(err) {
			shared := *err
			return nil, &shared
		}
	}
}

// ranOut reports whether a dial failed for want of time or by the leaving of who
// made it: of others' dials that says nothing.
func ranOut(err *outcome.Error) bool {
	return err.Reason == outcome.ConnectTimeout || err.Reason == outcome.ClientClosed
}

// openOrDial returns a stream, or else the dial to wait for; first means that it
// is the caller who makes it.
func (e *Endpoint) openOrDial(since uint64) (c *Conn, d *sharedDial, first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.open(since); c != nil {
		return c, nil, false
	}
	if e.dialing == nil {
		e.dialing = &sharedDial{done: make(chan struct{})}
		first = true
	}
	return nil, e.dialing, first
}

// open returns a stream of a connection that has room; nil if none has. Endpoint.mu
// is held.
func (e *Endpoint) open(since uint64) *Conn {
	for _, idle := range [...]bool{false, true} {
		for i := 0; i < len(e.shared); i++ {
			sc := e.shared[i]
			if sc.made < since || sc.idle != idle {
				continue
			}
			if s := sc.m.Open(); s != nil {
				return sc.handOut(s)
			}
			if sc.m.Closing() {
				e.broke(sc)
				i--
			}
		}
	}
	return nil
}

// handOut makes a Conn of a stream. Endpoint.mu is held.
func (sc *shared) handOut(s Stream) *Conn {
	sc.leaveIdle()
	sc.streams++
	var c *Conn
	if n := len(sc.free) - 1; n >= 0 {
		c, sc.free[n] = sc.free[n], nil
		sc.free = sc.free[:n]
	} else {
		c = &Conn{Endpoint: sc.endpoint, TLS: sc.tls, shared: sc}
	}
	c.Stream = s
	c.handOut(true)
	return c
}

// dialShared makes the connection that d stands for, and takes its first stream.
func (p *Pool) dialShared(ctx context.Context, e *Endpoint, d *sharedDial) (*Conn, *outcome.Error) {
	start := time.Now()
	// Those who wait are told even if a panic passes by.
	err := &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Err: errors.New("upstream: dial ended early")}
	defer func() { e.settle(d, err) }()

	var sc *shared
	if sc, err = p.start(ctx, e); err != nil {
		p.count.dialErrors.Add(1)
		return nil, err
	}
	p.count.dials.Add(1)
	c := e.list(sc)
	if c == nil {
		sc.m.Drain()
		err = &outcome.Error{
			Side: outcome.Upstream, Reason: outcome.ConnectFailed, Retry: outcome.RetryYes,
			Err: fmt.Errorf("upstream: dial %s: the new connection takes no stream", e.Addr),
		}
		return nil, err
	}
	c.Reused, c.ConnectTime = false, time.Since(start)
	return c, nil
}

// start dials and starts the protocol.
func (p *Pool) start(ctx context.Context, e *Endpoint) (*shared, *outcome.Error) {
	deadline, _ := ctx.Deadline()
	nc, handshake, err := e.dial(ctx, max(time.Until(deadline), 1))
	if err != nil {
		return nil, err
	}
	m := p.set.cfg.Multiplex(nc)
	if err := m.Start(ctx); err != nil {
		if alert, ok := remoteAlert(err); ok && handshake != nil {
			// In TLS 1.3 an endpoint judges our certificate after the handshake is over
			// for us.
			err = refused(handshake, alert)
			if failed, ok := errors.AsType[*HandshakeError](err); ok {
				p.told(failed.Handshake)
			}
			return nil, err
		}
		p.told(handshake)
		return nil, err
	}
	p.told(handshake)
	return &shared{m: m, endpoint: e, tls: handshake}, nil
}

// settle tells those who wait how a dial ended.
func (e *Endpoint) settle(d *sharedDial, err *outcome.Error) {
	e.mu.Lock()
	e.dialing, d.err = nil, err
	e.mu.Unlock()
	close(d.done)
}

// list puts a new connection into the list and takes its first stream; nil if it
// has none to give. One to an endpoint that is gone serves that stream alone.
func (e *Endpoint) list(sc *shared) *Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := sc.m.Open()
	if s == nil {
		return nil
	}
	if e.gone {
		sc.m.Drain()
	} else {
		sc.listed, sc.made = true, e.breaks
		e.shared = append(e.shared, sc)
	}
	return sc.handOut(s)
}

// release takes back the Conn of a stream that has ended.
func (sc *shared) release(c *Conn) {
	e := sc.endpoint
	e.mu.Lock()
	sc.streams--
	c.Stream = nil
	sc.free = append(sc.free, c)
	surplus := false
	switch {
	case !sc.listed:
	case sc.m.Closing():
		e.broke(sc)
	case sc.streams == 0:
		surplus = !e.keepShared(sc)
	}
	e.mu.Unlock()
	if surplus {
		e.pool.count.surplus.Add(1)
		sc.m.Drain()
	}
}

// keepShared makes a connection idle; false means that there is no room, and that
// it is out of the list. Endpoint.mu is held.
func (e *Endpoint) keepShared(sc *shared) bool {
	s := e.pool.set
	if e.idleShared() >= s.cfg.MaxIdlePerEndpoint || !s.reserve() {
		e.unlist(sc)
		return false
	}
	sc.idle, sc.keptAt = true, s.epoch.Load()
	return true
}

// idleShared returns the number of idle connections. Endpoint.mu is held.
func (e *Endpoint) idleShared() int {
	n := 0
	for _, sc := range e.shared {
		if sc.idle {
			n++
		}
	}
	return n
}

// broke takes a connection that is closing out of the list. Endpoint.mu is held.
func (e *Endpoint) broke(sc *shared) {
	e.breaks++
	if sc.idle {
		e.pool.count.closed.Add(1)
	}
	e.unlist(sc)
}

// unlist takes a connection out of the list. Endpoint.mu is held.
func (e *Endpoint) unlist(sc *shared) {
	sc.listed = false
	sc.leaveIdle()
	e.shared = slices.DeleteFunc(e.shared, func(o *shared) bool { return o == sc })
}

func (sc *shared) leaveIdle() {
	if sc.idle {
		sc.idle = false
		sc.endpoint.pool.set.idle.Add(-1)
	}
}

// expireShared is expire for shared connections. It takes those along that have
// been closed while nobody used them.
func (e *Endpoint) expireShared(now, age uint32) (old []Multiplex) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := 0; i < len(e.shared); i++ {
		sc := e.shared[i]
		switch {
		case sc.m.Closing():
			e.broke(sc)
		case sc.idle && now-sc.keptAt >= age:
			e.unlist(sc)
			old = append(old, sc.m)
		default:
			continue
		}
		i--
	}
	return old
}
