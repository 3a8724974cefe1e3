package http2

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// A dialogue is a connection to a Server, seen frame by frame from the client's
// end. It runs in a bubble of synctest, so that want knows when the server has
// said all that it will.
type dialogue struct {
	t  *testing.T
	nc net.Conn
	// server is the other end.
	server net.Conn
	fr     *xhttp2.Framer
	enc    *hpack.Encoder
	head   bytes.Buffer
	info   outcome.Conn
	done   chan struct{} // closed when Serve has returned

	mu     sync.Mutex
	frames []string // what came and was not yet wanted
	// tableUpdates says of each header block whether it begins with a change of
	// the size of the table.
	tableUpdates []bool
}

// talk runs f in a bubble with a connection to s. The server's SETTINGS are over.
func talk(t *testing.T, s *Server, f func(d *dialogue)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := dial(t, s)
		d.start()
		f(d)
		d.nc.Close()
		<-d.done
	})
}

// dial connects and sends nothing.
func dial(t *testing.T, s *Server) *dialogue {
	d := dialDeaf(t, s)
	go d.read()
	return d
}

// dialDeaf is dial without anybody who reads.
func dialDeaf(t *testing.T, s *Server) *dialogue {
	d := dialWith(t)
	go func() {
		defer close(d.done)
		s.Serve(d.server, &d.info)
	}()
	return d
}

// dialWith makes a connection that nobody serves yet.
func dialWith(t *testing.T) *dialogue {
	client, server := net.Pipe()
	d := &dialogue{t: t, nc: client, server: server, done: make(chan struct{})}
	d.fr = xhttp2.NewFramer(client, client)
	d.fr.AllowIllegalWrites = true
	d.fr.AllowIllegalReads = true
	d.enc = hpack.NewEncoder(&d.head)
	return d
}

// start exchanges the preface and SETTINGS.
func (d *dialogue) start() {
	d.t.Helper()
	d.send(preface)
	d.do(d.fr.WriteSettings())
	d.do(d.fr.WriteSettingsAck())
	d.got()
}

// read keeps what comes.
func (d *dialogue) read() {
	dec := hpack.NewDecoder(4096, nil)
	for {
		f, err := d.fr.ReadFrame()
		var s string
		if err != nil {
			s = "closed"
		} else {
			s = describe(f, dec)
		}
		d.mu.Lock()
		if h, ok := f.(*xhttp2.HeadersFrame); ok {
			d.tableUpdates = append(d.tableUpdates, h.HeaderBlockFragment()[0]&0xe0 == 0x20)
		}
		d.frames = append(d.frames, s)
		d.mu.Unlock()
		if err != nil && !errors.As(err, new(xhttp2.StreamError)) {
			return
		}
	}
}

// describe writes a frame in one line.
func describe(f xhttp2.Frame, dec *hpack.Decoder) string {
	h := f.Header()
	s := fmt.Sprintf("%v %d", h.Type, h.StreamID)
	if (h.Type == xhttp2.FrameData || h.Type == xhttp2.FrameHeaders) && h.Flags.Has(xhttp2.FlagDataEndStream) {
		s += " end"
	}
	fields := func(p []byte) {
		all, err := dec.DecodeFull(p)
		if err != nil {
			s += " " + err.Error()
		}
		for _, f := range all {
			if f.Name != "date" {
				s += fmt.Sprintf(" %s=%s", f.Name, f.Value)
			}
		}
	}
	switch f := f.(type) {
	case *xhttp2.HeadersFrame:
		fields(f.HeaderBlockFragment())
	case *xhttp2.DataFrame:
		if len(f.Data()) > 64 {
			s += fmt.Sprintf(" (%d bytes)", len(f.Data()))
		} else {
			s += fmt.Sprintf(" %q", f.Data())
		}
	case *xhttp2.RSTStreamFrame:
		s += " " + f.ErrCode.String()
	case *xhttp2.GoAwayFrame:
		s += fmt.Sprintf(" last=%d %v", f.LastStreamID, f.ErrCode)
	case *xhttp2.WindowUpdateFrame:
		s += fmt.Sprintf(" +%d", f.Increment)
	case *xhttp2.PingFrame:
		if f.IsAck() {
			s += " ack"
		}
	case *xhttp2.SettingsFrame:
		if f.IsAck() {
			s += " ack"
		}
	}
	return s
}

func (d *dialogue) do(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Errorf("sending: %v", err)
	}
}

// send sends raw bytes.
func (d *dialogue) send(s string) {
	d.t.Helper()
	_, err := d.nc.Write([]byte(s))
	d.do(err)
}

// block encodes fields given as "name: value".
func (d *dialogue) block(fields ...string) []byte {
	d.head.Reset()
	for _, f := range fields {
		i := strings.Index(f[1:], ":") + 1
		_ = d.enc.WriteField(hpack.HeaderField{Name: f[:i], Value: strings.TrimPrefix(f[i+1:], " ")})
	}
	return bytes.Clone(d.head.Bytes())
}

// getHead are the fields of an ordinary request.
var getHead = []string{":method: GET", ":scheme: http", ":authority: example.com", ":path: /"}

func with(fields []string, more ...string) []string {
	return append(append([]string(nil), fields...), more...)
}

// headers sends a header block.
func (d *dialogue) headers(id uint32, end bool, fields ...string) {
	d.t.Helper()
	d.do(d.fr.WriteHeaders(xhttp2.HeadersFrameParam{
		StreamID: id, BlockFragment: d.block(fields...), EndStream: end, EndHeaders: true,
	}))
}

func (d *dialogue) data(id uint32, end bool, p string) {
	d.t.Helper()
	d.do(d.fr.WriteData(id, end, []byte(p)))
}

// pause is how long a handler waits for what it has sent to arrive.
const pause = time.Millisecond

// got waits until the server has nothing more to say and returns what it said.
func (d *dialogue) got() []string {
	time.Sleep(10 * pause) // for handlers that pause
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	got := d.frames
	d.frames = nil
	return got
}

// want compares what the server said.
func (d *dialogue) want(want ...string) {
	d.t.Helper()
	if diff := cmp.Diff(want, d.got()); diff != "" {
		d.t.Errorf("frames (-want +got):\n%s", diff)
	}
}

// wantEnd expects the server to end the connection with GOAWAY of that code, and
// the reason in its outcome.
func (d *dialogue) wantEnd(code string, reason outcome.Reason) {
	d.t.Helper()
	got := d.got()
	time.Sleep(2 * lingerTime)
	d.nc.Close()
	<-d.done
	if n := len(got); n < 1 || !strings.Contains(got[n-1], code) && (n < 2 || !strings.Contains(got[n-2], code)) {
		d.t.Errorf("connection ended with %q, want GOAWAY %s", tail3(got), code)
	}
	if d.info.Reason != reason {
		d.t.Errorf("Conn.Reason = %q, want %q", d.info.Reason, reason)
	}
}

func tail3(s []string) []string { return s[max(0, len(s)-3):] }

// answer is a handler that says hello.
func answer(x *Exchange) {
	if err := x.Refusal(); err != nil {
		status := err.Status
		if status == 0 {
			status = err.Reason.Status()
		}
		respond(x, status, err.Detail)
		return
	}
	respond(x, 200, "hello")
}

const helloHead = "HEADERS %d :status=200 content-length=5"

type xflags = xhttp2.Flags

func hello(id int) []string {
	return []string{fmt.Sprintf(helloHead, id), fmt.Sprintf(`DATA %d end "hello"`, id)}
}
