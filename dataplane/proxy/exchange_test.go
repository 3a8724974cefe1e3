package proxy_test

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestFramings(t *testing.T) {
	requests := map[string]string{
		"no body":          "GET /x HTTP/1.1\r\nHost: h\r\n\r\n",
		"content-length":   "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
		"chunked":          "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
		"zero length":      "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		"empty and chunks": "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	}
	bodies := map[string]string{"content-length": "hello", "chunked": "hello"}
	responses := map[string]string{
		"content-length": "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
		"chunked":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
		"until close":    "HTTP/1.1 200 OK\r\nX: %d\r\n\r\n%s",
	}
	for reqName, request := range requests {
		for resName, response := range responses {
			t.Run(reqName+" to "+resName, func(t *testing.T) {
				addr := backend(t, func(p *peer, _ int) {
					for {
						req, body := p.request()
						if req == nil {
							return
						}
						if want := bodies[reqName]; body != want {
							t.Errorf("backend got body %q, want %q", body, want)
						}
						answer := "answer to " + req.Method
						p.send(fmt.Sprintf(response, len(answer), answer))
						if resName == "until close" {
							return
						}
					}
				})
				w := newWorld(t, settings{}, addr)
				c := w.dial()
				for range 3 { // kept alive
					c.send(request)
					method, _, _ := strings.Cut(request, " ")
					c.want(method, 200, "answer to "+method)
					o := w.outcome(outcome.OK, 200)
					if got, want := o.BodyIn, int64(len(bodies[reqName])); got != want {
						t.Errorf("BodyIn = %d, want %d", got, want)
					}
					if got, want := o.BodyOut, int64(len("answer to "+method)); got != want {
						t.Errorf("BodyOut = %d, want %d", got, want)
					}
				}
				if got, want := w.dials.Load(), int64(1); resName != "until close" && got != want {
					t.Errorf("%d dials for three requests, want %d", got, want)
				}
			})
		}
	}
}

func TestPipelining(t *testing.T) {
	w := newWorld(t, settings{}, backend(t, echo))
	c := w.dial()
	c.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nabGET /3 HTTP/1.1\r\nHost: h\r\n\r\n")
	c.want("GET", 200, "GET /1 ")
	c.want("POST", 200, "POST /2 ab")
	c.want("GET", 200, "GET /3 ")
	for range 3 {
		w.outcome(outcome.OK, 200)
	}
}

func TestOutcomeOfOrdinaryExchange(t *testing.T) {
	addr := backend(t, echo)
	w := newWorld(t, settings{}, addr)
	c := w.dial()
	c.send("GET /%61/./b?q=1 HTTP/1.1\r\nHost: SHOP.example.:80\r\nX-Request-ID: my-id\r\nUser-Agent: ua\r\na_b: c\r\n\r\n")
	c.want("GET", 200, "GET /a/b?q=1 ")
	o := w.outcome(outcome.OK, 200)
	if got, want := string(o.Host)+" "+string(o.Path)+" "+string(o.Target)+" "+o.Proto, "shop.example /a/b /%61/./b?q=1 HTTP/1.1"; got != want {
		t.Errorf("outcome: %q, want %q", got, want)
	}
	if string(o.ID) != "my-id" || o.Endpoint != addr || o.Attempts != 1 || o.Reused || o.UpstreamStatus != 200 ||
		!o.Matched || o.Pool != "pool" || o.FieldsDropped != 1 || o.ConnectTime <= 0 || o.FirstByte <= 0 || o.Duration < o.FirstByte {
		t.Errorf("outcome = %+v", o)
	}
}

func TestBodyless(t *testing.T) {
	for _, tt := range []struct {
		name, method, answer string
		status               int
		length               string
	}{
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200, "1000"},
		{"HEAD of unknown length", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, ""},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n", 304, "77"},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
				for {
					if req, _ := p.request(); req == nil {
						return
					}
					p.send(tt.answer)
				}
			}))
			c := w.dial()
			for range 2 {
				c.send(tt.method + " / HTTP/1.1\r\nHost: h\r\n\r\n")
				res := c.want(tt.method, tt.status, "")
				if got := res.Header.Get("Content-Length"); got != tt.length {
					t.Errorf("Content-Length = %q, want %q", got, tt.length)
				}
				w.outcome(outcome.OK, tt.status)
			}
			if got := w.dials.Load(); got != 1 {
				t.Errorf("%d dials, want 1: the connection is kept", got)
			}
		})
	}
}

func TestTrailers(t *testing.T) {
	w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
		if got, want := p.until("0\r\nX-Sum: 1\r\n\r\n"), "Trailer: X-Sum"; !strings.Contains(got, want) {
			t.Errorf("backend got %q, want it to contain %q", got, want)
		}
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\nX-Forwarded-For: evil\r\n\r\n")
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: evil\r\n\r\n")
	res := c.want("POST", 200, "ok")
	if got, want := fmt.Sprint(res.Trailer), "map[X-Sum:[2]]"; got != want {
		t.Errorf("trailers = %s, want %s", got, want)
	}
	w.outcome(outcome.OK, 200)
}

func TestContinue(t *testing.T) {
	w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
		if head := p.until("\r\n\r\n"); !strings.Contains(head, "Expect: 100-continue\r\n") {
			t.Errorf("the expectation was not forwarded: %q", head)
		}
		p.send("HTTP/1.1 100 Continue\r\n\r\n")
		p.until("hello")
		p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		p.wantEnd()
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
	if got, want := c.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n"; got != want {
		t.Errorf("interim response %q, want %q", got, want)
	}
	c.send("hello")
	c.want("POST", 200, "ok")
	w.outcome(outcome.OK, 200)
	c.wantEnd()
	w.set.Close()
}

func TestExpectationRefused(t *testing.T) {
	w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
		p.until("\r\n\r\n")
		p.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		p.wantEnd()
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if res := c.want("POST", 401, "no"); !res.Close {
		t.Errorf("the connection is kept though the body may still come")
	}
	w.outcome(outcome.OK, 401)
	c.wantEnd()
}

func TestInterim(t *testing.T) {
	script := func(p *peer, _ int) {
		for {
			if req, _ := p.request(); req == nil {
				return
			}
			p.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: close\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
	w := newWorld(t, settings{}, backend(t, script))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if got, want := c.until("\r\n\r\n"), "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"; got != want {
		t.Errorf("interim response %q, want %q", got, want)
	}
	c.want("GET", 200, "ok")
	w.outcome(outcome.OK, 200)

	old := w.dial()
	old.send("GET / HTTP/1.0\r\n\r\n")
	old.want("GET", 200, "ok")
	w.outcome(outcome.OK, 200)
}

func TestEarlyResponse(t *testing.T) {
	w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
		p.until("\r\n\r\n")
		p.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		_, _ = io.Copy(io.Discard, p.r)
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\nonly the beginning")
	if res := c.want("POST", 413, "big"); !res.Close {
		t.Errorf("the connection is kept though most of the body is missing")
	}
	if o := w.outcome(outcome.OK, 413); o.Side == outcome.Upstream {
		t.Errorf("the upstream is blamed for its answer")
	}
}

func TestBothWaysAtOnce(t *testing.T) {
	// The endpoint answers each chunk when it has it, before the body has ended.
	w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
		p.until("\r\n\r\n")
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for _, s := range []string{"a", "b", "c"} {
			p.until("1\r\n" + s + "\r\n")
			p.send("1\r\n" + strings.ToUpper(s) + "\r\n")
		}
		p.until("0\r\n\r\n")
		p.send("0\r\n\r\n")
		p.wantEnd()
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	c.until("\r\n\r\n")
	for _, s := range []string{"a", "b", "c"} {
		c.send("1\r\n" + s + "\r\n")
		c.until("1\r\n" + strings.ToUpper(s) + "\r\n")
	}
	c.send("0\r\n\r\n")
	c.until("0\r\n\r\n")
	w.outcome(outcome.OK, 200)
	c.wantEnd()
	w.set.Close()
}

func TestEventStream(t *testing.T) {
	next := make(chan string)
	w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
		p.request()
		p.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for s := range next {
			p.send(fmt.Sprintf("%x\r\n%s\r\n", len(s), s))
		}
		p.send("0\r\n\r\n")
		p.wantEnd()
	}))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.until("\r\n\r\n") // the head, before there is an event
	for i := range 5 {
		event := fmt.Sprintf("data: %d\n\n", i)
		next <- event
		c.until(event + "\r\n")
	}
	close(next)
	c.until("0\r\n\r\n")
	w.outcome(outcome.OK, 200)
	w.set.Close()
}

func TestMaxForwards(t *testing.T) {
	w := newWorld(t, settings{}, backend(t, echo))
	c := w.dial()
	c.send("OPTIONS /x HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n")
	if res := c.want("OPTIONS", 200, ""); res.Header.Get("Allow") == "" {
		t.Errorf("no Allow field")
	}
	if o := w.outcome(outcome.OK, 200); o.Attempts != 0 {
		t.Errorf("%d attempts, want 0", o.Attempts)
	}
	c.send("OPTIONS /x HTTP/1.1\r\nHost: h\r\nMax-Forwards: 1\r\n\r\n")
	c.want("OPTIONS", 200, "OPTIONS /x ")
	w.outcome(outcome.OK, 200)
}

func TestPhases(t *testing.T) {
	var order []string
	f := func(snapshot.Policy) proxy.Hooks {
		note := func(s string) { order = append(order, s) }
		return proxy.Hooks{
			Request: func(*proxy.Exchange) (bool, *outcome.Error) { note("request"); return false, nil },
			Cache:   func(*proxy.Exchange) (bool, *outcome.Error) { note("cache"); return false, nil },
			UpstreamRequest: func(_ *proxy.Exchange, req *message.Request) *outcome.Error {
				note("upstream request")
				req.Fields.AddName("X-Added", "1")
				return nil
			},
			UpstreamResponse: func(*proxy.Exchange, *message.Response) *outcome.Error { note("upstream response"); return nil },
			Response: func(_ *proxy.Exchange, res *message.Response) *outcome.Error {
				note("response")
				res.Fields.AddName("X-Seen", "1")
				return nil
			},
		}
	}
	w := newWorld(t, settings{filters: []proxy.Filter{f}}, backend(t, func(p *peer, _ int) {
		for {
			req, _ := p.request()
			if req == nil {
				return
			}
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + req.Header.Get("X-Added"))
		}
	}))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if res := c.want("GET", 200, "1"); res.Header.Get("X-Seen") != "1" {
		t.Errorf("the response phase's field is missing")
	}
	w.outcome(outcome.OK, 200)
	if got, want := strings.Join(order, ", "), "request, cache, upstream request, upstream response, response"; got != want {
		t.Errorf("phases: %s, want %s", got, want)
	}
}

// A head that a filter made unsendable is a 500, not half an answer.
func TestUnsendableHead(t *testing.T) {
	f := func(snapshot.Policy) proxy.Hooks {
		return proxy.Hooks{Response: func(_ *proxy.Exchange, res *message.Response) *outcome.Error {
			res.Fields.AddName("X-Split", "a\r\nSet-Cookie: evil")
			return nil
		}}
	}
	w := newWorld(t, settings{filters: []proxy.Filter{f}}, backend(t, echo))
	c := w.dial()
	for range 2 {
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		res, _ := c.response("GET")
		if res.StatusCode != 500 || res.Header.Get("Set-Cookie") != "" {
			t.Errorf("response %d %v, want a plain 500", res.StatusCode, res.Header)
		}
		w.outcome(outcome.InternalError, 500)
	}
}

func TestPanicInPhase(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hooks proxy.Hooks
	}{
		{"upstream request", proxy.Hooks{UpstreamRequest: func(*proxy.Exchange, *message.Request) *outcome.Error { panic("boom") }}},
		{"response", proxy.Hooks{Response: func(*proxy.Exchange, *message.Response) *outcome.Error { panic("boom") }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, settings{filters: []proxy.Filter{func(snapshot.Policy) proxy.Hooks { return tt.hooks }}}, backend(t, echo))
			c := w.dial()
			for range 2 {
				c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
				if res, _ := c.response("GET"); res.StatusCode != 500 {
					t.Errorf("status %d, want 500", res.StatusCode)
				}
				w.outcome(outcome.Panic, 500)
			}
		})
	}
}
