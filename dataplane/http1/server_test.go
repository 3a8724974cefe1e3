package http1

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

const (
	hello  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nGET / a "
)

func TestKeepAlive(t *testing.T) {
	c := talk(t, &Server{})
	for range 3 {
		c.send(hello)
		c.want("an answer", answer)
	}
	c.hangUp()
	if c.info.Requests != 3 || c.info.Reason != outcome.OK {
		t.Errorf("Requests, Reason = %d, %q, want 3, ok", c.info.Requests, c.info.Reason)
	}
}

func TestPipelining(t *testing.T) {
	c := talk(t, &Server{})
	c.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=\"y\"\r\nde\r\n0\r\nA: b\r\n\r\n" +
		"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + hello)
	c.want("the first", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nPOST /1 a abc")
	c.want("the second, with its trailer", "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nPOST /2 a abcde A=b")
	c.wantEnd("the last", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nGET /3 a ")
}

// TestPipelineOfMany sends more than any buffer holds before it reads an answer.
func TestPipelineOfMany(t *testing.T) {
	c := talk(t, &Server{})
	const n = 3000
	go io.WriteString(c.conn, strings.Repeat("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"+strings.Repeat("x", 100), n))
	for i := range n {
		c.want(fmt.Sprint("answer ", i), "HTTP/1.1 200 OK\r\nContent-Length: 109\r\n\r\nPOST / a "+strings.Repeat("x", 100))
	}
}

func TestPersistence(t *testing.T) {
	for _, test := range []struct{ rule, fields, connection string }{
		{"HTTP/1.1 persists", "HTTP/1.1\r\nHost: a\r\n", ""},
		{"HTTP/1.1 with close ends", "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", "close"},
		{"close in a list ends", "HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n", "close"},
		{"close wins over keep-alive", "HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n", "close"},
		{"HTTP/1.0 ends", "HTTP/1.0\r\nHost: a\r\n", "close"},
		{"HTTP/1.0 with keep-alive persists", "HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n", "keep-alive"},
		{"Proxy-Connection means nothing", "HTTP/1.0\r\nHost: a\r\nProxy-Connection: keep-alive\r\n", "close"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			c := talk(t, &Server{})
			c.send("GET / " + test.fields + "\r\n")
			want := "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n"
			if test.connection != "" {
				want += "Connection: " + test.connection + "\r\n"
			}
			want += "\r\nGET / a "
			if test.connection == "close" {
				c.wantEnd("the only answer", want)
				return
			}
			c.want("the first answer", want)
			c.send(hello)
			c.want("the second answer", answer)
		})
	}
}

func TestMaxRequests(t *testing.T) {
	c := talk(t, &Server{MaxRequests: 2})
	c.send(hello + hello + hello)
	c.want("the first", answer)
	c.wantEnd("the last", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGET / a ")
}

// TestTimeouts lets each of the server's clocks run out.
func TestTimeouts(t *testing.T) {
	refused := func(status int, reason outcome.Reason) string {
		return fmt.Sprintf("%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", statusLines[status], len(reason), reason)
	}
	for _, test := range []struct {
		name  string
		steps []string // sent with a second between them
		want  string
		after time.Duration
	}{
		{"idle from the start", nil, "", 30 * time.Second},
		{"idle after a request", []string{hello}, answer, 30 * time.Second},
		{"half a request line", []string{"GET /"}, refused(408, outcome.HeadTimeout), 5 * time.Second},
		{"head without an end", []string{"GET / HTTP/1.1\r\n", "Host: a\r\n", "X: y\r\n"}, refused(408, outcome.HeadTimeout), 5 * time.Second},
		{"second head without an end", []string{hello + "GE"}, answer + refused(408, outcome.HeadTimeout), 5 * time.Second},
		{"body that does not come", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"}, refused(408, outcome.BodyTimeout), 8 * time.Second},
		{"body that stops", []string{chunked + "3\r\nab", "c"}, refused(408, outcome.BodyTimeout), 9 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := talk(t, &Server{HeadTimeout: 5 * time.Second, BodyTimeout: 8 * time.Second, IdleTimeout: 30 * time.Second})
				start := time.Now()
				for i, s := range test.steps {
					if i > 0 {
						time.Sleep(time.Second)
					}
					c.send(s)
				}
				c.want("what is answered", test.want)
				if test.want == "" || test.want == answer {
					c.wantEnd("then", "")
				}
				if got := time.Since(start); got < test.after || got > test.after+time.Second {
					t.Errorf("ended after %v, want %v", got, test.after)
				}
			})
		})
	}
}

// TestSlowBody takes longer than the timeout as a whole, but never between bytes.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := talk(t, &Server{BodyTimeout: 2 * time.Second})
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
		for range 10 {
			time.Sleep(1900 * time.Millisecond)
			c.send("x")
		}
		c.want("the answer", "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nPOST / a xxxxxxxxxx")
	})
}

// TestSendTimeout answers a client that does not read.
func TestSendTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got error
		c := talk(t, &Server{Handler: func(x *Exchange) {
			_ = x.Head(&message.Response{Status: 200, Length: -1})
			big := make([]byte, 64<<10)
			for got == nil {
				got = x.Write(big)
			}
		}, SendTimeout: 8 * time.Second})
		start := time.Now()
		c.send(hello)
		<-c.done
		if e, ok := errors.AsType[*outcome.Error](got); !ok || e.Reason != outcome.SendTimeout {
			t.Errorf("Write = %v, want send_timeout", got)
		}
		if took := time.Since(start); took < 8*time.Second || took > 18*time.Second {
			// The first write moves something, the second one nothing.
			t.Errorf("gave up after %v, want 8 s to twice 9 s", took)
		}
		if c.info.Reason != outcome.SendTimeout {
			t.Errorf("info.Reason = %q, want send_timeout", c.info.Reason)
		}
	})
}

// TestSlowReader takes longer than the timeout for what is one write, but never
// stops.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 2 << 20
		c := talk(t, &Server{Handler: func(x *Exchange) {
			_ = x.Head(&message.Response{Status: 200, Length: size})
			_ = x.Write(make([]byte, size))
			_ = x.End(nil)
		}, SendTimeout: 2 * time.Second})
		c.send("GET / HTTP/1.0\r\n\r\n")
		total, buf := 0, make([]byte, 32<<10)
		for {
			n, err := c.conn.Read(buf)
			total += n
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if total < size {
			t.Errorf("got %d bytes, want the whole %d", total, size)
		}
	})
}

// TestIdleHoldsNoBuffer counts the pooled buffers of a silent connection.
func TestIdleHoldsNoBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := leased.Load()
		c := talk(t, &Server{})
		c.send(hello)
		c.want("the answer", answer)
		time.Sleep(grace + time.Millisecond)
		synctest.Wait()
		if n := leased.Load() - before; n != 0 {
			t.Errorf("an idle connection holds %d buffers", n)
		}
		c.send(hello)
		c.want("an answer after that", answer)
	})
}

func TestShutdown(t *testing.T) {
	t.Run("an idle connection ends at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			c.send(hello)
			c.want("the answer", answer)
			synctest.Wait()
			start := time.Now()
			c.srv.Shutdown()
			c.wantEnd("then", "")
			<-c.done
			if time.Since(start) != 0 || c.info.Reason != outcome.Draining {
				t.Errorf("took %v, reason %q, want 0, draining", time.Since(start), c.info.Reason)
			}
		})
	})
	t.Run("one without a buffer too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			time.Sleep(10 * time.Second)
			c.srv.Shutdown()
			c.wantEnd("at once", "")
		})
	})
	t.Run("a new connection may send what is on its way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			synctest.Wait()
			c.srv.Shutdown()
			synctest.Wait()
			c.send(hello)
			c.wantEnd("the only answer", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGET / a ")
		})
	})
	t.Run("a request in flight is answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
			synctest.Wait()
			c.srv.Shutdown()
			c.send("abc")
			c.wantEnd("the last answer", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nPOST / a abc")
		})
	})
	t.Run("Close cuts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := talk(t, &Server{})
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
			synctest.Wait()
			c.srv.Close()
			<-c.done
		})
	})
}

// TestClientLeaves ends the connection at every point of a request.
func TestClientLeaves(t *testing.T) {
	for _, test := range []struct {
		name, raw string
		exchanges int
		refusal   outcome.Reason
	}{
		{"before a request", "", 0, ""},
		{"between two", hello, 1, ""},
		{"within the request line", "GE", 1, outcome.ClientClosed},
		{"within the head", "GET / HTTP/1.1\r\nHost: a\r\n", 1, outcome.ClientClosed},
		{"within the body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", 1, ""},
		{"within a chunk", chunked + "3\r\nab", 1, ""},
		{"before the last chunk", chunked + "3\r\nabc\r\n", 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			var refusal outcome.Reason
			c := talk(t, &Server{Handler: func(x *Exchange) {
				n++
				if r := x.Refusal(); r != nil {
					refusal = r.Reason
					return
				}
				if strings.HasPrefix(test.name, "within the body") || strings.HasPrefix(test.raw, chunked) {
					if _, err := readAll(x.Body()); err.(*outcome.Error).Reason != outcome.ClientClosed {
						t.Errorf("Next = %v, want client_closed", err)
					}
				}
				echo(x)
			}})
			c.send(test.raw)
			_ = c.conn.(*memoryConn).CloseWrite()
			<-c.done
			if n != test.exchanges || refusal != test.refusal {
				t.Errorf("exchanges, refusal = %d, %q, want %d, %q", n, refusal, test.exchanges, test.refusal)
			}
		})
	}
}

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
