package http1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A dialogue is a test that plays the raw client of a Server.
type dialogue struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	srv  *Server
	info outcome.Conn
	done chan struct{}
}

// talk serves one in-memory connection; nil handler means echo.
func talk(t testing.TB, srv *Server) *dialogue {
	t.Helper()
	if srv.Handler == nil {
		srv.Handler = echo
	}
	client, server := memoryPipe()
	c := &dialogue{t: t, conn: client, in: bufio.NewReader(client), srv: srv, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		srv.Serve(server, &c.info)
	}()
	t.Cleanup(c.hangUp)
	return c
}

// hangUp closes the client's end and waits for the server's.
func (c *dialogue) hangUp() {
	_ = c.conn.Close()
	<-c.done
}

// send sends raw bytes.
func (c *dialogue) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("send(%q) = %v", s, err)
	}
}

// want reads exactly want, once the Date lines are taken out.
func (c *dialogue) want(why, want string) {
	c.t.Helper()
	got, err := c.read(len(want))
	if err != nil || got != want {
		c.t.Fatalf("%s:\n got %q, %v\nwant %q", why, got, err, want)
	}
}

// wantEnd reads want and then the end of the connection.
func (c *dialogue) wantEnd(why, want string) {
	c.t.Helper()
	c.want(why, want)
	if got, err := c.read(1); !errors.Is(err, io.EOF) {
		c.t.Fatalf("%s: got %q, %v, want the end", why, got, err)
	}
}

// read returns n bytes without Date lines.
func (c *dialogue) read(n int) (string, error) {
	var got strings.Builder
	_ = c.conn.SetReadDeadline(time.Now().Add(time.Hour))
	for got.Len() < n {
		if p, _ := c.in.Peek(1); string(p) == "D" {
			if _, err := c.in.ReadString('\n'); err != nil {
				return got.String(), err
			}
			continue
		}
		for got.Len() < n {
			b, err := c.in.ReadByte()
			if err != nil {
				return got.String(), err
			}
			got.WriteByte(b)
			if b == '\n' {
				break
			}
		}
	}
	return got.String(), nil
}

// echo answers with what it got: method, target, authority and body; a refused
// head with the reason.
func echo(x *Exchange) {
	var res message.Response
	if r := x.Refusal(); r != nil {
		res.Status = r.Status
		if res.Status == 0 {
			res.Status = r.Reason.Status()
		}
		if r.Reason == outcome.ClientClosed {
			return
		}
		reply(x, &res, string(r.Reason))
		return
	}
	req := x.Request()
	body, err := readAll(x.Body())
	if err != nil {
		e := err.(*outcome.Error)
		if e.Reason.Status() == 499 {
			return
		}
		x.Close()
		res.Status = e.Reason.Status()
		reply(x, &res, string(e.Reason))
		return
	}
	res.Status = 200
	text := req.Method + " " + string(req.Target) + " " + string(req.Authority) + " " + body
	if tr := x.Body().Trailers(); tr != nil {
		for f := range tr.All() {
			text += " " + string(f.Name) + "=" + string(f.Value)
		}
	}
	reply(x, &res, text)
}

func reply(x *Exchange, res *message.Response, text string) {
	res.Length = int64(len(text))
	_ = x.Head(res)
	_ = x.Write([]byte(text))
	_ = x.End(nil)
}

func readAll(b message.Body) (string, error) {
	var s strings.Builder
	for {
		p, err := b.Next()
		if err == io.EOF {
			return s.String(), nil
		}
		if err != nil {
			return s.String(), err
		}
		s.Write(p)
	}
}
