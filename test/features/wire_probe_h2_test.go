package features

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A downgrade is one row about a request of HTTP/2 that goes to an origin of HTTP/1.1.
type downgrade struct {
	name, rule string
	// fields are the header block, as "name: value" each, as they are; nil for those of an
	// ordinary GET.
	fields []string
	// data are the DATA frames; "" is an empty one. END_STREAM is on the last, or on the
	// trailers, or on HEADERS if there is neither.
	data     []string
	trailers []string
	// want is a status, with "+" if the origin has got the request, "reset", or what the origin gets: the request line, the client's
	// fields in order and, behind an empty line, the body.
	want string
}

// TestWireDowngrades plays the rows about HTTP/2, each with an ordinary request behind it
// on the same connection.
func TestWireDowngrades(t *testing.T) {
	seen := make(map[string]bool)
	for _, d := range slices.Concat(downgradesOfPseudo(), downgradesOfFields(), downgradesOfBodies()) {
		if seen[d.name] || d.rule == "" {
			t.Errorf("%q: named twice, or without a rule", d.name)
		}
		seen[d.name] = true
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.run(t)
		})
	}
	t.Logf("%d rows", len(seen))
}

func (d downgrade) run(t *testing.T) {
	w := newWire(t, wireOptions{}, echoing)
	c := w.dialFrames()
	fields := d.fields
	if fields == nil {
		fields = h2Get()
	}
	c.headers(1, len(d.data) == 0 && d.trailers == nil, fields)
	for i, p := range d.data {
		_ = c.fr.WriteData(1, i == len(d.data)-1 && d.trailers == nil, []byte(p))
	}
	if d.trailers != nil {
		c.headers(1, true, d.trailers)
	}
	got := c.end(1)
	c.headers(3, true, h2Get(":path: /sentinel"))
	if after := c.end(3); after != "200 GET /sentinel" {
		t.Errorf("the next request ends in %q, want its answer", after)
	}
	var all []*strictMessage
	for _, b := range w.origin.got() {
		some, err := strictRequests(b)
		if err != nil {
			t.Errorf("the origin got %q: %v", b, err)
		}
		all = append(all, some...)
	}
	whole := slices.DeleteFunc(slices.Clone(all), func(m *strictMessage) bool { return !m.whole })
	line, rest, forwarded := strings.Cut(d.want, " HTTP/1.1\n")
	if !forwarded {
		reached := 0
		if d.want, forwarded = strings.CutSuffix(d.want, "+"); forwarded {
			reached = 1
		}
		if len(whole) != 1+reached || !strings.HasPrefix(got, d.want) || d.want == "" {
			t.Errorf("it ends in %q with %d whole requests at the origin, want %q with none but the next: %q", got, len(whole), d.want, w.origin.got())
		}
		return
	}
	if len(whole) != 2 || !strings.HasPrefix(got, "200 ") {
		t.Fatalf("it ends in %q with %d whole requests at the origin, want 200 with two: %q", got, len(whole), w.origin.got())
	}
	out := whole[0]
	if got != "200 "+out.method+" "+out.target {
		t.Errorf("the answer is %q, of another request than %q", got, out.line)
	}
	kept, err := strictAdditions(out)
	if err != nil {
		t.Errorf("the origin got %q: %v", w.origin.got(), err)
	}
	var b strings.Builder
	for _, f := range kept {
		fmt.Fprintf(&b, "%s: %s\n", f.name, f.value)
	}
	if len(out.body) > 0 {
		b.WriteString("\n" + out.body)
	}
	for _, f := range out.trailers {
		fmt.Fprintf(&b, "\n%s: %s", f.name, f.value)
	}
	if out.line != line+" HTTP/1.1" || b.String() != rest {
		t.Errorf("the origin got %q with %q, want %q with %q", out.line, b.String(), line, rest)
	}
}

// h2Get are the fields of an ordinary GET with some changed or added.
func h2Get(change ...string) []string { return h2Request("GET", change...) }

func h2Request(method string, change ...string) []string {
	fields := []string{":method: " + method, ":scheme: http", ":authority: a.example", ":path: /p"}
	for _, l := range change {
		name, _, _ := strings.Cut(l[1:], ":")
		i := slices.IndexFunc(fields, func(f string) bool { return l[0] == ':' && strings.HasPrefix(f[1:], name+":") })
		switch {
		case i < 0:
			fields = append(fields, l)
		case strings.HasSuffix(l, ": -"):
			fields = slices.Delete(fields, i, i+1)
		default:
			fields[i] = l
		}
	}
	return fields
}

// h2Out is what the origin gets of a GET with these fields besides Host.
func h2Out(lines ...string) string {
	return "GET /p HTTP/1.1\nHost: a.example\n" + strings.Join(append(lines, ""), "\n")
}

// A framesClient is a raw client of HTTP/2.
type framesClient struct {
	*wireClient
	fr   *http2.Framer
	enc  *hpack.Encoder
	head bytes.Buffer
	// ends are those of streams, as end returns them, answers what came before.
	ends, answers map[uint32]string
}

func (w *wire) dialFrames() *framesClient {
	c := &framesClient{wireClient: w.dial(), ends: make(map[uint32]string), answers: make(map[uint32]string)}
	c.fr = http2.NewFramer(c.Conn, c.r)
	c.fr.AllowIllegalWrites = true
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.head)
	c.send(http2.ClientPreface)
	_ = c.fr.WriteSettings()
	return c
}

// headers sends a header block of lines "name: value".
func (c *framesClient) headers(id uint32, end bool, lines []string) {
	_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block(lines), EndStream: end, EndHeaders: true})
}

// block encodes lines "name: value".
func (c *framesClient) block(lines []string) []byte {
	c.head.Reset()
	for _, l := range lines {
		at := 1 + strings.Index(l[min(1, len(l)):], ": ")
		_ = c.enc.WriteField(hpack.HeaderField{Name: l[:at], Value: l[at+2:]})
	}
	return c.head.Bytes()
}

// end waits for the end of a stream and returns "status body", "reset CODE", "goaway
// CODE" or "closed".
func (c *framesClient) end(id uint32) string {
	for c.ends[id] == "" {
		f, err := c.fr.ReadFrame()
		var broken http2.StreamError
		if errors.As(err, &broken) {
			c.t.Errorf("stream %d: %v", broken.StreamID, err)
			return ""
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.t.Errorf("reading frames: %v", err)
			}
			return "closed"
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.fr.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if v := f.PseudoValue("status"); v != "" {
				c.answers[f.StreamID] = v + " "
			}
			if f.StreamEnded() {
				c.ends[f.StreamID] = c.answers[f.StreamID]
			}
		case *http2.DataFrame:
			c.answers[f.StreamID] += string(f.Data())
			if f.StreamEnded() {
				c.ends[f.StreamID] = c.answers[f.StreamID]
			}
		case *http2.RSTStreamFrame:
			if c.ends[f.StreamID] == "" { // not NO_ERROR behind an answer
				c.ends[f.StreamID] = "reset " + f.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			return "goaway " + f.ErrCode.String()
		}
	}
	return c.ends[id]
}

// downgradesOfPseudo are rows about pseudo-header fields.
func downgradesOfPseudo() []downgrade {
	const pseudo = "RFC 9113 §8.3: MUST be treated as malformed"
	const method = "RFC 9113 §8.3.1: a valid method; RFC 9110 §9.1"
	const path = "RFC 9113 §8.3.1: path and query of the target; §8.2.1"
	const authority = "RFC 9113 §8.3.1; RFC 3986 §3.2"
	const scheme = "RFC 9113 §8.3.1"
	const agree = "RFC 9113 §8.3.1: Host that differs from :authority is malformed"
	rows := []downgrade{
		{"an ordinary GET", "RFC 9113 §8.3.1", nil, nil, nil, h2Out()},
		{"no :method", pseudo, h2Get(":method: -"), nil, nil, "reset"},
		{"no :scheme", pseudo, h2Get(":scheme: -"), nil, nil, "reset"},
		{"no :path", pseudo, h2Get(":path: -"), nil, nil, "reset"},
		{"no :authority and no Host", "RFC 9112 §3.2", h2Get(":authority: -"), nil, nil, "400"},
		{"no :authority but Host", "RFC 9113 §8.3.1", h2Get(":authority: -", "host: a.example"), nil, nil, "GET /p HTTP/1.1\nHost: a.example\n"},
		{"an empty :method", pseudo, h2Get(":method: "), nil, nil, "reset"},
		{"an empty :path", "RFC 9113 §8.3.1: MUST NOT be empty", h2Get(":path: "), nil, nil, "reset"},
		{"an empty :scheme", scheme, h2Get(":scheme: "), nil, nil, "400"},
		{"an empty :authority", authority, h2Get(":authority: "), nil, nil, "400"},
		{"an unknown pseudo-header field", pseudo, h2Get(":evil: 1"), nil, nil, "reset"},
		{":status in a request", pseudo, h2Get(":status: 200"), nil, nil, "reset"},
		{":protocol without CONNECT", "RFC 8441 §4", h2Get(":protocol: websocket"), nil, nil, "reset"},
		{"a pseudo-header field in upper case", "RFC 9113 §8.2.1", append(h2Get(":path: -"), ":PATH: /p"), nil, nil, "reset"},
		{"a pseudo-header field behind another field", pseudo, []string{":method: GET", ":scheme: http", "x: 1", ":authority: a.example", ":path: /p"}, nil, nil, "reset"},
		{":authority behind Host", pseudo, []string{":method: GET", ":scheme: http", ":path: /p", "host: a.example", ":authority: a.example"}, nil, nil, "reset"},
		{"CONNECT", "RFC 9113 §8.5", []string{":method: CONNECT", ":authority: a.example:80"}, nil, nil, "405"},
		{"CONNECT with :path", "RFC 9113 §8.5: MUST be omitted", h2Request("CONNECT"), nil, nil, "reset"},
		{"CONNECT without :authority", "RFC 9113 §8.5", []string{":method: CONNECT"}, nil, nil, "reset"},
		{"extended CONNECT of another protocol", "RFC 8441 §4; RFC 9220 §3: 501", h2Request("CONNECT", ":protocol: evil"), nil, nil, "501"},
		{"extended CONNECT of HTTP", "RFC 8441 §4", h2Request("CONNECT", ":protocol: h2c"), nil, nil, "501"},
		{"extended CONNECT with a CR LF", "RFC 8441 §4", h2Request("CONNECT", ":protocol: websocket\r\nX: evil"), nil, nil, "501"},
		{"extended CONNECT that is not accepted", "RFC 8441 §5: 200 only for 101", h2Request("CONNECT", ":protocol: websocket"), []string{"GET /evil HTTP/1.1\r\n\r\n"}, nil, "502+"},
		{"OPTIONS *", "RFC 9113 §8.3.1", h2Request("OPTIONS", ":path: *"), nil, nil, "OPTIONS * HTTP/1.1\nHost: a.example\n"},
		{"GET *", "RFC 9113 §8.3.1", h2Get(":path: *"), nil, nil, "400"},
		{"TRACE", "RFC 9110 §9.3.8", h2Request("TRACE"), nil, nil, "405"},
		{"a method that nobody knows", method, h2Request("PURGE"), nil, nil, "PURGE /p HTTP/1.1\nHost: a.example\n"},
		{"Host that is :authority", agree, h2Get("host: a.example"), nil, nil, h2Out()},
		{"Host that is :authority in upper case", agree, h2Get("host: A.EXAMPLE"), nil, nil, h2Out()},
		{"Host that differs", agree, h2Get("host: b.example"), nil, nil, "reset"},
		{"Host that differs in its port", agree, h2Get("host: a.example:81"), nil, nil, "reset"},
		{"Host that is empty", agree, h2Get("host: "), nil, nil, "reset"},
		{"Host twice", "RFC 9112 §3.2", h2Get("host: a.example", "host: a.example"), nil, nil, "reset"},
		{"Host twice without :authority", "RFC 9112 §3.2", h2Get(":authority: -", "host: a.example", "host: b.example"), nil, nil, "reset"},
		{"a scheme of ftp", scheme, h2Get(":scheme: ftp"), nil, nil, "400"},
		{"a scheme that is a target", "RFC 9113 §10.3", h2Get(":scheme: http://evil/?"), nil, nil, "400"},
		{"a scheme of https on a plain connection", scheme, h2Get(":scheme: https"), nil, nil, h2Out()},
		{"a query", path, h2Get(":path: /p?a=/../b"), nil, nil, "GET /p?a=/../b HTTP/1.1\nHost: a.example\n"},
		{"absolute form in :path", path, h2Get(":path: http://b.example/p"), nil, nil, "400"},
		{"a host in :path", path, h2Get(":path: a.example/p"), nil, nil, "400"},
		{"two slashes in :path", path, h2Get(":path: //b.example/p"), nil, nil, "GET //b.example/p HTTP/1.1\nHost: a.example\n"},
		{"dot segments in :path", path, h2Get(":path: /a/../p"), nil, nil, h2Out()},
		{":path above the root", path, h2Get(":path: /../p"), nil, nil, "400"},
		{"a port", authority, h2Get(":authority: a.example:80"), nil, nil, "GET /p HTTP/1.1\nHost: a.example:80\n"},
		{"an :authority that is not served", "RFC 9110 §7.4", h2Get(":authority: b.example"), nil, nil, "404"},
	}
	for _, m := range []string{"G ET", "GET ", " GET", "GET /evil HTTP/1.1\r\nX:", "G\r\nET", "G\nET", "G\x00ET", "G\tET", "G:ET", "G\xc3\x89T", "G(ET"} {
		rows = append(rows, downgrade{fmt.Sprintf("a method of %q", m), method, h2Request(m), nil, nil, "reset"})
	}
	for _, p := range []string{
		"/p HTTP/1.1\r\nX: evil", "/p\r\n\r\nGET /evil", "/p q", "/p\r", "/p\n", "/p\x00", "/p\t", "/p\x7f", "/p\x01", "/\xc3\xa9", "/\xc0\xaf", "/p#x",
		"/%", "/%zz", "/%00", "/a\\..\\p", "/a/..;/p", "p", "?q", " /p", "/p ", "**", "*/p",
	} {
		rows = append(rows, downgrade{fmt.Sprintf("a path of %q", p), path, h2Get(":path: " + p), nil, nil, "400"})
	}
	for _, a := range []string{
		"a.example\r\nX: evil", "a.example\n", "a.example\x00", "a.example ", " a.example", "a.example/p", "a.example?q", "a.example#x", "x@a.example", "a.example@b.example",
		"a.example:8x", "a.example:65536", "a.example:1:2", ":80", "[::1", "::1", "a.example,b.example", "http://a.example", "\xc3\xa4.example", "a%2eexample", "a.example\\x", "*",
	} {
		rows = append(rows, downgrade{fmt.Sprintf("an authority of %q", a), authority, h2Get(":authority: " + a), nil, nil, "400"})
	}
	for i, name := range []string{":method: GET", ":scheme: http", ":path: /p", ":authority: a.example"} {
		rows = append(rows, downgrade{name[:strings.Index(name, ": ")] + " twice", pseudo, slices.Insert(h2Get(), i, name), nil, nil, "reset"})
	}
	return rows
}

// downgradesOfFields are rows about the other fields.
func downgradesOfFields() []downgrade {
	const hop = "RFC 9113 §8.2.2: MUST be treated as malformed"
	const valid = "RFC 9113 §8.2.1: MUST be treated as malformed"
	rows := []downgrade{
		{"order, repetition and empty values", "RFC 9110 §5.3", h2Get("b: 2", "a: 1", "b: 3", "empty: "), nil, nil, h2Out("b: 2", "a: 1", "b: 3", "empty: ")},
		{"TE: trailers", "RFC 9113 §8.2.2", h2Get("te: trailers"), nil, nil, h2Out()},
		{"cookie crumbs", "RFC 9113 §8.2.3: MUST be concatenated by \"; \"", h2Get("cookie: a=1", "x: 1", "cookie: b=2", "cookie: c=3"), nil, nil, h2Out("Cookie: a=1; b=2; c=3", "x: 1")},
		{"a cookie crumb with a CR LF", valid, h2Get("cookie: a=1", "cookie: b\r\nX: evil"), nil, nil, "reset"},
		{"names with an underscore", "ingress-nginx: underscores-in-headers off", h2Get("x_real_ip: 6.6.6.6", "content_length: 5", "transfer_encoding: chunked"), nil, nil, h2Out()},
		{"claims", "docs/ingress.md", h2Get("x-forwarded-for: 6.6.6.6", "x-real-ip: 6.6.6.6", "forwarded: for=6.6.6.6", "x-original-url: /admin", "ssl-client-verify: SUCCESS"), nil, nil, h2Out()},
		{"Proxy", "httpoxy", h2Get("proxy: evil"), nil, nil, h2Out()},
		{"Proxy-Authorization", "RFC 9110 §11.7.1", h2Get("proxy-authorization: a"), nil, nil, h2Out()},
		{"Expect without a body", "RFC 9110 §10.1.1", h2Get("expect: 100-continue"), nil, nil, h2Out()},
		{"Expect of something else", "RFC 9110 §10.1.1", h2Get("expect: evil"), nil, nil, "417"},
		{"Max-Forwards of OPTIONS", "RFC 9110 §7.6.2", h2Request("OPTIONS", "max-forwards: 3"), nil, nil, "OPTIONS /p HTTP/1.1\nHost: a.example\nMax-Forwards: 2\n"},
		{"Trailer that names framing", "RFC 9110 §6.5.1", h2Get("trailer: content-length"), nil, nil, "400"},
		{"obs-text in a value", "RFC 9110 §5.5", h2Get("x: \xe9"), nil, nil, h2Out("x: \xe9")},
		{"a tab inside a value", "RFC 9110 §5.5", h2Get("x: a\tb"), nil, nil, h2Out("x: a\tb")},
		{"too many fields", "limits", slices.Concat(h2Get(), slices.Repeat([]string{"x: 1"}, 300)), nil, nil, "431"},
		{"fields that are too large", "limits", slices.Concat(h2Get(), slices.Repeat([]string{"x: " + strings.Repeat("a", 1000)}, 100)), nil, nil, "431"},
	}
	for _, l := range []string{
		"connection: close", "connection: keep-alive", "connection: x-a", "keep-alive: 5", "proxy-connection: a", "upgrade: websocket", "http2-settings: a",
		"transfer-encoding: chunked", "transfer-encoding: identity", "transfer-encoding: ", "te: gzip", "te: trailers, gzip", "te: trailers;q=1", "te: ", "te: Trailers\x00",
	} {
		rows = append(rows, downgrade{fmt.Sprintf("%q", l), hop, h2Get(l), nil, nil, "reset"})
	}
	for _, n := range []string{
		"X", "xX", "transfer-encodinG", "x y", " x", "x ", "x\t", "x\r", "x\n", "x\r\nevil", "x\x00", "x\x7f", "x\x80", "x\xc3\xa9", "x(", "x,", "x/", "x@", "x[", "x{", "x\"", "x;", "x=", "x:", "x:y", "transfer-encoding:", "content-length ", "",
	} {
		rows = append(rows, downgrade{fmt.Sprintf("a name of %q", n), valid, h2Get(n + ": 1"), nil, nil, "reset"})
	}
	for _, v := range []string{
		"\r", "\n", "\x00", "a\rb", "a\nb", "a\r\nX: evil", "a\r\n\r\nGET /evil HTTP/1.1", "a\x00b", "a\x01b", "a\x7fb", "a\x0bb", "a\x1bb", " a", "a ", "\ta", "a\t",
	} {
		rows = append(rows, downgrade{fmt.Sprintf("a value of %q", v), valid, h2Get("x: " + v), nil, nil, "reset"})
	}
	return rows
}

// downgradesOfBodies are rows about how a body is framed.
func downgradesOfBodies() []downgrade {
	const length = "RFC 9113 §8.1.1: Content-Length that is not the sum of DATA is malformed"
	const trailer = "RFC 9113 §8.1"
	post := func(lines ...string) []string { return h2Request("POST", lines...) }
	const out = "POST /p HTTP/1.1\nHost: a.example\n"
	const evil = "GET /evil HTTP/1.1\r\nHost: a.example\r\n\r\n"
	rows := []downgrade{
		{"a body of unknown length", "RFC 9112 §6.1: chunked", post(), []string{"hello"}, nil, out + "\nhello"},
		{"a body of known length", length, post("content-length: 5"), []string{"hello"}, nil, out + "\nhello"},
		{"a body in many frames", length, post("content-length: 5"), []string{"h", "", "ell", "o"}, nil, out + "\nhello"},
		{"a body that ends in an empty frame", length, post("content-length: 5"), []string{"hello", ""}, nil, out + "\nhello"},
		{"a body that is a request", length, post("content-length: " + strconv.Itoa(len(evil))), []string{evil}, nil, out + "\n" + evil},
		{"a body of unknown length that is a request", "RFC 9112 §7.1", post(), []string{"0\r\n\r\n" + evil}, nil, out + "\n0\r\n\r\n" + evil},
		{"no body", "RFC 9110 §8.6", post(), nil, nil, out},
		{"no body but an empty frame", "RFC 9113 §8.1", h2Get(), []string{""}, nil, h2Out()},
		{"no body and says so", length, post("content-length: 0"), nil, nil, out},
		{"no body, says so, and an empty frame", length, post("content-length: 0"), []string{""}, nil, out},
		{"GET with a body", "RFC 9110 §9.3.1", h2Get(), []string{"hello"}, nil, h2Out() + "\nhello"},
		{"a length without a body", length, post("content-length: 5"), nil, nil, "reset"},
		{"less than the length", length, post("content-length: 5"), []string{"hell"}, nil, "reset"},
		{"more than the length", length, post("content-length: 5"), []string{"hello!"}, nil, "reset"},
		{"more than the length, in frames", length, post("content-length: 5"), []string{"hello", "!"}, nil, "reset"},
		{"more than a length of 0", length, post("content-length: 0"), []string{evil}, nil, "reset"},
		{"less than the length, and trailers", length, post("content-length: 5"), []string{"hell"}, []string{"x: 1"}, "reset"},
		{"a length twice and different", length, post("content-length: 5", "content-length: 6"), []string{"hello"}, nil, "reset"},
		{"a length twice and equal", length, post("content-length: 5", "content-length: 5"), []string{"hello"}, nil, "reset"},
		{"trailers", trailer, post("trailer: x-sum"), []string{"hello"}, []string{"x-sum: 1"}, out + "Trailer: x-sum\n\nhello\nx-sum: 1"},
		{"trailers that only a head may have", "RFC 9110 §6.5.1", post(), []string{"hello"}, []string{"authorization: a", "x-forwarded-for: 6.6.6.6", "x_real_ip: 6.6.6.6", "x: 1"}, out + "\nhello\nx: 1"},
		{"trailers with a pseudo-header field", trailer + ": MUST NOT", post(), []string{"hello"}, []string{":path: /evil"}, "reset"},
		{"trailers with a name in upper case", "RFC 9113 §8.2.1", post(), []string{"hello"}, []string{"X: 1"}, "reset"},
		{"trailers with a CR LF in a value", "RFC 9113 §8.2.1", post(), []string{"hello"}, []string{"x: a\r\nY: evil"}, "reset"},
		{"trailers with a CR LF in a name", "RFC 9113 §8.2.1", post(), []string{"hello"}, []string{"x\r\ny: 1"}, "reset"},
		{"trailers with a NUL", "RFC 9113 §8.2.1", post(), []string{"hello"}, []string{"x: a\x00"}, "reset"},
		{"trailers with a space in front", "RFC 9113 §8.2.1", post(), []string{"hello"}, []string{"x:  a"}, "reset"},
		{"TRACE with a body", "RFC 9110 §9.3.8", h2Request("TRACE"), []string{"x"}, nil, "400"},
		{"a body for a host that is not served", "RFC 9110 §7.4", post(":authority: b.example"), []string{"hello"}, nil, "404"},
	}
	for _, l := range []string{"+5", "-5", "0x5", "05", "5.0", "5, 5", "5,", "5 ", "5\r\nX: evil", "5\x00", "", "9223372036854775808", "18446744073709551621"} {
		rows = append(rows, downgrade{fmt.Sprintf("a length of %q", l), length, post("content-length: " + l), []string{"hello"}, nil, "reset"})
	}
	return rows
}

// TestWireDowngradeOfAnswers: what an origin of HTTP/1.1 must not answer, a client of
// HTTP/2 does not get, and a body that was cut does not look whole.
func TestWireDowngradeOfAnswers(t *testing.T) {
	for _, p := range originProbes() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{halfClose: time.Hour}, p.hostile)
			c := w.dialFrames()
			c.headers(1, true, h2Get(":path: /first"))
			got := c.end(1)
			want := p.want
			if want == "cut" {
				want = "reset"
			}
			if !strings.HasPrefix(got, want) || want == "502" && strings.Contains(got, "evil") || want[0] == '2' && got != want {
				t.Errorf("it ends in %q, want %q", got, want)
			}
			c.headers(3, true, h2Get(":path: /sentinel"))
			if after := c.end(3); after != "200 GET /sentinel" {
				t.Errorf("the next request ends in %q, want its answer", after)
			}
		})
	}
}
