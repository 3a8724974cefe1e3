package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/cardea-dev/cardea/controllers/files"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/observe"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A process is one serving cardea: the data plane, its observer, the two small
// servers beside it, and whatever feeds it.
type process struct {
	*settings
	stdout       io.Writer
	log          *slog.Logger
	data         *dataplane.DataPlane
	registry     *prometheus.Registry
	observer     *observe.Observer
	board        *board
	admin, debug *webServer
	keyLog       *keyLog

	// sourceNotReady says why the source has not filled the first table yet; "" if
	// it has. Nil: the data plane knows.
	sourceNotReady func() string
	verdicts       verdictBox
	// reread makes the source read everything again and say what it found; nil if
	// it has nothing to read.
	reread func(context.Context, *reloaded)
	// files follows the files that flags name; defaultCertificate is what they held
	// at the start.
	files              *files.Watcher
	fileMetrics        fileMetrics
	defaultCertificate *snapshot.Certificate
	echKeys            *snapshot.ECHKeys
	// operator is what files say that Ingresses leave open; setFiles replaces it in
	// what feeds the data plane, once there is something that does.
	operator translate.Files
	setFiles func(translate.Files) error

	draining atomic.Bool
	// closing is closed when background work must end.
	closing    chan struct{}
	background sync.WaitGroup
	started    time.Time
}

// processOptions are what differs between the commands.
type processOptions struct {
	// allowLoopback lets endpoints be loopback addresses.
	allowLoopback bool
	// sink receives outcomes beside the observer.
	sink outcome.Sink
	// externalHTTPPort, as clients see it; 0 means the listener's.
	externalHTTPPort int
	// externalHTTPSPort where no flag says otherwise; 0 means the listener's.
	externalHTTPSPort int
}

// open checks the flags and opens every socket. What the program prints goes to
// cmd's outputs.
func (s *settings) open(cmd *cobra.Command, o processOptions) (_ *process, err error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &process{
		settings: s,
		stdout:   &lockedWriter{w: cmd.OutOrStdout()},
		log:      s.newLog(cmd),
		closing:  make(chan struct{}),
		started:  time.Now(),
	}
	connections, err := s.connections.policy()
	if err != nil {
		return nil, err
	}
	if s.externalHTTPSPort == 0 {
		s.externalHTTPSPort = o.externalHTTPSPort
	}
	p.registry = newRegistry()
	if err := p.watchFiles(); err != nil {
		return nil, unreadable(fmt.Errorf("--%w", err))
	}
	p.observer = observe.New(p.observeConfig())
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.keyLog, err = s.openKeyLog(p.log); err != nil {
		return nil, err
	}
	if p.admin, err = listenWeb("admin-addr", s.adminAddr, p.adminHandler(), p.log); err != nil {
		return nil, err
	}
	if p.debug, err = listenWeb("debug-addr", s.debugAddr, p.debugHandler(), p.log); err != nil {
		return nil, err
	}
	config := dataplane.Config{
		HTTPAddr:          s.httpAddr,
		HTTPSAddr:         s.httpsAddr,
		ExternalHTTPPort:  o.externalHTTPPort,
		ExternalHTTPSPort: s.externalHTTPSPort,
		Sink:              outcome.Join(p.observer.Sink(), o.sink),
		Logger:            p.log,
		OCSP:              s.enableOCSP,
		AllowLoopback:     o.allowLoopback,
		OwnAddrs:          ownAddrs(p.admin, p.debug),
		HandshakeTimeout:  s.handshakeTimeout,
		FirstByteTimeout:  s.firstByteTimeout,
		MaxConns:          s.maxConns(),
		MaxHandshakes:     s.maxHandshakes,
		DrainTimeout:      max(s.drainTimeout, 1), // 0 would be the default there, and is at once here
	}
	if p.keyLog != nil && p.keyLog.downstream {
		config.KeyLog = p.keyLog.File
	}
	if p.keyLog != nil && p.keyLog.upstream {
		config.UpstreamKeyLog = p.keyLog.File
	}
	if p.data, err = dataplane.New(config); err != nil {
		return nil, s.dataPlaneError(err)
	}
	p.observer.SetOpenConnections(p.data.OpenConns)
	p.observer.SetShutdownPhase(p.data.Phases)
	p.observer.SetECHPublicNames(p.data.ECHPublicNames)
	p.observer.SetOCSP(
		func() map[string]int { return p.data.Staples().Certificates },
		func() map[string]int { return p.data.Staples().Unstapled },
		func() map[string]int { return p.data.Staples().Fetches })
	p.board = newBoard(p.data, p.defaultCertificate, connections)
	// Reading everything for the first time takes several times the memory of what
	// is kept of it, and the runtime would give that back over minutes.
	p.board.first = func() { p.background.Go(p.giveBackMemory) }
	if p.echKeys != nil {
		if err = p.serveECH(p.echKeys); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// giveBackMemory returns to the system what the start took and no longer needs.
func (p *process) giveBackMemory() {
	select {
	case <-time.After(time.Second): // until whoever published is done
		debug.FreeOSMemory()
	case <-p.closing:
	}
}

// dataPlaneError names the flag whose address cannot be listened on.
func (s *settings) dataPlaneError(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "listen" {
		return err
	}
	for _, a := range []struct{ flag, addr string }{{"http-addr", s.httpAddr}, {"https-addr", s.httpsAddr}} {
		if tcp, e := net.ResolveTCPAddr("tcp", a.addr); e == nil && op.Addr != nil && tcp.String() == op.Addr.String() {
			return listenError(a.flag, a.addr, err)
		}
	}
	return err
}

func ownAddrs(servers ...*webServer) (own []netip.AddrPort) {
	for _, w := range servers {
		if w != nil {
			own = append(own, w.Addr().(*net.TCPAddr).AddrPort())
		}
	}
	return own
}

// run serves until ctx is done or something breaks, then drains. source feeds the
// data plane until its context is done.
//
// The order of the end: not ready any more, and a growing share of the answers ask
// their clients to leave; after the delay, accept no connection; let the requests in
// flight finish while the source still follows its objects; then end the rest.
func (p *process) run(ctx context.Context, source func(context.Context)) error {
	sourceCtx, endSource := context.WithCancel(context.WithoutCancel(ctx))
	defer endSource()
	dataCtx, endData := context.WithCancel(sourceCtx)
	defer endData()

	broken := make(chan error, 3)
	p.background.Go(func() { p.serveWeb("admin-addr", p.admin, broken) })
	p.background.Go(func() { p.serveWeb("debug-addr", p.debug, broken) })
	p.background.Go(func() { source(sourceCtx) })
	p.background.Go(func() { p.reloadOnHangup(sourceCtx) })
	p.background.Go(func() { p.followFiles(sourceCtx) })
	p.background.Go(func() { trimMemory(sourceCtx) })
	ended := make(chan error, 1)
	go func() { ended <- p.data.Run(dataCtx) }()
	p.logAddresses()

	var err error
	select {
	case <-ctx.Done():
		p.draining.Store(true)
		p.log.Info("shutting down: not ready any more", "delay", p.shutdownDelay.String(), "timeout", p.drainTimeout.String())
		err = p.leave(endData, ended, broken)
	case err = <-broken:
		p.draining.Store(true)
		endData()
		err = errors.Join(err, <-ended)
	case err = <-ended:
		p.draining.Store(true)
		if err == nil {
			err = errors.New("the data plane ended by itself")
		}
	}
	endSource()
	p.close()
	if err == nil {
		p.log.Info("ended")
	}
	return err
}

// leave waits for load balancers to notice that this process is not ready, and then
// drains. What breaks meanwhile ends the wait; a second signal ends the process.
func (p *process) leave(endData func(), ended, broken <-chan error) error {
	if p.shutdownDelay > 0 {
		p.data.Leave(p.shutdownDelay)
	}
	delay := time.NewTimer(p.shutdownDelay)
	defer delay.Stop()
	var err error
	select {
	case <-delay.C:
	case err = <-broken:
	case err = <-ended:
		return err
	}
	endData()
	return errors.Join(err, <-ended)
}

// close ends what open began, as far as it did.
func (p *process) close() {
	p.admin.end()
	p.debug.end()
	if p.data != nil {
		p.data.Close()
	}
	close(p.closing)
	p.background.Wait()
	p.observer.Close()
	p.keyLog.close()
}

func (p *process) serveWeb(flag string, w *webServer, broken chan<- error) {
	if err := w.serve(); err != nil && !errors.Is(err, net.ErrClosed) {
		broken <- fmt.Errorf("--%s: %w", flag, err)
	}
}

// takeProcess applies what the parameters of the class say to the process.
func (p *process) takeProcess(params translate.Process) {
	p.board.setRejectUnknown(params.RejectUnknownSNI)
	l, err := p.handshakesWith(params.HandshakeLog)
	if err == nil {
		err = p.observer.SetHandshakeLog(l)
	}
	if err != nil {
		// The fields that parameters may name and those of the log are one list.
		p.log.Error("the handshake log stays as it is", "error", err.Error())
	}
}

// logAddresses tells on which addresses the process really listens; those who
// asked for port 0 read them there.
func (p *process) logAddresses() {
	for _, name := range []string{"http", "https"} {
		if a := p.data.Addr(name); a != nil {
			p.log.Info("listening", "listener", name, "addr", a.String())
		}
	}
	if p.admin != nil {
		p.log.Info("listening", "listener", "admin", "addr", p.admin.Addr().String())
	}
	if p.debug != nil {
		p.log.Info("listening", "listener", "debug", "addr", p.debug.Addr().String())
	}
}

func (p *process) whyNotReady() string {
	switch {
	case p.draining.Load():
		return "shutting down"
	case p.sourceNotReady != nil && p.sourceNotReady() != "":
		return p.sourceNotReady()
	case !p.data.Ready():
		return "the first table was not published yet"
	}
	return ""
}

// redirectPort is the port that redirects to HTTPS name.
func (p *process) redirectPort() int {
	if p.externalHTTPSPort != 0 {
		return p.externalHTTPSPort
	}
	return port(p.data.Addr("https"))
}

func port(a net.Addr) int {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

// A verdictBox holds the verdicts in force.
type verdictBox struct {
	atomic.Pointer[[]translate.Verdict]
}

func (b *verdictBox) list() []translate.Verdict {
	if l := b.Load(); l != nil {
		return *l
	}
	return nil
}
