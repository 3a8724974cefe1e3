package proxy

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// An Exchange is one client request and its answer. Filters see it in their
// phases; it is valid until the phase returns, and so is every slice it gives.
type Exchange struct {
	proxy *Proxy
	d     Downstream
	in    *message.Request
	conn  *outcome.Conn
	snap  *snapshot.Snapshot
	plan  *plan
	route *snapshot.Route
	// auth is what the host demands of client certificates; nil: nothing.
	auth *snapshot.ClientAuth
	out  outcome.Request

	// What early makes of the head. asterisk: the target is "*".
	id, host, path            []byte
	asterisk, trusted, secure bool

	// The attempts. head is the memory of what is added to req, last the error of
	// the attempt before.
	tried    []netip.AddrPort
	endpoint *upstream.Endpoint
	up       *upstream.Conn
	req      message.Request
	head     []byte
	last     *outcome.Error

	// The request body. touched: some of it was read; bodyRead: all of it was.
	// replay holds what was read, unless it overflowed; lent is its memory, if it
	// comes from replays.
	touched, overflow bool
	replay            []byte
	lent              *[replayLimit]byte
	trailers          *message.Fields
	bodyRead          atomic.Bool
	bodyIn            atomic.Int64

	// The sender, if one runs: what it tells by requestSent and sendErr, when it
	// ends by sent; what it is told by takeOver, by heard when the response head
	// has come, and by moves, which is even while the exchange waits for the
	// endpoint and odd while it does not.
	sending        bool
	heard          atomic.Bool
	requestSent    atomic.Bool
	sendErr        atomic.Pointer[outcome.Error]
	moves          atomic.Int64
	sent, takeOver chan struct{}

	// The client's patience. gone is set by the watcher that stopWatch ends.
	gone      atomic.Bool
	stopWatch func()

	// The response. answered: some of one was sent, an interim one perhaps. res
	// and text are an answer of our own.
	answered, headSent, continued bool
	res                           message.Response
	text                          []byte

	panicked atomic.Bool

	// Made once per Exchange, so that using them allocates nothing.
	onWaiting, onGone, runSender func()
	hostMemory, pathMemory       []byte
	idMemory                     [32]byte
}

// unreadLimit is the largest body, by its Content-Length, behind which a connection
// is meant to go on when nobody has read it.
const unreadLimit = 256 << 10

func newExchange() *Exchange {
	x := &Exchange{
		sent:       make(chan struct{}, 1),
		takeOver:   make(chan struct{}, 1),
		hostMemory: make([]byte, 0, 256),
		pathMemory: make([]byte, 0, 1024),
	}
	x.onWaiting, x.onGone, x.runSender = x.waiting, x.clientGone, x.sender
	return x
}

// Request is the head as the client sent it. It must not be changed: an
// UpstreamRequest phase changes the copy that is sent.
func (x *Exchange) Request() *message.Request { return x.in }

// Conn is the client's connection.
func (x *Exchange) Conn() *outcome.Conn { return x.conn }

// Host is the normalised host: lower case, without port.
func (x *Exchange) Host() []byte { return x.host }

// Path is the normalised path, without the query: what was matched, and what is
// forwarded.
func (x *Exchange) Path() []byte { return x.path }

// ClientAuth is what the host demands of client certificates; nil if nothing, and
// on the path of an ACME challenge.
func (x *Exchange) ClientAuth() *snapshot.ClientAuth { return x.auth }

// Route is the route that matched; nil before there is one.
func (x *Exchange) Route() *snapshot.Route { return x.route }

// Policy is the route's, with its defaults filled in; zero before there is one.
func (x *Exchange) Policy() snapshot.Policy {
	if x.plan == nil {
		return snapshot.Policy{}
	}
	return x.plan.policy
}

// ID is the request ID.
func (x *Exchange) ID() []byte { return x.id }

// Trusted reports whether the peer may say on whose behalf it speaks: it is in
// [snapshot.Spec.TrustedCIDRs].
func (x *Exchange) Trusted() bool { return x.trusted }

// Client is whom the request comes from: the peer, or whom a trusted peer names.
func (x *Exchange) Client() netip.Addr { return x.out.Client }

// Secure reports whether the client came by https: over TLS, or according to the
// X-Forwarded-Proto of a trusted peer.
func (x *Exchange) Secure() bool { return x.secure }

// Answer answers the exchange in place of a backend. fields are pairs of name and
// value; the length of body is added. A HEAD request gets no body.
func (x *Exchange) Answer(status int, body string, fields ...string) *outcome.Error {
	x.res.Reset()
	x.res.Status = status
	for i := 0; i+1 < len(fields); i += 2 {
		x.res.Fields.AddName(fields[i], fields[i+1])
	}
	x.text = append(x.text[:0], body...)
	return x.answer()
}

// answer sends x.res with x.text as its body.
func (x *Exchange) answer() *outcome.Error {
	if x.in.Length > unreadLimit && !x.bodyTaken() {
		// Nobody will read that much for nothing. A client that is not told so may
		// lose the request that it sends next.
		x.d.Close()
	}
	x.res.Version = message.HTTP11
	x.res.Length = int64(len(x.text))
	if err := x.sendHead(&x.res); err != nil {
		return err
	}
	if len(x.text) > 0 && x.in.Method != "HEAD" {
		if err := x.d.Write(x.text); err != nil {
			return downstream(err)
		}
		x.out.BodyOut += int64(len(x.text))
	}
	return downstream(x.d.End(nil))
}

// sendHead queues the final response head. One that the engine does not accept
// leaves room for an answer that says so.
func (x *Exchange) sendHead(res *message.Response) *outcome.Error {
	if l := x.proxy.leaving.Load(); l != nil && l.asks(time.Now(), rand.Float64()) {
		x.d.Retire()
	}
	if x.plan != nil {
		for _, phase := range x.plan.final {
			phase(x, res)
		}
	}
	err := downstream(x.d.Head(res))
	if err != nil && err.Side != outcome.Downstream {
		return err
	}
	x.answered, x.headSent = true, true
	x.out.Status = res.Status
	return err
}

// describe completes the outcome with what the exchange has found out.
func (x *Exchange) describe() {
	o := &x.out
	o.Conn = x.conn
	o.Duration = time.Since(o.Start)
	o.ID, o.Host, o.Path = x.id, x.host, x.path
	o.Method, o.Proto, o.Target = x.in.Method, x.in.Version.String(), x.in.Target
	o.UserAgent = x.in.Fields.Get(message.UserAgent)
	o.Referer = x.in.Fields.Get(message.Referer)
	o.BodyIn = x.bodyIn.Load()
	if o.Reason == "" {
		o.Reason = outcome.OK
	}
}

// reset empties x for the next exchange and keeps its memory.
func (x *Exchange) reset() {
	x.req.Reset()
	x.res.Reset()
	if x.lent != nil {
		replays.Put(x.lent)
		x.lent, x.replay = nil, nil
	}
	clear(x.tried)
	*x = Exchange{
		tried:     x.tried[:0],
		req:       x.req,
		res:       x.res,
		head:      x.head[:0],
		replay:    x.replay[:0],
		text:      x.text[:0],
		onWaiting: x.onWaiting, onGone: x.onGone, runSender: x.runSender,
		sent: x.sent, takeOver: x.takeOver,
		hostMemory: x.hostMemory, pathMemory: x.pathMemory,
	}
}

// downstream gives an error of a Downstream its type.
func downstream(err error) *outcome.Error {
	return typed(err, outcome.Downstream, outcome.ClientClosed)
}

// typed returns err as what it is by contract; an error of another type is a gap
// in an engine, reported with the given side and reason.
func typed(err error, side outcome.Side, reason outcome.Reason) *outcome.Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*outcome.Error); ok {
		return e
	}
	return &outcome.Error{Side: side, Reason: reason, Err: err}
}

// appendPort appends the decimal form of port.
func appendPort(b []byte, port int) []byte { return strconv.AppendInt(b, int64(port), 10) }
