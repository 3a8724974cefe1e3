//go:build unix

package upstream

import "syscall"

// peekFD sets c.seen by reading one byte that stays where it is, if one is there:
// a live idle socket says that it would block.
func (c *Conn) peekFD(fd uintptr) {
	var b [1]byte
	for {
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			c.seen = alive
		case err == nil && n > 0:
			c.seen = unexpectedData
		default:
			c.seen = closedByPeer
		}
		return
	}
}
