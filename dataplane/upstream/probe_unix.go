//go:build unix

package upstream

import (
	"syscall"

	"github.com/cardea-dev/cardea/dataplane/socket"
)

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
