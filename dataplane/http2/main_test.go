package http2

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// leased counts the pooled buffers in use.
var leased atomic.Int64

// TestMain fails if a test leaves goroutines or pooled buffers behind.
func TestMain(m *testing.M) {
	onLease = func(n int) { leased.Add(int64(n)) }
	code := m.Run()
	if code == 0 {
		if left := leftBehind(); left != "" {
			fmt.Fprintln(os.Stderr, left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftBehind describes what did not end; it waits for what is about to.
func leftBehind() string {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	left := leaks()
	for tries := 0; left != "" && tries < 50; tries++ {
		<-tick.C
		left = leaks()
	}
	return left
}

func leaks() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for _, g := range bytes.Split(buf, []byte("\n\n")) {
		if s := string(g); strings.Contains(s, "cardea/dataplane/http2.") && !strings.Contains(s, "http2.TestMain") {
			return "goroutine left behind:\n" + s
		}
	}
	if n := leased.Load(); n != 0 {
		return fmt.Sprintf("%d buffers left behind", n)
	}
	return ""
}
