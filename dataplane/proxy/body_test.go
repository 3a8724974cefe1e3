package proxy

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// deadStream is a connection on which nothing can be sent.
type deadStream struct {
	memoryStream
	interrupted sync.Once
	end         chan struct{}
}

func (s *deadStream) Flush() error {
	return &outcome.Error{Side: outcome.Upstream, Reason: outcome.UpstreamSend, Retry: outcome.RetryYes, Err: errors.New("broken pipe")}
}

func (s *deadStream) Response(func()) (*message.Response, error) {
	<-s.end
	return nil, &outcome.Error{Side: outcome.Upstream, Reason: outcome.ClientClosed}
}

func (s *deadStream) Interrupt()             { s.interrupted.Do(func() { close(s.end) }) }
func (s *deadStream) Close() (reusable bool) { return false }

// bodyStream keeps the body and answers when it is complete.
type bodyStream struct {
	memoryStream
	body strings.Builder
	end  chan struct{}
}

func (s *bodyStream) Write(p []byte) error      { s.body.Write(p); return nil }
func (s *bodyStream) End(*message.Fields) error { close(s.end); return nil }

func (s *bodyStream) Response(waiting func()) (*message.Response, error) {
	<-s.end
	return s.memoryStream.Response(waiting)
}

// TestRetryBeforeBody: a connection that takes nothing ends an attempt before the
// body is touched, so that the next one has all of it, also of a POST.
func TestRetryBeforeBody(t *testing.T) {
	good := &bodyStream{end: make(chan struct{})}
	streams := []upstream.Stream{&deadStream{end: make(chan struct{})}, good}
	var got outcome.Request
	p := streamProxy(t, func() upstream.Stream {
		s := streams[0]
		streams = streams[1:]
		return s
	}, Config{Sink: outcome.Sink{Request: func(o *outcome.Request) { got = *o }}})

	d := memoryRequest()
	d.req.Method, d.req.Length = "POST", 10
	d.content = &lateBody{chunks: []string{"hello", "world"}}
	p.Serve(d)
	// The only endpoint has failed on a new connection: there is no other to try.
	if got.Reason != outcome.UpstreamSend || got.Attempts != 1 {
		t.Errorf("one endpoint: %s after %d attempts (%s), want upstream_send after 1", got.Reason, got.Attempts, got.Err)
	}

	streams = []upstream.Stream{&deadStream{end: make(chan struct{})}, good}
	d = memoryRequest()
	d.req.Method, d.req.Length = "POST", 10
	d.content = &lateBody{chunks: []string{"hello", "world"}}
	addEndpoint(p, "192.0.2.2:80")
	p.Serve(d)
	if got.Reason != outcome.OK || got.Attempts != 2 || good.body.String() != "helloworld" || got.BodyIn != 10 {
		t.Errorf("%s after %d attempts (%s), body %q; want ok after 2 and the whole body", got.Reason, got.Attempts, got.Err, good.body.String())
	}
}
