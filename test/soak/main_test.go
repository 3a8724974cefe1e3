//go:build soak && linux

// Package soak runs the built program as a process under everything at once:
// every protocol, large and small bodies, tunnels and streams, clients that are
// slow or leave, backends that are killed and come back, routes and certificates
// that change. Each exchange of each client is held against the record that
// Cardea's access log has of it, and the process is watched for what it does not
// give back. Single long transfers go through the same process.
//
// `make soak` runs it; docs/performance.md says how to read the table.
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
