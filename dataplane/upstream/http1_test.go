package upstream

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
)

func newRequest(host string) *message.Request {
	req := &message.Request{Version: message.HTTP11, Method: "GET", Target: []byte("/"), Path: []byte("/"), Authority: []byte(host)}
	req.Fields.Add(message.Host, host)
	return req
}

// fetch makes one exchange and reads the whole answer.
func fetch(ctx context.Context, p *Pool, req *message.Request) error {
	e, oe := p.Pick(ctx, nil)
	if oe != nil {
		return oe
	}
	c, oe := p.Get(ctx, e, time.Minute)
	if oe != nil {
		return oe
	}
	defer c.Done()
	if err := c.Head(req); err != nil {
		return err
	}
	if err := c.End(nil); err != nil {
		return err
	}
	if _, err := c.Response(nil); err != nil {
		return err
	}
	for body := c.Body(); ; {
		if _, err := body.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// The default protocol, against net/http's server.
func TestHTTP1(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") == "last" {
			w.Header().Set("Connection", "close")
		}
		io.WriteString(w, "hello")
	}))
	t.Cleanup(srv.Close)
	addr := netip.MustParseAddrPort(srv.Listener.Addr().String())
	p := newPoolOf(t, newSet(t, func(c *Config) { c.Stream = nil }), addr)
	for i := range 10 {
		if err := fetch(t.Context(), p, newRequest("a.example")); err != nil {
			t.Fatalf("exchange %d: %v", i, err)
		}
	}
	if st := p.Stats(); st.Dials != 1 || st.Reuses != 9 || st.Idle != 1 {
		t.Errorf("Stats() = %+v, want 1 dial, 9 reuses, 1 idle", st)
	}
	last := newRequest("a.example")
	last.Fields.Add(message.Cookie, "last")
	if err := fetch(t.Context(), p, last); err != nil {
		t.Fatal(err)
	}
	if st := p.Stats(); st.Idle != 0 {
		t.Errorf("%d idle after an answer with Connection: close, want 0", st.Idle)
	}
}
