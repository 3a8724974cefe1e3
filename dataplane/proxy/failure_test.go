package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func TestStreamEndsWithItsClient(t *testing.T) {
	ended := make(chan struct{})
	w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
		p.request()
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
		p.wantEnd()
		close(ended)
	}))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.until("x\r\n")
	c.Close()
	o := w.outcome(outcome.ClientClosed, 200)
	if o.Side != outcome.Downstream {
		t.Errorf("side = %s, want downstream", o.Side)
	}
	<-ended
}

func TestClientLeavesWhileUpstreamThinks(t *testing.T) {
	for _, body := range []string{"", "hello"} {
		got := make(chan struct{})
		w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
			p.until("\r\n\r\n" + body)
			close(got)
			p.wantEnd()
		}))
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n")
		if body != "" {
			// The body comes by the sender.
			c.send(body[:2])
			c.send(body[2:])
		}
		<-got
		c.Close()
		if o := w.outcome(outcome.ClientClosed, 499); o.Side != outcome.Downstream || o.Attempts != 1 {
			t.Errorf("side %s after %d attempts, want downstream after 1", o.Side, o.Attempts)
		}
	}
}

func TestClientLeavesInItsBody(t *testing.T) {
	got := make(chan struct{})
	w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
		p.until("part")
		close(got)
		p.wantEnd()
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\npart")
	<-got
	c.Close()
	w.outcome(outcome.ClientClosed, 499)
}

func TestUpstreamFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string // sent, then the connection is closed
		reset  bool
		reason outcome.Reason
		status int
		cut    bool
	}{
		{name: "closed before the head", reason: outcome.UpstreamClosed, status: 502},
		{name: "closed in the head", answer: "HTTP/1.1 200 OK\r\nX: ", reason: outcome.UpstreamClosed, status: 502},
		{name: "no HTTP", answer: "SSH-2.0-OpenSSH\r\n\r\n", reason: outcome.UpstreamInvalid, status: 502},
		{name: "101 that nobody asked for", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", reason: outcome.UpstreamInvalid, status: 502},
		{name: "cut in a body of known length", answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", reason: outcome.UpstreamCut, status: 200, cut: true},
		{name: "cut in a chunked body", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", reason: outcome.UpstreamCut, status: 200, cut: true},
		{name: "bad chunk", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", reason: outcome.UpstreamInvalid, status: 200, cut: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
				if req, _ := p.request(); req == nil {
					return
				}
				p.send(tt.answer)
			}))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			res, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if (err != nil) != tt.cut {
				t.Errorf("body %q ends with %v, want an error: %v", body, err, tt.cut)
			}
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d", res.StatusCode, tt.status)
			}
			if !tt.cut && !strings.Contains(string(body), "reason: "+string(tt.reason)) {
				t.Errorf("body %q, want it to name %s", body, tt.reason)
			}
			if o := w.outcome(tt.reason, tt.status); o.Side != outcome.Upstream {
				t.Errorf("side = %s, want upstream", o.Side)
			}
		})
	}
}

func TestRetryOfIdleClosedConnection(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		status        int
		reason        outcome.Reason
		attempts      int
	}{
		{"GET", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, outcome.OK, 2},
		{"PUT whose body is kept", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", 200, outcome.OK, 2},
		{"PUT whose body is too large", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", 70000), 502, "", 1},
		{"POST", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", 502, outcome.UpstreamClosed, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The first connection answers once, then reads another request and
			// closes without a word, as if it had been about to.
			w := newWorld(t, settings{}, backend(t, func(p *peer, n int) {
				if n > 0 {
					echo(p, n)
					return
				}
				p.request()
				p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				p.request()
			}))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			c.want("GET", 200, "")
			w.outcome(outcome.OK, 200)

			c.send(tt.request)
			method, _, _ := strings.Cut(tt.request, " ")
			res, body := c.response(method)
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d", res.StatusCode, tt.status)
			}
			if method == "PUT" && tt.status == 200 && body != "PUT / hello" {
				t.Errorf("body %q, want the same request again", body)
			}
			select {
			case o := <-w.outcomes:
				if o.Attempts != tt.attempts || o.Status != tt.status || tt.reason != "" && o.Reason != tt.reason {
					t.Errorf("outcome %s %d after %d attempts, want %s %d after %d", o.Reason, o.Status, o.Attempts, tt.reason, tt.status, tt.attempts)
				}
			case <-time.After(patience):
				t.Fatal("no outcome")
			}
		})
	}
}

func TestNextEndpoint(t *testing.T) {
	good := backend(t, echo)
	w := newWorld(t, settings{}, nobody(t), good)
	c := w.dial()
	attempts := 0
	for range 4 {
		c.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
		c.want("POST", 200, "POST /x hi")
		o := w.outcome(outcome.OK, 200)
		attempts += o.Attempts
		if o.Endpoint != good {
			t.Errorf("answered by %s, want %s", o.Endpoint, good)
		}
	}
	if attempts <= 4 {
		t.Errorf("%d attempts for 4 requests: the endpoint that is not there was never tried", attempts)
	}
}

func TestNoEndpointAnswers(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t, settings{}, nobody(t), nobody(t))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if res, _ := c.response("GET"); res.StatusCode != 502 {
			t.Errorf("status %d, want 502", res.StatusCode)
		}
		if o := w.outcome(outcome.ConnectRefused, 502); o.Attempts != 2 {
			t.Errorf("%d attempts at two endpoints, want 2", o.Attempts)
		}
	})
	t.Run("none", func(t *testing.T) {
		w := newWorld(t, settings{})
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if res, _ := c.response("GET"); res.StatusCode != 503 || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("status %d, want 503 and no-store", res.StatusCode)
		}
		if o := w.outcome(outcome.NoEndpoints, 503); o.Attempts != 0 {
			t.Errorf("%d attempts, want 0", o.Attempts)
		}
		// The connection serves on.
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		c.response("GET")
		w.outcome(outcome.NoEndpoints, 503)
	})
}

func TestTimeouts(t *testing.T) {
	const limit = 300 * time.Millisecond
	silent := func(p *peer, _ int) { _, _ = io.Copy(io.Discard, p.r) }
	policy := snapshot.Policy{ReadTimeout: limit}

	t.Run("response head", func(t *testing.T) {
		w := newWorld(t, settings{policy: policy}, backend(t, silent))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if res, _ := c.response("GET"); res.StatusCode != 504 {
			t.Errorf("status %d, want 504", res.StatusCode)
		}
		if o := w.outcome(outcome.UpstreamTimeout, 504); o.Duration < limit {
			t.Errorf("timed out after %v, want %v at least", o.Duration, limit)
		}
	})
	t.Run("response head after a body that took longer than the limit", func(t *testing.T) {
		w := newWorld(t, settings{policy: policy}, backend(t, func(p *peer, _ int) { p.until("end"); p.wantEnd() }))
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n")
		start := time.Now()
		for range 3 {
			c.send("-")
			<-time.After(limit * 2 / 3)
		}
		uploaded := time.Since(start)
		c.send("end")
		if res, _ := c.response("POST"); res.StatusCode != 504 {
			t.Errorf("status %d, want 504", res.StatusCode)
		}
		if o := w.outcome(outcome.UpstreamTimeout, 504); o.Duration < uploaded+limit {
			t.Errorf("timed out after %v, want %v at least", o.Duration, uploaded+limit)
		}
	})
	t.Run("response body", func(t *testing.T) {
		w := newWorld(t, settings{policy: policy}, backend(t, func(p *peer, _ int) {
			p.request()
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			p.wantEnd()
		}))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		c.until("abc")
		c.wantEnd()
		w.outcome(outcome.UpstreamTimeout, 200)
	})
	t.Run("request body", func(t *testing.T) {
		w := newWorld(t, settings{bodyTimeout: limit}, backend(t, silent))
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
		if res, _ := c.response("POST"); res.StatusCode != 408 {
			t.Errorf("status %d, want 408", res.StatusCode)
		}
		w.outcome(outcome.BodyTimeout, 408)
	})
}

func TestBodyLimit(t *testing.T) {
	w := newWorld(t, settings{policy: snapshot.Policy{MaxBody: 10}}, backend(t, func(p *peer, n int) {
		for {
			req, err := http.ReadRequest(p.r)
			if err != nil {
				return
			}
			if _, err := io.ReadAll(req.Body); err != nil {
				return
			}
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789")
	c.want("POST", 200, "")
	w.outcome(outcome.OK, 200)

	c = w.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n0123456789a")
	if res, _ := c.response("POST"); res.StatusCode != 413 {
		t.Errorf("status %d, want 413", res.StatusCode)
	}
	if o := w.outcome(outcome.BodyTooLarge, 413); o.Attempts != 0 {
		t.Errorf("%d attempts, want none: the length was known", o.Attempts)
	}

	c = w.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n")
	if res, _ := c.response("POST"); res.StatusCode != 413 {
		t.Errorf("status %d, want 413", res.StatusCode)
	}
	w.outcome(outcome.BodyTooLarge, 413)
}

func TestMalformed(t *testing.T) {
	w := newWorld(t, settings{}, backend(t, echo))
	for request, status := range map[string]int{
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
		"nonsense\r\n\r\n":                        400,
		"GET /../.. HTTP/1.1\r\nHost: h\r\n\r\n":  400,
		"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n":     405,
		"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n": 405,
		"GET / HTTP/3.0\r\nHost: h\r\n\r\n":       505,
	} {
		c := w.dial()
		c.send(request)
		res, _ := c.response("GET")
		if res.StatusCode != status {
			t.Errorf("%q: status %d, want %d", request, res.StatusCode, status)
		}
		if o := <-w.outcomes; o.Status != status || o.Reason == outcome.OK || len(o.ID) != 32 {
			t.Errorf("%q: outcome %d %s with ID %q, want %d", request, o.Status, o.Reason, o.ID, status)
		}
	}
}
