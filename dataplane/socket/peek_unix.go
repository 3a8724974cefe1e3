//go:build unix && (!linux || !(amd64 || arm64) || race)

package socket

import (
	"errors"
	"syscall"
)

// Peek reads what can be read from the socket fd at once, and leaves it there.
func Peek(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	errno, _ := errors.AsType[syscall.Errno](err)
	return n, errno
}
