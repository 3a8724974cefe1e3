package http2

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// TestFloods sends more of a kind than a peer that means no harm: the connection
// ends with ENHANCE_YOUR_CALM, and the outcome says why.
func TestFloods(t *testing.T) {
	for _, test := range []struct {
		name   string
		reason outcome.Reason
		n      int
		held   bool // the handlers do not answer
		send   func(d *dialogue, i int) error
	}{
		{"rapid reset", outcome.StreamResets, 1000, true, func(d *dialogue, i int) error {
			id := uint32(2*i + 1)
			d.headersQuietly(id, getHead...)
			return d.fr.WriteRSTStream(id, xhttp2.ErrCodeCancel)
		}},
		{"made you reset by WINDOW_UPDATE", outcome.StreamResets, 1000, true, func(d *dialogue, i int) error {
			id := uint32(2*i + 1)
			d.headersQuietly(id, getHead...)
			return d.fr.WriteWindowUpdate(id, 0)
		}},
		{"made you reset by DATA after the end", outcome.StreamResets, 1000, true, func(d *dialogue, i int) error {
			id := uint32(2*i + 1)
			d.headersQuietly(id, getHead...)
			return d.fr.WriteData(id, true, nil)
		}},
		{"malformed requests", outcome.StreamResets, 1000, false, func(d *dialogue, i int) error {
			return d.headersQuietly(uint32(2*i+1), with(getHead, "connection: x")...)
		}},
		{"too many streams", outcome.StreamResets, 1000, true, func(d *dialogue, i int) error {
			return d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: d.block(getHead...), EndHeaders: true})
		}},
		{"SETTINGS", outcome.FrameFlood, 2000, false, func(d *dialogue, _ int) error { return d.fr.WriteSettings() }},
		{"acknowledgements of SETTINGS", outcome.FrameFlood, 2000, false, func(d *dialogue, _ int) error { return d.fr.WriteSettingsAck() }},
		{"PING", outcome.FrameFlood, 2000, false, func(d *dialogue, _ int) error { return d.fr.WritePing(false, [8]byte{}) }},
		{"acknowledgements of PING", outcome.FrameFlood, 2000, false, func(d *dialogue, _ int) error { return d.fr.WritePing(true, [8]byte{}) }},
		{"PRIORITY", outcome.FrameFlood, 2000, false, func(d *dialogue, i int) error {
			return d.fr.WritePriority(uint32(2*i+1), xhttp2.PriorityParam{})
		}},
		{"WINDOW_UPDATE of the connection", outcome.FrameFlood, 2000, false, func(d *dialogue, _ int) error { return d.fr.WriteWindowUpdate(0, 1) }},
		{"WINDOW_UPDATE of a closed stream", outcome.FrameFlood, 2000, false, func(d *dialogue, i int) error {
			if i == 0 {
				d.headersQuietly(1, getHead...)
				d.got()
			}
			return d.fr.WriteWindowUpdate(1, 1)
		}},
		{"empty DATA", outcome.FrameFlood, 2000, false, func(d *dialogue, i int) error {
			if i == 0 {
				d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: d.block(getHead...), EndHeaders: true}))
			}
			return d.fr.WriteData(1, false, nil)
		}},
		{"unknown frames", outcome.FrameFlood, 2000, false, func(d *dialogue, _ int) error { return d.fr.WriteRawFrame(0x77, 0, 0, nil) }},
		{"GOAWAY", outcome.FrameFlood, 2000, false, func(d *dialogue, _ int) error { return d.fr.WriteGoAway(0, 0, nil) }},
		{"CONTINUATION", outcome.HeadTooLarge, 100, false, func(d *dialogue, i int) error {
			if i == 0 {
				return d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: d.block(getHead...)})
			}
			return d.fr.WriteContinuation(1, false, nil)
		}},
		{"header block without an end", outcome.HeadTooLarge, 20, false, func(d *dialogue, i int) error {
			p := d.block("a: " + strings.Repeat("\x01", 8<<10)) // Huffman makes it larger
			if i == 0 {
				return d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p})
			}
			return d.fr.WriteContinuation(1, false, p)
		}},
		{"one field without an end", outcome.HeadTooLarge, 20, false, func(d *dialogue, i int) error {
			if i == 0 {
				// A literal with a value of 2^27 bytes.
				return d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("\x00\x01a\x7f\x81\xff\xff\x3f")})
			}
			return d.fr.WriteContinuation(1, false, make([]byte, 8<<10))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				block := make(chan struct{})
				if !test.held {
					close(block)
				}
				d := dial(t, &Server{Handler: func(x *Exchange) {
					if !test.held {
						answer(x)
					}
					<-block
				}})
				d.start()
				for i := range test.n {
					if test.send(d, i) != nil {
						break // the server has hung up
					}
				}
				if test.held {
					close(block)
				}
				d.wantEnd("ENHANCE_YOUR_CALM", test.reason)
			})
		})
	}
}

func (d *dialogue) headersQuietly(id uint32, fields ...string) error {
	return d.fr.WriteHeaders(xhttp2.HeadersFrameParam{
		StreamID: id, BlockFragment: d.block(fields...), EndStream: true, EndHeaders: true,
	})
}

// TestNoFlood sends what ordinary clients may send over a long time.
func TestNoFlood(t *testing.T) {
	talk(t, &Server{Handler: answer}, func(d *dialogue) {
		id := uint32(1)
		for i := range 3000 {
			d.do(d.fr.WritePriority(id, xhttp2.PriorityParam{}))
			d.headers(id, true, getHead...)
			d.do(d.fr.WriteWindowUpdate(0, 10))
			if id += 2; i%20 == 0 {
				d.do(d.fr.WritePing(false, [8]byte{}))
				d.headers(id, false, getHead...)
				d.do(d.fr.WriteRSTStream(id, xhttp2.ErrCodeCancel))
				id += 2
				time.Sleep(time.Second)
			}
			if got := d.got(); len(got) < 2 || !strings.Contains(strings.Join(got, " "), "hello") {
				t.Fatalf("request %d: got %q", i, got)
			}
		}
	})
}

// TestUnreadAnswers holds that answers that the peer does not read do not pile up.
func TestUnreadAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialDeaf(t, &Server{Handler: answer})
		d.send(preface)
		d.do(d.fr.WriteSettings())
		for range 3000 {
			time.Sleep(10 * time.Millisecond) // too seldom for another limit
			if d.fr.WritePing(false, [8]byte{}) != nil {
				break
			}
		}
		<-d.done
		if d.info.Reason != outcome.FrameFlood {
			t.Errorf("Conn.Reason = %q, want %q", d.info.Reason, outcome.FrameFlood)
		}
	})
}

// TestHPACKBomb refers many times to one large entry of the table: what it would
// come to is never made.
func TestHPACKBomb(t *testing.T) {
	var reason outcome.Reason
	fields := 0
	handler := func(x *Exchange) {
		if err := x.Refusal(); err != nil {
			reason = err.Reason
			fields = x.Request().Fields.Len()
		}
		answer(x)
	}
	talk(t, &Server{Handler: handler}, func(d *dialogue) {
		d.headers(1, true, with(getHead, "x: "+strings.Repeat("a", 4000))...)
		d.want(hello(1)...)
		b := d.block(getHead...)
		for len(b) < maxFrame {
			b = append(b, 0x80|62) // the newest entry
		}
		d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: b, EndStream: true, EndHeaders: true}))
		if got := d.got(); len(got) == 0 || !strings.HasPrefix(got[0], "HEADERS 3 :status=431") {
			t.Errorf("got %q, want 431", got)
		}
		// The table is still the same on both sides.
		d.headers(5, true, with(getHead, "x: "+strings.Repeat("a", 4000))...)
		d.want(hello(5)...)
	})
	if reason != outcome.HeadTooLarge || fields > 20 {
		t.Errorf("refused for %q after %d fields", reason, fields)
	}
}

// TestTableSize holds that the table cannot be made larger than it may be.
func TestTableSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dial(t, &Server{Handler: answer})
		d.start()
		b := append([]byte{0x3f, 0xe2, 0x1f}, d.block(getHead...)...) // 4097
		d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: b, EndStream: true, EndHeaders: true}))
		d.wantEnd("COMPRESSION_ERROR", outcome.ProtocolError)
	})
}

// TestViolations holds that each breach of the framing ends the connection with
// the code that RFC 9113 names.
func TestViolations(t *testing.T) {
	raw := func(typ xhttp2.FrameType, flags xhttp2.Flags, id uint32, payload string) func(d *dialogue) {
		return func(d *dialogue) { _ = d.fr.WriteRawFrame(typ, flags, id, []byte(payload)) }
	}
	for _, test := range []struct {
		rule, code string
		send       func(d *dialogue)
	}{
		{"DATA on stream 0", "PROTOCOL_ERROR", raw(0, 0, 0, "x")},
		{"DATA on an idle stream", "PROTOCOL_ERROR", raw(0, 0, 1, "x")},
		{"DATA with more padding than frame", "PROTOCOL_ERROR", raw(0, 8, 1, "\x05xx")},
		{"padded DATA without a length", "FRAME_SIZE_ERROR", raw(0, 8, 1, "")},
		{"HEADERS on stream 0", "PROTOCOL_ERROR", raw(1, 5, 0, "")},
		{"HEADERS on an even stream", "PROTOCOL_ERROR", raw(1, 5, 2, "")},
		{"HEADERS with more padding than frame", "PROTOCOL_ERROR", raw(1, 13, 1, "\x05xx")},
		{"HEADERS too short for its priority", "FRAME_SIZE_ERROR", raw(1, 0x25, 1, "xxx")},
		{"HEADERS that depends on itself", "PROTOCOL_ERROR", raw(1, 0x25, 1, "\x00\x00\x00\x01\x10\x82")},
		{"header block that cannot be decoded", "COMPRESSION_ERROR", raw(1, 5, 1, "\x80")},
		{"truncated header block", "COMPRESSION_ERROR", raw(1, 5, 1, "\x00\x05ab")},
		{"PRIORITY on stream 0", "PROTOCOL_ERROR", raw(2, 0, 0, "\x00\x00\x00\x00\x10")},
		{"RST_STREAM on stream 0", "PROTOCOL_ERROR", raw(3, 0, 0, "\x00\x00\x00\x08")},
		{"RST_STREAM on an idle stream", "PROTOCOL_ERROR", raw(3, 0, 1, "\x00\x00\x00\x08")},
		{"RST_STREAM of the wrong size", "FRAME_SIZE_ERROR", raw(3, 0, 1, "\x00\x00\x08")},
		{"SETTINGS on a stream", "PROTOCOL_ERROR", raw(4, 0, 1, "")},
		{"SETTINGS of the wrong size", "FRAME_SIZE_ERROR", raw(4, 0, 0, "\x00\x00\x08")},
		{"acknowledgement with settings", "FRAME_SIZE_ERROR", raw(4, 1, 0, "\x00\x03\x00\x00\x00\x08")},
		{"ENABLE_PUSH of 2", "PROTOCOL_ERROR", raw(4, 0, 0, "\x00\x02\x00\x00\x00\x02")},
		{"too large a window", "FLOW_CONTROL_ERROR", raw(4, 0, 0, "\x00\x04\x80\x00\x00\x00")},
		{"too small a frame size", "PROTOCOL_ERROR", raw(4, 0, 0, "\x00\x05\x00\x00\x00\x08")},
		{"PUSH_PROMISE", "PROTOCOL_ERROR", raw(5, 4, 1, "\x00\x00\x00\x02")},
		{"PING on a stream", "PROTOCOL_ERROR", raw(6, 0, 1, "12345678")},
		{"PING of the wrong size", "FRAME_SIZE_ERROR", raw(6, 0, 0, "1234567")},
		{"GOAWAY on a stream", "PROTOCOL_ERROR", raw(7, 0, 1, "12345678")},
		{"GOAWAY of the wrong size", "FRAME_SIZE_ERROR", raw(7, 0, 0, "1234567")},
		{"WINDOW_UPDATE by 0", "PROTOCOL_ERROR", raw(8, 0, 0, "\x00\x00\x00\x00")},
		{"WINDOW_UPDATE on an idle stream", "PROTOCOL_ERROR", raw(8, 0, 1, "\x00\x00\x00\x01")},
		{"WINDOW_UPDATE of the wrong size", "FRAME_SIZE_ERROR", raw(8, 0, 0, "\x00\x00\x01")},
		{"WINDOW_UPDATE beyond the largest window", "FLOW_CONTROL_ERROR", raw(8, 0, 0, "\x7f\xff\xff\xff")},
		{"CONTINUATION without HEADERS", "PROTOCOL_ERROR", raw(9, 4, 1, "")},
		{"a frame that is too large", "FRAME_SIZE_ERROR", raw(0x77, 0, 0, strings.Repeat("x", maxFrame+1))},
		{"a frame within a header block", "PROTOCOL_ERROR", func(d *dialogue) {
			d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: d.block(getHead...)}))
			d.do(d.fr.WritePing(false, [8]byte{}))
		}},
		{"CONTINUATION of another stream", "PROTOCOL_ERROR", func(d *dialogue) {
			d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: d.block(getHead...)}))
			d.do(d.fr.WriteContinuation(3, true, nil))
		}},
		{"HEADERS on a closed stream", "STREAM_CLOSED", func(d *dialogue) {
			d.headers(1, true, getHead...)
			d.want(hello(1)...)
			d.headers(1, true, getHead...)
		}},
		{"HEADERS on a stream that was skipped", "PROTOCOL_ERROR", func(d *dialogue) {
			d.headers(5, true, getHead...)
			d.want(hello(5)...)
			d.headers(3, true, getHead...)
		}},
		{"DATA beyond the window of the connection", "FLOW_CONTROL_ERROR", func(d *dialogue) {
			for id := uint32(1); id <= 21; id += 2 {
				d.headers(id, false, getHead...)
				for sent := 0; sent < streamWindow; sent += maxFrame {
					if d.fr.WriteData(id, false, make([]byte, maxFrame)) != nil {
						return
					}
				}
			}
		}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				unread := func(x *Exchange) {
					if x.Request().Length == 0 {
						answer(x)
						return
					}
					stop := make(chan struct{})
					defer x.Watch(func() { close(stop) })()
					<-stop
				}
				d := dial(t, &Server{Handler: unread})
				d.start()
				test.send(d)
				d.wantEnd(test.code, outcome.ProtocolError)
			})
		})
	}
}

// TestStreamErrors holds that each breach on a stream resets it and leaves the
// others alone.
func TestStreamErrors(t *testing.T) {
	post := []string{":method: POST", ":scheme: http", ":authority: h", ":path: /"}
	for _, test := range []struct {
		rule, code string
		send       func(d *dialogue)
	}{
		{"DATA after END_STREAM", "STREAM_CLOSED", func(d *dialogue) {
			d.headers(1, true, with(post, "wait: x")...)
			d.data(1, true, "x")
		}},
		{"HEADERS after END_STREAM", "STREAM_CLOSED", func(d *dialogue) {
			d.headers(1, true, with(post, "wait: x")...)
			d.headers(1, true, "a: b")
		}},
		{"WINDOW_UPDATE by 0", "PROTOCOL_ERROR", func(d *dialogue) {
			d.headers(1, false, post...)
			d.do(d.fr.WriteWindowUpdate(1, 0))
		}},
		{"WINDOW_UPDATE beyond the largest window", "FLOW_CONTROL_ERROR", func(d *dialogue) {
			d.headers(1, false, post...)
			d.do(d.fr.WriteWindowUpdate(1, maxWindow))
		}},
		{"DATA beyond the window", "FLOW_CONTROL_ERROR", func(d *dialogue) {
			d.headers(1, false, with(post, "wait: x")...)
			for range streamWindow/maxFrame + 1 {
				d.data(1, false, strings.Repeat("x", maxFrame))
			}
		}},
		{"more than Content-Length", "PROTOCOL_ERROR", func(d *dialogue) {
			d.headers(1, false, with(post, "content-length: 3")...)
			d.data(1, false, "1234")
		}},
		{"less than Content-Length", "PROTOCOL_ERROR", func(d *dialogue) {
			d.headers(1, false, with(post, "content-length: 3")...)
			d.data(1, true, "12")
		}},
		{"less than Content-Length before trailers", "PROTOCOL_ERROR", func(d *dialogue) {
			d.headers(1, false, with(post, "content-length: 3")...)
			d.data(1, false, "12")
			d.headers(1, true, "a: b")
		}},
		{"trailers without END_STREAM", "PROTOCOL_ERROR", func(d *dialogue) {
			d.headers(1, false, post...)
			d.headers(1, false, "a: b")
		}},
		{"pseudo-header in trailers", "PROTOCOL_ERROR", func(d *dialogue) {
			d.headers(1, false, post...)
			d.headers(1, true, ":path: /")
		}},
		{"upper case in trailers", "PROTOCOL_ERROR", func(d *dialogue) {
			d.headers(1, false, post...)
			d.headers(1, true, "A: b")
		}},
		{"PRIORITY of the wrong size", "FRAME_SIZE_ERROR", func(d *dialogue) {
			d.headers(1, false, post...)
			d.do(d.fr.WriteRawFrame(2, 0, 1, []byte("1234")))
		}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			var bodyErr error
			handler := func(x *Exchange) {
				switch {
				case x.Request().Method == "GET":
					answer(x)
				case x.Request().Fields.Named("wait") != nil:
					gone := make(chan struct{})
					defer x.Watch(func() { close(gone) })()
					<-gone
				default:
					for bodyErr == nil {
						_, bodyErr = x.Body().Next()
					}
				}
			}
			talk(t, &Server{Handler: handler}, func(d *dialogue) {
				test.send(d)
				var got []string
				for _, f := range d.got() {
					if !strings.HasPrefix(f, "WINDOW_UPDATE") {
						got = append(got, f)
					}
				}
				if want := "RST_STREAM 1 " + test.code; len(got) != 1 || got[0] != want {
					t.Errorf("got %q, want %s", got, want)
				}
				// What was under way is ignored.
				d.data(1, false, "under way")
				d.do(d.fr.WriteWindowUpdate(1, 1))
				d.headers(3, true, getHead...)
				d.want(hello(3)...)
			})
		})
	}
}

func TestTooManyStreams(t *testing.T) {
	handler := func(x *Exchange) {
		gone := make(chan struct{})
		defer x.Watch(func() { close(gone) })()
		<-gone
	}
	talk(t, &Server{Handler: handler, MaxStreams: 3}, func(d *dialogue) {
		for id := uint32(1); id <= 7; id += 2 {
			d.headers(id, true, getHead...)
		}
		d.want("RST_STREAM 7 REFUSED_STREAM")
		d.do(d.fr.WriteRSTStream(1, xhttp2.ErrCodeCancel))
		d.headers(9, true, getHead...)
		d.want()
		d.headers(11, true, getHead...)
		d.want("RST_STREAM 11 REFUSED_STREAM")
	})
}

// TestSettings holds what we tell a client.
func TestSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dial(t, &Server{Handler: answer})
		d.send(preface)
		d.do(d.fr.WriteSettings())
		d.want("SETTINGS 0", fmt.Sprintf("WINDOW_UPDATE 0 +%d", connWindow-initialWindow), "SETTINGS 0 ack")
		d.nc.Close()
		<-d.done
	})
}

// TestWindowOfSettings holds that a change of SETTINGS_INITIAL_WINDOW_SIZE changes
// the windows of the streams that are open (RFC 9113 §6.9.2).
func TestWindowOfSettings(t *testing.T) {
	talk(t, &Server{Handler: answer}, func(d *dialogue) {
		window := func(n uint32) {
			d.do(d.fr.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: n}))
		}
		window(2)
		d.headers(1, true, getHead...)
		d.want("SETTINGS 0 ack", fmt.Sprintf(helloHead, 1), `DATA 1 "he"`)
		window(0) // the stream's is -2 now
		d.do(d.fr.WriteWindowUpdate(1, 2))
		d.want("SETTINGS 0 ack")
		d.do(d.fr.WriteWindowUpdate(1, 1))
		d.want(`DATA 1 "l"`)
		window(10)
		got := strings.Join(d.got(), "; ")
		if want := `DATA 1 "lo"; DATA 1 end ""`; !strings.Contains(got, want) && !strings.Contains(got, `DATA 1 end "lo"`) {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestPeersTable holds that a peer which makes its table smaller is told that we
// keep to it, in the next header block and only there (RFC 7541 §4.2).
func TestPeersTable(t *testing.T) {
	talk(t, &Server{Handler: answer}, func(d *dialogue) {
		d.do(d.fr.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 100}))
		d.want("SETTINGS 0 ack")
		for id := 1; id <= 3; id += 2 {
			d.headers(uint32(id), true, getHead...)
			d.want(hello(id)...)
		}
		if told := d.tableUpdates; !slices.Equal(told, []bool{true, false}) {
			t.Errorf("header blocks that begin with a change of the table: %v, want the first alone", told)
		}
	})
}

// TestPing holds that PING is answered with what it brought.
func TestPing(t *testing.T) {
	talk(t, &Server{Handler: answer}, func(d *dialogue) {
		d.do(d.fr.WritePing(false, [8]byte{1, 2, 3}))
		d.want("PING 0 ack")
	})
}

// TestSettingsTimeout: a client that never acknowledges our SETTINGS is sent away,
// whether it is busy or idle; one that does is not.
func TestSettingsTimeout(t *testing.T) {
	for _, tt := range []struct {
		name       string
		acks, busy bool
		// idle is the server's limit for a connection without requests.
		idle   time.Duration
		reason outcome.Reason
		after  time.Duration
	}{
		{"idle", false, false, time.Hour, outcome.SettingsTimeout, settingsTime},
		{"busy", false, true, time.Hour, outcome.SettingsTimeout, settingsTime},
		{"idle beyond its own limit", false, false, 20 * time.Second, outcome.OK, 20 * time.Second},
		{"acknowledged and idle", true, false, time.Minute, outcome.OK, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := dial(t, &Server{Handler: answer, IdleTimeout: tt.idle})
				start := time.Now()
				d.send(preface)
				d.do(d.fr.WriteSettings())
				if tt.acks {
					d.do(d.fr.WriteSettingsAck())
				}
				ended := func() bool {
					select {
					case <-d.done:
						return true
					default:
						return false
					}
				}
				for id := uint32(1); tt.busy && !ended() && time.Since(start) < 2*settingsTime; id += 2 {
					_ = d.headersQuietly(id, getHead...)
					d.got()
					time.Sleep(500 * time.Millisecond)
				}
				time.Sleep(tt.after - time.Since(start) + 2*lingerTime + 2*time.Second)
				d.nc.Close()
				<-d.done
				if d.info.Reason != tt.reason {
					t.Errorf("Conn.Reason = %q, want %q", d.info.Reason, tt.reason)
				}
				got := d.got()
				if code := "SETTINGS_TIMEOUT"; (tt.reason == outcome.SettingsTimeout) != strings.Contains(fmt.Sprint(got), code) && !tt.busy {
					t.Errorf("frames %q, want GOAWAY of %s: %t", got, code, tt.reason == outcome.SettingsTimeout)
				}
			})
		})
	}
}

// TestHeadCutOff: a head that has begun and does not come to its end is one request
// with one outcome; a connection that ends between two requests is none.
func TestHeadCutOff(t *testing.T) {
	block := func(d *dialogue) []byte { return d.block(getHead...) }
	for _, tt := range []struct {
		name   string
		send   func(d *dialogue)
		reason outcome.Reason // "" for no request
		method string
	}{
		{"nothing", func(d *dialogue) {}, "", ""},
		{"in the header of a frame", func(d *dialogue) { d.send("\x00\x00\x10\x01") }, "", ""},
		{"in HEADERS", func(d *dialogue) { d.send("\x00\x00\x10\x01\x04\x00\x00\x00\x01\x82") }, outcome.ClientClosed, ""},
		{"in HEADERS that open no stream", func(d *dialogue) {
			d.send("\x00\x00\x10\x01\x04\x00\x00\x00\x02\x82")
		}, "", ""},
		{"behind HEADERS", func(d *dialogue) {
			d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block(d)}))
		}, outcome.ClientClosed, "GET"},
		{"behind CONTINUATION", func(d *dialogue) {
			b := block(d)
			d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:2]}))
			d.do(d.fr.WriteContinuation(1, false, b[2:]))
		}, outcome.ClientClosed, "GET"},
		{"in CONTINUATION", func(d *dialogue) {
			d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block(d)[:1]}))
			d.send("\x00\x00\x10\x09\x04\x00\x00\x00\x01\x82")
		}, outcome.ClientClosed, "GET"},
		{"by RST_STREAM", func(d *dialogue) {
			d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block(d)}))
			d.do(d.fr.WriteRSTStream(1, xhttp2.ErrCodeCancel))
		}, outcome.BadRequest, "GET"},
		{"by too many CONTINUATIONs", func(d *dialogue) {
			d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block(d)}))
			for range maxContinuations + 1 {
				d.do(d.fr.WriteContinuation(1, false, nil))
			}
		}, outcome.HeadTooLarge, "GET"},
		{"by waiting", func(d *dialogue) {
			d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block(d)}))
			time.Sleep(2 * time.Minute)
		}, outcome.HeadTimeout, "GET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var requests []string
			talk(t, &Server{Handler: func(x *Exchange) {
				requests = append(requests, fmt.Sprintf("%s %s", x.Request().Method, x.Refusal().Reason))
				answer(x)
			}}, func(d *dialogue) {
				tt.send(d)
				d.got()
			})
			var want []string
			if tt.reason != "" {
				want = []string{tt.method + " " + string(tt.reason)}
			}
			if !slices.Equal(requests, want) {
				t.Errorf("requests = %q, want %q", requests, want)
			}
		})
	}
}

// TestEmptyEnd: END_STREAM in a frame of its own is as good as on HEADERS if it is there
// with them.
func TestEmptyEnd(t *testing.T) {
	var length int64
	s := &Server{Handler: func(x *Exchange) {
		length = x.Request().Length
		answer(x)
	}}
	frames := func(d *dialogue, data string, fields ...string) string {
		b := d.block(with(getHead, fields...)...)
		return string([]byte{0, 0, byte(len(b)), 1, 4, 0, 0, 0, 1}) + string(b) + data
	}
	for _, tt := range []struct {
		name, data string
		fields     []string
		length     int64
	}{
		{"with the head", "\x00\x00\x00\x00\x01\x00\x00\x00\x01", nil, 0},
		{"with Content-Length: 0", "\x00\x00\x00\x00\x01\x00\x00\x00\x01", []string{"content-length: 0"}, 0},
		{"with bytes", "\x00\x00\x01\x00\x01\x00\x00\x00\x01x", nil, -1},
		{"empty but not the end", "\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x01", nil, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			talk(t, s, func(d *dialogue) {
				d.send(frames(d, tt.data, tt.fields...))
				// RST_STREAM may follow if the answer is out before the end has come.
				if got := d.got(); len(got) < 2 || !slices.Equal(got[:2], hello(1)) {
					t.Errorf("frames %q, want %q first", got, hello(1))
				}
				if length != tt.length {
					t.Errorf("length = %d, want %d", length, tt.length)
				}
			})
		})
	}
	t.Run("of a method with content", func(t *testing.T) {
		// gRPC over HTTP2: "In scenarios where the Request stream needs to be closed but no
		// data remains to be sent implementations MUST send an empty DATA frame with this
		// flag set", and its servers wait for that frame.
		talk(t, s, func(d *dialogue) {
			b := d.block(":method: POST", ":scheme: http", ":authority: example.com", ":path: /", "content-type: application/grpc")
			d.send(string([]byte{0, 0, byte(len(b)), 1, 4, 0, 0, 0, 1}) + string(b) + "\x00\x00\x00\x00\x01\x00\x00\x00\x01")
			d.want(hello(1)...)
			if length != -1 {
				t.Errorf("length = %d, want -1", length)
			}
		})
	})
	talk(t, s, func(d *dialogue) {
		d.send(frames(d, ""))
		d.send("\x00\x00\x00\x00\x01\x00\x00\x00\x01")
		if d.got(); length != -1 {
			t.Errorf("in a read of its own: length = %d, want -1", length)
		}
	})
}

// TestLastOfABody: the last of a body of known length is not handed out before the end of
// its stream is there, and never if more comes instead.
func TestLastOfABody(t *testing.T) {
	for _, tt := range []struct {
		name, more string
		end        bool
		want       string
	}{
		{"the end comes", "", true, "hello|EOF"},
		{"more comes", "!", true, "bad_body"},
		{"nothing comes", "", false, "body_timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			talk(t, &Server{BodyTimeout: 20 * time.Second, Handler: func(x *Exchange) {
				if x.Body().Ready() {
					t.Error("Ready() = true before the end of the stream")
				}
				for {
					p, err := x.Body().Next()
					if e, ok := errors.AsType[*outcome.Error](err); ok {
						got += string(e.Reason)
						break
					}
					if err != nil {
						got += "|EOF"
						break
					}
					got += string(p)
				}
				answer(x)
			}}, func(d *dialogue) {
				d.headers(1, false, with(getHead, "content-length: 5")...)
				d.data(1, false, "hello")
				d.got()
				if tt.more != "" || tt.end {
					d.data(1, tt.end, tt.more)
				} else {
					time.Sleep(25 * time.Second)
				}
				d.got()
			})
			if got != tt.want {
				t.Errorf("the handler got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestResumedBody: a body whose reading was interrupted goes on where it was.
func TestResumedBody(t *testing.T) {
	talk(t, &Server{Handler: func(x *Exchange) {
		body := x.Body().(*body)
		body.Interrupt()
		if _, err := body.Next(); err == nil {
			t.Error("Next after Interrupt = nil error")
		}
		body.Resume()
		if p, err := body.Next(); string(p) != "hello" || err != nil {
			t.Errorf("Next after Resume = %q, %v, want hello", p, err)
		}
		answer(x)
	}}, func(d *dialogue) {
		d.headers(1, false, getHead...)
		d.data(1, true, "hello")
		d.got()
	})
}
