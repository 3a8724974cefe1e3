package proxy

import (
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func TestRetry(t *testing.T) {
	failed := func(side outcome.Side, r outcome.Retry) *outcome.Error {
		return &outcome.Error{Side: side, Reason: outcome.UpstreamClosed, Retry: r}
	}
	// good is a case in which everything speaks for another attempt.
	good := facts{
		Err: failed(outcome.Upstream, outcome.RetryIfReused), Attempts: 1, Tries: 3,
		Reused: true, Idempotent: true, Replayable: true,
	}
	with := func(change func(*facts)) facts {
		f := good
		change(&f)
		return f
	}
	for _, tt := range []struct {
		name  string
		facts facts
		want  bool
		why   string
	}{
		{"kept connection closed", good, true, "a kept connection was closed before any answer"},
		{"nothing sent, any method, new connection", with(func(f *facts) {
			f.Err = failed(outcome.Upstream, outcome.RetryYes)
			f.Reused, f.Idempotent = false, false
		}), true, "nothing was sent"},
		{"downstream", with(func(f *facts) { f.Err = failed(outcome.Downstream, outcome.RetryYes) }), false, "the upstream is not at fault"},
		{"internal", with(func(f *facts) { f.Err = failed(outcome.Internal, outcome.RetryYes) }), false, "the upstream is not at fault"},
		{"client gone", with(func(f *facts) { f.ClientGone = true }), false, "the client is gone"},
		{"answered", with(func(f *facts) {
			f.Err = failed(outcome.Upstream, outcome.RetryYes)
			f.Answered = true
		}), false, "part of a response was sent"},
		{"last try", with(func(f *facts) { f.Attempts = 3 }), false, "no tries left"},
		{"body gone", with(func(f *facts) { f.Replayable = false }), false, "the body cannot be sent again"},
		{"body gone though nothing was sent", with(func(f *facts) {
			f.Err = failed(outcome.Upstream, outcome.RetryYes)
			f.Replayable = false
		}), false, "the body cannot be sent again"},
		{"acted on", with(func(f *facts) { f.Err = failed(outcome.Upstream, outcome.RetryNo) }), false, "the upstream may have acted on the request"},
		{"new connection", with(func(f *facts) { f.Reused = false }), false, "the connection was new: the upstream closed it because of the request"},
		{"not idempotent", with(func(f *facts) { f.Idempotent = false }), false, "the method is not idempotent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, why := retry(tt.facts)
			if got != tt.want || why != tt.why {
				t.Errorf("retry(%+v) = %v, %q, want %v, %q", tt.facts, got, why, tt.want, tt.why)
			}
		})
	}
}

func TestIdempotent(t *testing.T) {
	for method, want := range map[string]bool{
		"GET": true, "HEAD": true, "OPTIONS": true, "PUT": true, "DELETE": true,
		"POST": false, "PATCH": false, "get": false, "PROPFIND": false, "": false,
	} {
		if got := idempotent(method); got != want {
			t.Errorf("idempotent(%q) = %v, want %v", method, got, want)
		}
	}
}
