package upstream

import (
	"context"
	"net"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// Connect returns a new connection to e on which the pool's protocol is not
// spoken: what goes over it is the caller's, and so is the connection. It is for
// pools without TLS. The guard applies, and timeout as in [Pool.Get]. The error is
// one of an attempt before a byte was sent.
func (p *Pool) Connect(ctx context.Context, e *Endpoint, timeout time.Duration) (net.Conn, *outcome.Error) {
	nc, _, err := e.dial(ctx, timeout)
	if err != nil {
		p.count.dialErrors.Add(1)
		return nil, err
	}
	p.count.dials.Add(1)
	return nc, nil
}
