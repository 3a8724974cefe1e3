package dataplane_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"

	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// teapot is a filter from outside: it answers requests for coffee, whatever the
// route's policy says.
func teapot(snapshot.Policy) proxy.Hooks {
	return proxy.Hooks{
		Request: func(x *proxy.Exchange) (answered bool, err *outcome.Error) {
			if !strings.HasPrefix(string(x.Path()), "/coffee") {
				return false, nil
			}
			return true, x.Answer(418, "I'm a teapot\n", "Content-Type", "text/plain")
		},
	}
}

// Example serves one backend, with a filter of its own and a handshake logger.
func Example() {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "here is your %s, %s\n", r.URL.Path[1:], r.Header.Get("X-Forwarded-Proto"))
	}))
	defer backend.Close()

	handshakes := make(chan string, 1)
	d, err := dataplane.New(dataplane.Config{
		HTTPAddr:      "127.0.0.1:0",
		HTTPSAddr:     "127.0.0.1:0",
		AllowLoopback: true, // the backend is on this host
		Filters:       []proxy.Filter{teapot},
		// A callback may take its time: no connection waits for it.
		HandshakeFailed: func(h *outcome.Handshake) {
			handshakes <- fmt.Sprintf("handshake for %q: %s, %s (%s)", h.SNI, h.Result, h.Reason, h.Reason.Info().Text)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()

	pool := &snapshot.Pool{ID: "kitchen"}
	err = d.Publish(snapshot.Update{
		Spec: &snapshot.Spec{
			Hosts: []*snapshot.Host{{
				Name:   "cafe.example",
				Routes: []*snapshot.Route{{Path: "/", Kind: snapshot.Prefix, Pool: pool.ID}},
			}},
			Pools: []*snapshot.Pool{pool},
		},
		Endpoints: map[string][]snapshot.Endpoint{
			pool.ID: {{Addr: netip.MustParseAddrPort(backend.Listener.Addr().String())}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	for _, path := range []string{"/tea", "/coffee"} {
		req, _ := http.NewRequest("GET", "http://"+d.Addr("http").String()+path, nil)
		req.Host = "cafe.example"
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Print(res.StatusCode, " ", string(body))
	}

	// No host is declared for TLS.
	if c, err := net.Dial("tcp", d.Addr("https").String()); err == nil {
		_ = tls.Client(c, &tls.Config{ServerName: "cafe.example"}).Handshake()
		c.Close()
	}
	fmt.Println(<-handshakes)

	stop()
	if err := <-ran; err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200 here is your tea, http
	// 418 I'm a teapot
	// handshake for "cafe.example": failed, unknown_sni (the client asked for a host that no Ingress declares in spec.tls)
}
