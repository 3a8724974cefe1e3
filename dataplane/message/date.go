package message

import (
	"sync/atomic"
	"time"
)

// A stamp is the value of Date in one second.
type stamp struct {
	second int64
	text   []byte
}

var lastStamp atomic.Pointer[stamp]

// HTTPDate returns now as the value of Date (RFC 9110 §5.6.7), made once per second. It
// must not be changed. It may be called from any goroutine.
func HTTPDate(now time.Time) []byte {
	second := now.Unix()
	if s := lastStamp.Load(); s != nil && s.second == second {
		return s.text
	}
	s := &stamp{second, now.UTC().AppendFormat(nil, "Mon, 02 Jan 2006 15:04:05 GMT")}
	lastStamp.Store(s)
	return s.text
}
