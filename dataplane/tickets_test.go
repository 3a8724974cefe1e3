package dataplane

import (
	"testing"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A key of this process is understood for one rotation after it was replaced;
// keys that were published are nobody's to rotate.
func TestTicketRotation(t *testing.T) {
	var k tickets
	k.init(nil)
	first := k.keys.Current
	k.rotate()
	second := k.keys.Current
	if second.Equal(first) || len(k.keys.Others) != 1 || !k.keys.Others[0].Equal(first) {
		t.Errorf("after rotate: current is the first: %v, %d others, want a new key and the first", second.Equal(first), len(k.keys.Others))
	}
	k.rotate()
	if len(k.keys.Others) != 1 || !k.keys.Others[0].Equal(second) {
		t.Errorf("after two: %d others, want the second alone", len(k.keys.Others))
	}
	published := &snapshot.TicketKeys{Current: snapshot.RandomTicketKey()}
	k.published(published)
	k.rotate()
	if k.keys != published {
		t.Error("rotate replaced published keys, want them in force")
	}
}
