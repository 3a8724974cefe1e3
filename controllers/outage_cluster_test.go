//go:build envtest

package controllers

import (
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
