package listen

import (
	"cmp"
	"time"
)

// bounds are those of the handshakes that begin now.
type bounds struct {
	timeout, firstByte time.Duration
	// most is how many run at once; 0 is no limit.
	most int
}

// bounds returns what the snapshot in force says, and where that says nothing what
// the Config does.
//
// The accept loop asks it, which nothing may end: should Current panic, the Config
// counts, and the handshake, which asks again, tells of the panic.
func (l *Listener) bounds() (now bounds) {
	now = bounds{l.cfg.HandshakeTimeout, l.cfg.FirstByteTimeout, l.cfg.MaxHandshakes}
	defer func() { _ = recover() }()
	if snap := l.cfg.Current(); snap != nil {
		now.timeout = cmp.Or(snap.Spec.HandshakeTimeout, now.timeout)
		now.firstByte = cmp.Or(snap.Spec.FirstByteTimeout, now.firstByte)
		now.most = cmp.Or(snap.Spec.MaxHandshakes, now.most)
	}
	now.firstByte = min(now.firstByte, now.timeout)
	return now
}
