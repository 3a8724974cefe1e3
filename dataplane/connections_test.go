package dataplane_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestRow60TheRealAddressIsTold: what a trusted load balancer says in a PROXY
// header is the client's address for backend and outcome. A client behind it is
// not believed what it says itself, though the load balancer is.
func TestRow60TheRealAddressIsTold(t *testing.T) {
	seen := make(chan outcome.Conn, 10)
	w := newWorld(t, func(cfg *dataplane.Config) {
		request := cfg.Sink.Request
		cfg.Sink.Request = func(r *outcome.Request) {
			c := *r.Conn
			c.Stamp = r.Client
			seen <- c
			request(r)
		}
	})
	u := single("shop.example", snapshot.Policy{}, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-For"))
	})))
	w.secure(u.Spec.Hosts[0])
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	u.Spec.TrustedCIDRs = []netip.Prefix{loopback}
	u.Spec.Connections = &snapshot.ConnectionPolicy{ProxyProtocol: []netip.Prefix{loopback}}
	w.publish(u)
	for _, listener := range []string{"http", "https"} {
		c, err := net.Dial("tcp", w.Addr(listener).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(c, "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n")
		if listener == "https" {
			c = tls.Client(c, &tls.Config{ServerName: "shop.example", RootCAs: w.ca})
		}
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); string(body) != "2001:db8::1" {
			t.Errorf("%s: X-Forwarded-For = %q, want 2001:db8::1 alone", listener, body)
		}
		if got := <-seen; got.Remote.String() != "[2001:db8::1]:4711" || !got.Proxy.Addr().IsLoopback() || got.Stamp != got.Remote.Addr() {
			t.Errorf("%s: the request's connection is %+v, want from 2001:db8::1 by 127.0.0.1", listener, got)
		}
	}
}

// TestRow60LimitsHoldAcrossListeners: an address has one bucket, not one a
// listener, and a publish changes the policy for the next connection.
func TestRow60LimitsHoldAcrossListeners(t *testing.T) {
	ended := make(chan outcome.Reason, 10)
	w := newWorld(t, func(cfg *dataplane.Config) {
		cfg.Sink.Conn = func(c *outcome.Conn) { ended <- c.Reason }
	})
	u := single("shop.example", snapshot.Policy{})
	u.Spec.Connections = &snapshot.ConnectionPolicy{MaxPerAddress: 1}
	w.publish(u)
	held, err := net.Dial("tcp", w.Addr("http").String())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	// Its goroutine has to have been let in before the next one comes.
	fmt.Fprint(held, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(held), nil); err != nil {
		t.Fatal(err)
	}
	try := func(want outcome.Reason) {
		t.Helper()
		if c, err := net.Dial("tcp", w.Addr("https").String()); err == nil {
			fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
		if got := <-ended; got != want {
			t.Errorf("a second connection ended for %s, want %s", got, want)
		}
	}
	try(outcome.FilteredConcurrent)
	without := *u.Spec
	without.Connections = nil
	w.publish(snapshot.Update{Spec: &without})
	try(outcome.NotTLSHTTP)
}
