package http1

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cardea-dev/cardea/test/leak"
)

// errPeerGone is what writing to a closed peer gives.
var errPeerGone = &net.OpError{Op: "write", Net: "memory", Err: os.NewSyscallError("write", syscall.EPIPE)}

// leased counts the pooled buffers in use.
var leased atomic.Int64

func TestMain(m *testing.M) {
	onLease = func(n int) { leased.Add(int64(n)) }
	leak.Main(m, func() string {
		if n := leased.Load(); n != 0 {
			return fmt.Sprintf("%d pooled buffers", n)
		}
		return ""
	})
}
