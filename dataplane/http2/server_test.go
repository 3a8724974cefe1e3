package http2

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func TestIdleTimeout(t *testing.T) {
	talk(t, &Server{Handler: answer, IdleTimeout: 10 * time.Second}, func(d *dialogue) {
		d.headers(1, true, getHead...)
		d.want(hello(1)...)
		time.Sleep(9 * time.Second)
		d.want()
		time.Sleep(2 * time.Second)
		d.want("GOAWAY 0 last=1 NO_ERROR", "closed")
		<-d.done
		if d.info.Reason != outcome.OK || d.info.Requests != 1 {
			t.Errorf("Conn = %q after %d requests, want ok after 1", d.info.Reason, d.info.Requests)
		}
	})
}

// TestIdleFromTheStart holds that a client may take its time with its first
// request.
func TestIdleFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dial(t, &Server{Handler: answer, IdleTimeout: 10 * time.Second})
		d.send(preface)
		d.do(d.fr.WriteSettings())
		d.got()
		time.Sleep(9 * time.Second)
		d.want()
		time.Sleep(2 * time.Second)
		d.want("GOAWAY 0 last=0 NO_ERROR", "closed")
		<-d.done
	})
}

func TestPrefaceTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dial(t, &Server{Handler: answer, HeadTimeout: 5 * time.Second})
		d.send(preface[:10])
		time.Sleep(6 * time.Second)
		<-d.done
		if d.info.Reason != outcome.HeadTimeout {
			t.Errorf("Conn.Reason = %q, want %q", d.info.Reason, outcome.HeadTimeout)
		}
	})
}

func TestNoPreface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dial(t, &Server{Handler: answer})
		d.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		d.wantEnd("PROTOCOL_ERROR", outcome.ProtocolError)
	})
}

// TestSlowHead sends a header block that does not end.
func TestSlowHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dial(t, &Server{Handler: answer, HeadTimeout: 5 * time.Second})
		d.start()
		b := d.block(getHead...)
		d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:1]}))
		for range 4 {
			time.Sleep(time.Second)
			d.do(d.fr.WriteContinuation(1, false, nil))
		}
		d.want()
		time.Sleep(2 * time.Second)
		d.wantEnd("NO_ERROR", outcome.HeadTimeout)
	})
}

// TestSlowFrame sends a frame that does not end.
func TestSlowFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dial(t, &Server{Handler: answer})
		d.start()
		d.send("\x00\x00\x08")
		time.Sleep(frameTime + time.Second)
		d.wantEnd("NO_ERROR", outcome.HeadTimeout)
	})
}

func TestBodyTimeout(t *testing.T) {
	var got error
	handler := func(x *Exchange) {
		for got == nil {
			_, got = x.Body().Next()
		}
		respond(x, 408, "late")
	}
	talk(t, &Server{Handler: handler, BodyTimeout: 5 * time.Second}, func(d *dialogue) {
		d.headers(1, false, getHead...)
		for range 3 {
			time.Sleep(4 * time.Second)
			d.data(1, false, "x")
		}
		d.want()
		time.Sleep(6 * time.Second)
		d.want("HEADERS 1 :status=408 content-length=4", `DATA 1 end "late"`, "RST_STREAM 1 NO_ERROR")
	})
	if e, ok := errors.AsType[*outcome.Error](got); !ok || e.Reason != outcome.BodyTimeout {
		t.Errorf("Next() = %v, want %s", got, outcome.BodyTimeout)
	}
}

// TestCancel holds that an exchange can be given up without an answer, and that the
// connection goes on.
func TestCancel(t *testing.T) {
	talk(t, &Server{Handler: func(x *Exchange) { x.Cancel() }}, func(d *dialogue) {
		d.headers(1, true, getHead...)
		d.want("RST_STREAM 1 CANCEL")
		d.do(d.fr.WritePing(false, [8]byte{}))
		d.want("PING 0 ack")
	})
}

// TestZeroWindow holds that a client that gives no leave to send is given up, and
// that others on its connection are not.
func TestZeroWindow(t *testing.T) {
	var got error
	handler := func(x *Exchange) {
		res := message.Response{Status: 200, Length: -1}
		_ = x.Head(&res)
		for got == nil {
			got = x.Write(make([]byte, 10_000))
		}
		x.Abort()
	}
	talk(t, &Server{Handler: handler, SendTimeout: 5 * time.Second}, func(d *dialogue) {
		d.headers(1, true, getHead...)
		frames := strings.Join(d.got(), " ")
		if n := strings.Count(frames, "DATA 1"); n == 0 {
			t.Errorf("got %s, want DATA", frames)
		}
		time.Sleep(6 * time.Second)
		d.want("RST_STREAM 1 CANCEL")
		d.do(d.fr.WritePing(false, [8]byte{}))
		d.want("PING 0 ack")
	})
	if e, ok := errors.AsType[*outcome.Error](got); !ok || e.Reason != outcome.SendTimeout {
		t.Errorf("Write() = %v, want %s", got, outcome.SendTimeout)
	}
}

// TestDeafClient holds that a client that does not read from its connection is cut,
// and that what waits for it is bounded.
func TestDeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		handler := func(x *Exchange) {
			res := message.Response{Status: 200, Length: -1}
			_ = x.Head(&res)
			for {
				if x.Write(make([]byte, 1000)) != nil {
					return
				}
				sent += 1000
			}
		}
		d := dialDeaf(t, &Server{Handler: handler, SendTimeout: 5 * time.Second})
		d.send(preface)
		d.do(d.fr.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: maxWindow}))
		d.do(d.fr.WriteWindowUpdate(0, maxWindow-initialWindow))
		d.headers(1, true, getHead...)
		<-d.done
		if d.info.Reason != outcome.SendTimeout {
			t.Errorf("Conn.Reason = %q, want %q", d.info.Reason, outcome.SendTimeout)
		}
		if sent > 2*queueLimit {
			t.Errorf("%d bytes were taken for a client that reads none", sent)
		}
	})
}

// TestPingKeepAlive holds that a silent client is asked whether it lives while a
// request is open.
func TestPingKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		d := dial(t, &Server{Handler: func(x *Exchange) {
			defer x.Watch(func() { close(gone) })()
			<-gone
		}})
		d.start()
		d.headers(1, true, getHead...)
		time.Sleep(pingAfter + 2*time.Second)
		d.want("PING 0")
		d.do(d.fr.WritePing(true, [8]byte{}))
		time.Sleep(pingAfter - 2*time.Second)
		d.want()
		time.Sleep(4 * time.Second)
		d.want("PING 0")
		time.Sleep(pingTime + 2*time.Second)
		d.wantEnd("NO_ERROR", outcome.PingTimeout)
	})
}

func TestShutdown(t *testing.T) {
	release := make(chan struct{})
	s := &Server{Handler: func(x *Exchange) {
		if len(x.Request().Fields.Named("wait")) > 0 {
			<-release
		}
		answer(x)
	}}
	synctest.Test(t, func(t *testing.T) {
		release = make(chan struct{})
		d := dial(t, s)
		d.start()
		d.headers(1, true, with(getHead, "wait: 1")...)
		s.Shutdown()
		d.want("GOAWAY 0 last=2147483647 NO_ERROR", "PING 0")
		// This one was under way.
		d.headers(3, true, with(getHead, "wait: 1")...)
		d.do(d.fr.WritePing(true, [8]byte{}))
		d.want("GOAWAY 0 last=3 NO_ERROR")
		// This one was not: it is not served, and the client knows.
		d.headers(5, true, getHead...)
		d.want()
		close(release)
		got := strings.Join(d.got(), " ")
		if strings.Count(got, `"hello"`) != 2 || !strings.HasSuffix(got, "closed") {
			t.Errorf("got %s, want two answers and the end", got)
		}
		<-d.done
		if d.info.Reason != outcome.Draining || d.info.Requests != 2 {
			t.Errorf("Conn = %q after %d requests, want draining after 2", d.info.Reason, d.info.Requests)
		}
	})
}

// TestShutdownOfTheSilent holds that a client that does not answer PING is told
// the end all the same.
func TestShutdownOfTheSilent(t *testing.T) {
	s := &Server{Handler: answer}
	synctest.Test(t, func(t *testing.T) {
		d := dial(t, s)
		d.start()
		d.headers(1, true, getHead...)
		d.want(hello(1)...)
		time.Sleep(5 * time.Second) // it is idle now
		s.Shutdown()
		time.Sleep(2 * shutdownTime)
		d.want("GOAWAY 0 last=2147483647 NO_ERROR", "PING 0", "GOAWAY 0 last=1 NO_ERROR", "closed")
		<-d.done
		if d.info.Reason != outcome.Draining {
			t.Errorf("Conn.Reason = %q, want draining", d.info.Reason)
		}
		// Later connections are told at once.
		late := dial(t, s)
		late.send(preface)
		late.do(late.fr.WriteSettings())
		late.do(late.fr.WriteSettingsAck())
		time.Sleep(2 * shutdownTime)
		<-late.done
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Server)
		var got error
		s.Handler = func(x *Exchange) { _, got = x.Body().Next() }
		d := dial(t, s)
		d.start()
		d.headers(1, false, getHead...)
		synctest.Wait()
		s.Close()
		<-d.done
		if e, ok := errors.AsType[*outcome.Error](got); !ok || e.Reason != outcome.ClientClosed {
			t.Errorf("Next() = %v, want %s", got, outcome.ClientClosed)
		}
	})
}

// TestHandlerThatDoesNotAnswer holds that an exchange cannot stay without an end.
func TestHandlerThatDoesNotAnswer(t *testing.T) {
	talk(t, &Server{Handler: func(*Exchange) {}}, func(d *dialogue) {
		d.headers(1, true, getHead...)
		d.want("RST_STREAM 1 INTERNAL_ERROR")
	})
}

// TestPanic holds that a panic of the handler goes to whoever runs the connection.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialWith(t)
		recovered := make(chan any, 1)
		s := &Server{Handler: func(*Exchange) { panic("oh") }}
		go func() {
			defer close(d.done)
			defer func() { recovered <- recover() }()
			s.Serve(d.server, &d.info)
		}()
		go d.read()
		d.start()
		d.headers(1, true, getHead...)
		v, _ := (<-recovered).(string)
		if !strings.HasPrefix(v, "oh\n") || !strings.Contains(v, "server_test.go") {
			t.Errorf("Serve panicked with %q, want oh and its stack", v)
		}
		<-d.done
		if d.info.Reason != outcome.Panic {
			t.Errorf("Conn.Reason = %q, want panic", d.info.Reason)
		}
	})
}

// TestClientLeaves holds that a reset reaches everybody who waits.
func TestClientLeaves(t *testing.T) {
	for _, test := range []struct {
		name string
		wait func(x *Exchange) error
	}{
		{"reading", func(x *Exchange) error { _, err := x.Body().Next(); return err }},
		{"watching", func(x *Exchange) error {
			gone := make(chan struct{})
			stop := x.Watch(func() { close(gone) })
			<-gone
			stop()
			return x.Head(&message.Response{Status: 200})
		}},
		{"sending", func(x *Exchange) error {
			err := x.Head(&message.Response{Status: 200, Length: -1})
			for err == nil {
				err = x.Write(make([]byte, 1000))
			}
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			errs := make(map[string]error)
			for _, how := range []string{"reset", "close"} {
				var got error
				handler := func(x *Exchange) { got = test.wait(x) }
				talk(t, &Server{Handler: handler}, func(d *dialogue) {
					d.headers(1, false, getHead...)
					d.got()
					if how == "close" {
						d.nc.Close()
						<-d.done
						return
					}
					d.do(d.fr.WriteRSTStream(1, xhttp2.ErrCodeCancel))
					d.want()
				})
				errs[how] = got
			}
			for how, err := range errs {
				if e, ok := errors.AsType[*outcome.Error](err); !ok || e.Reason != outcome.ClientClosed || e.Side != outcome.Downstream {
					t.Errorf("%s: %v, want %s", how, err, outcome.ClientClosed)
				}
			}
		})
	}
}

func TestInterruptedBody(t *testing.T) {
	talk(t, &Server{Handler: func(x *Exchange) {
		done := make(chan error)
		go func() {
			_, err := x.Body().Next()
			done <- err
		}()
		time.Sleep(pause)
		x.Body().Interrupt()
		if err := <-done; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Next() = %v, want an error", err)
		}
		answer(x)
	}}, func(d *dialogue) {
		d.headers(1, false, getHead...)
		d.want(append(hello(1), "RST_STREAM 1 NO_ERROR")...)
		// The rest of the body is not an error.
		d.data(1, true, "x")
		d.want()
	})
}

func TestMaxBody(t *testing.T) {
	for _, declared := range []bool{true, false} {
		var got error
		var sum int
		talk(t, &Server{Handler: func(x *Exchange) {
			x.Limit(10, 0, 0)
			for got == nil {
				var p []byte
				p, got = x.Body().Next()
				sum += len(p)
			}
			respond(x, 413, "large")
		}}, func(d *dialogue) {
			if declared {
				d.headers(1, false, with(getHead, "content-length: 11")...)
			} else {
				d.headers(1, false, getHead...)
				d.data(1, false, "12345")
				synctest.Wait()
				d.data(1, true, "678901")
			}
			d.got()
		})
		if e, ok := errors.AsType[*outcome.Error](got); !ok || e.Reason != outcome.BodyTooLarge || sum > 10 {
			t.Errorf("declared %v: Next() = %v after %d bytes, want %s", declared, got, sum, outcome.BodyTooLarge)
		}
	}
}
