package proxy

import (
	"testing"
	"time"
)

// TestLeavingShare holds that the share of the answers that ask a client to leave
// grows from none to all.
func TestLeavingShare(t *testing.T) {
	start := time.Now()
	for _, tt := range []struct {
		over, passed time.Duration
		want         int // of a hundred
	}{
		{10 * time.Second, 0, 0},
		{10 * time.Second, time.Second, 10},
		{10 * time.Second, 5 * time.Second, 50},
		{10 * time.Second, 10 * time.Second, 100},
		{10 * time.Second, time.Minute, 100},
		{0, 0, 100},
	} {
		l, got := &leaving{since: start, over: tt.over}, 0
		for i := range 100 {
			if l.asks(start.Add(tt.passed), float64(i)/100) {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%v of %v: %d of a hundred answers ask, want %d", tt.passed, tt.over, got, tt.want)
		}
	}
}
