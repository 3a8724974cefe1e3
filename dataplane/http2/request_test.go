package http2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func TestRequest(t *testing.T) {
	type seen struct {
		Method, Target, Path, Query, Authority, Upgrade string
		HasQuery, Expect                                bool
		Length                                          int64
		Fields                                          []string
	}
	for _, test := range []struct {
		rule string
		in   []string
		body bool
		want seen
	}{
		{"the least", getHead, false, seen{Method: "GET", Target: "/", Path: "/", Authority: "example.com", Fields: []string{"Host: example.com"}}},
		{
			"names are those of HTTP/1", with(getHead, "user-agent: x", "x-own: y"), false,
			seen{Method: "GET", Target: "/", Path: "/", Authority: "example.com", Fields: []string{"Host: example.com", "User-Agent: x", "x-own: y"}},
		},
		{
			"cookie crumbs are joined", with(getHead, "cookie: a=1", "accept: z", "cookie: b=2", "cookie: c=3"), false,
			seen{Method: "GET", Target: "/", Path: "/", Authority: "example.com", Fields: []string{"Host: example.com", "Cookie: a=1; b=2; c=3", "Accept: z"}},
		},
		{
			"Host that agrees", with(getHead, "host: Example.com"), false,
			seen{Method: "GET", Target: "/", Path: "/", Authority: "example.com", Fields: []string{"Host: example.com"}},
		},
		{
			"Host in place of :authority",
			[]string{":method: GET", ":scheme: https", ":path: /a?b", "accept: z", "host: h:81"},
			false,
			seen{Method: "GET", Target: "/a?b", Path: "/a", Query: "b", HasQuery: true, Authority: "h:81", Fields: []string{"Accept: z", "Host: h:81"}},
		},
		{
			"a declared body",
			[]string{":method: POST", ":scheme: https", ":path: /", ":authority: h", "content-length: 5"},
			true,
			seen{Method: "POST", Target: "/", Path: "/", Authority: "h", Length: 5, Fields: []string{"Host: h", "Content-Length: 5"}},
		},
		{
			"a body of any length, waited for",
			[]string{":method: PURGE", ":scheme: https", ":path: /", ":authority: h", "expect: 100-continue"},
			true,
			seen{Method: "PURGE", Target: "/", Path: "/", Authority: "h", Length: -1, Expect: true, Fields: []string{"Host: h", "Expect: 100-continue"}},
		},
		{
			"TE trailers", with(getHead, "te: trailers"), false,
			seen{Method: "GET", Target: "/", Path: "/", Authority: "example.com", Fields: []string{"Host: example.com", "TE: trailers"}},
		},
		{
			"OPTIONS *",
			[]string{":method: OPTIONS", ":scheme: https", ":path: *", ":authority: h"},
			false,
			seen{Method: "OPTIONS", Target: "*", Path: "*", Authority: "h", Fields: []string{"Host: h"}},
		},
	} {
		t.Run(test.rule, func(t *testing.T) {
			var got seen
			handler := func(x *Exchange) {
				r := x.Request()
				got = seen{
					Method: r.Method, Target: string(r.Target), Path: string(r.Path), Query: string(r.Query), HasQuery: r.HasQuery,
					Authority: string(r.Authority), Upgrade: string(r.Upgrade), Length: r.Length, Expect: r.Expect,
				}
				for l := range r.Fields.All() {
					if l.ID != message.Lookup(l.Name) {
						t.Errorf("ID of %s = %d", l.Name, l.ID)
					}
					got.Fields = append(got.Fields, fmt.Sprintf("%s: %s", l.Name, l.Value))
				}
				answer(x)
			}
			talk(t, &Server{Handler: handler}, func(d *dialogue) {
				d.headers(1, !test.body, test.in...)
				if test.body {
					d.data(1, true, "12345")
				}
				want := hello(1)
				if test.body {
					// It was not read.
					d.got()
				} else {
					d.want(want...)
				}
			})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Request (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMalformed holds what RFC 9113 §8.1.1 calls malformed: the stream is reset,
// nothing is answered, the connection goes on, and there is an outcome.
func TestMalformed(t *testing.T) {
	post := []string{":method: POST", ":scheme: https", ":path: /", ":authority: h"}
	for _, test := range []struct {
		rule string
		in   []string
	}{
		{"no method", []string{":scheme: http", ":authority: h", ":path: /"}},
		{"no scheme", []string{":method: GET", ":authority: h", ":path: /"}},
		{"no path", []string{":method: GET", ":authority: h", ":scheme: http"}},
		{"empty path", []string{":method: GET", ":authority: h", ":scheme: http", ":path: "}},
		{"twice method", with(getHead[:1], getHead...)},
		{"twice authority", with(getHead, ":authority: example.com")},
		{"unknown pseudo-header", with(getHead, ":other: x")},
		{"pseudo-header of a response", with(getHead, ":status: 200")},
		{"pseudo-header after a field", []string{":method: GET", ":scheme: http", "accept: x", ":path: /"}},
		{"protocol without CONNECT", with(getHead, ":protocol: websocket")},
		{"method that is no token", []string{":method: GE T", ":scheme: http", ":authority: h", ":path: /"}},
		{"empty method", []string{":method: ", ":scheme: http", ":authority: h", ":path: /"}},
		{"CONNECT with a path", []string{":method: CONNECT", ":scheme: http", ":authority: h", ":path: /"}},
		{"CONNECT without authority", []string{":method: CONNECT"}},
		{"upper case in a name", with(getHead, "Accept: x")},
		{"space in a name", with(getHead, "a b: x")},
		{"control character in a name", with(getHead, "a\x00b: x")},
		{"non-ASCII in a name", with(getHead, "\xc3\xa9: x")},
		{"CR in a value", with(getHead, "a: b\rc")},
		{"LF in a value", with(getHead, "a: b\nc")},
		{"CR LF in a value", with(getHead, "a: b\r\nc: d")},
		{"NUL in a value", with(getHead, "a: b\x00c")},
		{"space before a value", with(getHead, "a:  b")},
		{"space after a value", with(getHead, "a: b ")},
		{"tab after a value", with(getHead, "a: b\t")},
		{"Connection", with(getHead, "connection: close")},
		{"Keep-Alive", with(getHead, "keep-alive: 5")},
		{"Proxy-Connection", with(getHead, "proxy-connection: x")},
		{"Transfer-Encoding", with(getHead, "transfer-encoding: chunked")},
		{"Upgrade", with(getHead, "upgrade: websocket")},
		{"HTTP2-Settings", with(getHead, "http2-settings: x")},
		{"TE other than trailers", with(getHead, "te: gzip")},
		{"TE with more than trailers", with(getHead, "te: trailers, gzip")},
		{"Host that differs", with(getHead, "host: other.com")},
		{"Host that differs by its port", with(getHead, "host: example.com:80")},
		{"Host twice", with(getHead, "host: example.com", "host: example.com")},
		{"Content-Length that is no number", with(post, "content-length: +5")},
		{"Content-Length twice", with(post, "content-length: 5", "content-length: 5")},
		{"Content-Length and no body", with(post, "content-length: 5")},
	} {
		t.Run(test.rule, func(t *testing.T) {
			var refusals []*outcome.Error
			handler := func(x *Exchange) {
				if x.Refusal() != nil {
					refusals = append(refusals, x.Refusal())
				}
				answer(x)
			}
			talk(t, &Server{Handler: handler}, func(d *dialogue) {
				d.headers(1, true, test.in...)
				d.want("RST_STREAM 1 PROTOCOL_ERROR")
				d.headers(3, true, getHead...)
				d.want(hello(3)...)
			})
			if len(refusals) != 1 || refusals[0].Reason != outcome.BadRequest || refusals[0].Side != outcome.Downstream {
				t.Errorf("refusals %v, want one of bad_request", refusals)
			}
		})
	}
}

// TestRefused holds what is well-formed and refused all the same: it is answered.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		rule   string
		in     []string
		status int
		reason outcome.Reason
	}{
		{"CONNECT", []string{":method: CONNECT", ":authority: h:443"}, 405, outcome.MethodRefused},
		{"another protocol", []string{":method: CONNECT", ":protocol: chat", ":scheme: https", ":path: /", ":authority: h"}, 501, outcome.MethodRefused},
		{"authority that is no host", []string{":method: GET", ":scheme: http", ":authority: a,b", ":path: /"}, 400, outcome.BadRequest},
		{"authority with user information", []string{":method: GET", ":scheme: http", ":authority: u@b", ":path: /"}, 400, outcome.BadRequest},
		{"empty authority", []string{":method: GET", ":scheme: http", ":authority: ", ":path: /"}, 400, outcome.BadRequest},
		{"no authority", []string{":method: GET", ":scheme: http", ":path: /"}, 400, outcome.BadRequest},
		{"path that is none", []string{":method: GET", ":scheme: http", ":authority: h", ":path: a"}, 400, outcome.BadRequest},
		{"path in absolute form", []string{":method: GET", ":scheme: http", ":authority: h", ":path: http://h/"}, 400, outcome.BadRequest},
		{"path with a space", []string{":method: GET", ":scheme: http", ":authority: h", ":path: /a b"}, 400, outcome.BadRequest},
		{"path with CR LF", []string{":method: GET", ":scheme: http", ":authority: h", ":path: /a\r\nb: c"}, 400, outcome.BadRequest},
		{"path with a fragment", []string{":method: GET", ":scheme: http", ":authority: h", ":path: /a#b"}, 400, outcome.BadRequest},
		{"path with a bad escape", []string{":method: GET", ":scheme: http", ":authority: h", ":path: /%zz"}, 400, outcome.BadRequest},
		{"* without OPTIONS", []string{":method: GET", ":scheme: http", ":authority: h", ":path: *"}, 400, outcome.BadRequest},
		{"another scheme", []string{":method: GET", ":scheme: ftp", ":authority: h", ":path: /"}, 400, outcome.BadRequest},
		{"another expectation", with(getHead, "expect: x"), 417, outcome.ExpectationFail},
		{"Trailer that announces framing", with(getHead, "trailer: content-length"), 400, outcome.BadRequest},
		{"too many fields", with(getHead, strings.Split(strings.Repeat("a: b\n", 300), "\n")[:300]...), 431, outcome.HeadTooLarge},
		{"too large", with(getHead, "a: "+strings.Repeat("x", 40<<10), "b: "+strings.Repeat("x", 40<<10)), 431, outcome.HeadTooLarge},
	} {
		t.Run(test.rule, func(t *testing.T) {
			var refusal *outcome.Error
			handler := func(x *Exchange) {
				refusal = x.Refusal()
				answer(x)
			}
			talk(t, &Server{Handler: handler}, func(d *dialogue) {
				b := d.block(test.in...)
				first := b[:min(len(b), maxFrame)]
				d.do(d.fr.WriteRawFrame(0x1, flagEndStream|endHeaders(len(b) == len(first)), 1, first))
				for b = b[len(first):]; len(b) > 0; b = b[min(len(b), maxFrame):] {
					d.do(d.fr.WriteContinuation(1, len(b) <= maxFrame, b[:min(len(b), maxFrame)]))
				}
				got := d.got()
				if want := fmt.Sprintf("HEADERS 1 :status=%d", test.status); len(got) < 1 || !strings.HasPrefix(got[0], want) {
					t.Errorf("answer %q, want %s", got, want)
				}
			})
			if refusal == nil || refusal.Reason != test.reason {
				t.Errorf("Refusal() = %v, want %s", refusal, test.reason)
			}
		})
	}
}

func endHeaders(last bool) xflags {
	if last {
		return flagEndHeaders
	}
	return 0
}
