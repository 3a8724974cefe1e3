package socket_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// TestMain fails if a test leaves a goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	if n := bytes.Count(buf, []byte("cardea/dataplane/socket_test.")); code == 0 && n > bytes.Count(buf, []byte("socket_test.TestMain")) {
		fmt.Fprintf(os.Stderr, "goroutine left behind:\n%s\n", buf)
		code = 1
	}
	os.Exit(code)
}
