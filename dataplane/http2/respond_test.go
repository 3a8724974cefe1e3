package http2

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func fieldsOf(pairs ...string) *message.Fields {
	f := new(message.Fields)
	for i := 0; i < len(pairs); i += 2 {
		f.AddName(pairs[i], pairs[i+1])
	}
	return f
}

func newResponse(version message.Version, status int, length int64, pairs ...string) *message.Response {
	return &message.Response{Version: version, Status: status, Length: length, Fields: *fieldsOf(pairs...)}
}

func TestRespond(t *testing.T) {
	const h1, h2 = message.HTTP11, message.HTTP2
	for _, test := range []struct {
		rule, method string
		answer       func(x *Exchange)
		want         []string
	}{
		{"no body", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 200, 0))
			_ = x.End(nil)
		}, []string{"HEADERS 1 end :status=200 content-length=0"}},
		{"no body of unknown length", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 200, -1))
			_ = x.End(nil)
		}, []string{"HEADERS 1 end :status=200"}},
		{"204", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 204, 0, "Server", "x"))
			_ = x.End(nil)
		}, []string{"HEADERS 1 end :status=204 server=x"}},
		{"304 of unknown length", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 304, -1, "ETag", "x"))
			_ = x.End(nil)
		}, []string{"HEADERS 1 end :status=304 etag=x"}},
		{"HEAD tells the length", "HEAD", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 200, 77))
			_ = x.Write([]byte("dropped"))
			_ = x.End(nil)
		}, []string{"HEADERS 1 end :status=200 content-length=77"}},
		{"body of known length", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 418, 4))
			_ = x.Write([]byte("ab"))
			_ = x.Write([]byte("cd"))
			_ = x.End(nil)
		}, []string{"HEADERS 1 :status=418 content-length=4", `DATA 1 "ab"`, `DATA 1 end "cd"`}},
		{"body that is flushed", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 200, -1))
			_ = x.Write([]byte("ab"))
			_ = x.Flush()
			time.Sleep(pause)
			_ = x.Write([]byte("cd"))
			_ = x.Flush()
			time.Sleep(pause)
			_ = x.End(nil)
		}, []string{"HEADERS 1 :status=200", `DATA 1 "ab"`, `DATA 1 "cd"`, `DATA 1 end ""`}},
		{"trailers", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 200, -1))
			_ = x.Write([]byte("ab"))
			_ = x.End(fieldsOf("Grpc-Status", "0", "Connection", "x", "X", "y"))
		}, []string{"HEADERS 1 :status=200", `DATA 1 "ab"`, "HEADERS 1 end grpc-status=0 x=y"}},
		{"trailers without a body", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h2, 200, 0))
			_ = x.End(fieldsOf("Grpc-Status", "0"))
		}, []string{"HEADERS 1 :status=200 content-length=0", "HEADERS 1 end grpc-status=0"}},
		{"connection fields are left out", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 200, 0, "Connection", "a", "Keep-Alive", "b", "Proxy-Connection", "c", "Transfer-Encoding", "d", "Upgrade", "e", "Content-Length", "9", "X-ORDER", "1", "Via", "2"))
			_ = x.End(nil)
		}, []string{"HEADERS 1 end :status=200 x-order=1 via=2 content-length=0"}},
		{"interim responses", "GET", func(x *Exchange) {
			_ = x.Inform(newResponse(h1, 103, 0, "Link", "a"))
			_ = x.Inform(newResponse(h1, 100, 0)) // nobody asked
			_ = x.Head(newResponse(h1, 200, 0))
			_ = x.End(nil)
		}, []string{"HEADERS 1 :status=103 link=a", "HEADERS 1 end :status=200 content-length=0"}},
		{"a body too long", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 200, 1))
			if x.Write([]byte("ab")) == nil {
				panic("it was taken")
			}
			x.Abort()
		}, []string{"HEADERS 1 :status=200 content-length=1", "RST_STREAM 1 INTERNAL_ERROR"}},
		{"a body too short", "GET", func(x *Exchange) {
			_ = x.Head(newResponse(h1, 200, 3))
			_ = x.Write([]byte("ab"))
			if x.End(nil) == nil {
				panic("it was taken")
			}
		}, []string{"HEADERS 1 :status=200 content-length=3", `DATA 1 "ab"`, "RST_STREAM 1 INTERNAL_ERROR"}},
		{"a field that splits", "GET", func(x *Exchange) {
			if x.Head(newResponse(h1, 200, 0, "X", "a\r\nb: c")) == nil {
				panic("it was taken")
			}
			_ = x.Head(newResponse(h1, 502, 0))
			_ = x.End(nil)
		}, []string{"HEADERS 1 end :status=502 content-length=0"}},
		{"misuse", "GET", func(x *Exchange) {
			for what, err := range map[string]error{
				"body before the head":  x.Write([]byte("a")),
				"end before the head":   x.End(nil),
				"interim of 200":        x.Inform(newResponse(h1, 200, 0)),
				"interim of 101":        x.Inform(newResponse(h1, 101, 0)),
				"final of 100":          x.Head(newResponse(h1, 100, 0)),
				"101 without a request": x.Head(newResponse(h1, 101, 0)),
			} {
				if err == nil {
					panic(what + " was taken")
				}
			}
			if _, err := x.Tunnel(); err == nil {
				panic("there is a tunnel")
			}
			_ = x.Head(newResponse(h1, 200, 0))
			if x.Head(newResponse(h1, 200, 0)) == nil {
				panic("a second head was taken")
			}
			_ = x.End(nil)
		}, []string{"HEADERS 1 end :status=200 content-length=0"}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			talk(t, &Server{Handler: test.answer}, func(d *dialogue) {
				d.headers(1, true, ":method: "+test.method, ":scheme: http", ":authority: h", ":path: /")
				d.want(test.want...)
			})
		})
	}
}

func TestContinue(t *testing.T) {
	talk(t, &Server{Handler: func(x *Exchange) {
		for range 2 {
			_ = x.Inform(&message.Response{Status: 100})
		}
		echo(x)
	}}, func(d *dialogue) {
		d.headers(1, false, ":method: POST", ":scheme: http", ":authority: h", ":path: /", "expect: 100-continue")
		got := d.got()
		if len(got) < 1 || got[0] != "HEADERS 1 :status=100" {
			t.Errorf("got %q, want 100", got)
		}
		d.data(1, true, "x")
		d.want(`DATA 1 end "x"`)
	})
}

// TestTunnel holds that extended CONNECT is an upgrade to those who serve it.
func TestTunnel(t *testing.T) {
	connect := []string{
		":method: CONNECT", ":protocol: websocket", ":scheme: https", ":authority: h", ":path: /chat",
		"sec-websocket-version: 13", "sec-websocket-protocol: x",
	}
	accept := func(x *Exchange) *message.Response {
		return newResponse(message.HTTP11, 101, 0, "Upgrade", "websocket", "Sec-WebSocket-Accept", acceptKey(x.key), "Sec-WebSocket-Protocol", "x")
	}
	t.Run("both ways", func(t *testing.T) {
		talk(t, &Server{Handler: func(x *Exchange) {
			r := x.Request()
			if r.Method != "GET" || string(r.Upgrade) != "websocket" || r.Length != 0 || len(r.Fields.Named("Sec-WebSocket-Key")) != 24 {
				t.Errorf("got %s, upgrade %q, length %d, key %q", r.Method, r.Upgrade, r.Length, r.Fields.Named("Sec-WebSocket-Key"))
			}
			if err := x.Head(accept(x)); err != nil {
				t.Error(err)
			}
			tunnel, err := x.Tunnel()
			if err != nil {
				t.Error(err)
				return
			}
			defer tunnel.Close()
			if _, err := io.Copy(tunnel, tunnel); err != nil {
				t.Error(err)
			}
			_ = tunnel.(interface{ CloseWrite() error }).CloseWrite()
		}}, func(d *dialogue) {
			d.headers(1, false, connect...)
			d.want("HEADERS 1 :status=200 sec-websocket-protocol=x")
			d.data(1, false, "one")
			d.want(`DATA 1 "one"`)
			d.data(1, false, "two")
			d.want(`DATA 1 "two"`)
			d.data(1, true, "three")
			got := d.got()
			if diff := cmp.Diff([]string{`DATA 1 "three"`, `DATA 1 end ""`}, got); diff != "" && fmt.Sprint(got) != `[DATA 1 end "three"]` {
				t.Errorf("frames: %s", diff)
			}
		})
	})
	t.Run("closed", func(t *testing.T) {
		talk(t, &Server{Handler: func(x *Exchange) {
			_ = x.Head(accept(x))
			tunnel, _ := x.Tunnel()
			failed := make(chan error)
			go func() {
				_, err := tunnel.Read(make([]byte, 1))
				failed <- err
			}()
			time.Sleep(pause)
			tunnel.Close()
			if err := <-failed; err == nil {
				t.Error("Read goes on after Close")
			}
			if _, err := tunnel.Write([]byte("x")); err == nil {
				t.Error("Write goes on after Close")
			}
		}}, func(d *dialogue) {
			d.headers(1, false, connect...)
			d.want("HEADERS 1 :status=200 sec-websocket-protocol=x", "RST_STREAM 1 CANCEL")
		})
	})
	t.Run("refused", func(t *testing.T) {
		talk(t, &Server{Handler: func(x *Exchange) { respond(x, 403, "no") }}, func(d *dialogue) {
			d.headers(1, false, connect...)
			d.want("HEADERS 1 :status=403 content-length=2", `DATA 1 end "no"`, "RST_STREAM 1 NO_ERROR")
		})
	})
	for _, res := range []*message.Response{
		newResponse(message.HTTP11, 200, 0),
		newResponse(message.HTTP11, 101, 0, "Sec-WebSocket-Accept", "wrong"),
		newResponse(message.HTTP11, 101, 0),
	} {
		t.Run(fmt.Sprintf("not accepted by %d", res.Status), func(t *testing.T) {
			talk(t, &Server{Handler: func(x *Exchange) {
				err, ok := x.Head(res).(*outcome.Error)
				if !ok || err.Reason != outcome.UpstreamInvalid {
					t.Errorf("Head() = %v, want %s", err, outcome.UpstreamInvalid)
				}
				x.Abort()
			}}, func(d *dialogue) {
				d.headers(1, false, connect...)
				d.want("RST_STREAM 1 INTERNAL_ERROR")
			})
		})
	}
}

// TestUrgency holds that of the responses which wait for the client's leave to send
// the more urgent goes first.
func TestUrgency(t *testing.T) {
	handler := func(x *Exchange) {
		n := 1000
		if x.Request().Method == "POST" {
			n = initialWindow
		}
		_ = x.Head(newResponse(message.HTTP11, 200, int64(n)))
		_ = x.Write(make([]byte, n))
		_ = x.End(nil)
	}
	talk(t, &Server{Handler: handler}, func(d *dialogue) {
		d.headers(1, true, ":method: POST", ":scheme: http", ":authority: h", ":path: /")
		d.got() // this one has used up the window of the connection
		for i, priority := range []string{"i", "u=5", "u=1, i", "u=9", "u=7", "u=0"} {
			d.headers(uint32(2*i+3), true, with(getHead, "priority: "+priority)...)
			d.got()
		}
		var order []string
		for range 6 {
			d.do(d.fr.WriteWindowUpdate(0, 1000))
			order = append(order, d.got()...)
		}
		want := []string{
			"DATA 13 end (1000 bytes)", "DATA 7 end (1000 bytes)", "DATA 3 end (1000 bytes)",
			"DATA 9 end (1000 bytes)", "DATA 5 end (1000 bytes)", "DATA 11 end (1000 bytes)",
		}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("frames (-want +got):\n%s", diff)
		}
	})
}

func TestUrgencyOfField(t *testing.T) {
	for field, want := range map[string]uint8{
		"": 3, "u=0": 0, "u=7": 7, "i, u=2": 2, "u=2,i": 2, "u=8": 3, "u=-1": 3, "U=1": 3, "u": 3, "u=1.0": 3, "x=\"u=1\"": 3,
	} {
		if got := urgency([]byte(field)); got != want {
			t.Errorf("urgency(%q) = %d, want %d", field, got, want)
		}
	}
}
