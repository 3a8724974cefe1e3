package features

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// One request in is one request out, byte for byte: the fields in their order and
// case, less those of the hop, plus those that every endpoint gets.
func TestWireRequest(t *testing.T) {
	const start = "POST /p?q=%2f%zz HTTP/1.1\r\nHost: a.example\r\nX-Request-ID: id\r\n"
	tests := []struct {
		name, in string
		// out is what the origin gets; ADDED stands for the fields that it always
		// gets. dropped counts the fields with an underscore.
		out     string
		dropped int
	}{{
		name: "order, case, repetition and empty values stay",
		in:   "GET /p?q=%2f%zz HTTP/1.1\r\nhOsT: a.example\r\nX-Request-ID: id\r\nb: 2\r\nA: 1\r\nb:  3 \t\r\nEmpty:\r\nCookie: a\r\nCookie: b\r\nX-Obs: \xe9\r\n\r\n",
		out:  "GET /p?q=%2f%zz HTTP/1.1\r\nhOsT: a.example\r\nb: 2\r\nA: 1\r\nb: 3\r\nEmpty: \r\nCookie: a\r\nCookie: b\r\nX-Obs: \xe9\r\nADDED\r\n",
	}, {
		name: "Content-Length frames exactly",
		in:   start + "Content-Length: 5\r\n\r\nhello",
		out:  "POST /p?q=%2f%zz HTTP/1.1\r\nHost: a.example\r\nADDEDContent-Length: 5\r\n\r\nhello",
	}, {
		name: "no body by a method that may have one says so",
		in:   start + "\r\n",
		out:  "POST /p?q=%2f%zz HTTP/1.1\r\nHost: a.example\r\nADDEDContent-Length: 0\r\n\r\n",
	}, {
		name: "chunks are written anew, without extensions",
		in:   start + "Transfer-Encoding: Chunked\r\n\r\n005;a=b\r\nhello\r\n0;x\r\n\r\n",
		out:  "POST /p?q=%2f%zz HTTP/1.1\r\nHost: a.example\r\nADDEDTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	}, {
		name: "trailers go through, but for those that only a head may have",
		in:   start + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nAuthorization: x\r\nX-Forwarded-For: 6.6.6.6\r\nX-Original-URL: /admin\r\nX_Real_IP: 6.6.6.6\r\n\r\n",
		out:  "POST /p?q=%2f%zz HTTP/1.1\r\nHost: a.example\r\nTrailer: X-Sum\r\nADDEDTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
	}, {
		name: "the fields of the hop end here, those that Connection names too",
		in: start + "Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: a\r\nTE: gzip\r\n" +
			"Upgrade: foo\r\nProxy-Authorization: a\r\nProxy: evil\r\nHTTP2-Settings: a\r\nX-Stay: 1\r\n\r\n",
		out: "POST /p?q=%2f%zz HTTP/1.1\r\nHost: a.example\r\nX-Stay: 1\r\nADDEDContent-Length: 0\r\n\r\n",
	}, {
		name: "TE: trailers is asked for anew",
		in:   get("/", "TE: trailers\r\n", "Connection: TE\r\n"),
		out:  "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: TE\r\nTE: trailers\r\nADDED\r\n",
	}, {
		name: "names with an underscore are dropped and counted",
		in:   get("/", "X_Forwarded_For: 6.6.6.6\r\n", "Content_Length: 7\r\n", "Transfer_Encoding: chunked\r\n", "a_b: 1\r\n"),
		out:  "GET / HTTP/1.1\r\nHost: a.example\r\nADDED\r\n", dropped: 4,
	}, {
		name: "claims of an untrusted peer are replaced",
		in: get("/", "X-Real-IP: 6.6.6.6\r\n", "x-forwarded-host: evil\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Port: 1\r\n",
			"X-Forwarded-Prefix: /x\r\n", "X-Forwarded-New: x\r\n", "Forwarded: for=6.6.6.6\r\n", "X-Original-URL: /admin\r\n",
			"X-Original-Anything: x\r\n", "X-Scheme: https\r\n", "ssl-client-verify: SUCCESS\r\n", "SSL-Client-New: x\r\n"),
		out: "GET / HTTP/1.1\r\nHost: a.example\r\nADDED\r\n",
	}, {
		name: "what an untrusted peer says of whom it speaks for is kept as a claim only",
		in:   get("/", "X-Forwarded-For: 6.6.6.6\r\n", "X-Original-Forwarded-For: 7.7.7.7\r\n", "x-forwarded-for: 8.8.8.8\r\n"),
		out:  "GET / HTTP/1.1\r\nHost: a.example\r\nADDEDX-Original-Forwarded-For: 6.6.6.6, 8.8.8.8\r\n\r\n",
	}, {
		name: "HTTP/1.0 goes on as HTTP/1.1",
		in:   "GET / HTTP/1.0\r\nHost: a.example\r\nX-Request-ID: id\r\nExpect: 100-continue\r\n\r\n",
		out:  "GET / HTTP/1.1\r\nHost: a.example\r\nADDED\r\n",
	}, {
		name: "absolute form becomes origin form",
		in:   "GET http://A.example?q HTTP/1.1\r\nHost: a.EXAMPLE\r\nX-Request-ID: id\r\n\r\n",
		out:  "GET /?q HTTP/1.1\r\nHost: a.EXAMPLE\r\nADDED\r\n",
	}, {
		name: "Max-Forwards of OPTIONS goes down by one",
		in:   request("OPTIONS", "/", "Max-Forwards: 10\r\n"),
		out:  "OPTIONS / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 9\r\nADDED\r\n",
	}, {
		name: "Max-Forwards never goes below zero",
		in:   request("OPTIONS", "/", "Max-Forwards: 3\r\n", "Max-Forwards: 0\r\n"),
		out:  "OPTIONS / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 2\r\nMax-Forwards: 0\r\nADDED\r\n",
	}, {
		name: "Max-Forwards of GET is none of ours",
		in:   get("/", "Max-Forwards: 0\r\n"),
		out:  "GET / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\nADDED\r\n",
	}, {
		name: "the target * stays",
		in:   request("OPTIONS", "*"),
		out:  "OPTIONS * HTTP/1.1\r\nHost: a.example\r\nADDED\r\n",
	}, {
		name: "OPTIONS in absolute form without a path is *",
		in:   request("OPTIONS", "http://a.example"),
		out:  "OPTIONS * HTTP/1.1\r\nHost: a.example\r\nADDED\r\n",
	}, {
		name: "an empty line before the request line is nothing",
		in:   "\r\n" + get("/"),
		out:  "GET / HTTP/1.1\r\nHost: a.example\r\nADDED\r\n",
	}, {
		name: "an upgrade with a body is an ordinary request",
		in:   start + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na",
		out:  "POST /p?q=%2f%zz HTTP/1.1\r\nHost: a.example\r\nADDEDContent-Length: 1\r\n\r\na",
	}, {
		name: "an upgrade to HTTP is an ordinary request",
		in:   get("/", "Connection: Upgrade, HTTP2-Settings\r\n", "Upgrade: h2c\r\n", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"),
		out:  "GET / HTTP/1.1\r\nHost: a.example\r\nADDED\r\n",
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, answering(plainAnswer))
			c := w.dial()
			c.send(tt.in)
			c.want("GET", 200)
			host := "a.example"
			if strings.Contains(tt.in, "a.EXAMPLE") {
				host = "a.EXAMPLE"
			}
			want := []string{strings.ReplaceAll(tt.out, "ADDED", w.added(host))}
			if diff := cmp.Diff(want, w.origin.got()); diff != "" {
				t.Errorf("the origin got (-want +got):\n%s", diff)
			}
			if o := w.outcome(); o.reason != outcome.OK || o.dropped != tt.dropped {
				t.Errorf("outcome = %+v, want ok with %d fields dropped", o, tt.dropped)
			}
		})
	}
}

// A trusted peer is believed.
func TestWireTrustedPeer(t *testing.T) {
	w := newWire(t, wireOptions{trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, answering(plainAnswer))
	c := w.dial()
	c.send(get("/", "X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: b.example\r\n",
		"X-Forwarded-Port: 443\r\n", "X-Forwarded-Prefix: /x\r\n", "Forwarded: for=9.9.9.9\r\n", "X-Original-URL: /o\r\n", "X_Real_IP: 6.6.6.6\r\n"))
	c.want("GET", 200)
	want := []string{"GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Prefix: /x\r\nForwarded: for=9.9.9.9\r\nX-Original-URL: /o\r\n" +
		"X-Request-ID: id\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 6.6.6.6, 9.9.9.9, 127.0.0.1\r\nX-Forwarded-Host: b.example\r\n" +
		"X-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Scheme: https\r\nX-Scheme: https\r\nX-Original-Host: a.example\r\n" +
		"X-Original-Forwarded-For: 6.6.6.6, 9.9.9.9\r\n\r\n"}
	if diff := cmp.Diff(want, w.origin.got()); diff != "" {
		t.Errorf("the origin got (-want +got):\n%s", diff)
	}
}

// What two parsers could read differently is refused, never reaches the origin,
// and ends the connection: the request behind it is not served.
func TestWireSmuggling(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: a.example\r\n"
	const victim = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
	tests := []struct {
		name, in string
		status   int
	}{
		{"CL.TE", post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
		{"TE.CL", post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n", 400},
		{"CL and TE with a body of none", post + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"TE twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"TE.TE identity", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
		{"TE x", post + "Transfer-Encoding: x\r\n\r\n0\r\n\r\n", 400},
		{"TE xchunked", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
		{"TE chunked, identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
		{"TE chunked, chunked", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400},
		{"TE gzip, chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		{"TE with a list of one", post + "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400},
		{"TE quoted", post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400},
		{"TE with a parameter", post + "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400},
		{"TE empty", post + "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400},
		{"TE with a space before the colon", post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
		{"TE with a tab before the colon", post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400},
		{"TE with a vertical tab", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
		{"TE with a NUL", post + "Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n", 400},
		{"TE folded", post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
		{"TE behind a bare CR", post + "X: a\rTransfer-Encoding: chunked\r\n\r\n", 400},
		{"TE behind a bare LF", post + "X: a\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"TE with a leading space", post + " Transfer-Encoding: chunked\r\n\r\n", 400},
		{"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"CL twice, different", post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		{"CL twice, equal", post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400},
		{"CL list", post + "Content-Length: 1, 1\r\n\r\na", 400},
		{"CL with a sign", post + "Content-Length: +1\r\n\r\na", 400},
		{"CL negative", post + "Content-Length: -1\r\n\r\na", 400},
		{"CL hexadecimal", post + "Content-Length: 0x1\r\n\r\na", 400},
		{"CL with a leading zero", post + "Content-Length: 01\r\n\r\na", 400},
		{"CL with a space inside", post + "Content-Length: 1 0\r\n\r\na", 400},
		{"CL beyond int64", post + "Content-Length: 9223372036854775808\r\n\r\na", 400},
		{"CL beyond uint64", post + "Content-Length: 18446744073709551617\r\n\r\na", 400},
		{"CL empty", post + "Content-Length: \r\n\r\na", 400},
		{"CL Arabic digits", post + "Content-Length: \xd9\xa1\r\n\r\na", 400},
		{"CL with a space before the colon", post + "Content-Length : 1\r\n\r\na", 400},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", 400},
		{"two equal Hosts", "GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", 400},
		{"Host list", "GET / HTTP/1.1\r\nHost: a.example,b.example\r\n\r\n", 400},
		{"Host with user information", "GET / HTTP/1.1\r\nHost: b.example@a.example\r\n\r\n", 400},
		{"Host with a path", "GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n", 400},
		{"Host with a bad port", "GET / HTTP/1.1\r\nHost: a.example:80x\r\n\r\n", 400},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
		{"absolute form against Host", "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"absolute form with user information", "GET http://x@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"absolute form of another scheme", "GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"relative target", "GET a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"fragment", "GET /#x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"NUL in a value", "GET / HTTP/1.1\r\nHost: a.example\r\nX: \x00\r\n\r\n", 400},
		{"NUL in a name", "GET / HTTP/1.1\r\nHost: a.example\r\nX\x00: 1\r\n\r\n", 400},
		{"non-ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"bare LF as line end", "GET / HTTP/1.1\nHost: a.example\n\n", 400},
		{"bare LF at the end of the head", "GET / HTTP/1.1\r\nHost: a.example\r\n\n", 400},
		{"bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"obs-fold", "GET / HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n\t2\r\n\r\n", 400},
		{"space at the start of the head", "GET / HTTP/1.1\r\n Host: a.example\r\n\r\n", 400},
		{"two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"space behind the version", "GET / HTTP/1.1 \r\nHost: a.example\r\n\r\n", 400},
		{"no version", "GET /\r\n\r\n", 400},
		{"lower-case version", "GET / http/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"version 1.10", "GET / HTTP/1.10\r\nHost: a.example\r\n\r\n", 400},
		{"version 2.0", "GET / HTTP/2.0\r\nHost: a.example\r\n\r\n", 505},
		{"field without a colon", "GET / HTTP/1.1\r\nHost: a.example\r\nX\r\n\r\n", 400},
		{"field without a name", "GET / HTTP/1.1\r\nHost: a.example\r\n: 1\r\n\r\n", 400},
		{"Connection that names Content-Length", post + "Connection: content-length\r\nContent-Length: 5\r\n\r\nhello", 400},
		{"Connection that names Host", post + "Connection: close, Host\r\n\r\n", 400},
		{"Connection that names Authorization", post + "Connection: Authorization\r\nAuthorization: a\r\n\r\n", 400},
		{"Connection that is not a list of tokens", post + "Connection: a b\r\n\r\n", 400},
		{"Expect of something else", post + "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na", 417},
		{"CONNECT", "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n", 405},
		{"TRACE with a body", "TRACE / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\na", 400},
		{"* for GET", "GET * HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
		{"Trailer that announces framing", post + "Trailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, answering(plainAnswer))
			c := w.dial()
			c.send(tt.in + victim)
			a := c.want("GET", tt.status)
			if !a.Close {
				t.Error("the answer does not say that the connection ends")
			}
			c.closed()
			if got := w.origin.got(); len(got) != 0 {
				t.Errorf("the origin got %q, want nothing", got)
			}
			if o := w.outcome(); o.status != tt.status || o.side != outcome.Downstream {
				t.Errorf("outcome = %+v, want %d by the client", o, tt.status)
			}
			w.quiet()
		})
	}
}

// A chunked body that is malformed may have reached the origin in part, but never
// looks complete to it, and nothing behind it is served.
func TestWireMalformedChunks(t *testing.T) {
	const victim = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
	tests := []struct{ name, body string }{
		{"size beyond int64", "ffffffffffffffff\r\nab\r\n0\r\n\r\n"},
		{"size that wraps around", "10000000000000002\r\nab\r\n0\r\n\r\n"},
		{"size with a prefix", "0x2\r\nab\r\n0\r\n\r\n"},
		{"size with a sign", "+2\r\nab\r\n0\r\n\r\n"},
		{"negative size", "-2\r\nab\r\n0\r\n\r\n"},
		{"empty size", "\r\nab\r\n0\r\n\r\n"},
		{"size with a leading space", " 2\r\nab\r\n0\r\n\r\n"},
		{"size with a trailing space", "2 \r\nab\r\n0\r\n\r\n"},
		{"size line with a bare LF", "2\nab\r\n0\r\n\r\n"},
		{"size line with a bare CR", "2\rab\r\n0\r\n\r\n"},
		{"size line with CR CR LF", "2\r\r\nab\r\n0\r\n\r\n"},
		{"chunk that goes on", "2\r\nabc\r\n0\r\n\r\n"},
		{"chunk without its CR", "2\r\nab\n0\r\n\r\n"},
		{"chunk without its LF", "2\r\nab\r0\r\n\r\n"},
		{"extension with a bare LF", "2;a\nb\r\nab\r\n0\r\n\r\n"},
		{"extension with a NUL", "2;a\x00\r\nab\r\n0\r\n\r\n"},
		{"extension with a control character", "2;a=\x01\r\nab\r\n0\r\n\r\n"},
		{"extension without end", "2;a=\"b\r\nab\r\n0\r\n\r\n"},
		{"extension that is too long", "2;a=" + strings.Repeat("b", 2000) + "\r\nab\r\n0\r\n\r\n"},
		{"last chunk with a bare LF", "2\r\nab\r\n0\n\n"},
		{"end with a bare LF", "2\r\nab\r\n0\r\n\n"},
		{"trailer with a space before the colon", "2\r\nab\r\n0\r\nX : 1\r\n\r\n"},
		{"trailer that is framing", "2\r\nab\r\n0\r\nContent-Length: 1\r\n\r\n"},
		{"trailer that is folded", "2\r\nab\r\n0\r\nX: 1\r\n 2\r\n\r\n"},
		{"trailer with a NUL", "2\r\nab\r\n0\r\nX: \x00\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, answering(plainAnswer))
			c := w.dial()
			c.send(request("POST", "/", "Transfer-Encoding: chunked\r\n") + tt.body + victim)
			if a := c.want("POST", 400); !a.Close {
				t.Error("the answer does not say that the connection ends")
			}
			c.closed()
			for _, got := range w.origin.got() {
				if strings.Contains(got, "smuggled") || strings.Contains(got, "\r\n0\r\n") {
					t.Errorf("the origin got %q", got)
				}
			}
			if o := w.outcome(); o.reason != outcome.BadBody || o.status != 400 {
				t.Errorf("outcome = %+v, want bad_body, 400", o)
			}
			w.quiet()
		})
	}
}

// What is matched is what is forwarded.
func TestWirePaths(t *testing.T) {
	long := "/in/" + strings.Repeat("a", 20000)
	tests := []struct {
		name, path string
		// out is the target that the origin gets; "" if the route, /in, is not
		// reached: status says how it ends.
		out    string
		status int
	}{
		{"plain", "/in/a", "/in/a", 200},
		{"dot segment up and back", "/x/../in/a", "/in/a", 200},
		{"escaped dot segment", "/x/%2e%2E/in/a", "/in/a", 200},
		{"half-escaped dot segment", "/in/.%2e/out", "", 404},
		{"leaves the route", "/in/../out", "", 404},
		{"leaves the route, escaped", "/in/%2e%2e/out", "", 404},
		{"dot segment at the end", "/in/a/..", "/in/", 200},
		{"single dots", "/./in/./a/.", "/in/a/", 200},
		{"above the root", "/../in", "", 400},
		{"above the root, escaped", "/%2e%2e/in", "", 400},
		{"empty segments stay", "/in//a///b", "/in//a///b", 200},
		{"empty segment first", "//in/a", "", 404},
		{"a dot segment takes an empty one only", "/in//../a", "/in/a", 200},
		{"escaped slash is data", "/in%2Fa", "", 404},
		{"escaped slash stays, in upper case", "/in/a%2fb", "/in/a%2Fb", 200},
		{"escaped backslash stays, in upper case", "/in/a%5cb", "/in/a%5Cb", 200},
		{"backslash", "/in\\a", "", 400},
		{"parameters stay", "/in/a;v=1/b", "/in/a;v=1/b", 200},
		{"parameters are not part of the route", "/in;v=1/a", "", 404},
		{"dot segment with parameters", "/in/..;/out", "", 400},
		{"dot segment with escaped parameters", "/in/..%3B/out", "/in/..%3B/out", 200},
		{"unreserved escapes are decoded", "/%69n/%61%2D%7e", "/in/a-~", 200},
		{"decoded once only", "/in/%252e%252e/a", "/in/%252e%252e/a", 200},
		{"escapes in upper case", "/in/%c3%a9", "/in/%C3%A9", 200},
		{"escaped NUL", "/in/%00", "", 400},
		{"incomplete escape", "/in/%2", "", 400},
		{"bad escape", "/in/%zz", "", 400},
		{"odd characters are escaped", "/in/<a>\"{}|^`", "/in/%3Ca%3E%22%7B%7D%7C%5E%60", 200},
		{"query as it is", "/in/a?x=/../%2e%00\\<", "/in/a?x=/../%2e%00\\<", 200},
		{"empty query stays", "/in/a?", "/in/a?", 200},
		{"changed path with a query", "/in/./a?b?c", "/in/a?b?c", 200},
		{"very long", long, long, 200},
		{"very long and changed", long + "/%2e%2e/%61", "/in/a", 200},
		{"longer than the limit", "/in/" + strings.Repeat("a", 70000), "", 414},
		{"CR LF in escapes", "/in/%0d%0aX:%20y", "/in/%0D%0AX:%20y", 200},
		{"absolute form", "http://a.example/x/../in/a", "/in/a", 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{path: "/in"}, answering(plainAnswer))
			c := w.dial()
			c.send(get(tt.path))
			c.want("GET", tt.status)
			var want []string
			if tt.out != "" {
				want = []string{"GET " + tt.out + " HTTP/1.1\r\nHost: a.example\r\n" + w.added("a.example") + "\r\n"}
			}
			if diff := cmp.Diff(want, w.origin.got()); diff != "" {
				t.Errorf("the origin got (-want +got):\n%s", diff)
			}
		})
	}
}

// What is answered without the origin leaves the connection as it should be.
func TestWireOwnAnswers(t *testing.T) {
	tests := []struct {
		name, in string
		status   int
		allow    bool
	}{
		{"Max-Forwards: 0 on OPTIONS", request("OPTIONS", "/", "Max-Forwards: 0\r\n"), 200, true},
		{"Max-Forwards: 00 on OPTIONS *", request("OPTIONS", "*", "Max-Forwards: 00\r\n"), 200, true},
		{"TRACE", request("TRACE", "/"), 405, true},
		{"TRACE with Max-Forwards: 0", request("TRACE", "/", "Max-Forwards: 0\r\n"), 405, true},
		{"no host", "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", 404, false},
		{"a body that nobody reads", "POST / HTTP/1.1\r\nHost: b.example\r\nContent-Length: 5\r\n\r\nhello", 404, false},
		{"a chunked body that nobody reads", "POST / HTTP/1.1\r\nHost: b.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n", 404, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{}, answering(plainAnswer))
			c := w.dial()
			c.send(tt.in + get("/next"))
			if a := c.want("GET", tt.status); (a.Header.Get("Allow") != "") != tt.allow {
				t.Errorf("Allow = %q", a.Header.Get("Allow"))
			}
			c.want("GET", 200)
			want := []string{"GET /next HTTP/1.1\r\nHost: a.example\r\n" + w.added("a.example") + "\r\n"}
			if diff := cmp.Diff(want, w.origin.got()); diff != "" {
				t.Errorf("the origin got (-want +got):\n%s", diff)
			}
		})
	}
}
