//go:build envtest

package controllers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestAPIServerGoesAwayAndComesBack kills the API server for 20 s.
func TestAPIServerGoesAwayAndComesBack(t *testing.T) {
	p := newPlace(t)
	create(t, p.service("web"), p.slice("web", "192.0.2.1"), p.secret(t, "tls", "before", "shop.example.com"), p.ingress("shop", "shop.example.com", "tls"))
	r := p.start(t, func(c *Config) { c.Events = p.events(t, "one") })
	r.ready(t)

	// It does not end while it is being watched, so it is killed after some
	// seconds, which envtest reports as an error.
	server := environment.ControlPlane.GetAPIServer()
	t.Logf("API server stopped: %v", server.Stop())
	gone := time.Now()
	before := r.publishes()
	// A controller that starts now is not ready, says why, and does not end.
	late := p.start(t, nil)
	eventually(t, 10*time.Second, "the reason why it is not ready", func() bool {
		return strings.Contains(late.controller.NotReady(), "connect")
	})
	t.Logf("not ready: %s", late.controller.NotReady())
	// The outage itself is the fact to wait for.
	eventually(t, time.Minute, "20 s without an API server", func() bool { return time.Since(gone) > 20*time.Second })
	if got := r.publishes(); got != before {
		t.Errorf("%d publishes while the API server was away, want none", got-before)
	}
	if why := r.controller.NotReady(); why != "" {
		t.Errorf("NotReady = %q while the API server was away, want to stay ready", why)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, 30*time.Second, "an API server that takes writes", func() bool {
		return kube.Create(t.Context(), p.ingress("new", "new.example.com", "tls")) == nil
	})
	update(t, p.secret(t, "tls", "after", "shop.example.com", "new.example.com"))
	for _, c := range []*replica{r, late} {
		c.wait(t, 90*time.Second, "what changed since", func() bool {
			return c.certificate("new.example.com") == "after" && c.certificate("shop.example.com") == "after"
		})
		t.Logf("in step %v after the API server came back", time.Since(began))
	}
}

// steadyPort returns a port that is free and not of those which the system gives to
// whoever asks for any: an API server that is away for a while finds it free again.
func steadyPort() (string, error) {
	first := 32768
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(text), &first); err != nil {
			return "", fmt.Errorf("ip_local_port_range %q: %w", text, err)
		}
	}
	const lowest = 10000
	for range 100 {
		port := strconv.Itoa(lowest + rand.IntN(max(1, first-lowest)))
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, l.Close()
		}
	}
	return "", fmt.Errorf("no port from %d to %d is free", lowest, first)
}
