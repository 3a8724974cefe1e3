package http1

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
)

func TestDrain(t *testing.T) {
	silent := func(x *Exchange) { reply(x, &message.Response{Status: 200}, "ok") }
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	t.Run("a small body nobody read", func(t *testing.T) {
		c := talk(t, &Server{Handler: silent})
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET" + hello)
		c.want("the first", ok)
		c.want("the second, not made of the body", ok)
		c.hangUp()
		if c.info.Requests != 2 {
			t.Errorf("Requests = %d, want 2", c.info.Requests)
		}
	})
	t.Run("a large one ends the connection", func(t *testing.T) {
		c := talk(t, &Server{Handler: silent})
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
		c.wantEnd("the only answer", ok)
	})
	t.Run("one that does not come too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{Handler: silent})
			start := time.Now()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
			c.wantEnd("the only answer", ok)
			if took := time.Since(start); took > drainTime {
				t.Errorf("ended after %v, want %v", took, drainTime)
			}
		})
	})
	t.Run("one that is malformed too", func(t *testing.T) {
		c := talk(t, &Server{Handler: silent})
		c.send(chunked + "x\r\n" + hello)
		c.wantEnd("the only answer", ok)
	})
	t.Run("one of which the reader was interrupted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{Handler: func(x *Exchange) {
				done := make(chan error)
				go func() {
					_, err := readAll(x.Body())
					done <- err
				}()
				synctest.Wait()
				x.Body().Interrupt()
				if err := <-done; err == nil && x.Conn().Requests == 1 {
					t.Error("Next after Interrupt = nil error")
				}
				silent(x)
			}})
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
			c.want("the first", ok)
			c.send("bc" + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nd")
			c.want("the second", ok)
		})
	})
}

func TestExpectContinue(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
	t.Run("100 is passed on once", func(t *testing.T) {
		c := talk(t, &Server{Handler: func(x *Exchange) {
			if !x.Request().Expect {
				t.Error("Expect = false")
			}
			for range 2 {
				if err := x.Inform(&message.Response{Status: 100}); err != nil {
					t.Error(err)
				}
			}
			echo(x)
		}})
		c.send(head)
		c.want("100", "HTTP/1.1 100 Continue\r\n\r\n")
		c.send("abc")
		c.want("the answer", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nPOST / a abc")
	})
	t.Run("a final answer without the body closes", func(t *testing.T) {
		c := talk(t, &Server{Handler: func(x *Exchange) { reply(x, &message.Response{Status: 403}, "no") }})
		c.send(head)
		c.wantEnd("the answer", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
	})
	t.Run("one who sends the body all the same is served", func(t *testing.T) {
		c := talk(t, &Server{})
		c.send(head + "abc")
		c.want("the answer", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nPOST / a abc")
	})
	t.Run("100 is not sent unasked, 103 is", func(t *testing.T) {
		c := talk(t, &Server{Handler: func(x *Exchange) {
			hints := &message.Response{Status: 103}
			hints.Fields.Add(message.ContentLength, "5")
			hints.Fields.AddName("Link", "</a>")
			_ = x.Inform(&message.Response{Status: 100})
			_ = x.Inform(hints)
			echo(x)
		}})
		c.send(hello)
		c.want("103 and the answer", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+answer)
		c.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
		c.wantEnd("no 103 to HTTP/1.0", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGET / a ")
	})
}
