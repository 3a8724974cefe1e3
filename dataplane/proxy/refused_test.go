package proxy_test

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A framedPeer is a backend that speaks HTTP/2, frame by frame.
type framedPeer struct {
	*peer
	fr *http2.Framer
	// refused is the stream of which nothing more is of interest.
	refused uint32
}

// frames exchanges the prefaces.
func frames(p *peer) *framedPeer {
	b := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(p.r, b); err != nil {
		p.t.Errorf("backend: preface: %v", err)
	}
	f := &framedPeer{peer: p, fr: http2.NewFramer(p, p.r)}
	f.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.do(f.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}))
	f.do(f.fr.WriteWindowUpdate(0, 1<<20))
	return f
}

func (f *framedPeer) do(err error) {
	if err != nil {
		f.t.Errorf("backend: %v", err)
	}
}

// until reads frames up to the one that has brought all of body, or the end of the
// stream if body is empty. It returns the stream and its body.
func (f *framedPeer) until(body string) (id uint32, got string) {
	for {
		frame, err := f.fr.ReadFrame()
		if err != nil {
			return 0, got
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.do(f.fr.WriteSettingsAck())
			}
		case *http2.MetaHeadersFrame:
			id = frame.StreamID
		case *http2.DataFrame:
			if frame.StreamID == f.refused {
				continue
			}
			got += string(frame.Data())
			if frame.StreamEnded() || body != "" && strings.HasSuffix(got, body) {
				return id, got
			}
		}
	}
}

// answer answers the stream with status 200 and body.
func (f *framedPeer) answer(id uint32, body string) {
	var head bytes.Buffer
	f.do(hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "200"}))
	f.do(f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndHeaders: true}))
	for ; len(body) > 16<<10; body = body[16<<10:] {
		f.do(f.fr.WriteData(id, false, []byte(body[:16<<10])))
	}
	f.do(f.fr.WriteData(id, true, []byte(body)))
}

// TestRefusedWithinTheBody: an endpoint that refuses a stream which it has not looked
// at gets the request once more, with what was sent of the body and with what has not
// yet come, whatever the method. The connection is new.
func TestRefusedWithinTheBody(t *testing.T) {
	goAway := func(f *framedPeer, _ uint32) { f.do(f.fr.WriteGoAway(0, http2.ErrCodeNo, nil)) }
	refuse := func(f *framedPeer, id uint32) { f.do(f.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)) }
	large := strings.Repeat("0123456789abcdef", 3<<10) // 48 KiB
	for _, tt := range []struct {
		name        string
		refuse      func(*framedPeer, uint32)
		first, rest string
		status      int
	}{
		{"REFUSED_STREAM in the middle", refuse, "hello", "world", 200},
		{"REFUSED_STREAM behind the end", refuse, "helloworld", "", 200},
		{"GOAWAY in the middle", goAway, "hello", "world", 200},
		{"a large body", refuse, large, "world", 200},
		{"a body beyond what is kept", refuse, large + large, "world", 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, refused := make(chan bool), make(chan bool)
			w := newWorld(t, settings{protocol: snapshot.H2C}, backend(t, func(p *peer, n int) {
				f := frames(p)
				if n == 0 {
					id, _ := f.until(tt.first)
					got <- true
					f.refused = id
					tt.refuse(f, id)
					close(refused)
				}
				if id, body := f.until(""); id != 0 {
					f.answer(id, body)
					f.until("")
				}
			}))
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
			c.send(hexa(len(tt.first)) + "\r\n" + tt.first + "\r\n")
			<-got
			<-refused
			if tt.status != 200 {
				c.send(hexa(len(tt.rest)) + "\r\n" + tt.rest + "\r\n0\r\n\r\n")
				res, _ := c.response("POST")
				if res.StatusCode != tt.status {
					t.Errorf("status = %d, want %d", res.StatusCode, tt.status)
				}
				w.outcome(outcome.UpstreamReset, tt.status)
				return
			}
			if tt.rest != "" {
				c.send(hexa(len(tt.rest)) + "\r\n" + tt.rest + "\r\n")
			}
			c.send("0\r\n\r\n")
			if res, body := c.response("POST"); res.StatusCode != 200 || body != tt.first+tt.rest {
				t.Errorf("response %d with %d bytes, want 200 with %d", res.StatusCode, len(body), len(tt.first+tt.rest))
			}
			if o := w.outcome(outcome.OK, 200); o.Attempts != 2 || o.BodyIn != int64(len(tt.first+tt.rest)) {
				t.Errorf("%d attempts, %d bytes, want 2 and %d", o.Attempts, o.BodyIn, len(tt.first+tt.rest))
			}
		})
	}
}

func hexa(n int) string { return strconv.FormatInt(int64(n), 16) }
