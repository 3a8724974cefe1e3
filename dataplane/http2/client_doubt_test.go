package http2

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	xh2 "golang.org/x/net/http2"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// TestClientDoubt: a stream on which the endpoint is silent for too long puts its
// connection in doubt. PING decides: an endpoint that answers keeps the connection, and
// one that does not loses it, with all its streams.
func TestClientDoubt(t *testing.T) {
	for _, alive := range []bool{true, false} {
		t.Run(map[bool]string{true: "alive", false: "dead"}[alive], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				c, p := NewClientConn(near, nil), newPeer(t, far)
				done := make(chan struct{})
				go func() {
					defer close(done)
					p.greet()
					for {
						f, err := p.fr.ReadFrame()
						if err != nil {
							return
						}
						switch f := f.(type) {
						case *xh2.SettingsFrame:
							if !f.IsAck() {
								p.must(p.fr.WriteSettingsAck())
							}
						case *xh2.PingFrame:
							if alive {
								p.must(p.fr.WritePing(true, f.Data))
								p.headers(3, true, ":status: 204")
							}
						}
					}
				}()
				if err := c.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				slow, other := open(t, c), open(t, c)
				slow.Timeouts(time.Second, 0)
				send(t, slow, get())
				send(t, other, get())
				_, err := slow.Response(nil)
				wantError(t, err, outcome.UpstreamTimeout, outcome.RetryNo)
				if slow.Close(); c.Closing() {
					t.Error("the connection is closing while it is in doubt")
				}
				if c.Open() != nil {
					t.Error("a connection in doubt takes a stream")
				}
				synctest.Wait()
				start := time.Now()
				_, err = other.Response(nil)
				if !alive {
					wantError(t, err, outcome.UpstreamTimeout, outcome.RetryNo)
					if took := time.Since(start); took != pingTime || !c.Closing() {
						t.Errorf("the other stream ended after %v, want %v and the connection with it", took, pingTime)
					}
				} else {
					if err != nil {
						t.Errorf("the other stream: %v, want its response", err)
					}
					s := c.Open()
					if s == nil {
						t.Fatal("no stream after the PING was answered")
					}
					s.Close()
				}
				other.Close()
				c.Drain()
				<-done
			})
		})
	}
}
