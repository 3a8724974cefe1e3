package http1

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// refusals are requests that are refused, each with the rule it breaks. A name
// stands for the reason: 400 bad_request unless another is given.
var refusals = []struct {
	rule   string
	raw    string
	reason outcome.Reason
	status int
}{
	// The request line (RFC 9112 §3).
	{rule: "method missing", raw: " / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "method with a colon", raw: "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "method with a slash", raw: "GE/T / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "method with a non-ASCII letter", raw: "G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "method with NUL", raw: "GET\x00 / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "method in quotes", raw: "\"GET\" / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "method in parentheses", raw: "(GET) / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "method only", raw: "GET\r\nHost: a\r\n\r\n"},
	{rule: "method and space only", raw: "GET \r\nHost: a\r\n\r\n"},
	{rule: "two spaces after the method", raw: "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "tab after the method", raw: "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "vertical tab after the method", raw: "GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "form feed after the target", raw: "GET /\x0cHTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "two spaces after the target", raw: "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "tab after the target", raw: "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "space after the version", raw: "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
	{rule: "words after the version", raw: "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"},
	{rule: "space before the request line", raw: "  GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "tab before the request line", raw: "\tGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "no target", raw: "GET HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "no version (HTTP/0.9)", raw: "GET /\r\n\r\n"},
	{rule: "no version with fields", raw: "GET /\r\nHost: a\r\n\r\n"},
	{rule: "two empty lines before the request line", raw: "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "bare LF before the request line", raw: "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "bare CR before the request line", raw: "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "byte order mark", raw: "\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "a TLS record", raw: "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"},
	{rule: "garbage", raw: "\x00\x01\x02\x03\r\n\r\n"},
	{rule: "a response", raw: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},

	// The version (RFC 9112 §2.3).
	{rule: "version in lower case", raw: "GET / http/1.1\r\nHost: a\r\n\r\n"},
	{rule: "version without a slash", raw: "GET / HTTP1.1\r\nHost: a\r\n\r\n"},
	{rule: "version without a minor", raw: "GET / HTTP/1\r\nHost: a\r\n\r\n"},
	{rule: "version with a trailing dot", raw: "GET / HTTP/1.\r\nHost: a\r\n\r\n"},
	{rule: "version with two minors", raw: "GET / HTTP/1.1.1\r\nHost: a\r\n\r\n"},
	{rule: "version with two digits", raw: "GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
	{rule: "version with a leading zero", raw: "GET / HTTP/01.1\r\nHost: a\r\n\r\n"},
	{rule: "version with a sign", raw: "GET / HTTP/+1.1\r\nHost: a\r\n\r\n"},
	{rule: "version with a comma", raw: "GET / HTTP/1,1\r\nHost: a\r\n\r\n"},
	{rule: "version of another protocol", raw: "GET / ICAP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "version 0.9", raw: "GET / HTTP/0.9\r\nHost: a\r\n\r\n", reason: outcome.VersionRefused},
	{rule: "version 1.2 without Host", raw: "GET / HTTP/1.2\r\n\r\n"},
	{rule: "version 2.0", raw: "GET / HTTP/2.0\r\nHost: a\r\n\r\n", reason: outcome.VersionRefused},
	{rule: "version 3.0", raw: "GET / HTTP/3.0\r\nHost: a\r\n\r\n", reason: outcome.VersionRefused},
	{rule: "version 9.9", raw: "GET / HTTP/9.9\r\nHost: a\r\n\r\n", reason: outcome.VersionRefused},
	{rule: "preface of HTTP/2", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", reason: outcome.VersionRefused},

	// The target (RFC 9112 §3.2).
	{rule: "target with a fragment", raw: "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with a space", raw: "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with NUL", raw: "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with a control character", raw: "GET /\x1f HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with DEL", raw: "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with UTF-8", raw: "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with overlong UTF-8", raw: "GET /\xc0\xaf HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with a bare CR", raw: "GET /\rX: y HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target without a slash", raw: "GET index.html HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target that is a query", raw: "GET ?a=b HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with a cut escape", raw: "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with an invalid escape", raw: "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with a lone percent sign", raw: "GET /% HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target with a backslash in its path", raw: "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target * with GET", raw: "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target ** with OPTIONS", raw: "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "target *? with OPTIONS", raw: "OPTIONS *?a HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "authority form with GET", raw: "GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"},
	{rule: "absolute form of another scheme", raw: "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "absolute form of file", raw: "GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "absolute form without slashes", raw: "GET http:a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "absolute form without authority", raw: "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "absolute form with user information", raw: "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "absolute form with another host", raw: "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "absolute form with another port", raw: "GET http://a:81/ HTTP/1.1\r\nHost: a:80\r\n\r\n"},
	{rule: "absolute form with a port that Host lacks", raw: "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "absolute form without Host", raw: "GET http://a/ HTTP/1.1\r\n\r\n"},
	{rule: "absolute form with a bad port", raw: "GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "absolute form with a backslash", raw: "GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{rule: "CONNECT", raw: "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", reason: outcome.MethodRefused},
	{rule: "CONNECT with a path", raw: "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", reason: outcome.MethodRefused},

	// Host (RFC 9112 §3.2, RFC 9110 §7.2).
	{rule: "no Host", raw: "GET / HTTP/1.1\r\n\r\n"},
	{rule: "empty Host", raw: "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
	{rule: "blank Host", raw: "GET / HTTP/1.1\r\nHost:  \t \r\n\r\n"},
	{rule: "empty Host in HTTP/1.0", raw: "GET / HTTP/1.0\r\nHost:\r\n\r\n"},
	{rule: "two Hosts", raw: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
	{rule: "two equal Hosts", raw: "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"},
	{rule: "two Hosts in HTTP/1.0", raw: "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"},
	{rule: "Host with a list", raw: "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
	{rule: "Host with a comma", raw: "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"},
	{rule: "Host with user information", raw: "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
	{rule: "Host with a path", raw: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
	{rule: "Host with a query", raw: "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"},
	{rule: "Host with a fragment", raw: "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n"},
	{rule: "Host with a scheme", raw: "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"},
	{rule: "Host with a space", raw: "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
	{rule: "Host with a backslash", raw: "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n"},
	{rule: "Host with an escape", raw: "GET / HTTP/1.1\r\nHost: %61\r\n\r\n"},
	{rule: "Host with non-ASCII", raw: "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"},
	{rule: "Host with NUL", raw: "GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n"},
	{rule: "Host with a port only", raw: "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"},
	{rule: "Host of an empty port only", raw: "GET / HTTP/1.1\r\nHost: :\r\n\r\n"},
	{rule: "Host with a port of letters", raw: "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n"},
	{rule: "Host with a signed port", raw: "GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n"},
	{rule: "Host with a port above 65535", raw: "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"},
	{rule: "Host with a long port", raw: "GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n"},
	{rule: "Host with two ports", raw: "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"},
	{rule: "Host with bare IPv6", raw: "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"},
	{rule: "Host with open IPv6", raw: "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
	{rule: "Host with empty brackets", raw: "GET / HTTP/1.1\r\nHost: []\r\n\r\n"},
	{rule: "Host with IPv4 in brackets", raw: "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n"},
	{rule: "Host with a zone", raw: "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n"},
	{rule: "Host with text after the brackets", raw: "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"},
	{rule: "Host longer than 255 bytes", raw: "GET / HTTP/1.1\r\nHost: " + strings.Repeat("a", 256) + "\r\n\r\n"},

	// Field lines (RFC 9112 §5).
	{rule: "space before the colon", raw: "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
	{rule: "tab before the colon", raw: "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"},
	{rule: "space before the colon of Content-Length", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc"},
	{rule: "space before the colon of Transfer-Encoding", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
	{rule: "folded line with a space", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"},
	{rule: "folded line with a tab", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n"},
	{rule: "folded Transfer-Encoding", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
	{rule: "white space before the first field", raw: "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
	{rule: "line of white space", raw: "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n"},
	{rule: "field without a colon", raw: "GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n"},
	{rule: "field without a name", raw: "GET / HTTP/1.1\r\nHost: a\r\n: foo\r\n\r\n"},
	{rule: "field name with a space", raw: "GET / HTTP/1.1\r\nHost: a\r\nfoo bar: x\r\n\r\n"},
	{rule: "field name with NUL", raw: "GET / HTTP/1.1\r\nHost: a\r\nfoo\x00: x\r\n\r\n"},
	{rule: "field name with a parenthesis", raw: "GET / HTTP/1.1\r\nHost: a\r\nfoo(: x\r\n\r\n"},
	{rule: "field name with a slash", raw: "GET / HTTP/1.1\r\nHost: a\r\nfoo/: x\r\n\r\n"},
	{rule: "field name with a quote", raw: "GET / HTTP/1.1\r\nHost: a\r\n\"foo\": x\r\n\r\n"},
	{rule: "field name with non-ASCII", raw: "GET / HTTP/1.1\r\nHost: a\r\nf\xc3\xb6o: x\r\n\r\n"},
	{rule: "field name with a vertical tab", raw: "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x0b: chunked\r\n\r\n"},
	{rule: "field value with NUL", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n"},
	{rule: "field value with BEL", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: a\x07b\r\n\r\n"},
	{rule: "field value with ESC", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: a\x1bb\r\n\r\n"},
	{rule: "field value with DEL", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n"},
	{rule: "long field value with a control character", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789abcdef\x0101234567\r\n\r\n"},
	{rule: "long field value with non-ASCII and NUL", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: \xff\xfe\xfd\xfc\x00\xfb\xfa\xf9\r\n\r\n"},
	{rule: "field value with a bare CR", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"},
	{rule: "field that ends in CR CR LF", raw: "GET / HTTP/1.1\r\nHost: a\r\r\nX: b\r\n\r\n"},
	{rule: "request line that ends in a bare LF", raw: "GET / HTTP/1.1\nHost: a\r\n\r\n"},
	{rule: "field that ends in a bare LF", raw: "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"},
	{rule: "head that ends in a bare LF", raw: "GET / HTTP/1.1\r\nHost: a\r\n\n"},
	{rule: "head with bare LFs only", raw: "GET / HTTP/1.1\nHost: a\n\n"},
	{rule: "lines that end in bare CR", raw: "GET / HTTP/1.1\rHost: a\r\r"},
	{rule: "field hidden behind a bare CR", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n"},
	{rule: "more than 256 fields", raw: "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 256) + "\r\n", reason: outcome.HeadTooLarge},
	{rule: "head above 64 KiB", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 64<<10) + "\r\n\r\n", reason: outcome.HeadTooLarge},
	{rule: "target above 64 KiB", raw: "GET /" + strings.Repeat("y", 64<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", reason: outcome.HeadTooLarge, status: 414},

	// Connection (RFC 9110 §7.6.1).
	{rule: "Connection names Host", raw: "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n"},
	{rule: "Connection names Content-Length", raw: "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, Content-Length\r\nContent-Length: 3\r\n\r\nabc"},
	{rule: "Connection names Transfer-Encoding", raw: "GET / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\n\r\n"},
	{rule: "Connection names Authorization", raw: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Authorization\r\n\r\n"},
	{rule: "Connection names Cookie", raw: "GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: cookie\r\n\r\n"},
	{rule: "Connection option that is not a token", raw: "GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n"},
	{rule: "Connection option in quotes", raw: "GET / HTTP/1.1\r\nHost: a\r\nConnection: \"close\"\r\n\r\n"},
	{rule: "Trailer names Content-Length", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: content-length\r\n\r\n0\r\n\r\n"},

	// Content-Length (RFC 9112 §6.3).
	{rule: "Content-Length empty", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"},
	{rule: "Content-Length negative", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"},
	{rule: "Content-Length with a plus", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"},
	{rule: "Content-Length hexadecimal", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"},
	{rule: "Content-Length with a fraction", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3.0\r\n\r\nabc"},
	{rule: "Content-Length with an exponent", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3e0\r\n\r\nabc"},
	{rule: "Content-Length with a space inside", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc"},
	{rule: "Content-Length with an underscore", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nabc"},
	{rule: "Content-Length with letters", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3abc\r\n\r\nabc"},
	{rule: "Content-Length in quotes", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"3\"\r\n\r\nabc"},
	{rule: "Content-Length list of equals", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc"},
	{rule: "Content-Length list", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 5\r\n\r\nabc"},
	{rule: "Content-Length with a trailing comma", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3,\r\n\r\nabc"},
	{rule: "Content-Length twice", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc"},
	{rule: "Content-Length twice and equal", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"},
	{rule: "Content-Length twice in HTTP/1.0", raw: "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc"},
	{rule: "Content-Length above int64", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n"},
	{rule: "Content-Length above uint64", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551619\r\n\r\nabc"},
	{rule: "Content-Length with a leading zero", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\n\r\nabc"},
	{rule: "Content-Length of two zeros", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 00\r\n\r\n"},
	{rule: "TRACE with a body", raw: "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"},
	{rule: "TRACE with chunks", raw: "TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{rule: "Content-Length in other digits", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa3\r\n\r\nabc"},
	{rule: "Content-Length invalid with GET", raw: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"},

	// Transfer-Encoding (RFC 9112 §6.1).
	{rule: "both lengths", raw: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{rule: "both lengths the other way round", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"},
	{rule: "both lengths with 0", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"},
	{rule: "both lengths in HTTP/1.0", raw: "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"},
	{rule: "coding in HTTP/1.0", raw: "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding empty", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"},
	{rule: "coding identity", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"},
	{rule: "coding gzip alone", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"},
	{rule: "coding gzip, chunked", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", reason: outcome.CodingRefused},
	{rule: "coding chunked, gzip", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked, identity", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked twice in a list", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked on two lines", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding identity and chunked on two lines", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding xchunked", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked in quotes", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked with a parameter", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked with a trailing comma", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked with a leading comma", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked with a vertical tab", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked with non-ASCII", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xffchunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked with a space inside", raw: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun ked\r\n\r\n0\r\n\r\n"},

	// Expect (RFC 9110 §10.1.1).
	{rule: "another expectation", raw: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", reason: outcome.ExpectationFail},
	{rule: "two expectations", raw: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", reason: outcome.ExpectationFail},

	// Chunks (RFC 9112 §7.1).
	{rule: "chunk size empty", raw: chunked + "\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size with a sign", raw: chunked + "+3\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size negative", raw: chunked + "-3\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size with 0x", raw: chunked + "0x3\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size with an underscore", raw: chunked + "0_3\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size with a leading space", raw: chunked + " 3\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size with a trailing space", raw: chunked + "3 \r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size with a trailing tab", raw: chunked + "3\t\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size with other letters", raw: chunked + "3g\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size with NUL", raw: chunked + "3\x00\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size with a comma", raw: chunked + "3,3\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size above int64", raw: chunked + "8000000000000000\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size above uint64", raw: chunked + "10000000000000003\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk size of 17 digits", raw: chunked + "00000000000000003\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk line that ends in a bare LF", raw: chunked + "3\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk line that ends in a bare CR", raw: chunked + "3\rabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk data that ends in a bare LF", raw: chunked + "3\r\nabc\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk data that ends in a bare CR", raw: chunked + "3\r\nabc\r0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk data that ends in nothing", raw: chunked + "3\r\nabc0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk data longer than its size", raw: chunked + "3\r\nabcd\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk data shorter than its size", raw: chunked + "4\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension without a name", raw: chunked + "3;\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension with two semicolons", raw: chunked + "3;;a\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension without a value", raw: chunked + "3;a=\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension with an open quote", raw: chunked + "3;a=\"b\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension with a quoted LF", raw: chunked + "3;a=\"\nb\"\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension with a bare LF", raw: chunked + "3;a\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension with a bare CR", raw: chunked + "3;a\rb\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension with NUL", raw: chunked + "3;a\x00\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension without a semicolon", raw: chunked + "3 a=b\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extension too long", raw: chunked + "3;" + strings.Repeat("a", 2000) + "\r\nabc\r\n0\r\n\r\n", reason: outcome.BadBody},
	{rule: "chunk extensions too many", raw: chunked + strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\na\r\n", 17), reason: outcome.BadBody},
	{rule: "last chunk that ends in a bare LF", raw: chunked + "0\n\r\n", reason: outcome.BadBody},
	{rule: "trailer section that ends in a bare LF", raw: chunked + "0\r\n\n", reason: outcome.BadBody},
	{rule: "trailer that ends in a bare LF", raw: chunked + "0\r\nA: b\n\r\n", reason: outcome.BadBody},
	{rule: "trailer with a folded line", raw: chunked + "0\r\nA: b\r\n c\r\n\r\n", reason: outcome.BadBody},
	{rule: "trailer without a colon", raw: chunked + "0\r\nfoo\r\n\r\n", reason: outcome.BadBody},
	{rule: "trailer with a space before the colon", raw: chunked + "0\r\nA : b\r\n\r\n", reason: outcome.BadBody},
	{rule: "trailer with NUL", raw: chunked + "0\r\nA: \x00\r\n\r\n", reason: outcome.BadBody},
	{rule: "trailer Content-Length", raw: chunked + "0\r\nContent-Length: 3\r\n\r\n", reason: outcome.BadBody},
	{rule: "trailer Transfer-Encoding", raw: chunked + "0\r\nTransfer-Encoding: chunked\r\n\r\n", reason: outcome.BadBody},
	{rule: "trailer Host", raw: chunked + "0\r\nHost: b\r\n\r\n", reason: outcome.BadBody},
	{rule: "trailer section too large", raw: chunked + "0\r\nA: " + strings.Repeat("b", 20<<10) + "\r\n\r\n", reason: outcome.BadBody},
	{rule: "trailers too many", raw: chunked + "0\r\n" + strings.Repeat("A: b\r\n", 257) + "\r\n", reason: outcome.BadBody},
}

const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

// TestRefusals sends each of them, followed by a request that must never be seen,
// as a whole and byte by byte.
func TestRefusals(t *testing.T) {
	if n := len(refusals); n < 150 {
		t.Errorf("%d cases, want 150", n)
	}
	for _, r := range refusals {
		t.Run(r.rule, func(t *testing.T) {
			reason, status := r.reason, r.status
			if reason == "" {
				reason = outcome.BadRequest
			}
			if status == 0 {
				status = reason.Status()
			}
			raw := r.raw
			if reason != outcome.BadBody && !strings.Contains(r.rule, "bare CR") && len(raw) < 60<<10 {
				raw += "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
			}
			want := fmt.Sprintf("%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", statusLines[status], len(reason), reason)
			whole := talk(t, &Server{})
			whole.send(raw)
			whole.wantEnd("sent as a whole", want)
			if len(raw) > 4<<10 {
				return
			}
			pieces := talk(t, &Server{})
			// What comes after the refusal is not read any more.
			go trickle(pieces.conn, raw)
			pieces.wantEnd("sent byte by byte", want)
		})
	}
}

// trickle writes s byte by byte until somebody minds.
func trickle(conn net.Conn, s string) {
	_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
	for i := range len(s) {
		if _, err := conn.Write([]byte{s[i]}); err != nil {
			return
		}
	}
}
