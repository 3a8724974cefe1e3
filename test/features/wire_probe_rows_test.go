package features

import (
	"fmt"
	"strings"
)

const (
	hostLine  = "Host: a.example\r\n"
	getStart  = "GET /p HTTP/1.1\r\n" + hostLine
	postStart = "POST /p HTTP/1.1\r\n" + hostLine
	lastChunk = "0\r\n\r\n"
	chunkedTE = "Transfer-Encoding: chunked\r\n"
)

// complianceProbes are requests that have to be served, or answered in a certain way.
func complianceProbes() []probe {
	rows := []probe{
		{"a plain GET", "RFC 9112 §2.1", getStart + "\r\n", "200 200"},
		{"HEAD has no body", "RFC 9110 §9.3.2", "HEAD /p HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"GET with a body", "RFC 9110 §9.3.1: content has no defined semantics, framing holds", getStart + "Content-Length: 3\r\n\r\nabc", "200 200"},
		{"GET with chunks", "RFC 9112 §6.3", getStart + chunkedTE + "\r\n3\r\nabc\r\n" + lastChunk, "200 200"},
		{"HEAD with a body", "RFC 9112 §6.3", "HEAD /p HTTP/1.1\r\n" + hostLine + "Content-Length: 3\r\n\r\nabc", "200 200"},
		{"DELETE with a body", "RFC 9110 §9.3.5", "DELETE /p HTTP/1.1\r\n" + hostLine + "Content-Length: 3\r\n\r\nabc", "200 200"},
		{"POST without any framing has no body", "RFC 9112 §6.3 rule 7", postStart + "\r\n", "200 200"},
		{"POST of nothing", "RFC 9112 §6.3", postStart + "Content-Length: 0\r\n\r\n", "200 200"},
		{"POST of nothing in chunks", "RFC 9112 §7.1", postStart + chunkedTE + "\r\n" + lastChunk, "200 200"},
		{"a body that looks like a request", "RFC 9112 §6.3", postStart + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(sentinel)) + sentinel, "200 200"},
		{"a chunk that looks like a request", "RFC 9112 §7.1", postStart + chunkedTE + fmt.Sprintf("\r\n%x\r\n", len(sentinel)) + sentinel + "\r\n" + lastChunk, "200 200"},
		{"a body of CR LF", "RFC 9112 §6.3", postStart + "Content-Length: 4\r\n\r\n\r\n\r\n", "200 200"},
		{"a body with every byte", "RFC 9110 §6.4", postStart + "Content-Length: 256\r\n\r\n" + everyByte(), "200 200"},
		{"chunks with every byte", "RFC 9110 §6.4", postStart + chunkedTE + "\r\n100\r\n" + everyByte() + "\r\n" + lastChunk, "200 200"},
		{"chunk sizes in upper case", "RFC 9112 §7.1: HEXDIG", postStart + chunkedTE + "\r\nA\r\n0123456789\r\n" + lastChunk, "200 200"},
		{"chunk sizes with leading zeros", "RFC 9112 §7.1: 1*HEXDIG", postStart + chunkedTE + "\r\n0003\r\nabc\r\n000\r\n\r\n", "200 200"},
		{"many small chunks", "RFC 9112 §7.1", postStart + chunkedTE + "\r\n" + strings.Repeat("1\r\nx\r\n", 500) + lastChunk, "200 200"},
		{"a chunk extension", "RFC 9112 §7.1.1: ignore unrecognized extensions", postStart + chunkedTE + "\r\n3;a=b\r\nabc\r\n" + lastChunk, "200 200"},
		{"a chunk extension without a value", "RFC 9112 §7.1.1", postStart + chunkedTE + "\r\n3;a\r\nabc\r\n0;b\r\n\r\n", "200 200"},
		{"a chunk extension in quotes", "RFC 9112 §7.1.1", postStart + chunkedTE + "\r\n3;a=\"b;c\\\"\"\r\nabc\r\n" + lastChunk, "200 200"},
		{"a chunk extension with bad white space", "RFC 9112 §7.1.1: BWS", postStart + chunkedTE + "\r\n3 ; a = b\r\nabc\r\n" + lastChunk, "200 200"},
		{"trailers", "RFC 9112 §7.1.2", postStart + chunkedTE + "Trailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", "200 200"},
		{"a trailer that nobody announced", "RFC 9110 §6.6.2: Trailer is a SHOULD", postStart + chunkedTE + "\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", "200 200"},
		{"a coding in upper case", "RFC 9112 §7: coding names are case-insensitive", postStart + "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n" + lastChunk, "200 200"},
		{"field names in upper case", "RFC 9110 §5.1", "POST /p HTTP/1.1\r\nHOST: a.example\r\nCONTENT-LENGTH: 3\r\n\r\nabc", "200 200"},
		{"white space around values", "RFC 9112 §5: OWS", "POST /p HTTP/1.1\r\nHost: \t a.example \t\r\nContent-Length:\t3 \r\nX:  a b\t\r\n\r\nabc", "200 200"},
		{"no white space before a value", "RFC 9112 §5", "GET /p HTTP/1.1\r\nHost:a.example\r\nX:1\r\n\r\n", "200 200"},
		{"an empty value", "RFC 9110 §5.5", getStart + "X:\r\nY: \r\n\r\n", "200 200"},
		{"obs-text in a value", "RFC 9110 §5.5: obs-text", getStart + "X: \xe9\xff\x80\r\n\r\n", "200 200"},
		{"a name of every token character", "RFC 9110 §5.6.2", getStart + "!#$%&'*+-.^`|~09az: 1\r\n\r\n", "200 200"},
		{"a field that comes many times", "RFC 9110 §5.3: order is kept", getStart + "X: 1\r\nY: 2\r\nX: 3\r\nx: 4\r\n\r\n", "200 200"},
		{"Cookie twice", "RFC 6265 §5.4 binds clients; a proxy changes nothing", getStart + "Cookie: a=1\r\nCookie: b=2\r\n\r\n", "200 200"},
		{"two hundred fields", "RFC 9110 §5.4", getStart + strings.Repeat("X-Many: 1\r\n", 200) + "\r\n", "200 200"},
		{"a value of 30 KiB", "RFC 9110 §5.4", getStart + "X: " + strings.Repeat("a", 30<<10) + "\r\n\r\n", "200 200"},
		{"a target of 8,000 bytes", "RFC 9112 §3: at least 8,000", "GET /" + strings.Repeat("a", 8000) + " HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"a method that nobody knows", "RFC 9110 §9.1: methods are extensible", "PURGE /p HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"a method in lower case is another", "RFC 9110 §9.1: case-sensitive", "get /p HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"a method of odd token characters", "RFC 9110 §9.1: token", "M-!#$%&'*+.^`|~ /p HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"a query only", "RFC 9112 §3.2.1", "GET /?a=b&c HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"a query with question marks and slashes", "RFC 3986 §3.4", "GET /p?a=/../?b HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"an empty query", "RFC 3986 §3.4", "GET /p? HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"a path of two slashes", "RFC 3986 §3.3", "GET //p//q HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"sub-delims in a path", "RFC 3986 §3.3", "GET /a!$&'()*+,;=:@b HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"escapes in a path", "RFC 3986 §2.1", "GET /%7Ea/%2F%e9 HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"absolute form", "RFC 9112 §3.2.2: a server MUST accept it", "GET http://a.example/p?q HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"absolute form of https", "RFC 9110 §4.2.2", "GET https://a.example/p HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"absolute form in other cases", "RFC 3986 §3.1, §3.2.2", "GET HTTP://A.EXAMPLE/p HTTP/1.1\r\nHost: a.example\r\n\r\n", "200 200"},
		{"absolute form with a port", "RFC 9112 §3.2.2", "GET http://a.example:80/p HTTP/1.1\r\nHost: a.example:80\r\n\r\n", "200 200"},
		{"absolute form without a path", "RFC 9110 §4.2.3: an empty path is /", "GET http://a.example HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"OPTIONS *", "RFC 9112 §3.2.4", "OPTIONS * HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"OPTIONS in absolute form without a path", "RFC 9112 §3.2.4: the last proxy sends *", "OPTIONS http://a.example HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"OPTIONS of a path", "RFC 9110 §9.3.7", "OPTIONS /p HTTP/1.1\r\n" + hostLine + "\r\n", "200 200"},
		{"OPTIONS that may go one further", "RFC 9110 §7.6.2", "OPTIONS /p HTTP/1.1\r\n" + hostLine + "Max-Forwards: 1\r\n\r\n", "200 200"},
		{"OPTIONS that may go no further", "RFC 9110 §7.6.2: MUST NOT forward", "OPTIONS /p HTTP/1.1\r\n" + hostLine + "Max-Forwards: 0\r\n\r\n", "200* 200"},
		{"OPTIONS * that may go no further", "RFC 9110 §7.6.2", "OPTIONS * HTTP/1.1\r\n" + hostLine + "Max-Forwards: 0\r\n\r\n", "200* 200"},
		{"TRACE that may go no further", "RFC 9110 §7.6.2, §9.3.8", "TRACE /p HTTP/1.1\r\n" + hostLine + "Max-Forwards: 0\r\n\r\n", "405 200"},
		{"TRACE", "RFC 9110 §15.5.6", "TRACE /p HTTP/1.1\r\n" + hostLine + "\r\n", "405 200"},
		{"Max-Forwards that is not a number", "RFC 9110 §7.6.2: 1*DIGIT", "OPTIONS /p HTTP/1.1\r\n" + hostLine + "Max-Forwards: x\r\n\r\n", "200 200"},
		{"Max-Forwards of GET", "RFC 9110 §7.6.2: MAY be ignored", getStart + "Max-Forwards: 0\r\n\r\n", "200 200"},
		{"one empty line before the request", "RFC 9112 §2.2: SHOULD ignore at least one", "\r\n" + getStart + "\r\n", "200 200"},
		{"an empty line behind a body", "RFC 9112 §2.2", postStart + "Content-Length: 3\r\n\r\nabc\r\n", "200 200"},
		{"Host with a port", "RFC 9110 §7.2", "GET /p HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", "200 200"},
		{"Host with an empty port", "RFC 3986 §3.2.3: port = *DIGIT", "GET /p HTTP/1.1\r\nHost: a.example:\r\n\r\n", "200 200"},
		{"Host in upper case", "RFC 9110 §4.2.3", "GET /p HTTP/1.1\r\nHost: A.EXAMPLE\r\n\r\n", "200 200"},
		{"Host with a trailing dot", "RFC 3986 §3.2.2", "GET /p HTTP/1.1\r\nHost: a.example.\r\n\r\n", "200 200"},
		{"a host that is not served", "RFC 9110 §7.4", "GET /p HTTP/1.1\r\nHost: b.example\r\n\r\n", "404 200"},
		{"a host that is an IPv6 address", "RFC 3986 §3.2.2", "GET /p HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "404 200"},
		{"a host that is an IPv4 address", "RFC 3986 §3.2.2", "GET /p HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "404 200"},
		{"HTTP/1.0", "RFC 9112 §9.3: does not persist", "GET /p HTTP/1.0\r\n" + hostLine + "\r\n", "200"},
		{"HTTP/1.0 with keep-alive", "RFC 9112 §9.3", "GET /p HTTP/1.0\r\n" + hostLine + "Connection: keep-alive\r\n\r\n", "200 200"},
		{"HTTP/1.0 with keep-alive and close", "RFC 9112 §9.3: close wins", "GET /p HTTP/1.0\r\n" + hostLine + "Connection: keep-alive, close\r\n\r\n", "200"},
		{"HTTP/1.0 without Host", "RFC 9112 §3.2: the rule is of HTTP/1.1", "GET /p HTTP/1.0\r\n\r\n", "404"},
		{"HTTP/1.0 with a body", "RFC 9112 §6.2", "POST /p HTTP/1.0\r\n" + hostLine + "Content-Length: 3\r\n\r\nabc", "200"},
		{"HTTP/1.0 that expects 100", "RFC 9110 §10.1.1: MUST ignore", "POST /p HTTP/1.0\r\n" + hostLine + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "200"},
		{"HTTP/1.2", "RFC 9110 §2.5: SHOULD process as the highest minor version known", "GET /p HTTP/1.2\r\n" + hostLine + "\r\n", "200 200"},
		{"HTTP/1.9 without Host", "RFC 9110 §2.5, RFC 9112 §3.2", "GET /p HTTP/1.9\r\n\r\n", "400"},
		{"Connection: close", "RFC 9112 §9.6: MUST close", getStart + "Connection: close\r\n\r\n", "200"},
		{"Connection: Close in a list", "RFC 9110 §7.6.1", getStart + "Connection: x-a, Close\r\nX-A: 1\r\n\r\n", "200"},
		{"Connection in two lines", "RFC 9110 §5.3", getStart + "Connection: x-a\r\nConnection: close\r\nX-A: 1\r\n\r\n", "200"},
		{"Connection with empty elements", "RFC 9110 §5.6.1.2", getStart + "Connection: , ,keep-alive,\r\n\r\n", "200 200"},
		{"Connection names a field", "RFC 9110 §7.6.1: MUST remove", getStart + "Connection: x-hop\r\nX-Hop: 1\r\nX-Stay: 1\r\n\r\n", "200 200"},
		{"fields of the hop that nobody names", "RFC 9110 §7.6.1", getStart + "Keep-Alive: 5\r\nProxy-Connection: a\r\nTE: gzip\r\nUpgrade: foo\r\n\r\n", "200 200"},
		{"TE: trailers", "RFC 9110 §10.1.4", getStart + "TE: trailers\r\nConnection: TE\r\n\r\n", "200 200"},
		{"TE with weights", "RFC 9110 §10.1.4", getStart + "TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n\r\n", "200 200"},
		{"Proxy-Authorization ends here", "RFC 9110 §11.7.1", getStart + "Proxy-Authorization: Basic eDp5\r\n\r\n", "200 200"},
		{"Authorization goes on", "RFC 9110 §11.6.2: MUST NOT modify", getStart + "Authorization: Basic eDp5\r\n\r\n", "200 200"},
		{"Expect with the body there", "RFC 9110 §10.1.1", postStart + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "200 200"},
		{"Expect in other cases", "RFC 9110 §10.1.1: case-insensitive", postStart + "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc", "200 200"},
		{"Expect without a body", "RFC 9110 §10.1.1", getStart + "Expect: 100-continue\r\n\r\n", "200 200"},
		{"Expect of something else", "RFC 9110 §10.1.1: 417", postStart + "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", "417"},
		{"Upgrade that the origin ignores", "RFC 9110 §7.8: MAY ignore", getStart + upgradeFields + "\r\n", "200 200"},
		{"Upgrade to h2c", "RFC 9113 §3.1: deprecated", getStart + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", "200 200"},
		{"conditions and ranges go on", "RFC 9110 §13, §14", getStart + "If-None-Match: \"a\"\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\nRange: bytes=0-1\r\n\r\n", "200 200"},
		{"a pipeline of three", "RFC 9112 §9.3.2: in order", getStart + "\r\nHEAD /h HTTP/1.1\r\n" + hostLine + "\r\n" + postStart + "Content-Length: 1\r\n\r\nx", "200 200 200 200"},
		{"a pipeline with one that is refused", "RFC 9112 §9.3.2", getStart + "\r\nGET /h HTTP/1.1\r\nHost: b.example\r\n\r\n", "200 404 200"},
		{"a body for a host that is not served", "RFC 9112 §9.3: read or close", "POST /p HTTP/1.1\r\nHost: b.example\r\nContent-Length: 3\r\n\r\nabc", "404 200"},
	}
	return rows
}

func everyByte() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}
