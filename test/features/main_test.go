package features

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails when a program that has ended left a goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leaked(time.Now().Add(10 * time.Second)); left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines of cardea that did not end:\n\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leaked returns the stacks in which this module's product code appears, as soon
// as there is none or when the deadline has passed.
func leaked(deadline time.Time) string {
	buf := make([]byte, 4<<20)
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for ; ; <-pause.C {
		var left []string
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "cardea-dev/cardea/") && !strings.Contains(g, "/test/features.TestMain") {
				left = append(left, g)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return strings.Join(left, "\n\n")
		}
	}
}
