package dataplane

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/listen"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// passthroughTries is the most endpoints that are tried for one connection.
const passthroughTries = 3

const defaultPassthroughIdleTimeout = 10 * time.Minute

// passthrough carries a connection to an endpoint of its host's pool, as it is.
func (d *DataPlane) passthrough(client net.Conn, host *snapshot.Host, h *outcome.Handshake) *outcome.Error {
	pool := d.upstreams.Pool(host.TLS.Passthrough)
	if pool == nil {
		// The host has just left the table.
		return &outcome.Error{Side: outcome.Internal, Reason: outcome.NoService}
	}
	backend, err := d.connect(pool, h)
	if err != nil {
		return err
	}
	defer backend.Close()
	if host.TLS.PassthroughProxyHeader {
		header := listen.AppendProxyHeader(nil, h.Conn.Remote, h.Conn.Local)
		_ = backend.SetWriteDeadline(time.Now().Add(passthroughHeaderTimeout))
		if _, err := backend.Write(header); err != nil {
			return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamSend, Err: fmt.Errorf("dataplane: passthrough: %w", err)}
		}
	}
	idle := d.cfg.PassthroughIdleTimeout
	if idle == 0 {
		idle = defaultPassthroughIdleTimeout
	}
	relay(client, backend, idle)
	return nil
}

// passthroughHeaderTimeout bounds the sending of a PROXY header, which fits into
// the socket's buffer.
const passthroughHeaderTimeout = 5 * time.Second

// connect connects to an endpoint of the pool, or to another one if that fails:
// nothing was sent yet.
func (d *DataPlane) connect(pool *upstream.Pool, h *outcome.Handshake) (net.Conn, *outcome.Error) {
	var tried []netip.AddrPort
	for {
		e, err := pool.Pick(d.passing, tried)
		if err != nil {
			return nil, err
		}
		h.Endpoint = e.Addr
		h.Attempts++
		nc, err := pool.Connect(d.passing, e, 0)
		if err == nil {
			return nc, nil
		}
		if h.Attempts == passthroughTries || err.Retry != outcome.RetryYes {
			return nil, err
		}
		tried = append(tried, e.Addr)
	}
}

// A relaying is two connections whose bytes are carried to each other.
type relaying struct {
	idle time.Duration
	// moved counts the bytes carried, as far as they are known.
	moved atomic.Int64
}

// relay carries bytes both ways until both sides have ended, one of them breaks,
// or nothing moves for idle. The end of one side is passed on to the other, which
// may go on to send.
func relay(client, backend net.Conn, idle time.Duration) {
	r := &relaying{idle: idle}
	var both sync.WaitGroup
	both.Go(func() { r.carry(backend, client) })
	both.Go(func() { r.carry(client, backend) })
	both.Wait()
}

// carry carries what src sends to dst. When it ends other than by the end of src
// it ends both.
//
// The kernel moves the bytes by itself where it can, and says how many only when
// the call ends. So the call is made to end twice in the idle time, by the
// deadline for reading, at which nothing is lost. Two such ends without a byte in
// either direction are no use of the connection: two, because the other direction
// may be about to tell of its bytes. A write that takes twice the idle time is
// none either.
func (r *relaying) carry(dst, src net.Conn) {
	quiet := 0
	for {
		begun, before := time.Now(), r.moved.Load()
		_ = src.SetReadDeadline(begun.Add(r.idle / 2))
		_ = dst.SetWriteDeadline(begun.Add(2 * r.idle))
		n, err := io.Copy(dst, src)
		r.moved.Add(n)
		if err == nil {
			if half, ok := dst.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
				return
			}
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) >= 2*r.idle {
			break
		}
		if quiet++; r.moved.Load() != before {
			quiet = 0
		}
		if quiet == 2 {
			break
		}
	}
	// The other direction ends by it. What closing says changes nothing.
	_ = src.Close()
	_ = dst.Close()
}
