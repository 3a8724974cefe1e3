package proxy

import "time"

// A leaving is the time in which clients are asked to leave, before the process
// accepts no more connections. Load balancers learn only during that time that they
// should use another process: a client that is asked at once may well come back. So
// the share of the answers that ask grows from none at the beginning to all at the
// end. Busy connections are gone by then, one after the other, each behind an answer;
// those that are left are idle, or busy with one exchange.
type leaving struct {
	since time.Time
	over  time.Duration
}

// Leave asks clients to leave: a growing share of the answers, all of them after the
// time over, are the last ones of their connection. HTTP/1 says so by Connection:
// close, HTTP/2 by GOAWAY, behind which the streams that are open go on.
func (p *Proxy) Leave(over time.Duration) {
	p.leaving.Store(&leaving{since: time.Now(), over: over})
}

// asks decides about one answer; dice is from [0, 1).
func (l *leaving) asks(now time.Time, dice float64) bool {
	passed := now.Sub(l.since)
	return passed >= l.over || dice*float64(l.over) < float64(passed)
}
