package upstream

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// openConns counts the connections that the Sets under test have dialled and not
// closed; see countedConn.
var openConns atomic.Int64

// TestMain fails the run if a goroutine or a connection outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if leak := leaks(10 * time.Second); leak != "" {
			fmt.Fprintln(os.Stderr, leak)
			code = 1
		}
	}
	os.Exit(code)
}

// leaks gives goroutines that are about to end the time to do so.
func leaks(patience time.Duration) string {
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		stacks := ours()
		open := openConns.Load()
		if len(stacks) == 0 && open == 0 {
			return ""
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Sprintf("leaked: %d connections, %d goroutines\n\n%s", open, len(stacks), strings.Join(stacks, "\n\n"))
		}
	}
}

// ours returns the stacks of the goroutines that run code of this module, but for
// the caller's.
func ours() []string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var found []string
	for i, stack := range strings.Split(string(buf), "\n\n") {
		if i > 0 && strings.Contains(stack, "cardea-dev/cardea/") {
			found = append(found, stack)
		}
	}
	return found
}
