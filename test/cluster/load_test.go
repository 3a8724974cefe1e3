//go:build cluster

package cluster

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A load sends requests of every kind at once until it is ended. Its clients do
// what any client does that knows its protocol: they go to another connection
// when the one they have says that it ends (Connection: close, GOAWAY, a close
// while nothing is in flight). Everything else is a failure.
type load struct {
	front front
	host  string
	stop  chan struct{}
	wg    sync.WaitGroup

	mu    sync.Mutex
	kinds map[string]*tally
}

// tally counts the requests of one kind.
type tally struct {
	Requests, Failures int
	// Cut counts tunnels that ended, which their client opened again.
	Cut    int
	errors map[string]int
}

// pace is what a worker waits between two requests: the load is there to find
// what fails, not to be heavy.
const pace = 10 * time.Millisecond

// startLoad returns when every kind of request has succeeded.
func startLoad(t *testing.T, f front, host string) *load {
	t.Helper()
	l := &load{front: f, host: host, stop: make(chan struct{}), kinds: map[string]*tally{}}
	t.Cleanup(l.end)
	// Kept connections that are shared, as applications have them, and a new
	// connection for every request.
	for _, kind := range []string{"http/1.1", "h2"} {
		kept := f.transport()
		prefer(kept, kind)
		// A POST on a kept connection of HTTP/1.1 may cross with its close, and no
		// client may then send it again (RFC 9110, section 9.2.2).
		post := kind == "h2"
		for range 2 {
			l.worker(kind, func(i int) error { return l.request(kept, i, post) })
		}
		l.worker(kind+" new connections", func(i int) error {
			fresh := f.transport()
			prefer(fresh, kind)
			defer fresh.CloseIdleConnections()
			return l.request(fresh, i, true)
		})
	}
	for range 2 {
		l.tunnels()
	}
	eventually(t, 20*time.Second, "the load has begun", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, kind := range []string{"http/1.1", "http/1.1 new connections", "h2", "h2 new connections", "websocket"} {
			if k := l.kinds[kind]; k == nil || k.Requests-k.Failures < 5 {
				return fmt.Errorf("%s: %+v", kind, k)
			}
		}
		return nil
	})
	return l
}

// prefer makes a Transport speak one protocol alone.
func prefer(tr *http.Transport, kind string) {
	tr.Protocols = new(http.Protocols)
	if kind == "h2" {
		tr.Protocols.SetHTTP2(true)
	} else {
		tr.Protocols.SetHTTP1(true)
	}
}

// request is the i-th exchange of a worker: with post, every second is one. Every
// tenth takes long enough to be under way when something ends.
func (l *load) request(tr *http.Transport, i int, post bool) error {
	method, body, url := http.MethodGet, "", "https://"+l.host+"/"
	if post && i%2 == 1 {
		method, body = http.MethodPost, "some content"
	}
	if i%10 == 9 {
		url += "?wait=300ms"
	}
	a, err := exchange(tr, method, url, body)
	switch {
	case err != nil:
		return err
	case a.status != http.StatusOK:
		return fmt.Errorf("status %d: %s", a.status, strings.TrimSpace(a.body))
	case a.seen.Body != int64(len(body)):
		return fmt.Errorf("the backend read %d bytes, want %d", a.seen.Body, len(body))
	}
	return nil
}

// worker repeats one kind of request.
func (l *load) worker(kind string, request func(i int) error) {
	l.wg.Go(func() {
		for i := 0; l.goOn(); i++ {
			l.count(kind, request(i), false)
		}
	})
}

// tunnels keeps a tunnel open and sends lines through it. A line that is lost
// with its tunnel is not a failure, since a tunnel has no way to say that it will
// end; a new tunnel that cannot be opened at once is.
func (l *load) tunnels() {
	l.wg.Go(func() {
		var open *tunnel
		defer func() {
			if open != nil {
				_ = open.conn.Close()
			}
		}()
		for i := 0; l.goOn(); i++ {
			var err error
			if open == nil {
				if open, err = l.front.upgrade(l.host); err != nil {
					l.count("websocket", err, false)
					open = nil
					continue
				}
			}
			line := fmt.Sprintf("line %d", i)
			got, err := open.echo(line)
			if err != nil {
				_ = open.conn.Close()
				open = nil
				l.count("websocket", nil, true)
				continue
			}
			if got != line {
				err = fmt.Errorf("echo = %q, want %q", got, line)
			}
			l.count("websocket", err, false)
		}
	})
}

func (l *load) goOn() bool {
	select {
	case <-l.stop:
		return false
	case <-time.After(pace):
		return true
	}
}

func (l *load) count(kind string, err error, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[kind]
	if k == nil {
		k = &tally{errors: map[string]int{}}
		l.kinds[kind] = k
	}
	k.Requests++
	if cut {
		k.Cut++
	}
	if err != nil {
		k.Failures++
		k.errors[time.Now().Format("15:04:05.0 ")+err.Error()]++
	}
}

// end stops the load. It may be called again.
func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.wg.Wait()
}

// judge ends the load, logs its counts and fails the test for every failure.
func (l *load) judge(t *testing.T) {
	t.Helper()
	l.end()
	for _, kind := range slices.Sorted(maps.Keys(l.kinds)) {
		k := l.kinds[kind]
		t.Logf("%-26s %6d requests, %d failed, %d tunnels ended", kind, k.Requests, k.Failures, k.Cut)
		for i, text := range slices.Sorted(maps.Keys(k.errors)) {
			if i == 10 {
				t.Errorf("%s: and %d other failures", kind, len(k.errors)-i)
				break
			}
			t.Errorf("%s: %d × %s", kind, k.errors[text], text)
		}
	}
}
