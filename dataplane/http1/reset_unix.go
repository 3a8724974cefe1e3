//go:build unix

package http1

import "syscall"

// wasReset reports whether the socket has an error: after the peer's FIN that is its
// RST.
func wasReset(fd uintptr) bool {
	code, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	return err != nil || code != 0
}
