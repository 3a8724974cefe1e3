package upstream

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
)

func TestKeepAliveTimeout(t *testing.T) {
	tests := []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"timeout=5", 5 * time.Second, true},
		{"timeout=5, max=100", 5 * time.Second, true},
		{"max=100,Timeout = 72", 72 * time.Second, true},
		{"timeout=0", 0, true},
		{"timeout=99999999999999999999", 24 * time.Hour, true},
		{"", 0, false},
		{"max=100", 0, false},
		{"timeout", 0, false},
		{"timeout=", 0, false},
		{"timeout=-5", 0, false},
		{"timeout=5s", 0, false},
		{"timeouts=5", 0, false},
		{",,=,", 0, false},
	}
	for _, tt := range tests {
		got, ok := keepAliveTimeout([]byte(tt.value))
		if got != tt.want || ok != tt.ok {
			t.Errorf("keepAliveTimeout(%q) = %v, %t, want %v, %t", tt.value, got, ok, tt.want, tt.ok)
		}
	}
}

// tellingStream is an idleStream whose endpoint tells when it will close.
type tellingStream struct {
	idleStream
	value string
}

func (s *tellingStream) Response(func()) (*message.Response, error) {
	res := &message.Response{Status: 200}
	res.Fields.Add(message.KeepAlive, s.value)
	return res, nil
}

func TestKeepAliveIsHonoured(t *testing.T) {
	tests := []struct {
		value  string
		after  time.Duration
		reused bool
	}{
		{"timeout=5", 0, true},
		{"timeout=5", 4*time.Second - 1, true},
		{"timeout=5", 4 * time.Second, false},
		{"timeout=1", 0, false},
		{"timeout=0", 0, false},
		{"timeout=30", 28 * time.Second, true},
		{"timeout=300", 52 * time.Second, true},
		{"timeout=300", 60 * time.Second, false},
		{"max=5", 52 * time.Second, true},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := newPipeSet(t, func(c *Config) {
				c.Stream = func(net.Conn) Stream { return &tellingStream{value: tt.value} }
			})
			p := newPoolOf(t, s, addrs(1)...)
			mustExchange(t, p)
			time.Sleep(tt.after)
			synctest.Wait()
			if got := mustExchange(t, p); got != tt.reused {
				t.Errorf("Keep-Alive: %s; reused after %v = %t, want %t", tt.value, tt.after, got, tt.reused)
			}
		})
	}
}
