package snapshot

import (
	"testing"

	"github.com/cardea-dev/cardea/test/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
