package upstream

import (
	"bytes"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
)

// keepAliveMargin is how much earlier than the endpoint we stop using an idle
// connection: time for a request to arrive before the endpoint closes.
const keepAliveMargin = time.Second

// Response is the stream's. It takes note of how long the endpoint says that it
// keeps an idle connection ("Keep-Alive: timeout=5", RFC 2068 §19.7.1.1): Node.js
// closes after 5 s, and a request that crosses the close is lost, for good if its
// method is not idempotent. So such a connection is not used in its last second.
func (c *Conn) Response(waiting func()) (*message.Response, error) {
	res, err := c.Stream.Response(waiting)
	if err != nil {
		return nil, c.judged(err)
	}
	if res.Status >= 200 && c.shared == nil {
		c.keeps, c.told = keepAliveTimeout(res.Fields.Get(message.KeepAlive))
	}
	return res, nil
}

// keepAliveTimeout returns the parameter timeout of a Keep-Alive field.
func keepAliveTimeout(value []byte) (d time.Duration, ok bool) {
	for len(value) > 0 {
		var param []byte
		param, value, _ = bytes.Cut(value, comma)
		name, arg, _ := bytes.Cut(param, equals)
		if message.EqualFold(bytes.TrimSpace(name), "timeout") {
			return seconds(bytes.TrimSpace(arg))
		}
	}
	return 0, false
}

var comma, equals = []byte(","), []byte("=")

// seconds parses a number of seconds; one beyond a day is a day.
func seconds(digits []byte) (time.Duration, bool) {
	if len(digits) == 0 {
		return 0, false
	}
	n := 0
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = min(10*n+int(d-'0'), 24*60*60)
	}
	return time.Duration(n) * time.Second, true
}

// setLimit works out until when c may be used again; false means not at all. Most
// endpoints tell nothing, and then no clock is read.
func (c *Conn) setLimit() bool {
	c.until = time.Time{}
	if !c.told || c.keeps-keepAliveMargin >= c.Endpoint.pool.set.cfg.IdleTimeout {
		return true
	}
	c.until = time.Now().Add(c.keeps - keepAliveMargin)
	return c.keeps > keepAliveMargin
}

// overdue reports whether the endpoint is about to close c, or has.
func (c *Conn) overdue() bool { return !c.until.IsZero() && !time.Now().Before(c.until) }
