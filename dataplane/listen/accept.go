package listen

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// Serve accepts connections until StopAccepting or Close is called, and then
// returns nil. It rides out what passes, such as a lack of file descriptors; it
// returns an error when the socket itself is broken.
func (l *Listener) Serve() error {
	var trouble backoff
	for {
		nc, err := l.ln.Accept()
		if err == nil {
			trouble.over()
			l.accepted(nc)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if !passing(err) {
			return fmt.Errorf("listen: %s: %w", l.cfg.Name, err)
		}
		pause := time.NewTimer(trouble.next(l.cfg.Logger, err))
		select {
		case <-pause.C:
		case <-l.stop:
			pause.Stop()
			return nil
		}
	}
}

// passing reports whether an error of accept says nothing about the socket: the
// connection was lost before it was accepted, or a resource is short now.
func passing(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return false
	}
	switch errno {
	case syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO, syscall.EPERM,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		return true
	}
	return false
}

// A backoff paces an accept loop in trouble, and logs it once a minute at most:
// when file descriptors are short, failure and success take turns.
type backoff struct {
	delay    time.Duration
	failures int // since warned
	warned   time.Time
}

func (b *backoff) next(log *slog.Logger, err error) time.Duration {
	b.failures++
	if time.Since(b.warned) >= time.Minute {
		log.Warn("accept fails", "err", err, "failures", b.failures)
		b.failures, b.warned = 0, time.Now()
	}
	b.delay = min(max(2*b.delay, 5*time.Millisecond), time.Second)
	return b.delay
}

// over says that a connection was accepted.
func (b *backoff) over() { b.delay = 0 }

// accepted takes over a new connection: it starts its goroutine or turns it away.
func (l *Listener) accepted(nc net.Conn) {
	c := l.newConn(nc)
	if reason := l.add(c); reason != outcome.OK {
		c.reset(failure{reason: reason})
		return
	}
	if !l.cfg.TLS {
		go l.servePlain(c)
		return
	}
	if n, most := l.handshakes.Add(1), l.bounds().most; most > 0 && n > int64(most) {
		l.handshakes.Add(-1)
		c.reset(failure{reason: outcome.Shed})
		l.remove(c)
		return
	}
	go l.authenticate(c)
}

// add takes c into the set of open connections, or says why not. Every goroutine
// of a connection is counted by this one Add, which mu orders before Close waits.
func (l *Listener) add(c *conn) outcome.Reason {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return outcome.Draining
	}
	if l.cfg.MaxConns > 0 && len(l.conns) >= l.cfg.MaxConns {
		return outcome.Shed
	}
	l.conns[c] = struct{}{}
	l.goroutines.Add(1)
	l.cfg.Limits.open.Add(1)
	return outcome.OK
}

func (l *Listener) remove(c *conn) {
	c.place.give()
	l.cfg.Limits.open.Add(-1)
	l.mu.Lock()
	delete(l.conns, c)
	l.signalIdle()
	l.mu.Unlock()
	l.goroutines.Done()
}

// signalIdle closes idle when its time has come. mu is held.
func (l *Listener) signalIdle() {
	if !l.stopped || len(l.conns) > 0 {
		return
	}
	select {
	case <-l.idle:
	default:
		close(l.idle)
	}
}
