package listen

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if a test left a goroutine of this package behind. A connection
// reports its outcome a moment before its goroutine ends, so it looks again for a
// while.
func TestMain(m *testing.M) {
	code := m.Run()
	deadline := time.Now().Add(5 * time.Second)
	for left := leaked(); left != ""; left = leaked() {
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "a goroutine was left behind:\n%s\n", left)
			os.Exit(1)
		}
		runtime.Gosched()
	}
	os.Exit(code)
}

func leaked() string {
	buf := make([]byte, 1<<20)
	for i, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if i > 0 && strings.Contains(stack, "/dataplane/listen.") {
			return stack
		}
	}
	return ""
}
