package proxy

import "time"

// patience is how long an endpoint may take before somebody watches whether the
// client still waits.
const patience = 200 * time.Millisecond

// waiting is called when the endpoint has kept the exchange waiting, for a head or
// for more of a body.
func (x *Exchange) waiting() { x.watch() }

// watch begins to watch for the client's leaving. While the body flows that is
// not needed: who reads the body notices.
func (x *Exchange) watch() {
	if x.sending || x.stopWatch != nil || !x.bodyTaken() {
		return
	}
	x.stopWatch = x.d.Watch(x.onGone)
}

// clientGone is called from the watcher's goroutine.
func (x *Exchange) clientGone() {
	x.gone.Store(true)
	x.up.Interrupt()
}
