// Package leak ends the tests of a package with a look at what they left behind.
//
//	func TestMain(m *testing.M) { leak.Main(m) }
package leak

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long what is about to end is waited for. A connection, for one,
// reports its outcome a moment before its goroutine ends.
const patience = 10 * time.Second

// Main runs the tests and exits. It fails if they pass and leave a goroutine that
// runs code of this module, or something that one of more tells of: it describes
// what is left, and returns "" for nothing.
func Main(m *testing.M, more ...func() string) {
	code := m.Run()
	if code == 0 {
		if left := after(patience, append(more, goroutines)); left != "" {
			fmt.Fprintf(os.Stderr, "left behind by the tests:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// after returns what is left once the time is over, or "" as soon as nothing is.
func after(patience time.Duration, checks []func() string) string {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		var left []string
		for _, check := range checks {
			if text := check(); text != "" {
				left = append(left, text)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
	}
}

// goroutines returns the stacks of those that run code of this module, but for the
// caller's, which is the first.
func goroutines() string {
	buf := make([]byte, 4<<20)
	var left []string
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:] {
		if strings.Contains(stack, "github.com/cardea-dev/cardea/") {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}
