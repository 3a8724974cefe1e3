package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// maxInterim bounds the interim responses of one attempt.
const maxInterim = 32

// pick chooses an endpoint that was not tried yet.
func (x *Exchange) pick() *outcome.Error {
	endpoint, err := x.plan.pool.Pick(x.proxy.dials, x.tried)
	if err != nil {
		return err
	}
	if last := x.last; last != nil && !x.out.Reused && !notLookedAt(last) && slices.Contains(x.tried, endpoint.Addr) {
		// No other is left, and this one has failed on a connection of its own.
		final := *last
		final.Retry = outcome.RetryNo
		return &final
	}
	x.endpoint = endpoint
	x.tried = append(x.tried, endpoint.Addr)
	x.out.Attempts++
	x.out.Endpoint = endpoint.Addr
	return nil
}

// notLookedAt reports whether an attempt ended because the endpoint refused a stream
// that it has not looked at. It may look at the next one: it shuts a connection down,
// or has too many streams just now.
func notLookedAt(err *outcome.Error) bool {
	return err.Reason == outcome.UpstreamReset && err.Retry == outcome.RetryYes
}

// connect takes a kept connection to the endpoint or makes a new one. After a
// kept one turned out to be dead it is a new one: the others are as old.
func (x *Exchange) connect() *outcome.Error {
	pool := x.plan.pool
	if x.last != nil && x.out.Reused {
		return x.dial(pool.Dial)
	}
	x.out.Reused, x.out.ConnectTime = false, 0
	if up := pool.Take(x.endpoint); up != nil {
		x.connected(up)
		return nil
	}
	return x.dial(pool.Get)
}

func (x *Exchange) connected(up *upstream.Conn) {
	x.up = up
	x.out.Reused, x.out.ConnectTime, x.out.UpstreamTLS = up.Reused, up.ConnectTime, up.TLS
}

// A dialFunc is Get or Dial of a pool.
type dialFunc func(context.Context, *upstream.Endpoint, time.Duration) (*upstream.Conn, *outcome.Error)

// dial makes a connection. When that takes long somebody watches the client; it ends
// when the client leaves.
func (x *Exchange) dial(dial dialFunc) *outcome.Error {
	x.out.Reused, x.out.ConnectTime, x.out.UpstreamTLS = false, 0, nil
	ctx, cancel := context.WithCancel(x.proxy.dials)
	defer cancel()
	stop := make(chan func(), 1)
	long := time.AfterFunc(patience, func() {
		stop <- x.d.Watch(func() {
			x.gone.Store(true)
			cancel()
		})
	})
	up, err := dial(ctx, x.endpoint, x.plan.policy.ConnectTimeout)
	if !long.Stop() {
		(<-stop)()
	}
	if err != nil {
		if failed, ok := errors.AsType[*upstream.HandshakeError](err); ok {
			x.out.UpstreamTLS = failed.Handshake
		}
		return err
	}
	x.connected(up)
	return nil
}

// receive waits for the final response head, passes interim ones on and readies
// the final one for the client.
func (x *Exchange) receive() (*message.Response, *outcome.Error) {
	for range maxInterim {
		res, err := x.up.Response(x.onWaiting)
		if err != nil {
			return nil, x.cause(typed(err, outcome.Upstream, outcome.UpstreamInvalid))
		}
		if res.Status >= 200 || res.Status == 101 {
			return x.received(res)
		}
		if err := x.inform(res); err != nil {
			return nil, err
		}
	}
	return nil, &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamInvalid, Detail: "too many interim responses"}
}

func (x *Exchange) received(res *message.Response) (*message.Response, *outcome.Error) {
	x.out.UpstreamStatus = res.Status
	x.out.FirstByte = time.Since(x.out.Start)
	x.heard.Store(true)
	x.headArrived()
	if res.Status == 101 {
		return res, x.switching(res)
	}
	upgrade := res.Fields.Get(message.Upgrade)
	removeHop(&res.Fields)
	if res.Status == 426 && upgrade != nil {
		// RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a
		// 426 response to indicate the required protocol(s)."
		res.Fields.Append(message.Upgrade, message.Upgrade.Bytes(), upgrade)
	}
	return res, nil
}

// inform passes an interim response on.
//
// RFC 9110 §15.2: "A proxy MUST forward 1xx responses unless the proxy itself
// requested the generation of the 1xx response", and "since HTTP/1.0 did not
// define any 1xx status codes, a server MUST NOT send a 1xx response to an
// HTTP/1.0 client".
func (x *Exchange) inform(res *message.Response) *outcome.Error {
	if x.in.Version == message.HTTP10 {
		return nil
	}
	if res.Status == 100 {
		if x.continued || !x.in.Expect {
			return nil // a client that asked for one 100 is told once
		}
		x.continued = true
	}
	removeHop(&res.Fields)
	x.answered = true
	return downstream(x.d.Inform(res))
}

// removeHop removes what a response says about its own hop, and the framing,
// which the client's engine writes anew.
func removeHop(f *message.Fields) {
	f.StripHopByHop()
	f.Del(message.ContentLength)
}

// cause finds out why a call on the stream failed: one that was interrupted says
// only that.
func (x *Exchange) cause(err *outcome.Error) *outcome.Error {
	if x.gone.Load() {
		return &outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed}
	}
	if cause := x.sendErr.Load(); cause != nil {
		return cause
	}
	return err
}

// release ends the attempt; the connection goes back to its endpoint, or away.
func (x *Exchange) release() {
	if x.up == nil {
		return
	}
	x.quiet()
	x.up.Done()
	x.up = nil
}

// quiet ends what runs beside the exchange, and waits for it.
func (x *Exchange) quiet() {
	x.stopSending()
	if x.stopWatch != nil {
		x.stopWatch()
		x.stopWatch = nil
	}
}
