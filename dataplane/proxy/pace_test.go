package proxy

import (
	"io"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// A pacedBody brings chunks at its own pace.
type pacedBody struct {
	// chunks come after every, the first after first.
	first, every time.Duration
	chunks       [][]byte
	began        bool
	interrupted  chan struct{}
	interrupt    *sync.Once
}

func (b *pacedBody) Ready() bool               { return false }
func (b *pacedBody) Trailers() *message.Fields { return nil }
func (b *pacedBody) Interrupt()                { b.interrupt.Do(func() { close(b.interrupted) }) }

func (b *pacedBody) Next() ([]byte, error) {
	if len(b.chunks) == 0 {
		return nil, io.EOF
	}
	pause := b.every
	if !b.began {
		pause, b.began = b.first, true
	}
	select {
	case <-time.After(pause):
	case <-b.interrupted:
		return nil, &outcome.Error{Side: outcome.Downstream, Reason: outcome.ClientClosed}
	}
	chunk := b.chunks[0]
	b.chunks = b.chunks[1:]
	return chunk, nil
}

// A patientStream answers when it has the whole request.
type patientStream struct {
	memoryStream
	ended, interrupted chan struct{}
	interrupt          sync.Once
}

func (s *patientStream) End(*message.Fields) error { close(s.ended); return nil }
func (s *patientStream) Interrupt()                { s.interrupt.Do(func() { close(s.interrupted) }) }

func (s *patientStream) Response(func()) (*message.Response, error) {
	select {
	case <-s.ended:
		return s.memoryStream.Response(nil)
	case <-s.interrupted:
		return nil, &outcome.Error{Side: outcome.Upstream, Reason: outcome.ClientClosed}
	}
}

// TestSlowBodies: a body that arrives, but more slowly than allowed, ends in 408, also
// behind a fast start; the time for which others are waited for does not count.
func TestSlowBodies(t *testing.T) {
	const second = time.Second
	steps := func(n, size int) (all [][]byte) {
		for range n {
			all = append(all, make([]byte, size))
		}
		return all
	}
	for _, tt := range []struct {
		name   string
		rate   int
		body   pacedBody
		fields []string
		expect bool
		reason outcome.Reason
		// after is when it has to have ended.
		after time.Duration
	}{
		{"a byte now and then", 0, pacedBody{first: second, every: 20 * second, chunks: steps(100, 1)}, nil, false, outcome.BodyTooSlow, 41 * second},
		{"a byte a second", 0, pacedBody{first: second, every: second, chunks: steps(1000, 1)}, nil, false, outcome.BodyTooSlow, 30 * second},
		{"a fast start", 0, pacedBody{first: second, every: second, chunks: append(steps(1, 1<<20), steps(1000, 1)...)}, nil, false, outcome.BodyTooSlow, 60 * second},
		{"slow, but not too slow", 0, pacedBody{first: second, every: 20 * second, chunks: steps(10, 256*20)}, nil, false, outcome.OK, 181 * second},
		{"a bound of one's own", 1000, pacedBody{first: second, every: 20 * second, chunks: steps(10, 256*20)}, nil, false, outcome.BodyTooSlow, 41 * second},
		{"no bound", -1, pacedBody{first: second, every: 20 * second, chunks: steps(10, 1)}, nil, false, outcome.OK, 181 * second},
		{"gRPC", 0, pacedBody{first: second, every: 20 * second, chunks: steps(10, 1)}, []string{"Content-Type", "application/grpc+proto"}, false, outcome.OK, 181 * second},
		{"fast after 100", 0, pacedBody{first: 59 * second, every: second, chunks: steps(10, 1<<10)}, nil, true, outcome.OK, 68 * second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got outcome.Request
				s := &patientStream{ended: make(chan struct{}), interrupted: make(chan struct{})}
				p := streamProxy(t, func() upstream.Stream { return s }, Config{
					MinBodyRate: tt.rate, Sink: outcome.Sink{Request: func(o *outcome.Request) { got = *o }},
				})
				d := memoryRequest()
				d.conn.Remote = netip.MustParseAddrPort("192.0.2.7:1")
				d.req.Method, d.req.Length, d.req.Expect = "POST", -1, tt.expect
				for i := 0; i+1 < len(tt.fields); i += 2 {
					d.req.Fields.AddName(tt.fields[i], tt.fields[i+1])
				}
				tt.body.interrupted, tt.body.interrupt = make(chan struct{}), new(sync.Once)
				d.content = &tt.body
				start := time.Now()
				p.Serve(d)
				status := 200
				if tt.reason != outcome.OK {
					status = 408
				}
				if got.Reason != tt.reason || got.Status != status || d.status != status {
					t.Errorf("outcome %s %d, want %s %d", got.Reason, got.Status, tt.reason, status)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
				p.Close()
				p.upstreams.Close()
			})
		})
	}
}
