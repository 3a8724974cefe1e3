package http1

import (
	"fmt"
	"strings"
	"testing"
)

// acceptances are requests at the edge of the grammar that are served, with what
// echo says of them.
var acceptances = []struct{ rule, raw, want string }{
	{"one empty line before the request line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / a "},
	{"any token is a method", "M-SEARCH!#$ / HTTP/1.1\r\nHost: a\r\n\r\n", "M-SEARCH!#$ / a "},
	{"methods are case-sensitive", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "get / a "},
	{"target with every visible character", "GET /!$&'()*+,;=:@-._~[]{}|^`\"<>%20?%zz?\\ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /!$&'()*+,;=:@-._~[]{}|^`\"<>%20?%zz?\\ a "},
	{"target with two slashes", "GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n", "GET //b/c a "},
	{"absolute form", "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b?c a "},
	{"absolute form in other case", "GET HTTP://A/b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b a "},
	{"absolute form of https", "GET https://a:8443/b HTTP/1.1\r\nHost: a:8443\r\n\r\n", "GET /b a:8443 "},
	{"absolute form without a path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / a "},
	{"absolute form with a query only", "GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?b a "},
	{"absolute form of OPTIONS *", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * a "},
	{"absolute form in HTTP/1.0 without Host", "GET http://a/b HTTP/1.0\r\n\r\n", "GET /b a "},
	{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * a "},
	{"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "GET /  "},
	{"Host with a port", "GET / HTTP/1.1\r\nHost: a.b-c_d:65535\r\n\r\n", "GET / a.b-c_d:65535 "},
	{"Host with a trailing dot", "GET / HTTP/1.1\r\nHost: a.b.\r\n\r\n", "GET / a.b. "},
	{"version 1.2 is taken for 1.1", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "GET / a "},
	{"Host with an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "GET / a: "},
	{"Host with IPv4", "GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n", "GET / 192.0.2.1:80 "},
	{"Host with IPv6", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "GET / [2001:db8::1]:80 "},
	{"Host surrounded by white space", "GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", "GET / a "},
	{"Host without a space", "GET / HTTP/1.1\r\nhOST:a\r\n\r\n", "GET / a "},
	{"field name of every token character", "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n", "GET / a "},
	{"empty value", "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t\r\n\r\n", "GET / a "},
	{"value with tabs and obs-text", "GET / HTTP/1.1\r\nHost: a\r\nX: a\tb \xff\x80 c :;\"\r\n\r\n", "GET / a "},
	{"256 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 255) + "\r\n", "GET / a "},
	{"head of nearly 64 KiB", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 64<<10-40) + "\r\n\r\n", "GET / a "},
	{"target of 60 KiB", "GET /" + strings.Repeat("y", 60<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "GET /" + strings.Repeat("y", 60<<10) + " a "},
	{"GET with a body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "GET / a abc"},
	{"Content-Length of 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST / a "},
	{"Transfer-Encoding in any case", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "POST / a abc"},
	{"chunk size in any case", chunked + "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "POST / a 01234567890123456789"},
	{"chunk size with leading zeros", chunked + "0000000000000003\r\nabc\r\n000\r\n\r\n", "POST / a abc"},
	{"chunk extensions", chunked + "3;a;b=c;d=\"e\\\";\"\r\nabc\r\n0;f\r\n\r\n", "POST / a abc"},
	{"chunk extensions with bad white space", chunked + "3 ; a = b\t;c\r\nabc\r\n0\r\n\r\n", "POST / a abc"},
	{"trailers", chunked + "3\r\nabc\r\n0\r\nA: b\r\nC:d\r\n\r\n", "POST / a abc A=b C=d"},
	{"trailers that must not be are dropped", chunked + "0\r\nAuthorization: x\r\nCookie: y\r\nX-Forwarded-For: z\r\nIf-Match: v\r\nA: b\r\n\r\n", "POST / a  A=b"},
	{"trailers announced", "POST / HTTP/1.1\r\nHost: a\r\nTrailer: A, B\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", "POST / a  A=b"},
	{"Connection with options of any name", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x, ,TE\r\n\r\n", "GET / a "},
	{"expectation in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nExpect: whatever\r\nContent-Length: 3\r\n\r\nabc", "POST / a abc"},
	{"expectation in any case", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", "GET / a "},
}

// TestAcceptances sends each of them as a whole and byte by byte.
func TestAcceptances(t *testing.T) {
	for _, a := range acceptances {
		t.Run(a.rule, func(t *testing.T) {
			want := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n", len(a.want))
			if strings.Contains(a.raw, "HTTP/1.0\r\n") {
				want += "Connection: close\r\n"
			}
			want += "\r\n" + a.want
			whole := talk(t, &Server{})
			whole.send(a.raw)
			whole.want("sent as a whole", want)
			pieces := talk(t, &Server{})
			go trickle(pieces.conn, a.raw)
			pieces.want("sent byte by byte", want)
		})
	}
}
