//go:build linux && (amd64 || arm64) && !race

package socket_test

import (
	"io"
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
