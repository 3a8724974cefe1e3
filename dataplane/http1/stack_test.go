package http1

import (
	"io"
	"runtime/debug"
	"testing"
	"unsafe"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// fits reports whether a function with a frame of 4 KiB can be called without the
// stack being moved to a larger one.
func fits() bool {
	var here byte
	before := uintptr(unsafe.Pointer(&here))
	callDeep(-1)
	return uintptr(unsafe.Pointer(&here)) == before
}

// callDeep has a frame of 4 KiB.
//
//go:noinline
func callDeep(i int) (b byte) {
	if i >= 0 {
		var frame [4 << 10]byte
		b = frame[i]
	}
	return b
}

// TestStackIsGrownForTLS asks in the Handler whether writing an answer through TLS
// has room.
func TestStackIsGrownForTLS(t *testing.T) {
	// A collection may halve a stack.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	client, server := memoryPipe()
	moved := make(chan bool)
	srv := &Server{Handler: func(x *Exchange) {
		moved <- !fits()
		echo(x)
	}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.Serve(server, &outcome.Conn{TLS: new(outcome.Handshake)})
	}()
	defer func() {
		_ = client.Close()
		<-served
	}()
	if _, err := io.WriteString(client, hello); err != nil {
		t.Fatal(err)
	}
	if <-moved {
		t.Error("the stack was moved within the exchange, want it large enough before")
	}
}
