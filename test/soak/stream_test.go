//go:build soak && linux

package soak

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestEvents holds that server-sent events are passed on when they come: here each
// one is made only after the one before has reached its client.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	w.ingresses()
	for _, p := range allProtocols {
		for _, backend := range []string{"web", "rpc"} {
			t.Run(strings.ReplaceAll(p.name+" to "+backend, " ", "_"), func(t *testing.T) {
				conn, err := w.dial(p)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.close()
				c := newClient("steps", conn)
				defer c.cancel()
				x, v := c.start(c.request(http.MethodGet, "/"+backend+"/steps", nil, 0))
				defer func() { x.finish(v.end == whole) }()
				if v.end != "" {
					t.Fatalf("no answer: %s %s, %v", v.end, v.reason, v.err)
				}
				lines := bufio.NewReader(x.res.Body)
				for i := range eventCount {
					for _, want := range []string{fmt.Sprintf("id: %d\n", i), fmt.Sprintf("data: event %d\n", i), "\n"} {
						line, err := lines.ReadString('\n')
						v.got += int64(len(line))
						if line != want || err != nil {
							t.Fatalf("event %d: %q, %v, want %q", i, line, err, want)
						}
					}
					res, err := http.Post("http://"+x.res.Header.Get("Backend")+"/steps", "", nil)
					if err != nil {
						t.Fatal(err)
					}
					res.Body.Close()
				}
				if rest, err := lines.ReadString('\n'); rest != "" || err == nil {
					t.Errorf("behind the last event: %q, %v, want the end", rest, err)
				}
				v.end = whole
				w.ledger.see("steps", c.agent, *v)
			})
		}
	}
	w.conclude()
	w.fits(t)
}

// TestStreams runs websockets and gRPC calls through the program, 20 at a time.
func TestStreams(t *testing.T) {
	w := newWorld(t)
	w.ingresses()
	for _, k := range kinds {
		if k.name != "websocket" && k.name != "gRPC" {
			continue
		}
		for _, p := range k.over {
			t.Run(strings.ReplaceAll(k.name+" "+p.name, " ", "_"), func(t *testing.T) {
				var all sync.WaitGroup
				var shared *wire
				for range 20 {
					conn := shared
					if conn == nil {
						var err error
						if conn, err = w.dial(p); err != nil {
							t.Fatal(err)
						}
						defer conn.close()
					}
					if p.h2 {
						shared = conn
					}
					all.Go(func() {
						c := newClient(k.name, conn)
						defer c.cancel()
						v := k.run(c)
						w.ledger.see(k.name, c.agent, v)
						if v.end != whole {
							t.Errorf("%s: %s, status %d %s, %v", c.agent, v.end, v.status, v.reason, v.err)
						}
					})
				}
				all.Wait()
			})
		}
	}
	w.conclude()
	w.fits(t)
}

// fits fails the test for every exchange whose two sides do not agree.
func (w *world) fits(t *testing.T) {
	t.Helper()
	for _, m := range w.ledger.mistakes {
		t.Error(m)
	}
	if more := w.ledger.mistaken - len(w.ledger.mistakes); more > 0 {
		t.Errorf("and %d more that do not fit", more)
	}
}
