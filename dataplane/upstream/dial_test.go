package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func TestDialRefused(t *testing.T) {
	srv := newServer(t, nil)
	srv.stop()
	p := newPoolOf(t, newSet(t, nil), srv.addr)
	_, err := p.Get(t.Context(), p.Endpoints()[0], time.Minute)
	wantReason(t, err, outcome.ConnectRefused, outcome.RetryYes)
	want := "upstream connect_refused: upstream: dial " + srv.addr.String() + ": connect: connection refused"
	if err.Error() != want {
		t.Errorf("error = %q, want %q", err, want)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v does not wrap its cause", err)
	}
	if st := p.Stats(); st.Dials != 0 || st.DialErrors != 1 || st.Busy != 0 {
		t.Errorf("Stats() = %+v, want one dial error and none busy", st)
	}
}

func TestDialReason(t *testing.T) {
	op := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	tests := []struct {
		name string
		err  error
		want outcome.Reason
	}{
		{"refused", op(syscall.ECONNREFUSED), outcome.ConnectRefused},
		{"the kernel gave up", op(syscall.ETIMEDOUT), outcome.ConnectTimeout},
		{"deadline", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, outcome.ConnectTimeout},
		{"context", context.DeadlineExceeded, outcome.ConnectTimeout},
		{"no route", op(syscall.EHOSTUNREACH), outcome.ConnectFailed},
		{"no network", op(syscall.ENETUNREACH), outcome.ConnectFailed},
		{"no descriptors", op(syscall.EMFILE), outcome.ConnectFailed},
		{"other", errors.New("no"), outcome.ConnectFailed},
	}
	for _, tt := range tests {
		if got := dialReason(tt.err); got != tt.want {
			t.Errorf("%s: dialReason(%v) = %s, want %s", tt.name, tt.err, got, tt.want)
		}
	}
}

// hang is a dial to an address that drops packets.
func hang(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDialTimeout(t *testing.T) {
	for _, tt := range []struct{ timeout, want time.Duration }{
		{3 * time.Second, 3 * time.Second},
		{0, defaultConnectTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSet(t, func(c *Config) { c.Dial = hang })
			p := newPoolOf(t, s, addrs(1)...)
			start := time.Now()
			_, err := p.Get(t.Context(), p.Endpoints()[0], tt.timeout)
			wantReason(t, err, outcome.ConnectTimeout, outcome.RetryYes)
			if got := time.Since(start); got != tt.want {
				t.Errorf("Get with timeout %v ended after %v, want %v", tt.timeout, got, tt.want)
			}
		})
	}
}

func TestDialClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t, func(c *Config) { c.Dial = hang })
		p := newPoolOf(t, s, addrs(1)...)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := p.Get(ctx, p.Endpoints()[0], time.Minute)
		wantReason(t, err, outcome.ClientClosed, outcome.RetryNo)
		if err.Side != outcome.Downstream {
			t.Errorf("side = %s, want downstream", err.Side)
		}
	})
}

// No more than MaxDials sockets wait for an endpoint that does not answer; the
// others wait for a turn, within their timeout.
func TestDialLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialling, most atomic.Int64
		s := newSet(t, func(c *Config) {
			c.MaxDials = 2
			c.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
				most.Store(max(most.Load(), dialling.Add(1)))
				defer dialling.Add(-1)
				select {
				case <-time.After(2 * time.Second):
					return nil, errors.New("no")
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
		})
		p := newPoolOf(t, s, addrs(1)...)
		errs := make(chan *outcome.Error, 6)
		for range cap(errs) {
			go func() {
				_, err := p.Get(t.Context(), p.Endpoints()[0], 3*time.Second)
				errs <- err
			}()
		}
		reasons := make(map[outcome.Reason]int)
		for range cap(errs) {
			err := <-errs
			reasons[err.Reason]++
		}
		// Two dial at once and fail after 2 s, two begin then and run out of time,
		// two wait in vain.
		if reasons[outcome.ConnectFailed] != 2 || reasons[outcome.ConnectTimeout] != 4 {
			t.Errorf("reasons = %v, want 2 failed and 4 timeouts", reasons)
		}
		if got := most.Load(); got != 2 {
			t.Errorf("dials at one time = %d, want 2", got)
		}
	})
}
