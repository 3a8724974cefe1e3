package dataplane_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func TestServe(t *testing.T) {
	w := newWorld(t, nil)
	if w.Ready() {
		t.Errorf("Ready() = true before the first publish")
	}
	u := single("shop.example", snapshot.Policy{}, backend(t, "web"))
	w.secure(u.Spec.Hosts[0])
	w.publish(u)
	if !w.Ready() || w.Snapshot().Generation != 1 {
		t.Errorf("Ready() = %v, generation %d after one publish", w.Ready(), w.Snapshot().Generation)
	}
	c := w.client()
	for _, url := range []string{"http://shop.example/a", "https://shop.example/a"} {
		if status, body := get(t, c, url); status != 200 || body != "web shop.example /a" {
			t.Errorf("GET %s = %d %q, want the backend's answer", url, status, body)
		}
	}
	if status, _ := get(t, c, "http://other.example/"); status != 404 {
		t.Errorf("status %d for an unknown host, want 404", status)
	}
}

func TestRedirect(t *testing.T) {
	w := newWorld(t, func(cfg *dataplane.Config) { cfg.ExternalHTTPSPort = 443 })
	u := single("shop.example", snapshot.Policy{RedirectHTTPS: true}, backend(t, "web"))
	u.Spec.Hosts[0].Routes = append(u.Spec.Hosts[0].Routes, &snapshot.Route{
		Path: "/.well-known/acme-challenge/token", Kind: snapshot.Exact, Pool: "pool-shop.example",
		Policy: snapshot.Policy{RedirectHTTPS: true, ACME: true},
	})
	w.secure(u.Spec.Hosts[0])
	w.publish(u)
	c := w.client()
	res, err := c.Get("http://shop.example/a?b=c")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got, want := res.Header.Get("Location"), "https://shop.example/a?b=c"; res.StatusCode != 308 || got != want {
		t.Errorf("%d to %q, want 308 to %q", res.StatusCode, got, want)
	}
	if status, _ := get(t, c, res.Header.Get("Location")); status != 200 {
		t.Errorf("status %d behind the redirect, want 200", status)
	}
	if status, body := get(t, c, "http://shop.example/.well-known/acme-challenge/token"); status != 200 {
		t.Errorf("ACME challenge: %d %q, want 200", status, body)
	}
}

func TestNewNeedsAListener(t *testing.T) {
	if _, err := dataplane.New(dataplane.Config{}); err == nil {
		t.Errorf("New(Config{}) succeeded, want an error")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = dataplane.New(dataplane.Config{HTTPAddr: "127.0.0.1:0", HTTPSAddr: taken.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("New on a port that is taken = %v, want an error that names the listener", err)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	d, err := dataplane.New(dataplane.Config{HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Addr("https") != nil {
		t.Errorf("Addr(https) = %v without such a listener", d.Addr("https"))
	}
	addr := d.Addr("http").String()
	d.Close()
	d.Close()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the address is still taken: %v", err)
	}
	ln.Close()
}

func TestFigures(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(single("shop.example", snapshot.Policy{}, backend(t, "web")))
	get(t, w.client(), "http://shop.example/")
	pools := w.Pools()
	if len(pools) != 1 || pools[0].Endpoints != 1 || pools[0].Dials != 1 {
		t.Errorf("Pools() = %+v, want one with one dial", pools)
	}
	if err := w.stop(); err != nil || w.InFlight() != 0 {
		t.Errorf("Run() = %v, InFlight() = %d, want nil, 0", err, w.InFlight())
	}
}

func TestOwnAddressesAreNoEndpoints(t *testing.T) {
	admin := backend(t, "admin")
	w := newWorld(t, func(cfg *dataplane.Config) {
		cfg.OwnAddrs = []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), admin.Addr.Port())}
	})
	c := w.client()
	own := netip.MustParseAddrPort(w.Addr("http").String())
	for _, addr := range []netip.AddrPort{
		own,
		netip.AddrPortFrom(netip.AddrFrom16(own.Addr().As16()), own.Port()),
		netip.MustParseAddrPort(w.Addr("https").String()),
		admin.Addr,
	} {
		w.publish(single("shop.example", snapshot.Policy{}, snapshot.Endpoint{Addr: addr}))
		if status, body := get(t, c, "http://shop.example/"); status != 502 || !strings.Contains(body, string(outcome.AddressRefused)) {
			t.Errorf("endpoint %s: %d %q, want 502 address_refused", addr, status, body)
		}
	}
}

func TestPublishOutcomes(t *testing.T) {
	w := newWorld(t, nil)
	web := backend(t, "web")
	a, poolA := host("a.example", snapshot.Policy{})
	b, poolB := host("b.example", snapshot.Policy{})
	good := &snapshot.Spec{Hosts: []*snapshot.Host{a, b}, Pools: []*snapshot.Pool{poolA, poolB}}

	w.publish(snapshot.Update{Spec: good, Endpoints: map[string][]snapshot.Endpoint{
		poolA.ID: {web}, poolB.ID: {web, backend(t, "web2")}, "unknown": {web},
	}})
	o, n := w.lastPublish()
	if n != 1 || o.Generation != 1 || o.Hosts != 2 || o.Routes != 2 || o.Pools != 2 || o.EndpointsReplaced != 2 ||
		o.EndpointsInForce != 3 || o.Snapshot == nil || o.Err != "" {
		t.Errorf("publish %d: %+v", n, o)
	}

	// Endpoints alone recompile nothing.
	before := w.Snapshot()
	w.publish(snapshot.Update{Endpoints: map[string][]snapshot.Endpoint{poolB.ID: nil}})
	if o, n = w.lastPublish(); n != 2 || o.Generation != 1 || o.EndpointsReplaced != 1 || o.EndpointsInForce != 1 || w.Snapshot() != before {
		t.Errorf("publish %d: %+v", n, o)
	}

	// A Spec that contradicts itself leaves everything as it is.
	bad, _ := host("c.example", snapshot.Policy{})
	err := w.Publish(snapshot.Update{
		Spec:      &snapshot.Spec{Hosts: []*snapshot.Host{a, bad}, Pools: []*snapshot.Pool{poolA}},
		Endpoints: map[string][]snapshot.Endpoint{poolB.ID: {web}},
	})
	if err == nil {
		t.Fatalf("a route without its pool was published")
	}
	if o, n = w.lastPublish(); n != 3 || o.Err == "" || o.Generation != 1 || o.Snapshot != nil || w.Snapshot() != before {
		t.Errorf("publish %d: %+v", n, o)
	}
	c := w.client()
	for _, name := range []string{"a.example", "b.example"} {
		if status, _ := get(t, c, "http://"+name+"/"); status != 200 {
			t.Errorf("%s: status %d after a refused publish, want 200", name, status)
		}
	}

	// A pool that nothing names is gone.
	w.publish(snapshot.Update{Spec: &snapshot.Spec{Hosts: []*snapshot.Host{a}, Pools: []*snapshot.Pool{poolA}}})
	if o, _ = w.lastPublish(); o.Generation != 2 || o.Pools != 1 || o.EndpointsInForce != 1 {
		t.Errorf("publish: %+v", o)
	}
}

func TestRefusedFirstPublish(t *testing.T) {
	w := newWorld(t, nil)
	h, _ := host("a.example", snapshot.Policy{})
	if err := w.Publish(snapshot.Update{Spec: &snapshot.Spec{Hosts: []*snapshot.Host{h}}}); err == nil || w.Ready() {
		t.Errorf("Publish() = %v, Ready() = %v, want an error and false", err, w.Ready())
	}
}

func TestFiltersAreAsked(t *testing.T) {
	w := newWorld(t, func(cfg *dataplane.Config) { cfg.Filters = append(cfg.Filters, teapot) })
	w.publish(single("shop.example", snapshot.Policy{}, backend(t, "web")))
	c := w.client()
	if status, _ := get(t, c, "http://shop.example/coffee"); status != 418 {
		t.Errorf("status %d, want the filter's 418", status)
	}
	if status, _ := get(t, c, "http://shop.example/tea"); status != 200 {
		t.Errorf("status %d, want 200", status)
	}
}

func TestEarlyNeedsNoRoute(t *testing.T) {
	w := newWorld(t, func(cfg *dataplane.Config) {
		cfg.Early = append(cfg.Early, func(x *proxy.Exchange) (bool, *outcome.Error) {
			if string(x.Path()) != "/ping" || x.Route() != nil || x.Policy() != (snapshot.Policy{}) {
				return false, nil
			}
			return true, x.Answer(200, "pong")
		})
	})
	w.publish(snapshot.Update{Spec: &snapshot.Spec{}})
	if status, body := get(t, w.client(), "http://any.example/%70ing"); status != 200 || body != "pong" {
		t.Errorf("%d %q, want the early phase's answer", status, body)
	}
	if status, _ := get(t, w.client(), "http://any.example/pong"); status != 404 {
		t.Errorf("status %d, want 404", status)
	}
}

func TestDialIsReplaced(t *testing.T) {
	web := backend(t, "web")
	w := newWorld(t, func(cfg *dataplane.Config) {
		cfg.AllowLoopback = false
		cfg.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", web.Addr.String())
		}
	})
	w.publish(single("shop.example", snapshot.Policy{}, snapshot.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:80")}))
	if status, _ := get(t, w.client(), "http://shop.example/"); status != 200 {
		t.Errorf("status %d, want 200 by the dial function", status)
	}
	// The guard stands before it.
	w.publish(single("shop.example", snapshot.Policy{}, web))
	if status, _ := get(t, w.client(), "http://shop.example/"); status != http.StatusBadGateway {
		t.Errorf("status %d for a loopback endpoint, want 502", status)
	}
}
