package proxy_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestClientLeavesWhileConnecting: a client that leaves ends the connect that is made
// for it, of either protocol, and not only the request after it.
func TestClientLeavesWhileConnecting(t *testing.T) {
	for _, protocol := range []snapshot.Protocol{snapshot.HTTP1, snapshot.H2C} {
		for _, in := range []string{
			"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello",
		} {
			dialing, ended := make(chan struct{}), make(chan error, 1)
			w := newWorld(t, settings{
				protocol: protocol, policy: snapshot.Policy{ConnectTimeout: time.Hour},
				dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
					close(dialing)
					<-ctx.Done()
					ended <- context.Cause(ctx)
					return nil, ctx.Err()
				},
			}, nobody(t))
			c := w.dial()
			c.send(in)
			<-dialing
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
			c.Close()
			if o := w.outcome(outcome.ClientClosed, 499); o.Side != outcome.Downstream || o.Attempts != 1 {
				t.Errorf("%q: side %s after %d attempts, want downstream after 1", in, o.Side, o.Attempts)
			}
			if err := <-ended; err != context.Canceled {
				t.Errorf("%q: the connect ended by %v, want its cancellation", in, err)
			}
		}
	}
}

// TestClientStaysWhileConnecting: a slow connect costs a client that waits nothing of
// its request.
func TestClientStaysWhileConnecting(t *testing.T) {
	w := newWorld(t, settings{dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		select {
		case <-time.After(500 * time.Millisecond): // beyond the time after which it is watched
		case <-ctx.Done():
		}
		return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
	}}, backend(t, echo))
	c := w.dial()
	c.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhelloworldGET /b HTTP/1.1\r\nHost: h\r\n\r\n")
	c.want("POST", 200, "POST /a helloworld")
	c.want("GET", 200, "GET /b ")
	w.outcome(outcome.OK, 200)
	w.outcome(outcome.OK, 200)
}
