package http1

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// The targets here take net/http as an oracle, one way: what this package
// accepts, net/http reads identically; what net/http refuses, this package
// refuses. The exceptions are these.
//
//   - One empty line before the request line is skipped, as RFC 9112 §2.2 asks;
//     http.ReadRequest refuses it.
//   - White space around ';' and '=' of a chunk extension is accepted, as RFC
//     9112 §7.1.1 demands ("BWS", which a recipient MUST parse); net/http takes
//     the space before ';' for a bad digit.
//   - net/http gives up on a chunked body that is mostly framing, by a measure of
//     its own; here the extensions are counted.
//   - A minor version beyond 1 is taken for 1, as RFC 9110 §2.5 asks; net/http keeps it.
//   - net/http merges trailers; those that must not be are dropped here.

// A scriptConn delivers bytes in steps of a fixed size and takes everything.
type scriptConn struct {
	in   []byte
	step int
	out  bytes.Buffer
}

func (c *scriptConn) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.in[:min(len(c.in), c.step)])
	c.in = c.in[n:]
	return n, nil
}

func (c *scriptConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *scriptConn) Close() error                     { return nil }
func (c *scriptConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *scriptConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *scriptConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }

func seedRequests(add func(raw string)) {
	for _, r := range refusals {
		if len(r.raw) < 4<<10 {
			add(r.raw)
		}
	}
	for _, a := range acceptances {
		if len(a.raw) < 4<<10 {
			add(a.raw)
		}
	}
	add(browser)
	add(hello + chunked + "3\r\nabc\r\n0\r\nA: b\r\n\r\n" + hello)
}

func FuzzRequestHead(f *testing.F) {
	seedRequests(func(raw string) { f.Add([]byte(raw)) })
	f.Fuzz(func(t *testing.T, raw []byte) {
		var h requestHead
		var req message.Request
		h.reset(&req, DefaultMaxFields)
		done, refusal := h.parse(raw)
		pieces(t, raw, done, refusal)
		if !done || refusal != nil {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\r\n")))))
		if err != nil {
			t.Fatalf("accepted what net/http refuses: %v\n%q", err, raw)
		}
		compareRequest(t, &req, want)
	})
}

// pieces checks that the same head byte by byte is judged the same.
func pieces(t *testing.T, raw []byte, done bool, refusal *outcome.Error) {
	t.Helper()
	if len(raw) > 1<<10 {
		return
	}
	var h requestHead
	var req message.Request
	h.reset(&req, DefaultMaxFields)
	for n := range len(raw) + 1 {
		d, r := h.parse(raw[:n])
		if !d && r == nil {
			continue
		}
		if d != done || (r == nil) != (refusal == nil) || r != nil && r.Reason != refusal.Reason {
			t.Fatalf("in pieces: %v, %v, at once: %v, %v\n%q", d, r, done, refusal, raw)
		}
		return
	}
	if done || refusal != nil {
		t.Fatalf("in pieces: nothing, at once: %v, %v\n%q", done, refusal, raw)
	}
}

func compareRequest(t *testing.T, got *message.Request, want *http.Request) {
	t.Helper()
	if want.ProtoMajor == 1 && want.ProtoMinor > 1 {
		want.Proto = "HTTP/1.1"
	}
	if got.Method != want.Method || got.Version.String() != want.Proto {
		t.Fatalf("got %s %s, want %s %s", got.Method, got.Version, want.Method, want.Proto)
	}
	if target := wantTarget(want); string(got.Target) != target {
		t.Fatalf("Target = %q, want %q", got.Target, target)
	}
	if !strings.EqualFold(string(got.Authority), want.Host) {
		t.Fatalf("Authority = %q, want %q", got.Authority, want.Host)
	}
	if got.Length != want.ContentLength {
		t.Fatalf("Length = %d, want %d", got.Length, want.ContentLength)
	}
	compareFields(t, &got.Fields, want.Header)
}

// wantTarget returns the target as received, in absolute form without what comes
// before the path.
func wantTarget(r *http.Request) string {
	target := r.RequestURI
	if target[0] == '/' || r.URL.Scheme == "" {
		return target
	}
	_, target, _ = strings.Cut(target, "://")
	i := strings.IndexAny(target, "/?")
	switch {
	case i < 0 && r.Method == "OPTIONS":
		return "*"
	case i < 0:
		return "/"
	case target[i] == '?':
		return "/" + target[i:]
	}
	return target[i:]
}

// compareFields compares all but what net/http takes out of a head, or adds.
func compareFields(t *testing.T, got *message.Fields, want http.Header) {
	t.Helper()
	values := valuesOf(got)
	for _, k := range []string{"Host", "Transfer-Encoding", "Content-Length", "Trailer"} {
		delete(values, k)
		delete(want, k)
	}
	if values.Get("Pragma") == "no-cache" && values["Cache-Control"] == nil {
		delete(want, "Cache-Control")
	}
	if len(values) != len(want) {
		t.Fatalf("fields %q, want %q", values, want)
	}
	for k := range values {
		if !slices.Equal(values[k], want[k]) {
			t.Fatalf("%s: %q, want %q", k, values[k], want[k])
		}
	}
}

func valuesOf(f *message.Fields) http.Header {
	values := http.Header{}
	for l := range f.All() {
		k := textproto.CanonicalMIMEHeaderKey(string(l.Name))
		values[k] = append(values[k], string(l.Value))
	}
	return values
}

func FuzzRequestStream(f *testing.F) {
	seedRequests(func(raw string) { f.Add([]byte(raw), byte(255)) })
	f.Fuzz(func(t *testing.T, raw []byte, step byte) {
		oracle := bufio.NewReaderSize(bytes.NewReader(raw), len(raw)+16)
		srv := &Server{Handler: func(x *Exchange) {
			if x.Refusal() != nil {
				echo(x)
				return
			}
			body, err := readAll(x.Body())
			if err != nil {
				return
			}
			if p, _ := oracle.Peek(2); string(p) == "\r\n" {
				_, _ = oracle.Discard(2)
			}
			want, err := http.ReadRequest(oracle)
			if err != nil {
				t.Fatalf("accepted what net/http refuses: %v\n%q", err, raw)
			}
			compareRequest(t, x.Request(), want)
			wantBody, err := io.ReadAll(want.Body)
			if x.Request().Length < 0 && err != nil && excused(err, raw) {
				return
			}
			if err != nil || string(wantBody) != body {
				t.Fatalf("body %q, want %q, %v\n%q", body, wantBody, err, raw)
			}
			compareTrailers(t, x.Body().Trailers(), want.Trailer)
			reply(x, &message.Response{Status: 200}, "ok")
		}}
		conn := &scriptConn{in: raw, step: int(step) + 1}
		srv.Serve(conn, new(outcome.Conn))
		if err := wellFormed(conn.out.Bytes()); err != nil {
			t.Fatalf("answered %q: %v", conn.out.Bytes(), err)
		}
	})
}

// excused says whether an error of net/http about a chunked body is one of the
// exceptions.
func excused(err error, raw []byte) bool {
	blankBefore := bytes.Contains(raw, []byte(" ;")) || bytes.Contains(raw, []byte("\t;"))
	return blankBefore && strings.Contains(err.Error(), "invalid byte in chunk length") ||
		strings.Contains(err.Error(), "too much non-data")
}

func compareTrailers(t *testing.T, got *message.Fields, want http.Header) {
	t.Helper()
	if got == nil {
		return
	}
	for k, v := range valuesOf(got) {
		if !slices.Equal(v, want[k]) {
			t.Fatalf("trailer %s: %q, want %q", k, v, want[k])
		}
	}
}

// wellFormed reads answers until they end.
func wellFormed(p []byte) error {
	r := bufio.NewReader(bytes.NewReader(p))
	for {
		if _, err := r.Peek(1); err != nil {
			return nil
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
	}
}

func FuzzResponse(f *testing.F) {
	for _, h := range hostiles {
		if len(h.raw) < 4<<10 {
			f.Add([]byte(h.raw), byte(255), false)
		}
	}
	f.Add([]byte(ok200+"Content-Length: 3\r\n\r\nabc"), byte(0), false)
	f.Add([]byte("HTTP/1.1 103 Early Hints\r\n\r\n"+ok200+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n"), byte(3), false)
	f.Add([]byte("HTTP/1.0 200\r\n\r\nabc"), byte(9), true)
	f.Fuzz(func(t *testing.T, raw []byte, step byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		c := NewClientConn(&scriptConn{in: raw, step: int(step) + 1}, nil)
		defer c.Close()
		if err := c.Head(newRequest(method)); err != nil {
			t.Fatal(err)
		}
		_ = c.End(nil)
		oracle := bufio.NewReaderSize(bytes.NewReader(raw), len(raw)+16)
		for {
			got, err := c.Response(nil)
			if err != nil {
				return
			}
			want, err := http.ReadResponse(oracle, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("accepted what net/http refuses: %v\n%q", err, raw)
			}
			if got.Status != want.StatusCode || got.Version.String() != want.Proto {
				t.Fatalf("got %v %d, want %s %d", got.Version, got.Status, want.Proto, want.StatusCode)
			}
			compareFields(t, &got.Fields, want.Header)
			if got.Status < 200 {
				continue
			}
			compareResponseBody(t, c, want, raw)
			return
		}
	})
}

func compareResponseBody(t *testing.T, c *ClientConn, want *http.Response, raw []byte) {
	t.Helper()
	body, err := readAll(c.Body())
	if err != nil {
		return
	}
	wantBody, err := io.ReadAll(want.Body)
	if c.head.chunked && err != nil && excused(err, raw) {
		return
	}
	if err != nil || string(wantBody) != body {
		t.Fatalf("body %q, want %q, %v\n%q", body, wantBody, err, raw)
	}
	compareTrailers(t, c.Body().Trailers(), want.Trailer)
}

func FuzzChunked(f *testing.F) {
	for _, r := range refusals {
		if raw, ok := strings.CutPrefix(r.raw, chunked); ok && len(raw) < 4<<10 {
			f.Add([]byte(raw), byte(255))
		}
	}
	f.Add([]byte("3\r\nabc\r\nA;b=\"c\"\r\n0123456789\r\n0\r\nA: b\r\n\r\nrest"), byte(0))
	f.Fuzz(func(t *testing.T, raw []byte, step byte) {
		conn := &scriptConn{in: raw, step: int(step) + 1}
		rd := &reader{conn: conn}
		defer rd.release()
		var b body
		b.reset(rd, outcome.Downstream, DefaultMaxFields)
		b.start(framedChunked, 0)
		var got []byte
		for {
			ready, unread := b.Ready(), len(conn.in)
			p, err := b.Next()
			if ready && len(conn.in) != unread {
				t.Fatalf("Ready was true, but Next read more\n%q", raw)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
			got = append(got, p...)
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(raw)))
		if err != nil && excused(err, raw) {
			return
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q, %v\n%q", got, want, err, raw)
		}
	})
}
