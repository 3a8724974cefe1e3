package http2

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cardea-dev/cardea/test/leak"
)

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
