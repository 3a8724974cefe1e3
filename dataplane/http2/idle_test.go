package http2

import (
	"runtime"
	"testing"
	"time"
)

// TestIdleMemory holds that a connection without streams costs a few structures
// and the goroutine that reads, and neither buffers nor other goroutines. What is
// measured has the client's end in it.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory")
	}
	const conns, limit = 200, 8 << 10
	s := &Server{Handler: page()}
	before, goroutines := heap(), runtime.NumGoroutine()
	clients := make([]*bareClient, conns)
	for i := range clients {
		clients[i] = dialBare(t, s)
		clients[i].get(t, 3, browser)
		clients[i].rd, clients[i].enc, clients[i].out = nil, nil, nil
	}
	tick := time.NewTicker(grace / 4)
	defer tick.Stop()
	each, more := 0, 0
	for range 40 {
		<-tick.C
		each = (heap() - before) / conns
		if more = runtime.NumGoroutine() - goroutines; each <= limit && more <= conns {
			break
		}
	}
	t.Logf("%d bytes for each idle connection", each)
	if each > limit {
		t.Errorf("an idle connection costs %d bytes of heap, want %d at most", each, limit)
	}
	if more > conns {
		t.Errorf("%d goroutines for %d idle connections", more, conns)
	}
	if n := leased.Load(); n > 0 {
		t.Errorf("%d buffers are held while all connections are idle", n)
	}
	runtime.KeepAlive(clients)
}

func heap() int {
	runtime.GC()
	runtime.GC() // what pools have kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
