package listen

import (
	"crypto/tls"
	"runtime/debug"
	"testing"
	"unsafe"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// fits reports whether a function with a frame of 6 KiB can be called without the
// stack being moved to a larger one.
func fits() bool {
	var here byte
	before := uintptr(unsafe.Pointer(&here))
	callDeep(-1)
	return uintptr(unsafe.Pointer(&here)) == before
}

// callDeep has a frame of 6 KiB.
//
//go:noinline
func callDeep(i int) (b byte) {
	var frame [6 << 10]byte
	if i >= 0 {
		b = frame[i]
	}
	return b
}

type keyLogFunc func([]byte) (int, error)

func (f keyLogFunc) Write(p []byte) (int, error) { return f(p) }

// TestStackIsGrownBeforeTheHandshake asks in the middle of a handshake, where the
// secrets are logged, whether what is still to come has room.
func TestStackIsGrownBeforeTheHandshake(t *testing.T) {
	// A collection may halve a stack.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	moved := make(chan bool, 8)
	w := newWorld(t, func(cfg *Config) {
		cfg.KeyLog = keyLogFunc(func(p []byte) (int, error) {
			moved <- !fits()
			return len(p), nil
		})
	})
	_, err := w.visit(client("ec.example.com", func(cfg *tls.Config) {
		// Others take more stack, before the secrets are logged.
		cfg.CurvePreferences = []tls.CurveID{tls.X25519}
	}))
	if err != nil {
		t.Fatal(err)
	}
	w.want(outcome.Done, outcome.OK)
	if <-moved {
		t.Error("the stack was moved in the middle of the handshake, want it large enough before")
	}
}
