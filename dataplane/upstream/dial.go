package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/socket"
)

// dial makes a connection to e: guard, then a turn to dial, then the dial, then TLS
// if the pool has it. A handshake that failed is told; one that did not is returned,
// for the caller to tell once it is sure of it.
func (e *Endpoint) dial(parent context.Context, timeout time.Duration) (net.Conn, *outcome.UpstreamHandshake, *outcome.Error) {
	cfg := &e.pool.set.cfg
	addr := netip.AddrPortFrom(e.Addr.Addr().Unmap(), e.Addr.Port())
	if err := cfg.guard(addr); err != nil {
		return nil, nil, dialError(parent, outcome.AddressRefused, err)
	}
	if timeout <= 0 {
		timeout = defaultConnectTimeout
	}
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()

	select {
	case e.dials <- struct{}{}:
		defer func() { <-e.dials }()
	case <-ctx.Done():
		err := fmt.Errorf("dial %s: %d dials are under way: %w", addr, cap(e.dials), ctx.Err())
		return nil, nil, dialError(parent, outcome.ConnectTimeout, err)
	}
	nc, err := cfg.Dial(ctx, addr)
	if err != nil {
		return nil, nil, dialError(parent, dialReason(err), fmt.Errorf("dial %s: %w", addr, dialCause(err)))
	}
	if e.pool.security == nil {
		return nc, nil, nil
	}
	nc, handshake := e.pool.security.dial(ctx, nc, addr)
	handshake.Pool, handshake.Origin = e.pool.ID(), e.pool.Origin()
	if handshake.Result != outcome.Done {
		e.pool.told(handshake)
		return nil, nil, dialError(parent, handshake.Reason, &HandshakeError{handshake})
	}
	return nc, handshake, nil
}

// dialTCP dials a literal address: nothing is resolved after the guard. The
// connection has TCP_NODELAY and keep-alive probes every 15 s, Go's defaults.
func dialTCP(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialTCP(ctx, "tcp", netip.AddrPort{}, addr)
	if err != nil {
		// A nil *net.TCPConn is not a nil net.Conn.
		return nil, err
	}
	return socket.Wrap(nc), nil
}

func dialReason(err error) outcome.Reason {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return outcome.ConnectRefused
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return outcome.ConnectTimeout
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return outcome.ConnectTimeout
	}
	return outcome.ConnectFailed
}

// dialCause takes off the operation and address, which we name ourselves.
func dialCause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// dialError is what ends an attempt before a byte was sent. If the caller's
// context was cancelled, that is what happened, whatever the dial says of it.
func dialError(ctx context.Context, reason outcome.Reason, err error) *outcome.Error {
	err = fmt.Errorf("upstream: %w", err)
	if errors.Is(ctx.Err(), context.Canceled) {
		return &outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed, Err: err}
	}
	return &outcome.Error{Side: outcome.Upstream, Reason: reason, Retry: outcome.RetryYes, Err: err}
}
