//go:build !unix

package upstream

import "os"

// readNow finds nothing: what is there shows when the connection is used.
func (w *wire) readNow(uintptr) { w.err = os.ErrDeadlineExceeded }

// readable waits for nothing.
func (w *wire) readable(uintptr) bool { return true }

// peekFD takes every socket for a live one: where there is no MSG_DONTWAIT a dead
// one shows when it is used.
func (c *Conn) peekFD(uintptr) { c.seen = alive }
