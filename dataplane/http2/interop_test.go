package http2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// serve runs s on loopback and returns a client of net/http for it, which uses one
// connection.
func serve(t *testing.T, s *Server) *http.Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { s.Serve(nc, new(outcome.Conn)) })
		}
	})
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{StrictMaxConcurrentRequests: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, ln.Addr().String())
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ln.Close()
		s.Close()
		conns.Wait()
	})
	return &http.Client{Transport: transport}
}

// echo answers with the request's head in fields and its body.
func echo(x *Exchange) {
	if err := x.Refusal(); err != nil {
		respond(x, 400, err.Detail)
		return
	}
	r := x.Request()
	var res message.Response
	res.Status, res.Length = 200, -1
	res.Fields.AddName("Content-Type", "text/plain")
	res.Fields.AddName("X-Method", r.Method)
	res.Fields.AddName("X-Target", string(r.Target))
	res.Fields.AddName("X-Authority", string(r.Authority))
	for l := range r.Fields.All() {
		res.Fields.AddName("X-Got-"+string(l.Name), string(l.Value))
	}
	if x.Head(&res) != nil {
		return
	}
	body := x.Body()
	for {
		p, err := body.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			x.Abort()
			return
		}
		if x.Write(p) != nil || !body.Ready() && x.Flush() != nil {
			return
		}
	}
	_ = x.End(body.Trailers())
}

func respond(x *Exchange, status int, body string) {
	var res message.Response
	res.Status, res.Length = status, int64(len(body))
	_ = x.Head(&res)
	_ = x.Write([]byte(body))
	_ = x.End(nil)
}

func TestInterop(t *testing.T) {
	client := serve(t, &Server{Handler: echo})
	for _, size := range []int{0, 1, 1000, 16 << 10, 100_000, 3 << 20} {
		body := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://example.com/a/b?c=d", bytes.NewReader(body))
		req.Trailer = http.Header{"X-End": {"last"}}
		req.ContentLength = -1
		req.AddCookie(&http.Cookie{Name: "a", Value: "1"})
		req.AddCookie(&http.Cookie{Name: "b", Value: "2"})
		res, err := client.Do(req)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		got, err := io.ReadAll(res.Body)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%d bytes: got %d bytes back, %v", size, len(got), err)
		}
		res.Body.Close()
		for name, want := range map[string]string{
			"X-Method": "POST", "X-Target": "/a/b?c=d", "X-Authority": "example.com",
			"X-Got-Host": "example.com", "X-Got-Cookie": "a=1; b=2",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if got := res.Trailer.Get("X-End"); got != "last" && size > 0 {
			t.Errorf("%d bytes: trailer = %q, want last", size, got)
		}
	}
}

func TestManyStreams(t *testing.T) {
	client := serve(t, &Server{Handler: echo})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			body := strings.Repeat(fmt.Sprint(i), 30_000+i)
			res, err := client.Post("http://example.com/", "text/plain", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if err != nil || string(got) != body {
				t.Errorf("stream %d: got %d bytes of %d, %v", i, len(got), len(body), err)
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("streams are stuck")
	}
}

// TestLargeHeads holds heads that take more than one frame, both ways.
func TestLargeHeads(t *testing.T) {
	client := serve(t, &Server{Handler: echo})
	want := strings.Repeat("0123456789", 4_000)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://example.com/", nil)
	req.Header.Set("X-Large", want)
	for range 2 { // the table of the second is that of the first
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("X-Got-X-Large"); got != want {
			t.Errorf("a field of %d bytes came back, want %d", len(got), len(want))
		}
	}
}
