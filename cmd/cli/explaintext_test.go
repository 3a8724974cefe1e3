package cli

import (
	"slices"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestDescribePolicyTellsHSTS: what cannot be taken back is said before it is sent.
func TestDescribePolicyTellsHSTS(t *testing.T) {
	const want = "Strict-Transport-Security over TLS: max-age=300"
	if got := describePolicy(snapshot.Policy{HSTS: "max-age=300"}); !slices.Contains(got, want) {
		t.Errorf("describePolicy = %q, want %q among it", got, want)
	}
	if got := describePolicy(snapshot.Policy{}); slices.Contains(got, want) {
		t.Errorf("describePolicy without = %q", got)
	}
}
