package proxy

import (
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// DefaultMinBodyRate is in bytes per second: what the slowest of mobile networks brings
// several times over.
const DefaultMinBodyRate = 256

// paceWindow is how long a client is waited for before its rate is judged.
const paceWindow = 30 * time.Second

// A pace holds a client to the minimum rate of its body: one that sends a byte now and
// then never meets the limit on the time without progress, and would hold a connection
// here and one to the endpoint for ever. Only the time for which the client is waited for
// counts.
type pace struct {
	// rate is the least number of bytes per second, 0 for any.
	rate   int
	waited time.Duration
	bytes  int
}

// pace returns that of x. A gRPC stream is not held to any: it lasts, and is silent, as
// its two ends please.
func (x *Exchange) pace() pace {
	if x.grpc() {
		return pace{}
	}
	return pace{rate: x.proxy.bodyRate}
}

// grpc reports whether the request is a call of gRPC, by its content-type.
func (x *Exchange) grpc() bool {
	return hasPrefixFold(x.in.Fields.Get(message.ContentType), "application/grpc")
}

// add notes a chunk of n bytes and how long it was waited for; it reports whether the
// client has been fast enough.
func (p *pace) add(n int, waited time.Duration) (ok bool) {
	p.bytes += n
	if p.waited += waited; p.rate <= 0 || p.waited < paceWindow {
		return true
	}
	ok = float64(p.bytes) >= float64(p.rate)*p.waited.Seconds()
	p.bytes, p.waited = 0, 0
	return ok
}

var errTooSlow = &outcome.Error{Side: outcome.Downstream, Reason: outcome.BodyTooSlow, Detail: "the request body arrives too slowly"}
