package message

import (
	"testing"
	"time"
)

func TestHTTPDate(t *testing.T) {
	at := time.Date(2026, 3, 1, 4, 5, 6, 999, time.FixedZone("", 3600))
	if got := string(HTTPDate(at)); got != "Sun, 01 Mar 2026 03:05:06 GMT" {
		t.Errorf("HTTPDate(%v) = %q", at, got)
	}
}
