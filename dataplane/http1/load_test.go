package http1

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// TestShutdownUnderLoad shuts down while clients send: an answer is either whole
// or does not begin, and no client waits for ever.
func TestShutdownUnderLoad(t *testing.T) {
	srv := &Server{Handler: echo}
	var clients, conns sync.WaitGroup
	var answers atomic.Int64
	enough := make(chan struct{})
	for range 20 {
		client, server := memoryPipe()
		conns.Go(func() { srv.Serve(server, new(outcome.Conn)) })
		clients.Go(func() {
			defer client.Close()
			in := bufio.NewReader(client)
			for {
				_, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
				if err != nil {
					return
				}
				if _, err := in.Peek(1); err != nil {
					return // closed between two requests
				}
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if body, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(body), "abc") {
					t.Errorf("got %q, %v", body, err)
				}
				if answers.Add(1) == 200 {
					close(enough)
				}
				if res.Close {
					return
				}
			}
		})
	}
	<-enough
	srv.Shutdown()
	clients.Wait()
	conns.Wait()
}

// TestManyExchanges runs exchanges of every kind on many connections at once, so
// that pooled parts change hands, and looks for anything of another's.
func TestManyExchanges(t *testing.T) {
	srv := &Server{Handler: echo}
	var wg sync.WaitGroup
	for i := range 16 {
		client, server := memoryPipe()
		wg.Go(func() { srv.Serve(server, new(outcome.Conn)) })
		wg.Go(func() {
			defer client.Close()
			c := NewClientConn(client, nil)
			for n := range 50 {
				req := newRequest("PUT")
				mark := strings.Repeat(string(rune('a'+i)), 1+n*n*13)
				req.Target = []byte("/" + mark[:1+n])
				req.Length = -1
				if n%2 == 0 {
					req.Length = int64(len(mark))
				}
				_ = c.Head(req)
				_ = c.Write([]byte(mark))
				if err := c.End(nil); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Response(nil); err != nil {
					t.Error(err)
					return
				}
				got, err := readAll(c.Body())
				if want := "PUT /" + mark[:1+n] + " a " + mark; err != nil || got != want {
					t.Errorf("got %.80q, %v, want %.80q", got, err, want)
				}
				if !c.Close() {
					t.Error("Close() = false")
					return
				}
			}
		})
	}
	wg.Wait()
}
