package leak

import (
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// TestAfter holds that what stays is told of, with the function that it is in, and
// that what ends is waited for.
func TestAfter(t *testing.T) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		<-stop
	}()
	// "TestAfter.func1" is the goroutine's; the test's own is TestAfter alone.
	if left := after(0, []func() string{goroutines}); !strings.Contains(left, "leak.TestAfter.func1") {
		t.Errorf("after(0) = %q, want the goroutine that waits", left)
	}
	close(stop)
	<-done
	buffers := 3
	check := func() string {
		if buffers == 0 {
			return ""
		}
		buffers--
		return "a buffer"
	}
	if left := after(time.Minute, []func() string{check}); left != "" {
		t.Errorf("after(1m) = %q, want nothing: the last buffer was given back", left)
	}
	if left := after(0, []func() string{func() string { return "a buffer" }}); left != "a buffer" {
		t.Errorf("after(0) = %q, want a buffer", left)
	}
}
