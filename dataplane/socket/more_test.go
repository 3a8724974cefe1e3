//go:build linux && (amd64 || arm64) && !race

package socket_test

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/socket"
)

// What is followed by more is kept until that comes, and then arrives with it, in
// order.
func TestWriteMore(t *testing.T) {
	near, far := pair(t)
	c, ok := socket.Wrap(near).(*socket.Conn)
	if !ok {
		t.Fatalf("Wrap = %T, want *socket.Conn", socket.Wrap(near))
	}
	start := time.Now()
	if n, err := c.WriteMore([]byte("first ")); n != 6 || err != nil {
		t.Fatalf("WriteMore = %d, %v, want 6", n, err)
	}
	_ = far.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := far.Read(make([]byte, 1)); !os.IsTimeout(err) && time.Since(start) < 150*time.Millisecond {
		t.Errorf("Read after WriteMore = %d, %v, want a timeout: it is kept", n, err)
	}
	if n, err := c.Write([]byte("second")); n != 6 || err != nil {
		t.Fatalf("Write = %d, %v, want 6", n, err)
	}
	_ = far.SetReadDeadline(time.Time{})
	got := make([]byte, 12)
	if _, err := io.ReadFull(far, got); err != nil || string(got) != "first second" {
		t.Errorf("the peer got %q, %v, want %q", got, err, "first second")
	}
}

func TestAwaitInput(t *testing.T) {
	near, far := pair(t)
	c := socket.Wrap(near).(*socket.Conn)

	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	checkError(t, c, c.AwaitInput(), "read", os.ErrDeadlineExceeded)
	_ = c.SetReadDeadline(time.Time{})

	awaited := make(chan error)
	go func() { awaited <- c.AwaitInput() }()
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-awaited; err != nil {
		t.Errorf("AwaitInput = %v, want nil", err)
	}
	b := make([]byte, 2)
	if n, err := c.Read(b); n != 1 || b[0] != 'x' || err != nil {
		t.Errorf("Read after AwaitInput = %d, %v, %q, want the byte that came", n, err, b)
	}

	go func() { awaited <- c.AwaitInput() }()
	_ = far.CloseWrite()
	if err := <-awaited; err != nil {
		t.Errorf("AwaitInput at the end = %v, want nil: there is an end to read", err)
	}
	if n, err := c.Read(b); n != 0 || err != io.EOF {
		t.Errorf("Read after it = %d, %v, want EOF", n, err)
	}
}

func TestCloseEndsAwaitInput(t *testing.T) {
	near, _ := pair(t)
	c := socket.Wrap(near).(*socket.Conn)
	awaited := make(chan error)
	go func() { awaited <- c.AwaitInput() }()
	_ = c.Close()
	checkError(t, c, <-awaited, "read", net.ErrClosed)
}
