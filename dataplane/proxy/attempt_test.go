package proxy

import (
	"errors"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// takesAll is a stream that takes a request and answers nothing.
type takesAll struct{ upstream.Stream }

func (takesAll) Timeouts(time.Duration, time.Duration) {}
func (takesAll) Head(*message.Request) error           { return nil }
func (takesAll) End(*message.Fields) error             { return nil }

// What went wrong in one attempt is no cause of what goes wrong in the next: the
// verdict "nothing was sent" would not be true of it.
func TestCauseIsOfTheAttempt(t *testing.T) {
	x := anExchange("/")
	x.sendErr.Store(&outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamSend, Retry: outcome.RetryYes})
	x.up = &upstream.Conn{Stream: takesAll{}}
	if err := x.send(); err != nil {
		t.Fatal(err)
	}
	closed := &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamClosed, Err: errors.New("closed")}
	if got := x.cause(closed); got != closed {
		t.Errorf("cause(%v) = %v, want it as it is", closed, got)
	}
}
