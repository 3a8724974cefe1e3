package http1

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// attempt is what came of one attempt at an endpoint that answers with raw bytes.
type attempt struct {
	status   int
	interims int
	body     string
	err      error
	reusable bool
}

// play sends a request, lets the endpoint answer with raw and then close if
// close is set, and reads what there is to read.
func play(t *testing.T, req *message.Request, raw string, close bool) attempt {
	t.Helper()
	near, far := memoryPipe()
	defer far.Close()
	c := NewClientConn(near, nil)
	c.Timeouts(time.Minute, time.Minute)
	if err := errors.Join(c.Head(req), c.End(nil)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.WriteString(far, raw)
		if close {
			_ = far.CloseWrite()
		}
	}()
	var a attempt
	for a.err == nil {
		var res *message.Response
		if res, a.err = c.Response(nil); a.err != nil {
			break
		}
		if a.status = res.Status; res.Status >= 200 || res.Status == 101 {
			a.body, a.err = readAll(c.Body())
			break
		}
		a.interims++
	}
	a.reusable = c.Close()
	return a
}

const ok200 = "HTTP/1.1 200 OK\r\n"

// hostiles are answers that are refused, each with the rule it breaks; the reason
// is upstream_invalid unless another is given.
var hostiles = []struct {
	rule, raw string
	reason    outcome.Reason
}{
	{rule: "nothing", raw: "", reason: outcome.UpstreamClosed},
	{rule: "half a status line", raw: "HTTP/1.1 2", reason: outcome.UpstreamClosed},
	{rule: "half a head", raw: ok200 + "X: y\r\n", reason: outcome.UpstreamClosed},
	{rule: "an interim response only", raw: "HTTP/1.1 103 Early Hints\r\n\r\n", reason: outcome.UpstreamClosed},

	// The status line (RFC 9112 §4).
	{rule: "empty line before the status line", raw: "\r\n" + ok200 + "Content-Length: 0\r\n\r\n"},
	{rule: "another protocol", raw: "SSH-2.0-OpenSSH_9.2\r\n\r\n"},
	{rule: "SMTP", raw: "220 mail ESMTP\r\n\r\n"},
	{rule: "HTTP/0.9", raw: "<html>\r\n\r\n"},
	{rule: "version 1.2", raw: "HTTP/1.2 200 OK\r\n\r\n"},
	{rule: "version 2.0", raw: "HTTP/2.0 200 OK\r\n\r\n"},
	{rule: "version 2 without a minor", raw: "HTTP/2 200 OK\r\n\r\n"},
	{rule: "version in lower case", raw: "http/1.1 200 OK\r\n\r\n"},
	{rule: "version with two digits", raw: "HTTP/1.10 200 OK\r\n\r\n"},
	{rule: "two spaces before the status", raw: "HTTP/1.1  200 OK\r\n\r\n"},
	{rule: "tab before the status", raw: "HTTP/1.1\t200 OK\r\n\r\n"},
	{rule: "white space before the status line", raw: " HTTP/1.1 200 OK\r\n\r\n"},
	{rule: "status missing", raw: "HTTP/1.1 \r\n\r\n"},
	{rule: "status of two digits", raw: "HTTP/1.1 20 OK\r\n\r\n"},
	{rule: "status of four digits", raw: "HTTP/1.1 2000 OK\r\n\r\n"},
	{rule: "status with a letter", raw: "HTTP/1.1 2x0 OK\r\n\r\n"},
	{rule: "status negative", raw: "HTTP/1.1 -20 OK\r\n\r\n"},
	{rule: "status with a plus", raw: "HTTP/1.1 +20 OK\r\n\r\n"},
	{rule: "status 000", raw: "HTTP/1.1 000 OK\r\n\r\n"},
	{rule: "status 099", raw: "HTTP/1.1 099 OK\r\n\r\n"},
	{rule: "status 600", raw: "HTTP/1.1 600 OK\r\n\r\n"},
	{rule: "status 999", raw: "HTTP/1.1 999 OK\r\n\r\n"},
	{rule: "reason phrase without a space", raw: "HTTP/1.1 200OK\r\n\r\n"},
	{rule: "tab before the reason phrase", raw: "HTTP/1.1 200\tOK\r\n\r\n"},
	{rule: "reason phrase with NUL", raw: "HTTP/1.1 200 O\x00K\r\n\r\n"},
	{rule: "reason phrase with ESC", raw: "HTTP/1.1 200 \x1b[31mOK\r\n\r\n"},
	{rule: "reason phrase with a bare CR", raw: "HTTP/1.1 200 O\rK\r\n\r\n"},

	// Field lines (RFC 9112 §5).
	{rule: "status line that ends in a bare LF", raw: "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"},
	{rule: "field that ends in a bare LF", raw: ok200 + "X: y\nContent-Length: 0\r\n\r\n"},
	{rule: "head that ends in a bare LF", raw: ok200 + "Content-Length: 0\r\n\n"},
	{rule: "field with NUL", raw: ok200 + "X: a\x00b\r\nContent-Length: 0\r\n\r\n"},
	{rule: "field with a control character", raw: ok200 + "X: a\x01b\r\nContent-Length: 0\r\n\r\n"},
	{rule: "field with a bare CR", raw: ok200 + "X: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n"},
	{rule: "folded field", raw: ok200 + "X: a\r\n b\r\nContent-Length: 0\r\n\r\n"},
	{rule: "space before the colon", raw: ok200 + "Content-Length : 0\r\n\r\n"},
	{rule: "field without a colon", raw: ok200 + "foo\r\n\r\n"},
	{rule: "field without a name", raw: ok200 + ": foo\r\n\r\n"},
	{rule: "field name with NUL", raw: ok200 + "X\x00Y: foo\r\n\r\n"},
	{rule: "field name with non-ASCII", raw: ok200 + "X\xff: foo\r\n\r\n"},
	{rule: "Connection names Content-Length", raw: ok200 + "Connection: content-length\r\nContent-Length: 0\r\n\r\n"},
	{rule: "more than 256 fields", raw: ok200 + strings.Repeat("X: y\r\n", 257) + "\r\n", reason: outcome.UpstreamHeadSize},
	{rule: "head above 64 KiB", raw: ok200 + "X: " + strings.Repeat("y", 64<<10) + "\r\n\r\n", reason: outcome.UpstreamHeadSize},
	{rule: "status line above 64 KiB", raw: "HTTP/1.1 200 " + strings.Repeat("y", 64<<10) + "\r\n\r\n", reason: outcome.UpstreamHeadSize},

	// Lengths (RFC 9112 §6.3).
	{rule: "both lengths", raw: ok200 + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{rule: "both lengths the other way round", raw: ok200 + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"},
	{rule: "Content-Length twice", raw: ok200 + "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc"},
	{rule: "Content-Length twice and equal", raw: ok200 + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"},
	{rule: "Content-Length list", raw: ok200 + "Content-Length: 3, 3\r\n\r\nabc"},
	{rule: "Content-Length empty", raw: ok200 + "Content-Length:\r\n\r\n"},
	{rule: "Content-Length negative", raw: ok200 + "Content-Length: -3\r\n\r\nabc"},
	{rule: "Content-Length with a plus", raw: ok200 + "Content-Length: +3\r\n\r\nabc"},
	{rule: "Content-Length hexadecimal", raw: ok200 + "Content-Length: 0x3\r\n\r\nabc"},
	{rule: "Content-Length with a leading zero", raw: ok200 + "Content-Length: 03\r\n\r\nabc"},
	{rule: "Content-Length above int64", raw: ok200 + "Content-Length: 9223372036854775808\r\n\r\n"},
	{rule: "Content-Length above uint64", raw: ok200 + "Content-Length: 18446744073709551619\r\n\r\nabc"},
	{rule: "coding in HTTP/1.0", raw: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding gzip", raw: ok200 + "Transfer-Encoding: gzip\r\n\r\nabc"},
	{rule: "coding gzip, chunked", raw: ok200 + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding identity", raw: ok200 + "Transfer-Encoding: identity\r\n\r\nabc"},
	{rule: "coding chunked twice", raw: ok200 + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding chunked on two lines", raw: ok200 + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding with a vertical tab", raw: ok200 + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"},
	{rule: "coding empty", raw: ok200 + "Transfer-Encoding:\r\n\r\n"},

	// Interim responses (RFC 9110 §15.2).
	{rule: "101 not asked for", raw: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbytes"},
	{rule: "interim response in HTTP/1.0", raw: "HTTP/1.0 100 Continue\r\n\r\n" + ok200 + "Content-Length: 0\r\n\r\n"},
	{rule: "interim responses without an end", raw: strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 40)},
	{rule: "interim response with a body", raw: "HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc" + ok200 + "\r\n"},

	// Bodies (RFC 9112 §6, §7, §8).
	{rule: "body cut", raw: ok200 + "Content-Length: 5\r\n\r\nabc", reason: outcome.UpstreamCut},
	{rule: "chunk cut", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\n5\r\nabc", reason: outcome.UpstreamCut},
	{rule: "chunks cut between two", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", reason: outcome.UpstreamCut},
	{rule: "chunks cut before the trailers end", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n", reason: outcome.UpstreamCut},
	{rule: "chunk size invalid", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n"},
	{rule: "chunk size above int64", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc"},
	{rule: "chunk line that ends in a bare LF", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"},
	{rule: "chunk data longer than its size", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"},
	{rule: "chunk extension malformed", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\n3;\r\nabc\r\n0\r\n\r\n"},
	{rule: "trailer Content-Length", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n"},
	{rule: "trailer with NUL", raw: ok200 + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: \x00\r\n\r\n"},
}

func TestHostileResponses(t *testing.T) {
	if n := len(hostiles); n < 60 {
		t.Errorf("%d cases, want 60", n)
	}
	for _, h := range hostiles {
		t.Run(h.rule, func(t *testing.T) {
			want := h.reason
			if want == "" {
				want = outcome.UpstreamInvalid
			}
			a := play(t, newRequest("GET"), h.raw, true)
			e, ok := errors.AsType[*outcome.Error](a.err)
			if !ok || e.Reason != want || e.Side != outcome.Upstream || a.reusable {
				t.Fatalf("got %+v, want %s", a, want)
			}
			retry := outcome.RetryNo
			if h.raw == "" {
				retry = outcome.RetryIfReused
			}
			if e.Retry != retry {
				t.Errorf("Retry = %v, want %v", e.Retry, retry)
			}
		})
	}
}

func TestResponses(t *testing.T) {
	upgrade := newRequest("GET")
	upgrade.Fields.Add(message.Upgrade, "websocket")
	upgrade.Fields.Add(message.Connection, "Upgrade")
	for _, test := range []struct {
		rule, method, raw string
		close             bool
		want              attempt
	}{
		{"length", "GET", ok200 + "Content-Length: 3\r\n\r\nabc", false, attempt{200, 0, "abc", nil, true}},
		{"length of 0", "GET", ok200 + "Content-Length: 0\r\n\r\n", false, attempt{200, 0, "", nil, true}},
		{"chunks", "GET", ok200 + "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false, attempt{200, 0, "abc", nil, true}},
		{"until close", "GET", ok200 + "\r\nabc", true, attempt{200, 0, "abc", nil, false}},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, attempt{200, 0, "abc", nil, false}},
		{"HTTP/1.0 with keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc", false, attempt{200, 0, "abc", nil, true}},
		{"close", "GET", ok200 + "Connection: close\r\nContent-Length: 3\r\n\r\nabc", false, attempt{200, 0, "abc", nil, false}},
		{"no reason phrase", "GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", false, attempt{200, 0, "", nil, true}},
		{"no space either", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, attempt{200, 0, "", nil, true}},
		{"unusual status", "GET", "HTTP/1.1 599 \xe9 ok\r\nContent-Length: 0\r\n\r\n", false, attempt{599, 0, "", nil, true}},
		{"HEAD with a length", "HEAD", ok200 + "Content-Length: 3\r\n\r\n", false, attempt{200, 0, "", nil, true}},
		{"HEAD with chunks", "HEAD", ok200 + "Transfer-Encoding: chunked\r\n\r\n", false, attempt{200, 0, "", nil, true}},
		{"HEAD without a length", "HEAD", ok200 + "\r\n", false, attempt{200, 0, "", nil, true}},
		{"HEAD with a body", "HEAD", ok200 + "Content-Length: 3\r\n\r\nabc", false, attempt{200, 0, "", nil, false}},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, attempt{204, 0, "", nil, true}},
		{"204 with a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", false, attempt{204, 0, "", nil, false}},
		{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false, attempt{304, 0, "", nil, true}},
		{"bytes after the body", "GET", ok200 + "Content-Length: 3\r\n\r\nabcd", false, attempt{200, 0, "abc", nil, false}},
		{"a second response", "GET", ok200 + "Content-Length: 0\r\n\r\n" + ok200 + "Content-Length: 0\r\n\r\n", false, attempt{200, 0, "", nil, false}},
		{"bytes after the last chunk", "GET", ok200 + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", false, attempt{200, 0, "", nil, false}},
		{"interim responses", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok200 + "Content-Length: 3\r\n\r\nabc", false, attempt{200, 2, "abc", nil, true}},
		{"early response with chunk extensions", "POST", ok200 + "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: u\r\n\r\n", false, attempt{200, 0, "abc", nil, true}},
		{"101", "UPGRADE", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\n", false, attempt{101, 0, "", nil, false}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			req := newRequest(test.method)
			if test.method == "UPGRADE" {
				req = upgrade
			}
			if got := play(t, req, test.raw, test.close); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
