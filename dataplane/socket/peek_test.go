//go:build unix

package socket_test

import (
	"syscall"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/socket"
)

func TestPeek(t *testing.T) {
	near, far := pair(t)
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var errno syscall.Errno
	var b [1]byte
	peek := func(fd uintptr) { n, errno = socket.Peek(fd, b[:]) }

	if _ = raw.Control(peek); errno != syscall.EAGAIN {
		t.Errorf("Peek with nothing there = %d, %v, want EAGAIN", n, errno)
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	waitFor := func(fd uintptr) bool {
		peek(fd)
		return errno != syscall.EAGAIN
	}
	if _ = raw.Read(waitFor); n != 1 || errno != 0 || b[0] != 'x' {
		t.Errorf("Peek = %d, %v, %q, want 1, nil, x", n, errno, b)
	}
	if n, err := near.Read(b[:]); n != 1 || err != nil {
		t.Errorf("Read after Peek = %d, %v, want the byte that was peeked at", n, err)
	}
	_ = far.Close()
	if _ = raw.Read(waitFor); n != 0 || errno != 0 {
		t.Errorf("Peek after the end = %d, %v, want 0, nil", n, errno)
	}
}
