// Package dataplane serves traffic: it accepts connections, authenticates them,
// finds each request's route and carries it to an endpoint. It is told what to
// serve by [DataPlane.Publish], and tells what happens through an [outcome.Sink].
// It knows nothing of Kubernetes.
//
//	d, err := dataplane.New(dataplane.Config{HTTPAddr: ":8080", HTTPSAddr: ":8443", Sink: sink})
//	err = d.Publish(snapshot.Update{Spec: spec, Endpoints: endpoints})
//	err = d.Run(ctx) // until ctx ends, then drains
//
// Publish may be called before and while Run serves, any number of times, from
// any goroutine: a change is in force for the next handshake and the next request
// and disturbs none that is under way.
//
// Those who embed it take part in the exchanges by [Config.Filters], hear of
// handshakes by [Config.HandshakeDone] and [Config.HandshakeFailed], and see every
// connection, handshake and request, as it happens, by [Config.Sink].
package dataplane

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/filter"
	"github.com/cardea-dev/cardea/dataplane/http1"
	"github.com/cardea-dev/cardea/dataplane/http2"
	"github.com/cardea-dev/cardea/dataplane/listen"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// Config configures a DataPlane. At least one of HTTPAddr and HTTPSAddr is
// required.
type Config struct {
	// HTTPAddr and HTTPSAddr are the TCP addresses to listen on, as of
	// [net.Listen]. Empty means no such listener.
	HTTPAddr, HTTPSAddr string
	// ExternalHTTPPort and ExternalHTTPSPort are the ports on which clients reach
	// the listeners, for redirects and X-Forwarded-Port. 0 means the listener's
	// own; without an HTTPS listener, 443.
	ExternalHTTPPort, ExternalHTTPSPort int

	// Sink receives the outcome of every connection, handshake, request, publish
	// and change of health.
	Sink outcome.Sink
	// HandshakeDone is called for every TLS handshake that went well,
	// HandshakeFailed for every other. They are called one at a time on a goroutine
	// of their own and never hold up a connection; Run returns when the last call
	// has. What they are given is theirs to keep. Nil: not called.
	HandshakeDone, HandshakeFailed func(*outcome.Handshake)
	// HandshakeQueue is how many handshakes may wait for these callbacks; what
	// comes in addition is dropped, see [DataPlane.HandshakesDropped]. 0 means 1024.
	HandshakeQueue int
	// Early runs for every well-formed request before it has a route, see
	// [proxy.Config].
	Early []proxy.RequestPhase
	// Filters take part in exchanges after the built-in ones, in this order.
	Filters []proxy.Filter
	// Admit, if not nil, is asked about every connection that the connection policy
	// of the Spec lets in, before a byte of TLS or HTTP is read from it, see
	// [listen.Config].
	Admit func(*outcome.Conn) outcome.Reason
	// KeyLog, if not nil, is written the secrets of TLS sessions with clients, and
	// UpstreamKeyLog of those with endpoints, in the NSS key log format: whoever
	// reads it reads the traffic.
	KeyLog, UpstreamKeyLog io.Writer
	// OCSP has the revocation status of certificates fetched from their authorities
	// and stapled to handshakes.
	OCSP bool
	// Logger receives what is no outcome: trouble with a socket, panics, the
	// drain. Nil means slog.Default.
	Logger *slog.Logger

	// Dial and Resolve replace how endpoints are connected to and how names of
	// ExternalName Services are resolved. Nil means TCP and DNS. Addresses are
	// checked before Dial sees them.
	Dial    func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	// AllowLoopback lets endpoints be loopback addresses.
	AllowLoopback bool
	// OwnAddrs are further addresses of this process that no endpoint may have,
	// its admin listener's for instance; the listeners above are known. An
	// unspecified address stands for every address of this host.
	OwnAddrs []netip.AddrPort

	// HandshakeTimeout bounds a TLS handshake (0: 60 s), FirstByteTimeout the wait
	// for its first byte (0: 10 s).
	HandshakeTimeout, FirstByteTimeout time.Duration
	// HeadTimeout bounds the arrival of a request head, IdleTimeout the wait for
	// the next request. BodyTimeout and SendTimeout bound the time without
	// progress while a request body arrives and while a response is sent. 0 means
	// the default of packages http1 and http2.
	HeadTimeout, BodyTimeout, IdleTimeout, SendTimeout time.Duration
	// HalfCloseTimeout is how long an HTTP/1 client that has closed its half of the
	// connection is taken to wait for its answer. 0 means 10 s.
	HalfCloseTimeout time.Duration
	// MinBodyRate is the least number of bytes per second of a request body. 0 means
	// 256, negative no limit; see [proxy.Config].
	MinBodyRate int
	// MaxHead is the most bytes, MaxFields the most field lines of a request head.
	// 0 means the default of packages http1 and http2.
	MaxHead, MaxFields int
	// MaxConns bounds the connections that are open at once, MaxHandshakes the
	// handshakes, on each listener. 0 means no limit.
	MaxConns, MaxHandshakes int
	// PassthroughIdleTimeout ends a connection that is passed through when nothing
	// moves on it, in either direction, for about as long. 0 means 10 min.
	PassthroughIdleTimeout time.Duration
	// DrainTimeout is how long exchanges may go on after Run was told to end.
	// 0 means 30 s.
	DrainTimeout time.Duration
}

const defaultDrainTimeout = 30 * time.Second

// A DataPlane serves what was published last. Make one with [New].
type DataPlane struct {
	cfg       Config
	log       *slog.Logger
	current   atomic.Pointer[snapshot.Snapshot]
	listeners []*listen.Listener
	names     []string // of the listeners
	http1     *http1.Server
	http2     *http2.Server
	proxy     *proxy.Proxy
	upstreams *upstream.Set
	tickets   tickets
	// handshakes calls those who embed the data plane.
	handshakes *handshakeCalls
	ech        atomic.Pointer[snapshot.ECHKeys]
	stapler    *stapler // nil: off
	closing    sync.Once
	phase      atomic.Int32 // a Phase
	// passing ends, by stopPassing, when no connection is to be passed through any
	// more.
	passing     context.Context
	stopPassing context.CancelFunc

	// publishing serialises Publish and guards the fields below.
	publishing sync.Mutex
	// endpoints counts the endpoints of each pool in force that were told.
	endpoints map[string]int
	inForce   int
}

// New opens the listening sockets. Connections wait in the kernel until Run.
func New(cfg Config) (*DataPlane, error) {
	if cfg.HTTPAddr == "" && cfg.HTTPSAddr == "" {
		return nil, errors.New("dataplane: neither HTTPAddr nor HTTPSAddr is set")
	}
	d := &DataPlane{cfg: cfg, log: cfg.Logger, endpoints: make(map[string]int)}
	if d.log == nil {
		d.log = slog.Default()
	}
	d.passing, d.stopPassing = context.WithCancel(context.Background())
	d.upstreams = upstream.New(upstream.Config{
		Dial:          cfg.Dial,
		Resolve:       cfg.Resolve,
		AllowLoopback: cfg.AllowLoopback,
		Own:           d.own,
		KeyLog:        cfg.UpstreamKeyLog,
		Sink:          cfg.Sink,
		Logger:        d.log,
	})
	d.handshakes = newHandshakeCalls(&d.cfg, d.log)
	if cfg.OCSP {
		d.stapler = newStapler(d.log, d.current.Load, newFetch(d.upstreams.DialName))
	}
	if err := d.listen(); err != nil {
		d.Close()
		return nil, err
	}
	httpPort, httpsPort := d.externalPorts()
	d.proxy = proxy.New(proxy.Config{
		Current:           d.current.Load,
		Upstreams:         d.upstreams,
		Early:             cfg.Early,
		Filters:           slices.Concat([]proxy.Filter{filter.RedirectHTTPS(httpsPort), filter.ClientAuth, filter.HSTS}, cfg.Filters),
		Sink:              cfg.Sink,
		MinBodyRate:       cfg.MinBodyRate,
		ExternalHTTPPort:  httpPort,
		ExternalHTTPSPort: httpsPort,
		Logger:            d.log,
	})
	d.http2 = &http2.Server{
		Handler:     func(x *http2.Exchange) { d.proxy.Serve(x) },
		HeadTimeout: cfg.HeadTimeout,
		BodyTimeout: cfg.BodyTimeout,
		IdleTimeout: cfg.IdleTimeout,
		SendTimeout: cfg.SendTimeout,
		MaxHead:     cfg.MaxHead,
		MaxFields:   cfg.MaxFields,
	}
	d.http1 = &http1.Server{
		Handler:     func(x *http1.Exchange) { d.proxy.Serve(x) },
		HTTP2:       d.http2.Serve,
		HeadTimeout: cfg.HeadTimeout,
		BodyTimeout: cfg.BodyTimeout,
		IdleTimeout: cfg.IdleTimeout,
		SendTimeout: cfg.SendTimeout,

		HalfCloseTimeout: cfg.HalfCloseTimeout,

		MaxHead:   cfg.MaxHead,
		MaxFields: cfg.MaxFields,
	}
	return d, nil
}

// serve runs a client connection by the protocol that its client has chosen.
func (d *DataPlane) serve(nc net.Conn, info *outcome.Conn) {
	if info.TLS != nil && info.TLS.ALPN == "h2" {
		d.http2.Serve(nc, info)
		return
	}
	d.http1.Serve(nc, info)
}

// listen opens the sockets. Their handler runs only once Run serves them.
func (d *DataPlane) listen() error {
	limits := listen.NewLimits()
	for _, c := range []listen.Config{
		{Name: "http", Addr: d.cfg.HTTPAddr},
		{Name: "https", Addr: d.cfg.HTTPSAddr, TLS: true},
	} {
		if c.Addr == "" {
			continue
		}
		c.Current = d.current.Load
		c.Sink = outcome.Join(d.cfg.Sink, d.handshakes.sink())
		c.Handler = d.serve
		c.Admit = d.cfg.Admit
		c.KeyLog = d.cfg.KeyLog
		c.Passthrough = d.passthrough
		if d.stapler != nil {
			c.Staples = &d.stapler.staples
		}
		c.Limits = limits
		c.NextProtos = []string{"h2", "http/1.1"}
		c.HandshakeTimeout = d.cfg.HandshakeTimeout
		c.FirstByteTimeout = d.cfg.FirstByteTimeout
		c.MaxConns = d.cfg.MaxConns
		c.MaxHandshakes = d.cfg.MaxHandshakes
		c.Logger = d.log
		l, err := listen.Listen(c)
		if err != nil {
			return err
		}
		d.listeners = append(d.listeners, l)
		d.names = append(d.names, c.Name)
	}
	d.tickets.init(d.listeners)
	return nil
}

// OpenConns returns how many client connections are open now, by listener.
func (d *DataPlane) OpenConns() map[string]int {
	open := make(map[string]int, len(d.listeners))
	for i, l := range d.listeners {
		open[d.names[i]] = l.Open()
	}
	return open
}

// Addr returns the address of the listener "http" or "https"; nil if there is
// none.
func (d *DataPlane) Addr(name string) net.Addr {
	if i := slices.Index(d.names, name); i >= 0 {
		return d.listeners[i].Addr()
	}
	return nil
}

// Snapshot returns what is in force; nil before the first publish of a Spec.
func (d *DataPlane) Snapshot() *snapshot.Snapshot { return d.current.Load() }

// Ready reports whether a Spec was published: until then every connection is
// closed before anything is read from or sent to it, for the reason not_ready.
func (d *DataPlane) Ready() bool { return d.current.Load() != nil }

// InFlight returns the number of requests that are being served, tunnels included.
func (d *DataPlane) InFlight() int { return d.proxy.InFlight() }

// Pools returns the figures of the pools in force: endpoints, connections, dials.
func (d *DataPlane) Pools() []upstream.Stats { return d.upstreams.Stats() }

func (d *DataPlane) externalPorts() (plain, secure int) {
	plain, secure = d.cfg.ExternalHTTPPort, d.cfg.ExternalHTTPSPort
	if plain == 0 {
		plain = port(d.Addr("http"), 80)
	}
	if secure == 0 {
		secure = port(d.Addr("https"), 443)
	}
	return plain, secure
}

func port(addr net.Addr, none int) int {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return none
}
