package proxy

import (
	"bytes"
	"io"
	"sync/atomic"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// fakeDownstream is a client that has sent its request and keeps what it gets.
type fakeDownstream struct {
	req     *message.Request
	conn    *outcome.Conn
	refusal *outcome.Error
	quiet   bool // keeps nothing
	content message.Body

	status          int
	fields          []string
	body            bytes.Buffer
	ended, aborted  bool
	canceled        bool
	closed, flushed bool
}

func (d *fakeDownstream) Conn() *outcome.Conn       { return d.conn }
func (d *fakeDownstream) Request() *message.Request { return d.req }
func (d *fakeDownstream) Refusal() *outcome.Error   { return d.refusal }
func (d *fakeDownstream) Body() message.Body {
	if d.content != nil {
		return d.content
	}
	return message.NoBody
}

func (d *fakeDownstream) Limit(int64, time.Duration, time.Duration) {}
func (d *fakeDownstream) Inform(*message.Response) error            { return nil }

func (d *fakeDownstream) Head(res *message.Response) error {
	if d.status = res.Status; d.quiet {
		return nil
	}
	for f := range res.Fields.All() {
		d.fields = append(d.fields, string(f.Name)+": "+string(f.Value))
	}
	return nil
}

func (d *fakeDownstream) Write(p []byte) error                { d.body.Write(p); return nil }
func (d *fakeDownstream) Flush() error                        { d.flushed = true; return nil }
func (d *fakeDownstream) End(*message.Fields) error           { d.ended = true; return nil }
func (d *fakeDownstream) Cancel()                             { d.aborted, d.canceled = true, true }
func (d *fakeDownstream) Abort()                              { d.aborted = true }
func (d *fakeDownstream) Retire()                             { d.closed = true }
func (d *fakeDownstream) Close()                              { d.closed = true }
func (d *fakeDownstream) Watch(func()) func()                 { return func() {} }
func (d *fakeDownstream) Tunnel() (io.ReadWriteCloser, error) { return nil, io.ErrUnexpectedEOF }

// lateBody is a body of which nothing is there yet when it is asked for.
type lateBody struct {
	chunks      []string
	interrupted atomic.Bool
}

func (b *lateBody) Ready() bool               { return false }
func (b *lateBody) Trailers() *message.Fields { return nil }
func (b *lateBody) Interrupt()                { b.interrupted.Store(true) }

func (b *lateBody) Next() ([]byte, error) {
	switch {
	case b.interrupted.Load():
		return nil, &outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed}
	case len(b.chunks) == 0:
		return nil, io.EOF
	}
	chunk := b.chunks[0]
	b.chunks = b.chunks[1:]
	return []byte(chunk), nil
}
