package cli

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// trimEvery is how often a trimmer looks.
	trimEvery = time.Second
	// A process that allocates no more than quietBytes in each of quietLooks intervals
	// is quiet.
	quietBytes = 1 << 20
	quietLooks = 2
	// trimFrom is how much must have been allocated since the last time to make
	// another one worth it.
	trimFrom = 16 << 20
)

// A trimmer gives memory back to the system when the process has become quiet.
//
// Go collects garbage when the heap has doubled, which under load is the cheapest.
// After a burst of connections it leaves all of that burst's garbage, the buffers
// that are kept for reuse, and the stacks that the requests have grown, until the
// next collection, which comes after two minutes at the latest and returns little.
// An idle connection costs half as much without them. Quiet means that nobody
// waits for the processor time that it takes: two collections, because pools empty
// and stacks shrink by steps.
type trimmer struct {
	// allocated returns the bytes allocated since the start of the process.
	allocated func() uint64
	trim      func()

	last, trimmed uint64
	quiet         int
}

// look is called every trimEvery.
func (t *trimmer) look() {
	now := t.allocated()
	if now-t.last <= quietBytes {
		t.quiet++
	} else {
		t.quiet = 0
	}
	t.last = now
	if t.quiet < quietLooks || now-t.trimmed < trimFrom {
		return
	}
	t.trim()
	t.trimmed = t.allocated()
	t.last = t.trimmed
}

// ownPace says that whoever runs the process has set GOGC: he has made up his mind
// about memory and processor time.
func ownPace() bool { return os.Getenv("GOGC") != "" }

// collect collects garbage earlier than the runtime would, unless it has a pace of
// its own.
func collect() {
	if !ownPace() {
		runtime.GC()
	}
}

// trimMemory runs a trimmer until ctx ends, unless the process has a pace of its own.
func trimMemory(ctx context.Context) {
	if ownPace() {
		return
	}
	t := trimmer{allocated: allocatedBytes, trim: func() {
		runtime.GC()
		debug.FreeOSMemory()
	}}
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.look()
		}
	}
}

// allocatedBytes reads without stopping anything, unlike runtime.ReadMemStats.
func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
