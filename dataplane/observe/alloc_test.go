//go:build !race

// The race detector makes sync.Pool forget at random.

package observe

import (
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func TestAllocations(t *testing.T) {
	w := newWorld(t, Config{Handshakes: HandshakeLog{Mode: HandshakeAll}, AccessLog: discard{}, HandshakeLog: discard{}, FlushInterval: time.Hour, Buffer: 8 << 20})
	w.publish(t, host("shop.test", "api"))
	r, c := request("shop.test"), &outcome.Conn{Listener: "https", Reason: outcome.OK}
	done := handshake("shop.test", "shop.test")
	done.Result, done.Reason = outcome.Done, outcome.OK
	// The buffers of the log grow to their limit once.
	w.Observer.access.buf, w.Observer.handshake.buf = make([]byte, 0, 8<<20), make([]byte, 0, 8<<20)
	tests := []struct {
		name    string
		f       func()
		ceiling float64
	}{
		{"a request", func() { w.sink.Request(r) }, 0},
		{"a connection", func() { w.sink.Conn(c) }, 0},
		{"a handshake", func() { w.sink.Handshake(done) }, 3}, // names that the log builds
	}
	for _, test := range tests {
		if got := testing.AllocsPerRun(500, test.f); got > test.ceiling {
			t.Errorf("%s: %v allocations, want at most %v", test.name, got, test.ceiling)
		}
	}
}
