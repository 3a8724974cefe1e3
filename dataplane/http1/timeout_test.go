package http1

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

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
