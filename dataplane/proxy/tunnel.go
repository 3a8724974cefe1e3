package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// switching checks a 101 and readies its head for the client.
//
// RFC 9110 §7.8: "A server MUST NOT switch to a protocol that was not indicated by
// the client in the corresponding request's Upgrade header field."
func (x *Exchange) switching(res *message.Response) *outcome.Error {
	protocol := res.Fields.Get(message.Upgrade)
	if len(protocol) == 0 || !message.EqualFold(protocol, string(x.upgrade())) {
		return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamInvalid, Detail: "101 without a request for it"}
	}
	removeHop(&res.Fields)
	res.Fields.Append(message.Upgrade, message.Upgrade.Bytes(), protocol)
	return nil
}

// tunnel copies both ways until both sides have ended, one is cut, or nothing has
// moved for the policy's ReadTimeout.
func (x *Exchange) tunnel(res *message.Response) *outcome.Error {
	x.quiet()
	if x.gone.Load() {
		return &outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed}
	}
	if err := x.sendHead(res); err != nil {
		return err
	}
	x.out.Upgraded = true
	x.proxy.tunnels.Add(1)
	defer x.proxy.tunnels.Add(-1)
	up, err := x.up.Tunnel()
	if err != nil {
		return typed(err, outcome.Upstream, outcome.UpstreamInvalid)
	}
	down, err := x.d.Tunnel()
	if err != nil {
		up.Close()
		return downstream(err)
	}
	if x.in.Version == message.HTTP2 {
		x.out.Status = 200 // what stands for 101 there: RFC 8441 §5
	}
	t := &tunnel{down: down, up: up, idle: x.plan.policy.ReadTimeout}
	in, out := t.run()
	x.bodyIn.Add(in)
	x.out.BodyOut += out
	if t.failure != nil {
		x.note(x.blame(t.failure)) // both sides are closed: there is nobody left to tell
	}
	return nil
}

// A tunnel is an exchange after its 101.
type tunnel struct {
	down, up io.ReadWriteCloser
	idle     time.Duration
	// moves counts chunks in either direction.
	moves atomic.Int64
	// over says that the tunnel was cut. What fails after that, fails because of it.
	over atomic.Bool
	// told says that the client was given all that the backend had to say.
	told atomic.Bool
	// failure is why it was cut, nil for an orderly end; read it after run.
	failure *outcome.Error
}

// run copies until the tunnel has ended and returns the bytes from and to the
// client. Both sides are closed then.
func (t *tunnel) run() (in, out int64) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { t.watchIdle(done) })

	var back sync.WaitGroup
	back.Go(func() { out = t.copy(t.down, t.up) })
	in = t.copy(t.up, t.down)
	back.Wait()

	close(done)
	wg.Wait()
	t.cut()
	return in, out
}

// copy copies one way. When src ends, dst is told so and the other way goes on:
// half a connection may be all that is left to use (RFC 9293 §3.6). When
// something fails, there is no use in the other way.
func (t *tunnel) copy(dst, src io.ReadWriteCloser) (n int64) {
	buf := tunnelBuffers.Get().(*[16 << 10]byte)
	defer tunnelBuffers.Put(buf)
	for {
		r, err := src.Read(buf[:])
		if r > 0 {
			t.moves.Add(1)
			w, err := dst.Write(buf[:r])
			n += int64(w)
			if err != nil {
				t.broken(dst, err)
				return n
			}
			t.moves.Add(1)
		}
		if errors.Is(err, io.EOF) {
			if src == t.up {
				t.told.Store(true)
			}
			half, ok := dst.(interface{ CloseWrite() error })
			if !ok {
				t.cut()
			} else if err := half.CloseWrite(); err != nil {
				t.broken(dst, err)
			}
			return n
		}
		if err != nil {
			t.broken(src, err)
			return n
		}
	}
}

var tunnelBuffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// broken cuts the tunnel because of an error of one side.
func (t *tunnel) broken(side io.ReadWriteCloser, err error) {
	switch {
	case errors.Is(err, net.ErrClosed):
		// By ourselves: the other direction, which has said why, or the end of a drain.
		t.fail(&outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed, Err: err})
	case side == t.up:
		t.fail(&outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamCut, Err: err})
	case t.told.Load():
		t.cut() // it ends its half without ceremony
	default:
		t.fail(&outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed, Err: err})
	}
}

func (t *tunnel) fail(err *outcome.Error) {
	if t.over.CompareAndSwap(false, true) {
		t.failure = err
	}
	t.cut()
}

func (t *tunnel) cut() {
	t.over.Store(true)
	t.down.Close()
	t.up.Close()
}

// watchIdle cuts the tunnel when nothing has moved for its idle limit, a quarter
// of it more at most.
func (t *tunnel) watchIdle(done chan struct{}) {
	const parts = 4
	tick := time.NewTicker(max(t.idle/parts, time.Millisecond))
	defer tick.Stop()
	last, still := t.moves.Load(), 0
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if now := t.moves.Load(); now != last {
			last, still = now, 0
			continue
		}
		if still++; still > parts {
			t.fail(&outcome.Error{
				Side: outcome.Upstream, Reason: outcome.UpstreamTimeout, Detail: "the tunnel was silent for " + t.idle.String(),
			})
			return
		}
	}
}
