// Package proxy carries one exchange through its phases: from a parsed request
// head to exactly one outcome.
//
// [Proxy.run] is the table of contents. A [Filter] takes part in the phases; what
// a route's policy does not ask for is not in its phase lists and costs nothing.
// Errors are *outcome.Error everywhere: retry.go decides whether another attempt
// follows, fail.go what the client is told.
//
// A Proxy is safe for use by any number of goroutines; an [Exchange] belongs to
// the one that serves it.
package proxy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// Config says what a Proxy works with. Current and Upstreams are required.
type Config struct {
	// Current returns the snapshot in force; nil before the first publish, when
	// every request gets a 503.
	Current func() *snapshot.Snapshot
	// Upstreams holds the pools that the routes name.
	Upstreams *upstream.Set
	// Early runs for every request that is well formed, before it has a route: it
	// may answer what no route has to know of.
	Early []RequestPhase
	// Filters take part in the exchanges of the routes whose policy asks for
	// them, in this order.
	Filters []Filter
	// Sink receives the outcome of each request.
	Sink outcome.Sink
	// MinBodyRate is the least number of bytes per second of a request body, judged
	// over each half minute for which the client is waited for and until the endpoint
	// answers. 0 means 256, negative no limit. gRPC is not held to it.
	MinBodyRate int
	// ExternalHTTPPort and ExternalHTTPSPort are the ports that clients use, for
	// X-Forwarded-Port. 0 means the port of the listener.
	ExternalHTTPPort, ExternalHTTPSPort int
	// Logger gets what is no request's outcome: the stacks of panics. Nil means
	// slog.Default.
	Logger *slog.Logger
}

// A Proxy serves exchanges.
type Proxy struct {
	current   func() *snapshot.Snapshot
	upstreams *upstream.Set
	before    []RequestPhase
	filters   []Filter
	sink      func(*outcome.Request)
	ports     [2]int // plain, TLS
	bodyRate  int
	log       *slog.Logger
	policies  policies
	panics    outcome.Panics
	exchanges sync.Pool // of *Exchange
	inFlight  atomic.Int64
	tunnels   atomic.Int64
	// cutRequests and cutTunnels count what ended with the reason shutdown.
	cutRequests, cutTunnels atomic.Int64
	// leaving says how clients are asked to leave; nil: they are not.
	leaving atomic.Pointer[leaving]
	// dials bounds the connects under way; stop ends it.
	dials context.Context
	stop  context.CancelFunc
}

// New returns a Proxy.
func New(cfg Config) *Proxy {
	p := &Proxy{
		current:   cfg.Current,
		upstreams: cfg.Upstreams,
		before:    cfg.Early,
		filters:   cfg.Filters,
		sink:      cfg.Sink.Request,
		ports:     [2]int{cfg.ExternalHTTPPort, cfg.ExternalHTTPSPort},
		log:       cfg.Logger,
	}
	if p.bodyRate = max(cfg.MinBodyRate, 0); cfg.MinBodyRate == 0 {
		p.bodyRate = DefaultMinBodyRate
	}
	if p.sink == nil {
		p.sink = func(*outcome.Request) {}
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	p.dials, p.stop = context.WithCancel(context.Background())
	p.exchanges.New = func() any { return newExchange() }
	return p
}

// InFlight returns the number of exchanges that are being served.
func (p *Proxy) InFlight() int { return int(p.inFlight.Load()) }

// Tunnels returns how many of them are tunnels: upgraded connections.
func (p *Proxy) Tunnels() int { return int(p.tunnels.Load()) }

// Cut returns how many exchanges ended with the reason shutdown: requests, and
// tunnels.
func (p *Proxy) Cut() (requests, tunnels int) {
	return int(p.cutRequests.Load()), int(p.cutTunnels.Load())
}

// Close makes every connect that is under way fail: nothing new can begin. An
// exchange whose client is lost from now on, because its connection is cut, ends with
// the reason shutdown.
func (p *Proxy) Close() { p.stop() }

// closed reports whether Close was called.
func (p *Proxy) closed() bool { return p.dials.Err() != nil }

// Serve serves one exchange. Whatever happens in it, malformed heads and panics
// included, ends in one answer at most and in exactly one outcome.
func (p *Proxy) Serve(d Downstream) {
	p.inFlight.Add(1)
	x := p.open(d)
	defer p.close(x)
	if err := p.run(x); err != nil {
		x.fail(err)
	}
}

// run is the life of an exchange.
func (p *Proxy) run(x *Exchange) (err *outcome.Error) {
	defer p.recovered(x, &err)

	x.snap = p.current()
	if err := x.early(); err != nil {
		return err
	}
	if answered, err := x.ask(p.before); answered || err != nil {
		return err
	}
	if err := x.match(); err != nil {
		return err
	}
	if answered, err := x.ask(x.plan.request); answered || err != nil {
		return err
	}
	if answered, err := x.lastForward(); answered || err != nil {
		return err
	}
	if x.plan.answer != nil {
		return x.plan.answer
	}
	if answered, err := x.ask(x.plan.cache); answered || err != nil {
		return err
	}
	for {
		err := x.attempt()
		if err == nil {
			return nil
		}
		if again, _ := retry(x.facts(err)); !again {
			return err
		}
		x.last = err
	}
}

// attempt is one try at one endpoint.
func (x *Exchange) attempt() *outcome.Error {
	defer x.release()

	if err := x.pick(); err != nil {
		return err
	}
	if err := x.connect(); err != nil {
		return err
	}
	if err := x.upstreamRequest(); err != nil {
		return err
	}
	if err := x.send(); err != nil {
		return err
	}
	res, err := x.receive()
	if err != nil {
		return err
	}
	if err := x.edit(x.plan.upstreamResponse, res); err != nil {
		return err
	}
	if err := x.edit(x.plan.response, res); err != nil {
		return err
	}
	if res.Status == 101 {
		return x.tunnel(res)
	}
	return x.respond(res)
}

// ask runs phases until one answers.
func (x *Exchange) ask(phases []RequestPhase) (answered bool, err *outcome.Error) {
	for _, phase := range phases {
		if answered, err := phase(x); answered || err != nil {
			return answered, err
		}
	}
	return false, nil
}

// edit runs phases on a response head.
func (x *Exchange) edit(phases []ResponsePhase, res *message.Response) *outcome.Error {
	for _, phase := range phases {
		if err := phase(x, res); err != nil {
			return err
		}
	}
	return nil
}

// open readies an Exchange for d.
func (p *Proxy) open(d Downstream) *Exchange {
	x := p.exchanges.Get().(*Exchange)
	x.proxy = p
	x.d = d
	x.in = d.Request()
	x.conn = d.Conn()
	x.out.Start = time.Now()
	return x
}

// close reports the outcome. An Exchange that saw a panic is not used again: some
// code may still hold on to it.
func (p *Proxy) close(x *Exchange) {
	defer p.inFlight.Add(-1)
	if v := recover(); v != nil { // out of fail itself
		p.logPanic(v)
		x.out.Reason, x.out.Side = outcome.Panic, outcome.Internal
		x.panicked.Store(true)
	}
	x.describe()
	switch {
	case x.out.Reason != outcome.Shutdown:
	case x.out.Upgraded:
		p.cutTunnels.Add(1)
	default:
		p.cutRequests.Add(1)
	}
	p.report(x)
	if x.panicked.Load() {
		return
	}
	x.reset()
	p.exchanges.Put(x)
}
