package proxy

import (
	"io"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// eagerStream answers as soon as it has ten bytes of body, before it is told that
// this was all. responding is closed when the answer is passed on.
type eagerStream struct {
	memoryStream
	got                  int
	complete, responding chan struct{}
}

func (s *eagerStream) Write(p []byte) error {
	if s.got += len(p); s.got == 10 {
		close(s.complete)
	}
	return nil
}

func (s *eagerStream) Response(waiting func()) (*message.Response, error) {
	<-s.complete
	return s.memoryStream.Response(waiting)
}

func (s *eagerStream) Body() message.Body {
	close(s.responding)
	return message.NoBody
}

// unhurriedBody says that it has ended only when the answer is passed on.
type unhurriedBody struct {
	lateBody
	responding chan struct{}
}

func (b *unhurriedBody) Next() ([]byte, error) {
	chunk, err := b.lateBody.Next()
	if err == io.EOF {
		<-b.responding
	}
	return chunk, err
}

// A body of which the last byte was taken is complete, though nobody has asked for
// more yet: an answer to it is not an early one, which would end the connection and
// lose what is in the pipeline.
func TestBodyIsCompleteWithItsLastByte(t *testing.T) {
	s := &eagerStream{complete: make(chan struct{}), responding: make(chan struct{})}
	var got outcome.Request
	p := streamProxy(t, func() upstream.Stream { return s }, Config{Sink: outcome.Sink{Request: func(o *outcome.Request) { got = *o }}})
	d := memoryRequest()
	d.req.Method, d.req.Length = "POST", 10
	d.content = &unhurriedBody{lateBody{chunks: []string{"hello", "world"}}, s.responding}
	p.Serve(d)
	if got.Reason != outcome.OK || d.closed {
		t.Errorf("outcome %s, connection to be closed: %t; want ok, false", got.Reason, d.closed)
	}
}
