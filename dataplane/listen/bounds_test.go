package listen

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// TestTimeoutsOfTheSpec: a publish changes the bounds of the handshakes that begin
// after it.
func TestTimeoutsOfTheSpec(t *testing.T) {
	tests := []struct {
		name               string
		timeout, firstByte time.Duration
		send               int
		reason             outcome.Reason
		after              time.Duration
	}{
		{"a shorter wait for the first byte", 0, time.Second, 0, outcome.TimeoutSilent, time.Second},
		{"a shorter handshake", 3 * time.Second, 0, 1, outcome.TimeoutPartial, 3 * time.Second},
		{"a handshake shorter than the wait for its first byte", 3 * time.Second, 0, 0, outcome.TimeoutSilent, 3 * time.Second},
		{"a longer handshake", 90 * time.Second, 0, 1, outcome.TimeoutPartial, 90 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, ln := newPipeWorld(t, nil)
				spec := testSpec()
				spec.HandshakeTimeout, spec.FirstByteTimeout = tt.timeout, tt.firstByte
				w.publish(spec)
				c := ln.dial()
				go func() {
					_, _ = c.Write((rawHello{}).bytes()[:tt.send])
					readAll(c)
					_ = c.Close()
				}()
				if h := w.want(outcome.Timeout, tt.reason); h.Duration != tt.after {
					t.Errorf("the timeout came after %v, want %v", h.Duration, tt.after)
				}
			})
		})
	}
}

func TestMaxHandshakesOfTheSpec(t *testing.T) {
	w := newWorld(t, nil)
	spec := testSpec()
	spec.MaxHandshakes = 1
	w.publish(spec)
	silent := w.dial()
	w.until(func() bool { return w.l.handshakes.Load() == 1 })
	// The reset may reach the client while it still connects.
	if second, err := net.Dial("tcp", w.l.Addr().String()); err == nil {
		readAll(second)
		second.Close()
	}
	w.want(outcome.Failed, outcome.Shed)
	w.publish(testSpec())
	third := w.dial()
	w.until(func() bool { return w.l.handshakes.Load() == 2 })
	third.Close()
	w.want(outcome.Failed, outcome.EOF)
	silent.Close()
	w.want(outcome.Failed, outcome.EOF)
}
