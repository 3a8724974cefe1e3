//go:build soak && linux

package soak

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

var (
	length = flag.Duration("time", 20*time.Second, "how long the load lasts")
	scale  = flag.Int("scale", 1, "clients of each kind, times the usual number")
	size   = flag.Int64("size", 1<<30, "bytes of each large transfer")
)

func TestMain(m *testing.M) {
	// The backends are this program, too: processes can be killed.
	if addr := os.Getenv(backendEnv); addr != "" {
		fmt.Fprintln(os.Stderr, backend(addr, os.Getenv(resetEnv) != ""))
		os.Exit(1)
	}
	os.Exit(m.Run())
}
