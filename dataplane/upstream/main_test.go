package upstream

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cardea-dev/cardea/test/leak"
)

// openConns counts the connections that the Sets under test have dialled and not
// closed; see countedConn.
var openConns atomic.Int64

func TestMain(m *testing.M) {
	leak.Main(m, func() string {
		if n := openConns.Load(); n != 0 {
			return fmt.Sprintf("%d connections", n)
		}
		return ""
	})
}
