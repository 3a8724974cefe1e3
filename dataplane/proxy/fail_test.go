package proxy

import (
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/google/go-cmp/cmp"
)

func TestFail(t *testing.T) {
	const head = "Content-Type: text/plain; charset=utf-8|Cache-Control: no-store|X-Content-Type-Options: nosniff"
	for _, tt := range []struct {
		name     string
		err      outcome.Error
		method   string
		headSent bool
		status   int // sent; 0: nothing
		logged   int
		fields   string
		body     string
		aborted  bool
		grpc     bool
		canceled bool
	}{
		{
			name: "the reason's status, nothing of the inside", method: "GET",
			err:    outcome.Error{Side: outcome.Upstream, Reason: outcome.ConnectRefused, Detail: "10.0.0.1", Err: errors.New("dial 10.0.0.1")},
			status: 502, logged: 502, fields: head, body: "502 Bad Gateway\nreason: connect_refused\nrequest id: id-1\n",
		},
		{
			name: "the error's own status, and its detail to who made it", method: "GET",
			err:    outcome.Error{Side: outcome.Downstream, Reason: outcome.BadRequest, Status: 414, Detail: "too long"},
			status: 414, logged: 414, fields: head, body: "414 URI Too Long\nreason: bad_request\ndetail: too long\nrequest id: id-1\n",
		},
		{
			name: "no body for HEAD", method: "HEAD",
			err:    outcome.Error{Side: outcome.Upstream, Reason: outcome.NoEndpoints},
			status: 503, logged: 503, fields: head,
		},
		{
			name: "405 says what is allowed", method: "TRACE",
			err:    outcome.Error{Side: outcome.Downstream, Reason: outcome.MethodRefused},
			status: 405, logged: 405, fields: head + "|Allow: " + allowed, body: "405 Method Not Allowed\nreason: method_refused\nrequest id: id-1\n",
		},
		{
			name: "a client that left is sent nothing", method: "GET",
			err:    outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed},
			logged: 499, aborted: true,
		},
		{
			name: "half an answer is cut", method: "GET", headSent: true,
			err:    outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamCut},
			logged: 200, aborted: true,
		},
		{
			name: "an upstream's error has a status at least", method: "GET",
			err:    outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamCut},
			status: 502, logged: 502, fields: head, body: "502 Bad Gateway\nreason: upstream_cut\nrequest id: id-1\n",
		},
		{
			name: "a backend that gives up is a 502", method: "POST",
			err:    outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamCanceled},
			status: 502, logged: 502, fields: head, body: "502 Bad Gateway\nreason: upstream_canceled\nrequest id: id-1\n",
		},
		{
			name: "and for gRPC the same reset", method: "POST", grpc: true,
			err:     outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamCanceled},
			aborted: true, canceled: true,
		},
		{
			name: "also in the middle of an answer", method: "POST", grpc: true, headSent: true,
			err:    outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamCanceled},
			logged: 200, aborted: true, canceled: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &fakeDownstream{req: &message.Request{Method: tt.method, Version: message.HTTP11}}
			if tt.grpc {
				d.req.Fields.AddName("Content-Type", "application/grpc+proto")
			}
			x := newExchange()
			x.d, x.in, x.id, x.proxy = d, d.req, []byte("id-1"), New(Config{})
			if tt.headSent {
				x.headSent, x.out.Status = true, 200
			}
			x.fail(&tt.err)
			if d.status != tt.status || x.out.Status != tt.logged || d.aborted != tt.aborted || d.ended == tt.aborted {
				t.Errorf("sent %d, logged %d, aborted %v, ended %v; want %d, %d, %v, %v",
					d.status, x.out.Status, d.aborted, d.ended, tt.status, tt.logged, tt.aborted, !tt.aborted)
			}
			if d.canceled != tt.canceled {
				t.Errorf("canceled %v, want %v", d.canceled, tt.canceled)
			}
			if diff := cmp.Diff(tt.fields, strings.Join(d.fields, "|")); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.body, d.body.String()); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if x.out.Reason != tt.err.Reason || x.out.Side != tt.err.Side {
				t.Errorf("outcome %s %s, want %s %s", x.out.Side, x.out.Reason, tt.err.Side, tt.err.Reason)
			}
		})
	}
}

// answering returns a snapshot whose only route is answered by Cardea itself.
func answering(t *testing.T, p *Proxy) *snapshot.Snapshot {
	t.Helper()
	s, err := snapshot.Compile(nil, &snapshot.Spec{Hosts: []*snapshot.Host{{Routes: []*snapshot.Route{{
		Path: "/", Kind: snapshot.Prefix,
		Answer: &snapshot.Answer{Status: 503, Reason: string(outcome.NoService)},
	}}}}}, p.Bind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServeReportsOnce(t *testing.T) {
	for _, tt := range []struct {
		name    string
		filter  Filter
		refusal *outcome.Error
		sink    func(*outcome.Request)
		path    string
		status  int
		reason  outcome.Reason
	}{
		{name: "route with an answer", path: "/x", status: 503, reason: outcome.NoService},
		{
			name: "malformed", refusal: &outcome.Error{Side: outcome.Downstream, Reason: outcome.HeadTooLarge},
			status: 431, reason: outcome.HeadTooLarge,
		},
		{
			name: "filter answers", path: "/x", status: 204, reason: outcome.OK,
			filter: func(snapshot.Policy) Hooks {
				return Hooks{Request: func(x *Exchange) (bool, *outcome.Error) { return true, x.Answer(204, "") }}
			},
		},
		{
			name: "filter panics", path: "/x", status: 500, reason: outcome.Panic,
			filter: func(snapshot.Policy) Hooks {
				return Hooks{Request: func(*Exchange) (bool, *outcome.Error) { panic("boom") }}
			},
		},
		{
			name: "sink panics", path: "/x", status: 503, reason: outcome.NoService,
			sink: func(*outcome.Request) { panic("sink") },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var snap *snapshot.Snapshot
			var got []outcome.Reason
			cfg := Config{
				Current: func() *snapshot.Snapshot { return snap },
				Logger:  slog.New(slog.DiscardHandler),
				Sink: outcome.Sink{Request: func(o *outcome.Request) {
					got = append(got, o.Reason)
					if o.Status != tt.status {
						t.Errorf("outcome has status %d, want %d", o.Status, tt.status)
					}
					if tt.sink != nil {
						tt.sink(o)
					}
				}},
			}
			if tt.filter != nil {
				cfg.Filters = []Filter{tt.filter}
			}
			p := New(cfg)
			snap = answering(t, p)
			for i := range 3 {
				d := &fakeDownstream{
					refusal: tt.refusal,
					conn:    &outcome.Conn{Remote: netip.MustParseAddrPort("192.0.2.7:1")},
					req:     &message.Request{Method: "GET", Version: message.HTTP11, Path: []byte(tt.path), Target: []byte(tt.path)},
				}
				p.Serve(d)
				if d.status != tt.status || !d.ended {
					t.Errorf("answer %d: status %d, ended %v, want %d, true", i, d.status, d.ended, tt.status)
				}
			}
			if diff := cmp.Diff([]outcome.Reason{tt.reason, tt.reason, tt.reason}, got); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
			if p.InFlight() != 0 {
				t.Errorf("InFlight() = %d, want 0", p.InFlight())
			}
		})
	}
}

func TestPanicIsLoggedOncePerSite(t *testing.T) {
	var log strings.Builder
	p := New(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	boom := func(x *Exchange) (err *outcome.Error) {
		defer p.recovered(x, &err)
		panic("boom")
	}
	for range 3 {
		if err := boom(newExchange()); err == nil || err.Reason != outcome.Panic {
			t.Errorf("recovered error = %v, want reason panic", err)
		}
	}
	if got := strings.Count(log.String(), "panic in an exchange"); got != 1 {
		t.Errorf("logged %d times, want once:\n%s", got, log.String())
	}
	if !strings.Contains(log.String(), "TestPanicIsLoggedOncePerSite") {
		t.Errorf("the log does not name the site:\n%s", log.String())
	}
}

func TestPoliciesAreShared(t *testing.T) {
	var s policies
	a := s.phases(snapshot.Policy{Tries: 2}, nil)
	if b := s.phases(snapshot.Policy{Tries: 2}, nil); a != b {
		t.Errorf("equal policies have two lists")
	}
	if b := s.phases(snapshot.Policy{Tries: 4}, nil); a == b {
		t.Errorf("different policies share a list")
	}
	for i := range 1000 {
		s.phases(snapshot.Policy{MaxBody: int64(1 + i)}, nil)
	}
	runtime.GC()
	for i := range 2000 {
		s.phases(snapshot.Policy{MaxBody: int64(-1 - i)}, nil)
	}
	if got := len(s.byValue); got > 2200 {
		t.Errorf("%d policies are held, want those without a route to go", got)
	}
	runtime.KeepAlive(a)
}

// TestCutByOurselves holds that a client which is lost when the drain is over has not
// left, and that other errors keep their reason.
func TestCutByOurselves(t *testing.T) {
	for _, tt := range []struct {
		closed        bool
		reason, want  outcome.Reason
		status, count int
	}{
		{false, outcome.ClientClosed, outcome.ClientClosed, 499, 0},
		{true, outcome.ClientClosed, outcome.Shutdown, 0, 1},
		{true, outcome.UpstreamTimeout, outcome.UpstreamTimeout, 504, 0},
	} {
		p := New(Config{})
		if tt.closed {
			p.Close()
		}
		d := &fakeDownstream{req: &message.Request{Method: "GET", Version: message.HTTP11}, conn: new(outcome.Conn)}
		x := p.open(d)
		p.inFlight.Add(1)
		x.fail(&outcome.Error{Side: outcome.Downstream, Reason: tt.reason})
		if x.out.Reason != tt.want || x.out.Status != tt.status {
			t.Errorf("closed %t, %s: outcome = %s %d, want %s %d", tt.closed, tt.reason, x.out.Reason, x.out.Status, tt.want, tt.status)
		}
		p.close(x)
		if requests, tunnels := p.Cut(); requests != tt.count || tunnels != 0 {
			t.Errorf("closed %t, %s: Cut() = %d, %d, want %d, 0", tt.closed, tt.reason, requests, tunnels, tt.count)
		}
	}
}
