//go:build unix

package upstream

import (
	"syscall"

	"github.com/cardea-dev/cardea/dataplane/socket"
)

// readNow reads what can be read at once.
func (w *wire) readNow(fd uintptr) {
	for {
		n, _, err := syscall.Recvfrom(int(fd), w.p, syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			w.took(n, err)
			return
		}
	}
}

// readable reports whether there is anything to read, or an end.
func (w *wire) readable(fd uintptr) bool {
	var b [1]byte
	_, errno := socket.Peek(fd, b[:])
	return errno != syscall.EAGAIN
}

// peekFD sets c.seen by reading one byte that stays where it is, if one is there:
// a live idle socket says that it would block.
func (c *Conn) peekFD(fd uintptr) {
	var b [1]byte
	for {
		n, errno := socket.Peek(fd, b[:])
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			c.seen = alive
		case errno == 0 && n > 0:
			c.seen = unexpectedData
		default:
			c.seen = closedByPeer
		}
		return
	}
}
