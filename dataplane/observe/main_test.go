package observe

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestMain fails if a test left a goroutine of this package behind.
func TestMain(m *testing.M) {
	code := m.Run()
	buf := make([]byte, 1<<20)
	for i, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if i > 0 && strings.Contains(stack, "/dataplane/observe.") && code == 0 {
			fmt.Fprintf(os.Stderr, "a goroutine was left behind:\n%s\n", stack)
			code = 1
		}
	}
	os.Exit(code)
}
