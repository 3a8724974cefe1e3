package dataplane_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestPublishRouteWithItsPool adds, under load, one route and its pool after the
// other. A host is unknown, or served; never is there a route without its pool or
// a pool without its endpoints.
func TestPublishRouteWithItsPool(t *testing.T) {
	const hosts, clients = 100, 4
	w := newWorld(t, nil)
	web := backend(t, "web")
	w.publish(snapshot.Update{Spec: &snapshot.Spec{}})

	var published atomic.Int64 // hosts in force
	var load sync.WaitGroup
	for range clients {
		c := w.client()
		load.Go(func() {
			for last := int64(0); last < hosts; {
				last = published.Load()
				// The newest one, and the one that may come into force meanwhile.
				for i := max(last-1, 0); i <= min(last, hosts-1); i++ {
					status, _ := get(t, c, fmt.Sprintf("http://h%03d.example/", i))
					if status != 200 && (status != 404 || i < last) {
						t.Errorf("host %d of %d: status %d", i, last, status)
					}
				}
			}
		})
	}
	spec := &snapshot.Spec{}
	for i := range hosts {
		h, pool := host(fmt.Sprintf("h%03d.example", i), snapshot.Policy{})
		spec = &snapshot.Spec{Hosts: append(spec.Hosts[:i:i], h), Pools: append(spec.Pools[:i:i], pool)}
		w.publish(snapshot.Update{Spec: spec, Endpoints: map[string][]snapshot.Endpoint{pool.ID: {web}}})
		published.Add(1)
	}
	load.Wait()
	w.ended()
	if n := w.statuses[503]; n != 0 {
		t.Errorf("%d answers of 503, want none", n)
	}
	t.Logf("%d publishes, answers: %v", len(w.publishes), w.statuses)
}

// TestEndpointReplacedLive replaces the only endpoint of a pool again and again
// under load. What is under way at the old one ends there.
func TestEndpointReplacedLive(t *testing.T) {
	const rounds, clients = 50, 4
	w := newWorld(t, nil)
	two := [...]snapshot.Endpoint{backend(t, "one"), backend(t, "two")}
	w.publish(single("shop.example", snapshot.Policy{}, two[0]))

	stop := make(chan struct{})
	var load sync.WaitGroup
	var served atomic.Int64
	for range clients {
		c := w.client()
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status, body := get(t, c, "http://shop.example/"); status != 200 {
					t.Errorf("status %d %q, want 200", status, body)
				}
				served.Add(1)
			}
		})
	}
	c := w.client()
	for i := range rounds {
		now := 1 - i%2
		w.publish(snapshot.Update{Endpoints: map[string][]snapshot.Endpoint{"pool-shop.example": {two[now]}}})
		if _, body := get(t, c, "http://shop.example/"); body[:3] != [...]string{"one", "two"}[now] {
			t.Errorf("round %d: answered by %q, want the new endpoint", i, body)
		}
	}
	close(stop)
	load.Wait()
	w.ended()
	if got, want := w.requests[outcome.OK], int(served.Load())+rounds; got != want || len(w.requests) != 1 {
		t.Errorf("outcomes %v, want %d ok and no other", w.requests, want)
	}
}

func TestRow77Drain(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	slow := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-finish
		}
		fmt.Fprint(w, "done")
	}))
	w := newWorld(t, nil)
	w.publish(single("shop.example", snapshot.Policy{}, slow))

	idle, err := net.Dial("tcp", w.Addr("http").String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprint(idle, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	if _, err := idle.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}

	var answer sync.WaitGroup
	answer.Go(func() {
		if status, body := get(t, w.client(), "http://shop.example/slow"); status != 200 || body != "done" {
			t.Errorf("the request that was under way: %d %q, want its answer", status, body)
		}
	})
	<-entered
	var stopped sync.WaitGroup
	stopped.Go(w.ended)
	// The idle connection is closed while the other one is still served.
	_ = idle.SetReadDeadline(time.Now().Add(patience))
	if rest, err := io.ReadAll(idle); err != nil || len(rest) > 0 {
		t.Errorf("idle connection: %q, %v, want its end", rest, err)
	}
	if c, err := net.Dial("tcp", w.Addr("http").String()); err == nil {
		c.Close()
		t.Errorf("a connection was accepted during the drain")
	}
	close(finish)
	answer.Wait()
	stopped.Wait()
	if n := w.requests[outcome.OK]; n != 2 || len(w.requests) != 1 {
		t.Errorf("outcomes %v, want two of ok", w.requests)
	}
}

// TestRequestOutlivesItsRoute removes route and pool while a request is under way.
func TestRequestOutlivesItsRoute(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	w := newWorld(t, nil)
	w.publish(single("shop.example", snapshot.Policy{}, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "begin ")
		w.(http.Flusher).Flush()
		close(entered)
		<-finish
		fmt.Fprint(w, "end")
	}))))
	var answer sync.WaitGroup
	answer.Go(func() {
		if status, body := get(t, w.client(), "http://shop.example/"); status != 200 || body != "begin end" {
			t.Errorf("the request that was under way: %d %q, want its whole answer", status, body)
		}
	})
	<-entered
	w.publish(snapshot.Update{Spec: &snapshot.Spec{}})
	if status, _ := get(t, w.client(), "http://shop.example/"); status != 404 {
		t.Errorf("status %d without the route, want 404", status)
	}
	close(finish)
	answer.Wait()
	if pools := w.Pools(); len(pools) != 0 {
		t.Errorf("Pools() = %+v, want none", pools)
	}
}

// TestStateOutlivesAPublish: connections belong to the pool, not to the Spec.
func TestStateOutlivesAPublish(t *testing.T) {
	w := newWorld(t, nil)
	u := single("shop.example", snapshot.Policy{}, backend(t, "web"))
	w.publish(u)
	c := w.client()
	for i := range 5 {
		get(t, c, "http://shop.example/")
		h := *u.Spec.Hosts[0]
		h.Routes = []*snapshot.Route{{
			Path: "/", Kind: snapshot.Prefix, Pool: h.Routes[0].Pool,
			Policy: snapshot.Policy{Tries: 1 + i},
		}}
		w.publish(snapshot.Update{Spec: &snapshot.Spec{Hosts: []*snapshot.Host{&h}, Pools: u.Spec.Pools}})
	}
	get(t, c, "http://shop.example/")
	if got := w.Pools()[0].Dials; got != 1 {
		t.Errorf("%d dials over six generations, want 1", got)
	}
}

// TestRow80PublishFromEverywhere: publishes take effect one after the other.
func TestRow80PublishFromEverywhere(t *testing.T) {
	const publishers, each = 8, 20
	w := newWorld(t, nil)
	web := backend(t, "web")
	w.publish(single("shop.example", snapshot.Policy{}, web))
	var wg sync.WaitGroup
	for range publishers {
		c := w.client()
		wg.Go(func() {
			for range each {
				if err := w.Publish(single("shop.example", snapshot.Policy{}, web)); err != nil {
					t.Errorf("Publish() = %v, want nil", err)
				}
				if status, body := get(t, c, "http://shop.example/"); status != 200 {
					t.Errorf("status %d %q, want 200", status, body)
				}
			}
		})
	}
	wg.Wait()
	o, n := w.lastPublish()
	if want := publishers*each + 1; n != want || o.Generation != uint64(want) || o.EndpointsInForce != 1 {
		t.Errorf("%d outcomes, the last of generation %d with %d endpoints, want %d, %d, 1", n, o.Generation, o.EndpointsInForce, want, want)
	}
}
