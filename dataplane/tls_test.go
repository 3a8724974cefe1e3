package dataplane_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// secureWorld serves shop.example by h over TLS.
func secureWorld(t *testing.T, h http.HandlerFunc) *world { return secureWorldWith(t, nil, h) }

// secureWorldWith is secureWorld with another Config.
func secureWorldWith(t *testing.T, change func(*dataplane.Config), h http.HandlerFunc) *world {
	w := newWorld(t, change)
	u := single("shop.example", snapshot.Policy{}, serve(t, h))
	w.secure(u.Spec.Hosts[0])
	w.publish(u)
	return w
}

// dialTLS returns a connection to shop.example after its handshake.
func (w *world) dialTLS() (*tls.Conn, *bufio.Reader) {
	w.t.Helper()
	c, err := tls.Dial("tcp", w.Addr("https").String(), &tls.Config{ServerName: "shop.example", RootCAs: w.ca})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c, bufio.NewReader(c)
}

func TestTLSClientLeaves(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	w := secureWorld(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	})
	c, _ := w.dialTLS()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	<-entered
	_ = c.NetConn().(*net.TCPConn).SetLinger(0)
	c.Close()
	<-left // the attempt is cancelled, not run to its end
	w.ended()
	if n := w.statuses[499]; n != 1 || w.requests[outcome.ClientClosed] != 1 {
		t.Errorf("outcomes %v %v, want one 499 client_closed", w.requests, w.statuses)
	}
}

// TestTLSHalfClose: a client that says by close_notify that it has no more to say, and
// leaves TCP alone, gets its answer, however late that is.
func TestTLSHalfClose(t *testing.T) {
	entered, answer := make(chan struct{}), make(chan struct{})
	w := secureWorldWith(t, func(cfg *dataplane.Config) { cfg.HalfCloseTimeout = time.Hour }, func(rw http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-answer
		fmt.Fprint(rw, "late")
	})
	c, r := w.dialTLS()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	<-entered
	// Until after the client is being watched.
	time.AfterFunc(500*time.Millisecond, func() { close(answer) })
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); string(b) != "late" || err != nil {
		t.Errorf("body = %q, %v, want late", b, err)
	}
	w.ended()
	if w.requests[outcome.OK] != 1 {
		t.Errorf("outcomes %v, want one of ok", w.requests)
	}
}

func TestTLSConnectionOutlivesAWatch(t *testing.T) {
	// The upstream keeps the exchange waiting, so that the client is watched; the
	// connection carries the next request all the same, also one that came early.
	w := secureWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-time.After(300 * time.Millisecond)
		}
		fmt.Fprint(w, r.URL.Path)
	})
	c, r := w.dialTLS()
	for range 2 {
		fmt.Fprint(c, "GET /slow HTTP/1.1\r\nHost: shop.example\r\n\r\nGET /next HTTP/1.1\r\nHost: shop.example\r\n\r\n")
		for _, want := range []string{"/slow", "/next"} {
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(res.Body); string(body) != want || err != nil {
				t.Errorf("answer %q, %v, want %q", body, err, want)
			}
		}
	}
}

func TestTLSTunnel(t *testing.T) {
	w := secureWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("X-Forwarded-Proto = %q, want https", r.Header.Get("X-Forwarded-Proto"))
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, rw) // until the client ends its half
		fmt.Fprint(c, "bye")
	})
	c, r := w.dialTLS()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("response %v, %v, want 101", res, err)
	}
	message := strings.Repeat("0123456789", 10_000)
	var sending sync.WaitGroup
	sending.Go(func() { fmt.Fprint(c, message) })
	got := make([]byte, len(message))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != message {
		t.Fatalf("echo of %d bytes failed: %v", len(message), err)
	}
	sending.Wait()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); string(rest) != "bye" || err != nil {
		t.Errorf("after the client's end: %q, %v, want \"bye\"", rest, err)
	}
}

// TestRow63TerminatedTLSIsRouted is what ending TLS is for: what is inside decides
// where a request goes.
func TestRow63TerminatedTLSIsRouted(t *testing.T) {
	w := newWorld(t, nil)
	h, pool := host("shop.example", snapshot.Policy{})
	api := &snapshot.Pool{ID: "pool-x-api"}
	h.Routes = append(h.Routes, &snapshot.Route{Path: "/api", Kind: snapshot.Prefix, Pool: api.ID})
	w.secure(h)
	w.publish(snapshot.Update{
		Spec:      &snapshot.Spec{Hosts: []*snapshot.Host{h}, Pools: []*snapshot.Pool{pool, api}},
		Endpoints: map[string][]snapshot.Endpoint{pool.ID: {backend(t, "web")}, api.ID: {backend(t, "api")}},
	})
	for path, want := range map[string]string{"/": "web shop.example /", "/api/v1": "api shop.example /api/v1"} {
		if status, body := get(t, w.client(), "https://shop.example"+path); status != 200 || body != want {
			t.Errorf("GET %s: %d %q, want 200 %q", path, status, body, want)
		}
	}
}
